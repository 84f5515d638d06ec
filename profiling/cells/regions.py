"""Labelled regions as sorted pixel lists: the form in which every measurement is a segment sum."""

from typing import NamedTuple

import numpy as np


class Regions(NamedTuple):
    """The pixels of a label image, grouped by label.

    Attributes
    ----------
    labels : (n,) int64
        Labels present, ascending.
    rows, columns : (pixels,) int64
        Coordinates of the pixels, sorted by label; within a label in row-major order.
    owners : (pixels,) int64
        Index into `labels` of each pixel.
    starts : (n,) int64
        Where each label's pixels begin.
    areas : (n,) int64
        Number of pixels of each label.
    """

    labels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    owners: np.ndarray
    starts: np.ndarray
    areas: np.ndarray


def find_regions(image):
    """Group the pixels of a label image by label.

    Parameters
    ----------
    image : (H, W) unsigned or signed integers
        Labels; 0 is background.

    Returns
    -------
    Regions
    """
    flat = np.flatnonzero(image)
    values = image.ravel()[flat]
    if values.size and values.max() < 2**16:
        values = values.astype(np.uint16)  # NumPy's stable sort of 16-bit integers is a radix sort
    order = np.argsort(values, kind="stable")
    flat, values = flat[order], values[order]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]]) if values.size else np.zeros(0, np.int64)
    areas = np.diff(np.r_[starts, values.size])
    rows, columns = np.divmod(flat, image.shape[1])
    owners = np.repeat(np.arange(len(starts)), areas)
    return Regions(values[starts].astype(np.int64), rows, columns, owners, starts, areas)


def segment_sum(values, regions):
    """Sum per region, in float64.

    Parameters
    ----------
    values : (pixels,) array in the order of `regions`

    Returns
    -------
    (n,) float64
    """
    values = values.astype(float)
    return np.add.reduceat(values, regions.starts) if len(regions.labels) else values[:0]


def segment_min(values, regions):
    """Minimum per region: (pixels,) array → (n,) array of the same dtype."""
    return np.minimum.reduceat(values, regions.starts) if len(regions.labels) else values[:0]


def segment_max(values, regions):
    """Maximum per region: (pixels,) array → (n,) array of the same dtype."""
    return np.maximum.reduceat(values, regions.starts) if len(regions.labels) else values[:0]


def segment_mean(values, regions):
    """Mean per region: (pixels,) array → (n,) float64."""
    return segment_sum(values, regions) / regions.areas


def bounding_boxes(regions):
    """Half-open bounding boxes: (n, 4) int64 of first row, first column, row end, column end."""
    return np.stack(
        [
            segment_min(regions.rows, regions),
            segment_min(regions.columns, regions),
            segment_max(regions.rows, regions) + 1,
            segment_max(regions.columns, regions) + 1,
        ],
        axis=1,
    )


def typical_diameter(areas):
    """Diameter of the disc with the area of the median object, every object counting by its area.

    Counted so, debris, which is many objects and little area, does not move it.

    Parameters
    ----------
    areas : (n,) real array
        px².

    Returns
    -------
    float or None
        px; None without an object.
    """
    areas = np.sort(areas)
    if len(areas) == 0:
        return None
    cumulated = np.cumsum(areas)
    return float(np.sqrt(4 / np.pi * areas[np.searchsorted(cumulated, cumulated[-1] / 2)]))
