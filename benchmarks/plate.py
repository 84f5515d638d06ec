"""Jobs of one simulated plate: how many, how long, and how much of the cores' time is not theirs.

    python -m benchmarks.plate [--rows 16] [--columns 24] [--sites 1] [--size 540] [--chunks 8] [--cores 2]
        [--folder FOLDER] [-- OPTION OF SNAKEMAKE ...]

Runs the whole workflow with the demo's settings on a plate in FOLDER, else in a temporary folder, and reads the
benchmark files that Snakemake wrote for every job: a row a rule. What the jobs' seconds leave of wall seconds times
cores is Snakemake itself, the waiting for a scheduler, and cores without a job; a job that takes several threads counts
once. Options after `--` go to Snakemake, for a cluster `--executor slurm --profile profiles/slurm`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from profiling.demo import simulate

ROOT = Path(__file__).resolve().parents[1]


def make_screen(folder, rows, columns, sites, size, chunks, **settings):
    """Write a simulated plate and its configuration."""
    simulate(folder / "demo", plates=("S",), rows=rows, columns=columns, sites=sites, size=size)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    plates = [{"plate": "S", "images": "images/S", "layout": rows * columns, "platemap": "platemap.csv"}]
    config |= {"plates": plates, "chunks_per_plate": chunks} | settings
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def snakemake(folder, *options, first=None):
    """Run the workflow on a screen; seconds by the clock, and what Snakemake said.

    The commands of the rules are those of the folder `first`, if there is one, then those of this interpreter.
    """
    places = [*([first] if first else []), Path(sys.executable).parent, os.environ["PATH"]]
    environment = dict(os.environ, PATH=os.pathsep.join(map(str, places)))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder, *options]
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.perf_counter() - begin, done.stdout + done.stderr


def jobs_of(folder):
    """Seconds by the clock and of the processor, and memory in MiB, of every job that left a benchmark file."""
    logs = folder / "logs"
    paths = sorted(logs.rglob("*.tsv"))
    rows = pd.concat([pd.read_csv(path, sep="\t") for path in paths], ignore_index=True)
    rows["rule"] = [path.relative_to(logs).parts[0].removesuffix(".tsv") for path in paths]
    return rows


def main(argv=None):
    """Run a plate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=24)
    parser.add_argument("--sites", type=int, default=1)
    parser.add_argument("--size", type=int, default=540, help="px a side of a field")
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("options", nargs="*", help="of Snakemake, after --")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_screen(folder, options.rows, options.columns, options.sites, options.size, options.chunks)
        wall, _ = snakemake(folder, "--cores", str(options.cores), *options.options)
        jobs = jobs_of(folder)
        cells = len(pd.read_parquet(folder / "results" / "cells" / "S.parquet", columns=[]))
    print(f"{options.rows * options.columns} wells, {options.sites} sites, {cells} cells")
    print("| rule | jobs | mean s | longest s | processor s | MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for rule, rows in jobs.groupby("rule", sort=False):
        print(
            f"| {rule} | {len(rows)} | {rows['s'].mean():.1f} | {rows['s'].max():.1f} | {rows['cpu_time'].sum():.0f} "
            f"| {rows['max_rss'].max():.0f} |"
        )
    idle = 1 - jobs["s"].sum() / (wall * options.cores)
    print(
        f"{len(jobs)} jobs, {jobs['s'].sum():.0f} s in them, {wall:.0f} s by the clock on {options.cores} cores: "
        f"{idle:.0%} of the cores' time is not theirs"
    )


if __name__ == "__main__":
    main()
