"""The command line: one command a rule of the workflow, and commands that people run by hand.

Every command imports only its own stage, so that help is instant and a job loads no more than it needs.
"""

import argparse
import inspect
import logging
import os
import sys
from pathlib import Path

from profiling.config import parse_settings
from profiling.errors import ProfilingError
from profiling.terminal import VisibleFormatter, say, visible

COMMANDS = {}


def option(*names, **kwargs):
    """One command-line option, as :meth:`argparse.ArgumentParser.add_argument` takes it."""
    return names, kwargs


def path(name, text, **kwargs):
    """An option for a path, required."""
    return option(name, help=text, type=Path, required=True, **kwargs)


def settings(section, name="--settings"):
    """An option for the settings of a stage, as the JSON that its rule passes."""

    def parse(text):
        try:
            return parse_settings(section, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    text = f"settings of `{section}` that differ from their defaults, as JSON"
    return option(name, help=text, type=parse, default="{}", metavar="JSON")


def command(name, *options):
    """Register a function as a command; its docstring is the command's help."""

    def register(function):
        COMMANDS[name] = (function, options)
        return function

    return register


PLATE = option("--plate", help="name of the plate", required=True)
LAYOUT = option("--layout", help="wells of the plate", type=int, required=True)
CHANNELS = option("--channels", help="channels, in the order of the configuration", nargs="+", required=True)
NUCLEI = option("--nuclei-channel", help="channel of the nuclei", required=True)
SEED = option("--seed", help="seed", type=int, default=0)
THREADS = option("--threads", help="threads", type=int, default=1)
IMAGES = path("--images", "image table of the plate")
FOLDER = path("--folder", "image folder of the plate")
FLATFIELDS = path("--flatfields", "folder of the plate's flat fields")
OUT = path("--out", "file to write")
WELLS = path("--wells", "wells table")
DEVICE = (
    option("--device", help="where the network runs", choices=["auto", "cuda", "mps", "cpu"]),
    option("--batch-size", help="images a forward pass on a GPU", type=int),
)
CHUNK = (
    LAYOUT,
    option("--chunk", help="chunk of the plate, as 2/8", required=True),
    option("--exclude", help="wells to leave out", nargs="*", default=[]),
)
SELECTION = (
    path("--embeddings", "embeddings of the plate"),
    path("--cells", "cell table of the plate"),
    path("--flags", "flags of the plate's images"),
    path("--cell-flags", "flags of the plate's cells"),
    path("--platemap", "platemaps table of the plate"),
)


def wells_of(args):
    """Wells of the chunk that the options name."""
    from profiling.plates.wells import chunk_wells

    chunk, _, chunks = args.chunk.partition("/")
    return chunk_wells(args.layout, int(chunk), int(chunks), args.exclude)


def on_device(args):
    """Settings of the embedding with the options of speed, which its rules pass beside them."""
    given = {"device": args.device, "batch_size": args.batch_size}
    return args.settings.model_copy(update={name: value for name, value in given.items() if value is not None})


@command(
    "images", PLATE, FOLDER, LAYOUT, CHANNELS, settings("images"), OUT,
    path("--out-unplaced", "table of the files that could not be placed"),
    option("--reader", help="reader of this plate's folder, instead of the one in the settings"),
)  # fmt: skip
def images(args):
    """List the images of a plate.

    Reads names and headers, never pixels. Images that are expected and absent, and those whose header cannot be
    read, stand in the table with their reason; files that fit no well or channel are listed apart.
    """
    from profiling.images.read import read_header
    from profiling.plates.jobs import index

    index(
        args.plate,
        args.folder,
        args.layout,
        args.channels,
        args.settings,
        read_header,
        args.out,
        args.out_unplaced,
        args.reader,
    )


@command(
    "make-images", path("--planes", "table of the plate's planes"), FOLDER, *CHUNK, settings("images"),
    option("--focus-channel", help="channel that chooses the plane", required=True), OUT,
    path("--out-folder", "folder for the images"), THREADS,
)  # fmt: skip
def make_images(args):
    """Make one image of every stack of a chunk: the maximum over its planes, or the sharpest of them."""
    from profiling.images.stack_jobs import make_images

    make_images(
        args.planes,
        args.folder,
        wells_of(args),
        args.settings,
        args.focus_channel,
        args.out,
        args.out_folder,
        args.threads,
    )


@command(
    "usable", path("--quality", "quality table of the plate"),
    option("--max-failed", help="share of the images that may have failed", type=float, required=True), OUT,
)  # fmt: skip
def usable(args):
    """Say how many images of a plate failed; stop where they are too many."""
    from profiling.images.jobs import usable

    usable(args.quality, args.max_failed, args.out)


@command(
    "platemap", PLATE, LAYOUT, IMAGES, option("--batch", help="batch of the plate"),
    option("--map", help="plate map of the plate (CSV, TSV or .xlsx)", type=Path),
    option("--compounds", help="table of compounds", type=Path), settings("platemap"), OUT,
)  # fmt: skip
def platemap(args):
    """Read a plate map and join it to the wells that have images; name the wells that stand on one side only."""
    from profiling.plates.jobs import join

    join(args.plate, args.batch, args.layout, args.images, args.map, args.settings, args.out, args.compounds)


@command("quality", IMAGES, FOLDER, *CHUNK, settings("quality"), OUT, THREADS)
def quality(args):
    """Measure focus, saturation, background, noise and a pixel hash on the raw images of a chunk."""
    from profiling.images.jobs import quality

    quality(args.images, args.folder, wells_of(args), args.settings, args.out, args.threads)


@command("illumination", IMAGES, FOLDER, CHANNELS, settings("illumination"), OUT, THREADS)
def illumination(args):
    """Fit flat field and dark offset of each channel of a plate; writes one TIFF a channel into the folder --out."""
    from profiling.images.jobs import illumination

    illumination(args.images, args.folder, args.channels, args.settings, args.out, args.threads)


@command("limits", IMAGES, FOLDER, FLATFIELDS, CHANNELS, settings("limits"), OUT, THREADS)
def limits(args):
    """Find the corrected intensities of a plate and channel that become 0 and 1 for the network."""
    from profiling.images.jobs import limits

    limits(args.images, args.folder, args.flatfields, args.channels, args.settings, args.out, args.threads)


@command(
    "segment", IMAGES, FOLDER, FLATFIELDS, *CHUNK, CHANNELS, settings("segmentation"), THREADS,
    path("--out-cells", "cells of the chunk"), path("--out-fields", "fields of the chunk"),
    path("--out-labels", "folder of the chunk's label images"),
)  # fmt: skip
def segment(args):
    """Segment nuclei and cells of a chunk, measure them, and write label images, cells and fields."""
    from profiling.cells.jobs import segment

    segment(
        args.images, args.folder, args.flatfields, wells_of(args), args.channels, args.settings,
        args.out_cells, args.out_fields, args.out_labels, args.threads,
    )  # fmt: skip


@command(
    "units", IMAGES, *CHUNK, option("--unit", help="what is profiled", choices=["field", "tile"], required=True),
    settings("tiles"), path("--out-cells", "units of the chunk, in the place of cells"),
    path("--out-fields", "fields of the chunk"), path("--out-labels", "folder that stays empty"),
)  # fmt: skip
def units(args):
    """List the fields or tiles of a chunk in the place of its cells. Reads no pixel."""
    from profiling.cells.unit_jobs import units

    units(args.images, wells_of(args), args.unit, args.settings, args.out_cells, args.out_fields, args.out_labels)


@command(
    "overlays", IMAGES, FOLDER, FLATFIELDS, path("--fields", "fields table of the plate"),
    option("--labels", help="folders of the label images of the plate's chunks", nargs="+", type=Path, required=True),
    option("--channels", help="channel of the nuclei and, if any, that of the cell bodies", nargs="+", required=True),
    settings("overlays"), OUT,
)  # fmt: skip
def overlays(args):
    """Draw the outlines of nuclei and cells on fields of a plate: its corner wells and its lowest scores."""
    from profiling.cells.overlay_jobs import overlays

    overlays(
        args.images, args.folder, args.flatfields, args.fields, args.labels, args.channels, args.settings, args.out
    )


@command("backbone", settings("embedding"), OUT)
def backbone(args):
    """Load the backbone, which downloads its weights where they do not come with the installation.

    Runs on the machine that starts the workflow, so that compute nodes need no network.
    """
    from profiling.embeddings.jobs import fetch_backbone

    fetch_backbone(args.settings, args.out)


@command(
    "embed", IMAGES, FOLDER, FLATFIELDS, path("--limits", "intensity limits of the plate"),
    path("--segmented", "cells of the chunk"), path("--labels", "label images of the chunk"),
    path("--backbone", "what `profiling backbone` recorded"), *CHUNK, CHANNELS, settings("embedding"), THREADS,
    *DEVICE, option("--precision", help="what `profiling precision` recorded, where the choice is its", type=Path),
    path("--out-embeddings", "embeddings of the chunk"), path("--out-cells", "cell table of the chunk"),
    path("--out-thumbnails", "thumbnails of the chunk"),
)  # fmt: skip
def embed(args):
    """Embed the cells of a chunk with a pretrained network."""
    from profiling.embeddings.jobs import embed

    embed(
        args.images, args.folder, args.flatfields, args.limits, args.segmented, args.labels, args.backbone,
        wells_of(args), args.channels, on_device(args), args.out_embeddings, args.out_cells, args.out_thumbnails,
        args.precision, args.threads,
    )  # fmt: skip


@command(
    "precision", IMAGES, FOLDER, FLATFIELDS, path("--limits", "intensity limits of the plate"),
    option("--segmented", help="cells of the plate's chunks", nargs="+", type=Path, required=True),
    option("--labels", help="label images of the chunks, in their order", nargs="+", type=Path, required=True),
    path("--backbone", "what `profiling backbone` recorded"), CHANNELS, settings("embedding"), THREADS, *DEVICE, OUT,
)  # fmt: skip
def precision(args):
    """Decide whether bf16 is as good as fp32 on a sample of the plate's own cells."""
    from profiling.embeddings.precision_jobs import choose_precision

    choose_precision(
        args.images, args.folder, args.flatfields, args.limits, args.segmented, args.labels, args.backbone,
        args.channels, on_device(args), args.out, args.threads,
    )  # fmt: skip


@command(
    "merge",
    option(
        "--table", nargs="+", action="append", required=True, metavar=("NAME", "OUT"),
        help="name of a table, the file to write, and the pieces to join; may be given again",
    ),
)  # fmt: skip
def merge(args):
    """Join the pieces of tables, sorted by their keys."""
    from profiling.tables import merge_tables

    for name, out, *pieces in args.table:
        merge_tables(pieces, out, name)


@command(
    "flag", path("--quality", "quality table of the plate"), path("--fields", "fields table of the plate"),
    path("--cells", "cell table of the plate"), NUCLEI, settings("flags"), OUT,
    path("--out-cells", "flags of the cells"),
)  # fmt: skip
def flag(args):
    """Flag images and cells of a plate by name; reads no pixel.

    Images: lost, blank, out of focus, saturated, duplicate, badly segmented. Cells: border, debris, dead, mitotic,
    irregular, outlier.
    """
    from profiling.cells.flag_jobs import flag

    flag(args.cells, args.nuclei_channel, args.settings, args.out_cells)
    from profiling.images.jobs import flag

    flag(args.quality, args.fields, args.nuclei_channel, args.settings, args.out)


@command("scale", *SELECTION, settings("normalisation"), OUT)
def scale(args):
    """Fit the normalisation of a plate on its negative controls."""
    from profiling.phenotypes.feature_jobs import scale

    scale(args.embeddings, args.cells, args.flags, args.cell_flags, args.platemap, args.settings, args.out)


@command("reduce", option("scalers", help="fits of all plates", nargs="+", type=Path), settings("reduction"), OUT)
def reduce(args):
    """Fit principal components over all plates, each with the same weight."""
    from profiling.phenotypes.feature_jobs import reduce

    reduce(args.scalers, args.settings, args.out)


@command(
    "features", *SELECTION, path("--scaler", "fit of the plate"), path("--reduction", "principal components"), OUT,
    path("--out-left", "table of the cells that flags leave out"),
)  # fmt: skip
def features(args):
    """Normalise and reduce the embeddings of a plate; join its plate map and apply its flags."""
    from profiling.phenotypes.feature_jobs import features

    features(
        args.embeddings, args.cells, args.flags, args.cell_flags, args.platemap, args.scaler, args.reduction, args.out,
        args.out_left,
    )  # fmt: skip


FEATURES = option("features", help="features tables of all plates", nargs="+", type=Path)


@command("cluster", FEATURES, settings("clusters"), SEED, OUT, path("--out-sweep", "table of the sweep over k"))
def cluster(args):
    """Fit k-means on a sample of all plates and report silhouette and stability across k."""
    from profiling.phenotypes.cluster_jobs import clusters

    clusters(args.features, args.settings, args.seed, args.out, args.out_sweep)


@command("map", FEATURES, settings("map"), SEED, OUT)
def map_cells(args):
    """Fit the t-SNE map on a sample of all plates."""
    from profiling.phenotypes.cluster_jobs import map_cells

    map_cells(args.features, args.settings, args.seed, args.out)


@command(
    "frozen-models", path("--from", "results folder of the screen whose models are taken", dest="source"),
    path("--backbone", "what `profiling backbone` recorded"), CHANNELS,
    option("--unit", help="what is profiled", choices=["cell", "field", "tile"], default="cell"),
    settings("tiles", "--tiles"), settings("embedding", "--embedding"), settings("normalisation", "--normalisation"),
    path("--out", "results folder of this screen"),
)  # fmt: skip
def frozen_models(args):
    """Take principal components, clusters and map of another screen, if they fit, and fit nothing."""
    from profiling.phenotypes.frozen_jobs import take_models

    take_models(
        args.source, args.backbone, args.channels, args.unit, args.tiles, args.embedding, args.normalisation, args.out
    )


@command(
    "phenotypes", path("--features", "features of the plate"), path("--clusters", "cluster model"),
    path("--map", "map model"), settings("map"), SEED,
    option("--frozen", help="the map has not seen the plate: place a sample of its cells", action="store_true"), OUT,
)  # fmt: skip
def phenotypes(args):
    """Assign the cells of a plate to clusters and give them their place on the map."""
    from profiling.phenotypes.phenotype_jobs import phenotypes

    phenotypes(args.features, args.clusters, args.map, args.settings, args.seed, args.out, args.frozen)


@command(
    "wells", path("--features", "features of the plate"), path("--phenotypes", "phenotypes of the plate"),
    path("--fields", "fields of the plate"), path("--cell-flags", "flags of the plate's cells"),
    path("--platemap", "platemaps table of the plate"), path("--clusters", "cluster model"), settings("wells"), OUT,
)  # fmt: skip
def wells(args):
    """Make the well profiles of a plate: mean components, cluster shares, counts of cells and flagged cells."""
    from profiling.wells.profile_jobs import wells

    wells(
        args.features, args.phenotypes, args.fields, args.cell_flags, args.platemap, args.clusters, args.settings,
        args.out,
    )  # fmt: skip


@command("treatments", WELLS, OUT)
def treatments(args):
    """Make the profiles of treatments from those of their wells."""
    from profiling.wells.profile_jobs import treatments

    treatments(args.wells, args.out)


@command("enrichment", WELLS, settings("statistics"), SEED, OUT)
def enrichment(args):
    """Test the share of each cluster in each compound's wells against the negative controls."""
    from profiling.wells.statistic_jobs import enrich

    enrich(args.wells, args.settings, args.seed, args.out)


@command("activity", WELLS, settings("statistics"), SEED, OUT, path("--out-variance", "Jackson's variance ratio"))
def activity(args):
    """Test every treatment against the negative controls, and replicates against permuted treatments."""
    from profiling.wells.statistic_jobs import activities

    activities(args.wells, args.settings, args.seed, args.out, args.out_variance)


@command("failures", path("--results", "results folder"), option("--plates", nargs="+", required=True), OUT)
def failures(args):
    """Gather everything that was lost, with its reason and remedy."""
    from profiling.report.jobs import failures

    failures(args.results, args.plates, args.out)


@command(
    "report", path("--results", "results folder"), option("--plates", nargs="+", required=True),
    path("--config", "the configuration as JSON"), path("--logs", "folder of logs and benchmarks"),
    settings("report"), OUT,
)  # fmt: skip
def report(args):
    """Write the HTML report, one file that opens without a network."""
    from profiling.report.jobs import report

    report(args.results, args.plates, args.config, args.logs, args.settings, args.out)


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
    option("--rows", type=int, default=4, help="rows of a plate"),
    option("--columns", type=int, default=6, help="columns of a plate"),
    option("--sites", type=int, default=2, help="sites a well"),
    option("--size", type=int, default=432, help="pixels a side of a field"),
    option("--plates", nargs="+", default=["DEMO-1", "DEMO-2"], help="names of the plates"),
    option("--workers", type=int, default=os.cpu_count(), help="processes"),
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
    option("--workers", type=int, default=os.cpu_count(), help="processes"),
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
    checkpoint.pt. docs/training.md says how the weights that come with the installation were made.
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
    from profiling.images.read import read_header
    from profiling.plates.checks.jobs import check

    errors = check(
        args.config, args.directory, read_header, args.plates, args.deep, args.root, args.maps, args.json
    )  # fmt: skip
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
    option("--side", help="longest side of a picture, pixels; left out: full size", type=int),
    option("--results", help="results folder", type=Path, default=Path("results")),
    option("--out", help="folder to write", type=Path, default=Path("overlays")),
)  # fmt: skip
def draw(args):
    """Write pictures of wells with the outlines of nuclei and cells, a PNG file a field.

    Run this in the working directory of a screen that has run. Outlines of nuclei are amber, those of cells blue.
    """
    from profiling.cells.overlay_jobs import draw

    draw(args.results, args.plate, args.wells, args.sites, args.side, args.out)


