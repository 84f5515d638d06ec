"""Whether Snakemake's own process grows, in memory or in time a job, over a run of many wells.

    python -m benchmarks.growth [--wells 10000] [--chunks 4] [--cores 2] [--folder FOLDER]

Plates of 384 wells of one small simulated field in three channels, the same files by other names, go through all work
on pixels (target `embedded`, classical engine, 32 px crops) in FOLDER, else in a temporary folder. Every second the
memory of Snakemake's process and the processor time of that process alone are noted beside the jobs that have ended; a
row is a quarter of the jobs. The jobs' own time is not in it. About half an hour for 10,000 wells on two cores.
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
from profiling.plates.wells import plate_wells

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = ["DNA", "Actin", "Reporter"]
CONFIG = {
    "root": "data",
    "channels": CHANNELS,
    "images": {"reader": "pattern", "pattern": r"(?P<well>[A-Z]\d\d)_s(?P<site>\d+)_(?P<channel>\w+)\.tif$"},
    "illumination": {"correct": False, "maximum_fields": 24},
    "limits": {"maximum_fields": 24},
    "segmentation": {"engine": "classical", "nucleus_diameter": "22 px"},
    "embedding": {"crop": "64 px", "input_size": 32, "device": "cpu", "thumbnails_per_well": 1},
}


def make_screen(folder, wells, chunks):
    """Write plates whose wells are links to the images of one simulated well."""
    simulate(folder / "one", plates=("S",), rows=2, columns=3, sites=1, size=144, trouble=False, workers=1)
    images = {channel: next((folder / "one" / "images" / "S").glob(f"*A01_s1_{channel}.tif")) for channel in CHANNELS}
    names = [f"P{number:03d}" for number in range(-(-wells // 384))]
    left = wells
    for name in names:
        (folder / "data" / name).mkdir(parents=True)
        for well in plate_wells(384)[:left]:
            for channel, image in images.items():
                os.link(image, folder / "data" / name / f"{well}_s1_{channel}.tif")
        left -= 384
    plates = [{"plate": name, "images": name, "layout": 384} for name in names]
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"plates": plates, "chunks_per_plate": chunks}))


def watch(process, said):
    """Note jobs ended, MiB and processor seconds of a Snakemake every second until it ends."""
    rows, place, ended = [], 0, 0
    page, tick = os.sysconf("SC_PAGE_SIZE") / 2**20, os.sysconf("SC_CLK_TCK")
    while process.poll() is None:
        with open(said) as file:
            file.seek(place)
            ended += file.read().count("Finished jobid:")
            place = file.tell()
        try:
            memory = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * page
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            break
        rows.append((ended, memory, (int(fields[11]) + int(fields[12])) / tick, time.monotonic()))
        time.sleep(1)
    return pd.DataFrame(rows, columns=["Jobs", "MiB", "Seconds", "Clock"])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wells", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_screen(folder, options.wells, options.chunks)
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
        environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        said = folder / "said.txt"
        with open(said, "w") as file:
            process = subprocess.Popen(
                [*command, "--cores", str(options.cores), "embedded"],
                cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
            noted = watch(process, said)
        if process.returncode:
            raise SystemExit(said.read_text()[-3000:])
    working = noted[noted["Jobs"].between(1, noted["Jobs"].max())]
    quarters = pd.cut(working["Jobs"], 4, labels=["first", "second", "third", "last"])
    print("| quarter of the jobs | jobs | MiB at its end | Snakemake's processor ms a job | wall s a job |")
    print("| --- | --- | --- | --- | --- |")
    for quarter, rows in working.groupby(quarters, observed=True):
        first, last = rows.iloc[0], rows.iloc[-1]
        jobs = max(last["Jobs"] - first["Jobs"], 1)
        print(
            f"| {quarter} | {jobs:.0f} | {last['MiB']:.0f} | {1000 * (last['Seconds'] - first['Seconds']) / jobs:.0f} "
            f"| {(last['Clock'] - first['Clock']) / jobs:.2f} |"
        )


if __name__ == "__main__":
    main()
