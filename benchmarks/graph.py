"""What the job graph of a screen costs before a job runs: processor time and memory of a dry run, and of one job.

    python -m benchmarks.graph [--plates 1 100 1000] [--wells 384] [--channels 5] [--chunks 8] [--restart]

Screens with empty image folders are made in a temporary folder. Images, sites and their number do not enter the graph:
the workflow opens no image folder to make it. `a job` is a dry run of one embedding, as the scheduler's jobs make it
for their part of the graph. With `--restart` every output is made, empty, and the screen is started as one that is
done, which reads Snakemake's record of each file. A first run fills caches of the file system and is not timed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from profiling.config import load_config
from profiling.results.layout import describe_screen, list_jobs

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = ["DNA", "ER", "RNA", "AGP", "Mito", "Brightfield"]


def make_screen(folder, plates, wells, channels, chunks):
    """Write a screen of empty plates; returns its jobs."""
    names = [f"P{number:05d}" for number in range(plates)]
    for name in names:
        (folder / "data" / name).mkdir(parents=True)
    (folder / "data" / "platemap.csv").write_text("well,compound\nA01,DMSO\n")
    rows = [f"{name}\t{name}\t{wells}\tplatemap.csv" for name in names]
    (folder / "plates.tsv").write_text("\n".join(["plate\timages\tlayout\tplatemap", *rows]) + "\n")
    config = {"plates": "plates.tsv", "root": "data", "channels": CHANNELS[:channels], "chunks_per_plate": chunks}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return list_jobs(describe_screen(load_config(config, folder).model_dump(mode="json")))


def make_outputs(folder, jobs):
    """Write every output of these jobs, empty, and have Snakemake record them as made."""
    for job in jobs:
        for output in job.outputs:
            path = folder / "results" / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    start(folder, "--touch", "--quiet", "all")


def start(folder, *arguments):
    """Run Snakemake on a screen: processor seconds, wall seconds and MiB at most."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--configfile", folder / "config.yaml", "--cores", "1", *arguments]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(said)
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 1024


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", nargs="+", type=int, default=[1, 100, 1000])
    parser.add_argument("--wells", type=int, default=384)
    parser.add_argument("--channels", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--restart", action="store_true")
    options = parser.parse_args(argv)
    dry = ("--dry-run", "--quiet", "all")
    print("| plates | jobs | start | processor s | wall s | MiB |\n| --- | --- | --- | --- | --- | --- |")
    for number, plates in enumerate(options.plates):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            jobs = make_screen(folder, plates, options.wells, options.channels, options.chunks)
            one = next(f"results/{job.outputs[0]}" for job in jobs if job.rule == "embed")
            if number == 0:
                start(folder, *dry)
            rows = {"whole": start(folder, *dry), "a job": start(folder, *dry, "--", one)}
            if options.restart:
                make_outputs(folder, jobs)
                rows["all done"] = start(folder, *dry)
            for what, (cpu, wall, memory) in rows.items():
                print(f"| {plates:,} | {len(jobs):,} | {what} | {cpu:.1f} | {wall:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