RESULTS = option("results", help="results folder", type=Path, nargs="?", default=Path("results"))


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
    print("\n".join([*absent, *([] if absent else ["Nothing is missing."]), f"Report: {out.resolve()}"]))


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


@command(
    "provenance", RESULTS,
    option("--logs", help="folder of logs and benchmarks; left out: logs beside the results", type=Path),
    option("--out", help="file to write; left out: provenance.json in the results", type=Path),
    option("--no-hashes", help="do not read the files to hash them", action="store_true"),
)  # fmt: skip
def provenance(args):
    """Write how results were made: versions, commit, command, machine, durations, weights, a hash of every table."""
    from profiling.results.provenance import write_provenance

    logs = args.logs or args.results.resolve().parent / "logs"
    write_provenance(args.results, logs, args.out, not args.no_hashes)


@command("docs", option("--check", help="fail where a file is out of date", action="store_true"))
def docs(args):
    """Write docs/tables.md, config/README.md and config/schema.json from the schemas and settings."""
    from profiling.docs import write_docs

    write_docs(Path.cwd(), args.check)


def parser():
    """The argument parser of all commands."""
    main_parser = argparse.ArgumentParser(
        prog="profiling",
        description="Image-based phenotypic profiling: from plate images to phenotypes in Parquet tables. "
        "The workflow (snakemake --cores all) runs these commands; people run init, check, status, verify, diff, "
        "partial-report, provenance, rescan, draw, summary, simulate, docs.",
    )
    main_parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = main_parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, (function, options) in COMMANDS.items():
        text = inspect.getdoc(function)
        sub = commands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for names, kwargs in options:
            sub.add_argument(*names, **kwargs)
    return main_parser


def main(argv=None):
    """Run a command and give its exit status; errors meant for people are printed without a traceback."""
    args = parser().parse_args(argv)
    if args.version or not args.command:
        from importlib.metadata import version

        print(f"profiling {version('profiling')}" if args.version else parser().format_help())
        return 0
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(VisibleFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.getLogger("profiling").setLevel(logging.INFO)
    try:
        status = COMMANDS[args.command][0](args)
    except ProfilingError as error:
        print(visible(f"profiling {args.command}: {error}", keep="\n"), file=sys.stderr)
        return 1
    return status or 0


if __name__ == "__main__":
    sys.exit(main())
