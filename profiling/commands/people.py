"""Commands that people run by hand."""

import os
from pathlib import Path

from profiling.commands.registry import RESULTS, SEED, THREADS, command, count, option, path
from profiling.terminal import say


@command(
    "summary", path("--results", "results folder"), path("--logs", "folder of logs and benchmarks"),
    option("--report", help="where the report lies", type=Path),
)  # fmt: skip
def summary(args):
    """Print plates, wells, fields, cells in and out, failures and the minutes of each stage."""
    from profiling.report.summary import print_summary

    print_summary(args.results, args.logs, args.report)


@command(
    "simulate", option("folder", help="folder to write", type=Path), SEED,
    option("--rows", type=count, default=4, help="rows of a plate"),
    option("--columns", type=count, default=6, help="columns of a plate"),
    option("--sites", type=count, default=2, help="sites a well"),
    option("--size", type=count, default=432, help="pixels a side of a field"),
    option("--plates", nargs="+", default=["DEMO-1", "DEMO-2"], help="names of the plates"),
    option("--workers", type=count, default=os.cpu_count(), help="processes"),
)  # fmt: skip
def simulate(args):
    """Write the demo screen: images of known phenotypes, a plate map, real trouble, and the truth beside them.

    Does nothing where the folder already holds the same screen.
    """
    from profiling.demo.jobs import simulate_once

    simulate_once(
        args.folder, plates=tuple(args.plates), rows=args.rows, columns=args.columns, sites=args.sites,
        size=args.size, seed=args.seed, workers=args.workers,
    )  # fmt: skip


@command(
    "simulate-annotated", option("folder", help="folder to write", type=Path), SEED,
    option("--workers", type=count, default=os.cpu_count(), help="processes"),
)  # fmt: skip
def simulate_annotated(args):
    """Write simulated fields of nuclei with their labels, to train or judge a segmentation with."""
    from profiling.demo.annotated import simulate_annotated

    simulate_annotated(args.folder, args.seed, workers=args.workers)


