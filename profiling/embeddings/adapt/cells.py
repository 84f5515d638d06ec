"""The cells that a backbone is adapted to and judged on: which they are, and their crops."""

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from profiling.config import image_folder
from profiling.embeddings.cutter import Cutter
from profiling.embeddings.reading import BOX, NUCLEUS, crop_sides, read_fields, read_scaling
from profiling.errors import ProfilingError
from profiling.images.fields import read_flatfields
from profiling.progress import log, track
from profiling.sampling import stratified_sample
from profiling.tables import CELL_KEY, read_table

GREYS = 65535


class Crops(NamedTuple):
    """Cells with their crops, cut as the embedding cuts them.

    Attributes
    ----------
    rows : pandas.DataFrame
        Cell keys, with Metadata_Treatment where the plate map names it.
    images : ndarray of uint16, shape (N, C, S, S)
        Intensities in [0, 1] times 65535, at the network's input size.
    """

    rows: pd.DataFrame
    images: np.ndarray


def list_cells(results, plates, at_most):
    """Embedded cells of plates.

    Parameters
    ----------
    results : str or Path
    plates : list of str
    at_most : int
        Cells a plate that can be needed; more are not kept in memory where there are several plates.

    Returns
    -------
    pandas.DataFrame
        Cell key, place in the field and Metadata_Treatment (null where the plate map names none).

    Raises
    ------
    ProfilingError
        If a table is absent or there is no embedded cell.
    """
    tables = []
    for plate in plates:
        path = Path(results) / "cells" / f"{plate}.parquet"
        known = pq.read_schema(path).names if path.is_file() else []
        place = NUCLEUS if set(NUCLEUS) <= set(known) else BOX
        cells = read_table(path, "cells", [*CELL_KEY, *place, "Embedded"])
        cells = cells[cells["Embedded"]].drop(columns="Embedded")
        tables.append(sample(cells, at_most, 0) if len(plates) > 1 else cells)
    cells = pd.concat(tables, ignore_index=True)
    if cells.empty:
        raise ProfilingError(f"{results}: {', '.join(plates)}: there is no embedded cell to learn from")
    keys = ["Metadata_Plate", "Metadata_Well"]
    paths = [Path(results) / "platemaps" / f"{plate}.parquet" for plate in plates]
    maps = read_table(paths, "platemaps", [*keys, "Metadata_Treatment"]).drop_duplicates(keys)
    return cells.merge(maps, on=keys, how="left", validate="many_to_one")


def hold_out(cells, named=()):
    """Which cells judge the network and are not learned from.

    Parameters
    ----------
    cells : pandas.DataFrame
        With the cell key.
    named : sequence of str
        The plates to hold out. Where none is named: every third plate, at least one, in an order told by a hash
        of the names; of a single plate every second well.

    Returns
    -------
    ndarray of bool, shape (N,)

    Raises
    ------
    ProfilingError
        If a plate that is named has no cell, or nothing is left to learn from or to judge on.
    """
    plates = cells["Metadata_Plate"]
    if unknown := set(named) - set(plates):
        raise ProfilingError(f"hold-out: there is no embedded cell of the plate {min(unknown)}")
    if named:
        held = plates.isin(named).to_numpy()
    elif len(plates.unique()) > 1:
        held = plates.isin(every(plates, 3)).to_numpy()
    else:
        held = cells["Metadata_Well"].isin(every(cells["Metadata_Well"], 2)).to_numpy()
    if held.all() or not held.any():
        raise ProfilingError("adapt-backbone needs cells to learn from and others to judge on: at least two wells")
    return held


def every(names, step):
    """Every so many of the distinct names, the first included, in the order of their hash; nulls do not count.

    Parameters
    ----------
    names : pandas.Series of str
    step : int

    Returns
    -------
    list of str
    """
    return sorted(names.dropna().unique(), key=lambda name: blake2b(str(name).encode()).digest())[::step]


def sample(cells, count, seed):
    """At most `count` cells by a hash of their key, evenly over plates and wells."""
    return cells.iloc[stratified_sample(cells, count, seed=seed)].reset_index(drop=True)


def read_crops(results, config, settings, cells):
    """Crops of cells, each field read once, cut, masked and resized as the embedding does.

    Parameters
    ----------
    results : str or Path
        Results folder in the working directory of its screen.
    config : profiling.config.Config
    settings : profiling.settings.Embedding
        With lengths in pixels.
    cells : pandas.DataFrame
        From :func:`sample`.

    Returns
    -------
    Crops
        Cells of a field that has lost a channel are left out.

    Raises
    ------
    ProfilingError
        If no field can be read.
    """
    results = Path(results)
    channels = settings.composite or config.channels
    rows, images = [], []
    for plate, here in cells.groupby("Metadata_Plate", sort=True):
        flats = read_flatfields(results / "illumination" / plate, channels)
        scaling = read_scaling(flats, results / "limits" / f"{plate}.parquet")
        cutter = Cutter(scaling, crop_sides(settings, here, flats), settings.input_size)
        listed = read_table(results / "images" / f"{plate}.parquet", "images")
        folder = image_folder(config, plate, results)
        folders = _label_folders(results / "labels" / plate)
        total, fields = read_fields(here, listed, folder, flats, partial(_label_folder, folders), settings)
        for field in track(fields, total, f"fields of {plate}"):
            if field.given is None:
                log.warning("%d cells of %s %s are left out: %s", len(field.rows), plate,
                            field.rows["Metadata_Well"].iloc[0], field.reason)  # fmt: skip
                continue
            crops = np.empty((len(field.rows), len(channels), *[settings.input_size] * 2), np.float32)
            cutter.field(field.given)(0, len(crops), crops)
            rows.append(field.rows)
            images.append(np.rint(crops * GREYS).astype(np.uint16))
    if not rows:
        raise ProfilingError(
            f"no field of {', '.join(sorted(cells['Metadata_Plate'].unique()))} could be read below "
            f"{results.parent / config.root}; are the images still there?"
        )
    return Crops(pd.concat(rows, ignore_index=True), np.concatenate(images))


def _label_folder(folders, rows):
    return folders[rows["Metadata_Well"].iloc[0]]


def _label_folders(folder):
    """The folder of label images of every well."""
    return {path.stem: path.parent for path in sorted(Path(folder).glob("*/*.tif"))}
