"""Fields with their cells as engines take them, read ahead from the files of a plate."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from profiling.embeddings.crops import leaves_image
from profiling.embeddings.fields import FieldCells, Scaling
from profiling.images.fields import read_raw_field, split_fields
from profiling.parallel import map_ahead
from profiling.settings import pixels
from profiling.tables import FIELD_KEY, read_table

PIXEL_TYPES = (np.uint8, np.uint16, np.float32)
NUCLEUS = ["Nuclei_Location_CenterY", "Nuclei_Location_CenterX"]
BOX = ["BoundingBoxMinimumY", "BoundingBoxMinimumX", "BoundingBoxMaximumY", "BoundingBoxMaximumX"]


class ReadField(NamedTuple):
    """A field that has cells.

    Attributes
    ----------
    rows : pandas.DataFrame
        Its rows of the cell table.
    outside : ndarray of bool, shape (N,)
        Which crops leave the image.
    given : FieldCells or None
        None where a channel is lost.
    shown : ndarray of int64, shape (K,)
        Positions of the cells whose crops are wanted as pictures.
    reason : str or None
        Why the channel is lost.
    """

    rows: pd.DataFrame
    outside: np.ndarray
    given: FieldCells | None
    shown: np.ndarray
    reason: str | None


def read_scaling(flats, limits):
    """From stored pixels to [0, 1] by the plate's illumination and intensity limits.

    Parameters
    ----------
    flats : dict
        As from :func:`profiling.images.fields.read_flatfields`; its order is that of the channels.
    limits : str or Path
        Intensity limits of the plate.

    Returns
    -------
    Scaling
    """
    bounds = read_table(limits, "limits").set_index("Metadata_Channel").loc[list(flats)]
    darks = np.array([dark for _, dark in flats.values()], np.float32)
    lows, highs = (bounds[name].to_numpy(np.float32) for name in ("Low", "High"))
    return Scaling([flat for flat, _ in flats.values()], darks, lows, highs)


def read_fields(cells, images, folder, flats, labels, settings, shown=(), threads=1):
    """The fields that have cells, in the order of their key, decoded ahead on threads.

    Parameters
    ----------
    cells : pandas.DataFrame
        Rows of the cell table.
    images : pandas.DataFrame
        Rows of the plate's image table.
    folder : str or Path
        The plate's image folder.
    flats : dict
        As from :func:`profiling.images.fields.read_flatfields`: the channels wanted, in order.
    labels : callable
        From the rows of a field to the folder of its label images; they are read only where neighbours are masked.
    settings : profiling.settings.Embedding
    shown : set
        Index labels of the cells whose crops are wanted as pictures.
    threads : int
        That decode.

    Returns
    -------
    (int, iterator of ReadField)
        The number of fields, and the fields.
    """
    by_field = {key: rows for key, rows in cells.groupby(FIELD_KEY[1:], sort=False)}
    fields = [(by_field.get(_key(rows)), rows) for rows in split_fields(images)]
    fields = [(rows, planes) for rows, planes in fields if rows is not None]
    sides = crop_sides(settings, cells, flats)

    def read(item):
        rows, planes = item
        wanted = np.flatnonzero(rows.index.isin(shown))
        field = read_raw_field(planes, folder, flats)
        lost = next((channel for channel in flats if channel not in field.channels), None)
        if lost is not None:
            reason = f"channel {lost} is lost: {field.lost.get(lost, 'it is not listed')}"
            return ReadField(rows, np.zeros(len(rows), bool), None, wanted, reason)
        stack = np.stack([field.channels[channel] for channel in flats])
        if stack.dtype not in PIXEL_TYPES:
            stack = stack.astype(np.float32)
        centres = crop_centres(rows)
        image = field_labels(labels(rows), rows) if settings.neighbours == "mask" else None
        given = FieldCells(stack, centres, rows["Metadata_CellID"].to_numpy(np.int64), image, wanted)
        outside = leaves_image(centres, sides, stack.shape[1:]) if sides else np.zeros(len(rows), bool)
        return ReadField(rows, outside, given, wanted, None)

    return len(fields), map_ahead(read, fields, threads)


def crop_sides(settings, cells, flats):
    """Height and width of the crops in pixels; None where each is its whole field.

    Cells are cut by the setting, around their nuclei. What has no nucleus, a field or a tile, is cut by its bounding
    box (see :mod:`profiling.cells.units`).

    Parameters
    ----------
    settings : profiling.settings.Embedding
    cells : pandas.DataFrame
        Rows of the cell table.
    flats : dict
        As from :func:`profiling.images.fields.read_flatfields`; flat fields have the size of the plate's fields.
    """
    if set(NUCLEUS) <= set(cells):
        side = round(pixels(settings.crop))
        return side, side
    sizes = np.unique(cells[BOX[2:]].to_numpy() - cells[BOX[:2]].to_numpy(), axis=0)
    field = next(iter(flats.values()))[0].shape
    return None if len(sizes) != 1 or tuple(sizes[0]) == field else tuple(sizes[0].tolist())


def crop_centres(rows):
    """Row and column (N, 2) of the pixels around which crops are cut: those of nuclei, else of bounding boxes."""
    if set(NUCLEUS) <= set(rows):
        return rows[NUCLEUS].to_numpy(np.float64)
    start, stop = rows[BOX[:2]].to_numpy(), rows[BOX[2:]].to_numpy()
    return (start + (stop - start) // 2).astype(np.float64)


def field_labels(folder, rows):
    """Label image of the field that these rows of the cell table are of, uint32 (H, W)."""
    from profiling.cells.jobs import read_labels

    first = rows.iloc[0]
    path = Path(folder) / f"{first.Metadata_Well}.tif"
    return read_labels(path, first.Metadata_Site, time=first.Metadata_Time, z=first.Metadata_Z)


def _key(rows):
    return tuple(rows[name].iloc[0] for name in FIELD_KEY[1:])
