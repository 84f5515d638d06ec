"""Throughput of embedding jobs with two GPU slots against one, on a machine whose CPUs stand in for GPUs.

    python -m benchmarks.slots [--wells 24] [--sites 2] [--chunks 4] [--folder FOLDER]

With `embedding.device: auto` an embedding job takes a GPU slot of Snakemake also where there is no GPU, and computes on
one thread. The jobs of a simulated plate run with `--resources gpu=1`, then with `gpu=2`; the same commands run bare,
one after the other and two at a time, which is what the machine can give: its processors may be threads of one core.
Seconds by the clock from the start of the first job to the end of the last.
"""

import argparse
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from benchmarks.plate import environment, make_screen, snakemake


def seconds_between(said):
    """Seconds from the first to the last time that Snakemake printed."""
    times = [
        datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y") for stamp in re.findall(r"^\[(.+)\]$", said, re.MULTILINE)
    ]
    return (max(times) - min(times)).total_seconds()


def bare(commands, folder, processes):
    """Seconds that some commands take, so many at a time."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(processes) as pool:
        for done in pool.map(
            lambda command: subprocess.run(command, shell=True, cwd=folder, env=environment()), commands
        ):
            done.check_returncode()
    return time.perf_counter() - begin


def main(argv=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wells", type=int, default=24, choices=[24, 96, 384])
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(argv)
    rows = round((options.wells / 1.5) ** 0.5)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_screen(folder, rows, options.wells // rows, options.sites, 540, options.chunks)
        snakemake(folder, "--cores", "2", "embedded")
        only = ["--cores", "2", "--forcerun", "embed", "--until", "embed", "--printshellcmds"]
        said = {slots: snakemake(folder, *only, "--resources", f"gpu={slots}")[1] for slots in (1, 2)}
        commands = re.findall(r"^Shell command: (profiling embed .+)$", said[1], re.MULTILINE)
        alone, together = (bare(commands, folder, processes) for processes in (1, 2))
    one, two = (seconds_between(said[slots]) for slots in (1, 2))
    print(f"{len(commands)} jobs | one at a time, s | two at a time, s | ratio")
    print("--- | --- | --- | ---")
    print(f"by Snakemake, gpu=1 and gpu=2 | {one:.0f} | {two:.0f} | {one / two:.2f}")
    print(f"bare | {alone:.0f} | {together:.0f} | {alone / together:.2f}")


if __name__ == "__main__":
    main()
