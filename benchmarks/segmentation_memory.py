"""Peak memory of a segmentation job, by size of the fields, of their nuclei, and number of fields.

    python -m benchmarks.segmentation_memory [--side PX ...] [--diameter PX ...] [--fields N ...] [--engine NAME]

Discs that touch, in two channels of four, as one well of files; the job is `profiling segment` with given diameters, in
a process of its own for every row.
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

from profiling.cells.jobs import segment
from profiling.images.illumination import write_flatfield
from profiling.settings import Segmentation
from profiling.tables import read_table, write_table

CHANNELS = ("DNA", "Actin", "ER", "Mito")
CROWDING = 2.5  # squares of the diameter that each nucleus has for itself


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, nargs="+", default=[1080, 2160])
    parser.add_argument("--diameter", type=float, nargs="+", default=[24.0])
    parser.add_argument("--fields", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--engine", default="nuclei", choices=["nuclei", "classical"])
    options = parser.parse_args(arguments)
    for side, diameter, fields in product(options.side, options.diameter, options.fields):
        with tempfile.TemporaryDirectory() as folder:
            write_fields(Path(folder), side, diameter, fields)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                cells, peak, seconds = pool.submit(run_job, Path(folder), diameter, options.engine).result()
        print(
            f"{fields} fields of {side} x {side} px, nuclei of {diameter:g} px: {cells / fields:.0f} cells and "
            f"{seconds / fields:.1f} s a field, {peak:.0f} MiB",
            flush=True,
        )


def write_fields(folder, side, diameter, fields):
    """Write images, image table and flat fields of one well."""
    rows = []
    for channel in CHANNELS:
        write_flatfield(folder / f"flats/{channel}.tif", np.ones((side, side), np.float32), 100, 24, "")
    for site in range(1, fields + 1):
        rng = np.random.default_rng(site)
        stains = {channel: np.full((side, side), 200, np.float32) for channel in CHANNELS}
        for _ in range(int((side / diameter) ** 2 / CROWDING)):
            centre, radius = rng.uniform(0, side, 2), diameter / 2 * np.exp(rng.normal(0, 0.15))
            for channel, wide in (("DNA", 1), ("Actin", 1.5)):
                light, place = float(rng.uniform(600, 1400)), [int(16 * position) for position in centre]
                cv2.circle(stains[channel], place, int(16 * wide * radius), light, -1, cv2.LINE_AA, 4)
        for channel, stain in stains.items():
            image = cv2.GaussianBlur(stain, (0, 0), max(0.7, diameter / 24)) + rng.normal(0, 20, stain.shape)
            path = folder / f"{site}_{channel}.tif"
            tifffile.imwrite(path, image.round().clip(0).astype(np.uint16))
            row = {"Metadata_Plate": "P", "Metadata_Well": "A01", "Metadata_Site": site, "Metadata_Time": 0}
            row |= {"Metadata_Z": 0, "Metadata_Channel": channel, "Path": path.name, "Page": 0, "Status": "ok"}
            row |= {"Width": side, "Height": side, "Dtype": "uint16", "FileSize": 1, "Modified": 1, "Planes": 1}
            rows.append(
                {**row, "Plane": 0, "Reason": "", "PositionX": np.nan, "PositionY": np.nan, "PixelSize": np.nan}
            )
    write_table(folder / "images.parquet", "images", pd.DataFrame(rows))


def run_job(folder, diameter, engine):
    """Cells found, peak memory in MiB and seconds of the job."""
    settings = Segmentation(engine=engine, nucleus_diameter=diameter, cells_channel="Actin")
    start = time.perf_counter()
    segment(
        folder / "images.parquet", folder, folder / "flats", ["A01"], list(CHANNELS), settings,
        folder / "cells.parquet", folder / "fields.parquet", folder / "labels",
    )  # fmt: skip
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return len(read_table(folder / "cells.parquet", "segmented")), peak, seconds


if __name__ == "__main__":
    main()
