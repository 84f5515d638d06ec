"""What Snakemake's process costs a job of a run, by scheduler and by how many jobs are ready at a time.

    python -m benchmarks.scheduling [--plates 5 20 80] [--chunks 8] [--schedulers ilp greedy]

Whole runs of screens of empty plates: in place of the jobs' command a script leaves empty outputs at once, so that all
that takes time is Snakemake. Seconds of that process and its solver alone, without its start (a dry run).
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.graph import ROOT, make_screen

STAND_IN = """#!/bin/sh
for word in "$@"; do
    case "$word" in
    results/labels/*|results/illumination/*) mkdir -p "$word";;
    results/models/backbone.json) : > "$word"; : > "${word%json}xml"; : > "${word%json}bin";;
    results/*) [ -e "$word" ] || : > "$word";;
    esac
done
"""


def run(folder, *options):
    """Run Snakemake on a screen: processor seconds of it and what it waited for, seconds by the clock, and jobs."""
    environment = dict(os.environ, PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command, "--cores", "2", *options], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit("\n".join(line for line in done.stderr.splitlines() if "rror" in line))
    after, steps = resource.getrusage(resource.RUSAGE_CHILDREN), re.findall(r"of (\d+) steps", done.stderr)
    return after.ru_utime - before.ru_utime, time.perf_counter() - begin, int(steps[-1]) if steps else 0


def main(argv=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", nargs="+", type=int, default=[5, 20, 80])
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--schedulers", nargs="+", default=["ilp", "greedy"])
    options = parser.parse_args(argv)
    print("| plates | jobs | scheduler | processor ms a job | wall ms a job |\n| --- | --- | --- | --- | --- |")
    for plates in options.plates:
        for scheduler in options.schedulers:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                make_screen(folder, plates, 384, 3, options.chunks)
                (folder / "bin").mkdir()
                (folder / "bin" / "profiling").write_text(STAND_IN)
                (folder / "bin" / "profiling").chmod(0o755)
                *start, _ = run(folder, "--dry-run", "--quiet", "all", "--", "embedded")
                *whole, jobs = run(folder, "--scheduler", scheduler, "--", "embedded")
            cpu, wall = (1000 * (a - b) / jobs for a, b in zip(whole, start, strict=True))
            print(f"| {plates} | {jobs:,} | {scheduler} | {cpu:.0f} | {wall:.0f} |", flush=True)


if __name__ == "__main__":
    main()
