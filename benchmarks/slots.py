"""Throughput of GPU jobs with two slots against one, by jobs that stand in for those of a GPU.

    python -m benchmarks.slots [--chunks 8] [--seconds 20] [--folder FOLDER]

The embedding jobs of a simulated plate run with `--resources gpu=1`, then with `gpu=2`. In place of the jobs' command
a script waits, as a process waits for a device, without computing, and leaves empty files: what is measured is the
part of Snakemake, also on a machine whose processors could not do the work twice as fast. Seconds by the clock from
the start of the first job to the end of the last.
"""

import argparse
import re
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.plate import make_screen, snakemake

STAND_IN = """#!/bin/sh
[ "$1" = embed ] || exec "{python}" -m profiling.cli "$@"
sleep {seconds}
for word in "$@"; do
    case "$last" in --out-*) : > "$word";; esac
    last=$word
done
"""


def seconds_between(said):
    """Seconds from the first to the last time that Snakemake printed."""
    stamps = re.findall(r"^\[(.+)\]$", said, re.MULTILINE)
    times = [datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y") for stamp in stamps]
    return (max(times) - min(times)).total_seconds()


def main(argv=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=20, help="of a job that stands in")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_screen(folder, 4, 6, 1, 540, options.chunks)
        command = folder / "bin" / "profiling"
        command.parent.mkdir()
        command.write_text(STAND_IN.format(python=sys.executable, seconds=options.seconds))
        command.chmod(0o755)
        snakemake(folder, "--cores", "2", "--until", "segment", "limits", "backbone")
        only = ["--cores", "2", "--forcerun", "embed", "--until", "embed"]
        one, two = (
            seconds_between(snakemake(folder, *only, "--resources", f"gpu={slots}", first=command.parent)[1])
            for slots in (1, 2)
        )
    print(f"{options.chunks} jobs of {options.seconds} s: {one:.0f} s with gpu=1, {two:.0f} s with gpu=2")
    print(f"ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