@command(
    "train-segmenter", option("config", help="YAML with the settings of the training", type=Path),
    path("--out", "folder to write; a run that stopped goes on in its folder"),
)  # fmt: skip
def train_segmenter(args):
    """Train the network of `engine: nuclei` on annotated fields, your own or public ones.

    Writes nuclei.safetensors, which `segmentation.weights` takes, log.csv with the metrics of every validation, and
    checkpoint.pt. config/training/README.md says how the weights that come with the installation were made.
    """
    from profiling.cells.learned.train import train
    from profiling.cells.learned.training_settings import read_training

    metrics = train(read_training(args.config), args.out)
    print(", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))


@command(
    "adapt-backbone", option("results", help="results folder, in the working directory of its screen", type=Path),
    path("--out", "weights to write (.safetensors); the report is written beside them"),
    option("--plates", help="only cells of these plates", nargs="+"),
    option("--hold-out", help="plates to judge on and not to learn from; left out: every third", nargs="+"),
    option("--cells", help="cells to learn from at most", type=int),
    option("--judged", help="held-out cells to judge on at most", type=int),
    option("--steps", help="batches", type=int),
    option("--batch-size", help="images a batch", type=int),
    option("--learning-rate", help="highest learning rate", type=float),
    option("--labels", help="learn weak labels besides: treatments as the plate maps name them", choices=["treatment"]),
    SEED, option("--device", help="where to train", choices=["auto", "cuda", "mps", "cpu"], default="auto"), THREADS,
)  # fmt: skip
def adapt_backbone(args):
    """Adapt the backbone of a screen that has run to its own cells, without labels, and say what that gained.

    Learns features that do not depend on a cell's orientation from the network as it is. Some plates are not learned
    from but judge the result. A run that stopped goes on when the command is given again. Writes weights that
    `embedding.weights` takes, and a report beside them; nothing uses them unless the configuration says so.
    """
    from profiling.embeddings.adapt.jobs import adapt_backbone
    from profiling.embeddings.adapt.settings import adaptation

    names = ("plates", "hold_out", "cells", "judged", "steps", "batch_size", "learning_rate", "labels", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    settings = adaptation(**given)
    adapt_backbone(args.results, args.out, settings, args.device, args.threads)
    say(args.out.with_suffix(".md").read_text().splitlines())


@command(
    "init", option("folder", help="folder of a plate, or of plates", type=Path),
    option("--out", help="the screen's folder, for config.yaml and plates.tsv", type=Path, default=Path()),
    option("--pattern", help="regular expression of the file names, where no reader knows them"),
)  # fmt: skip
def init(args):
    """Propose a configuration for a folder of plates: config.yaml and plates.tsv, ready to edit.

    Finds plates, reader, wells, channels, plate maps, pixel size and stacks from names, metadata and a few headers.
    Overwrites nothing.
    """
    from profiling.images.read import read_header
    from profiling.plates.proposals.jobs import init

    init(args.folder, args.out, read_header, args.pattern)


@command(
    "check", option("config", help="the screen's configuration", type=Path),
    option("--directory", help="the screen's folder, as snakemake takes it", type=Path, default=Path()),
    option("--plates", help="only these plates", nargs="+", default=[]),
    option("--deep", help="open every image's header instead of a sample", action="store_true"),
    option("--root", help="instead of `root` in the configuration"),
    option("--maps", help="draw every plate", action="store_const", const="all", default="auto"),
    option("--json", help="print what was found as JSON", action="store_true"),
)  # fmt: skip
def check(args):
    """Say what is wrong with a screen before it runs.

    Reads the configuration, the listings of the plates' folders, their metadata files, a few headers a channel and
    the plate maps, never pixels. Ends with status 1 where an error would stop or spoil the run.
    """
    from profiling.cells.learned.forward import check_weights
    from profiling.images.read import read_header
    from profiling.plates.checks.jobs import check

    errors = check(
        args.config, args.directory, read_header, check_weights, args.plates, args.deep, args.root, args.maps, args.json
    )
    return 1 if errors else 0


@command(
    "rescan", option("plates", help="plates, all where none is named", nargs="*"),
    option("--results", help="results folder", type=Path, default=Path("results")),
)  # fmt: skip
def rescan(args):
    """Look for new, changed and removed images of plates that were listed before.

    The workflow lists a plate's folder once. After images were added or restored, run this in the screen's working
    directory: image tables that differ are written anew, and the next start of the workflow does what follows them.
    """
    from profiling.images.read import read_header
    from profiling.plates.jobs import rescan

    rescan(args.results, args.plates, read_header)


@command(
    "draw", option("plate", help="name of the plate"), option("wells", help="wells, such as C05", nargs="+"),
    option("--sites", help="only these sites", nargs="+", type=int),
    option("--side", help="longest side of a picture, pixels; left out: full size", type=count),
    option("--results", help="results folder", type=Path, default=Path("results")),
    option("--out", help="folder to write", type=Path, default=Path("overlays")),
)  # fmt: skip
def draw(args):
    """Write pictures of wells with the outlines of nuclei and cells, a PNG file a field.

    Run this in the working directory of a screen that has run. Outlines of nuclei are amber, those of cells blue.
    """
    from profiling.cells.overlay_jobs import draw

    draw(args.results, args.plate, args.wells, args.sites, args.side, args.out)


@command(
    "status", RESULTS, option("--all", help="list every plate", action="store_true"),
    option("--json", help="print tables and figures as JSON", action="store_true"),
)  # fmt: skip
def status(args):
    """Say how far a screen is: jobs done, running and failed by stage and plate, cells, pace and time left.

    Reads files alone (the results, Snakemake's log and marks beside them), so that it can be asked at any time and
    from any machine that sees the folder.
    """
    from profiling.results.status import read_status, status_json, status_lines

    found = read_status(args.results)
    say(status_json(found).splitlines() if args.json else status_lines(found, args.all))


@command(
    "verify", RESULTS,
    option("--quick", help="read names and footers of tables alone", action="store_true"),
    option("--json", help="print what is wrong as JSON", action="store_true"),
)  # fmt: skip
def verify(args):
    """Check that results are whole and sound: schemas, keys, counts between stages, settings, hashes, stray files.

    Ends with status 1 where something is wrong, and says for each file what it is and what to do.
    """
    from profiling.results.findings import finding_lines, findings_json
    from profiling.results.verify import verify

    findings = verify(args.results, args.quick)
    if args.json:
        print(findings_json(findings))
    else:
        say([*finding_lines(findings), f"{len(findings)} findings in {args.results}"])
    return 1 if findings else 0


@command(
    "partial-report", RESULTS,
    option("--out", help="file to write; left out: partial-report.html beside the results", type=Path),
)  # fmt: skip
def partial_report(args):
    """Write the report from what is there, while plates or stages are missing; its top names what they lack.

    Run this in the working directory of a screen. Reads whole files alone, so that it can be run at any time; the
    report of the finished screen, results/report.html, is left as it is.
    """
    from profiling.results.partial import partial_report

    out, absent = partial_report(args.results, args.out)
    say([*absent, *([] if absent else ["Nothing is missing."]), f"Report: {out.resolve()}"])


@command(
    "diff", option("first", help="a results folder", type=Path), option("second", help="another", type=Path),
)  # fmt: skip
def diff(args):
    """Say in words how two results folders differ: configuration, code, weights, plates, rows and numbers.

    Clusters that are the same by other numbers are told so. Ends with status 1 where the folders differ.
    """
    from profiling.results.diff import compare_results, diff_lines

    found = compare_results(args.first, args.second)
    say(diff_lines(found))
    return 0 if found["equal"] else 1


@command("docs", option("--check", help="fail where a file is out of date", action="store_true"))
def docs(args):
    """Write docs/tables.md, config/README.md and config/schema.json from the schemas and settings."""
    from profiling.docs import write_docs

    write_docs(Path.cwd(), args.check)
