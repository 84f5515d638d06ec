"""A plate to measure speed on: simulated fields in LZW files, segmented, with the tables of an embedding job."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tifffile

from profiling.cells.jobs import segment
from profiling.demo.cells import paint_field
from profiling.demo.design import CHANNELS
from profiling.demo.optics import photograph, plate_optics
from profiling.images.illumination import correct, intensity_limits, write_flatfield
from profiling.settings import Segmentation
from profiling.tables import read_table, write_table

SIDE, PAD = 1080, 48  # px
SURVIVAL = 0.49  # of the simulator's cells, for about 140 in a field
SITES = 4  # of a well
DARK = 100.0


class Screen(NamedTuple):
    """Files of a plate, as :func:`profiling.embeddings.jobs.embed` takes them."""

    folder: Path
    images: Path
    flatfields: Path
    limits: Path
    segmented: Path
    labels: Path
    wells: list


def make_screen(folder, fields, seed=0):
    """Simulate `fields` fields of 1080 × 1080 px and three channels at 20x, write them with LZW, and segment them.

    Parameters
    ----------
    folder : Path
    fields : int
    seed : int

    Returns
    -------
    Screen
    """
    optics = plate_optics(0, SIDE, seed)
    (folder / "flatfields").mkdir(parents=True)
    rows, stacks = [], []
    for index in range(fields):
        rng = np.random.default_rng([seed, index])
        light, *_ = paint_field(SIDE + 2 * PAD, "normal", 1.0, SURVIVAL, rng)
        stacks.append([photograph(light[c], name, optics[name], 1.0, rng, PAD) for c, name in enumerate(CHANNELS)])
        for channel, image in zip(CHANNELS, stacks[-1], strict=True):
            path = folder / f"{index}_{channel}.tif"
            tifffile.imwrite(path, image, compression="lzw", rowsperstrip=64)
            rows.append(_image_row(index, channel, path))
    limits = []
    for index, channel in enumerate(CHANNELS):
        flat = np.maximum(optics[channel][0] / np.percentile(optics[channel][0], 2), 1).astype(np.float32)
        write_flatfield(folder / "flatfields" / f"{channel}.tif", flat, DARK, fields, "")
        low, high = intensity_limits([correct(stack[index], flat, DARK) for stack in stacks])
        limits.append([*("P", channel, low, high, DARK), fields, fields, None])
    names = "Metadata_Plate Metadata_Channel Low High DarkOffset FlatFieldFields LimitFields Reason".split()
    write_table(folder / "limits.parquet", "limits", pd.DataFrame(limits, columns=names).astype({"Reason": "str"}))
    screen = _files(folder, folder, fields)
    write_table(screen.images, "images", pd.DataFrame(rows))
    segment_screen(screen)
    return screen


def segment_screen(screen, engine="classical"):
    """Segment and measure a screen, with the diameter of nuclei given; writes its cell table and labels."""
    settings = Segmentation(engine=engine, nucleus_diameter="23 px", cells_channel="Actin")
    segment(
        screen.images, screen.folder, screen.flatfields, screen.wells, list(CHANNELS), settings,
        screen.segmented, screen.segmented.with_name("fields.parquet"), screen.labels,
    )  # fmt: skip


def repeat_screen(screen, times, folder):
    """A screen with every field of another one so many times; the images are the same files."""
    images, cells = read_table(screen.images, "images"), read_table(screen.segmented, "segmented")
    sites = max(images["Metadata_Site"])
    folder.mkdir(parents=True)
    longer = _files(folder, screen.folder, len(screen.wells) * SITES)

    def repeated(rows):
        return pd.concat([rows.assign(Metadata_Site=rows["Metadata_Site"] + sites * turn) for turn in range(times)])

    write_table(longer.images, "images", repeated(images).astype({"Reason": "str"}))
    write_table(longer.segmented, "segmented", repeated(cells))
    return longer


def _files(folder, source, fields):
    wells = [f"A{1 + index:02d}" for index in range(-(-fields // SITES))]
    return Screen(
        source, folder / "images.parquet", source / "flatfields", source / "limits.parquet",
        folder / "segmented.parquet", folder / "labels", wells,
    )  # fmt: skip


def _image_row(index, channel, path):
    return {
        "Metadata_Plate": "P", "Metadata_Well": f"A{1 + index // SITES:02d}", "Metadata_Site": 1 + index % SITES,
        "Metadata_Time": 0, "Metadata_Z": 0, "Metadata_Channel": channel, "Path": path.name, "Page": 0,
        "Width": SIDE, "Height": SIDE, "Dtype": "uint16", "FileSize": path.stat().st_size, "Modified": 0,
        "PositionX": np.nan, "PositionY": np.nan, "PixelSize": np.nan, "Planes": 1, "Plane": 0,
        "Status": "ok", "Reason": "",
    }  # fmt: skip
