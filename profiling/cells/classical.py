"""Nuclei by classical image analysis: a local threshold, and splitting by shape and intensity.

The steps are those of CellProfiler's IdentifyPrimaryObjects (smooth, threshold, declump, filter by size); the
lengths follow from the nucleus' diameter, which is estimated from the image if it is not given.
"""

import cc3d
import cv2
import fastremap
import fill_voids
import numpy as np

from profiling.cells.cytoplasm import mean_by_label
from profiling.cells.regions import find_regions, segment_max, typical_diameter
from profiling.cells.split import split_objects
from profiling.cells.threshold import (
    background_level,
    blur,
    foreground,
    global_threshold,
    rounding_noise,
)

SMOOTHING = 0.03  # sigma of the image's smoothing as a fraction of the diameter
HALO_FRACTION = 0.4  # of the mean of a nucleus' brighter half; what is dimmer is its halo
SMALLEST, LARGEST = 0.08, 10.0  # default size limits as fractions of the area of the typical disc
LARGEST_HOLE = 0.5  # as a fraction of the area of the typical disc
COARSEST_SIDE = 150  # px, of the reduced image that the estimate of the diameter starts with
CLEAR_DIAMETER = 12.0  # px; nuclei this wide need no finer image
AGREEMENT = 1.2  # the largest ratio of two estimates that agree
WIDEST = 0.25  # of the shorter side of the field; what is wider is no nucleus but all of them
GUESSED_DIAMETER = 12.0  # px, the scale of smoothing while the diameter is estimated
SPECK = 20  # px², smaller objects are not counted in the estimate
SHRINKAGE = 0.9  # the first outlines, at one threshold for all, are too wide


def segment_nuclei(image, step=None, *, nucleus_diameter, min_area, max_area, threshold, threshold_correction):
    """Segment the nuclei of one image.

    Parameters
    ----------
    image : (H, W) real array
        Bright nuclei on dark background, no NaN.
    step : float, optional
        See `threshold.rounding_noise`.
    nucleus_diameter : float or None
        Typical diameter, px; None estimates it from the image.
    min_area, max_area : float or None
        Size limits, px²; None derives them from the diameter.
    threshold : "adaptive" or "otsu"
    threshold_correction : float
        Factor on the height of the threshold above the background.

    Returns
    -------
    (H, W) uint32
        Labels 1..n by the row-major order of the nuclei's first pixels; each is one 4-connected region.
    """
    rounding = rounding_noise(image, step)
    image = np.ascontiguousarray(image, np.float32)
    diameter = nucleus_diameter or estimate_diameter(image, rounding)[0]
    if diameter is None:
        return np.zeros(image.shape, np.uint32)
    smooth = blur(image, max(SMOOTHING * diameter, 0.5))
    mask, signal = foreground(smooth, diameter, threshold, threshold_correction, rounding)
    disc = np.pi / 4 * diameter**2
    mask = fill_small_holes(mask, LARGEST_HOLE * disc)
    labels = split_objects(mask, signal, diameter)
    if threshold == "adaptive":
        labels = trim_halos(labels, signal, HALO_FRACTION * threshold_correction)
    labels = keep_largest_parts(
        labels,
        SMALLEST * disc if min_area is None else min_area,
        LARGEST * disc if max_area is None else max_area,
    )
    labels = fill_label_holes(labels, LARGEST_HOLE * disc)
    return renumber(labels)


def renumber(labels):
    """Number objects 1..n by the row-major order of their first pixels, as (H, W) uint32."""
    return fastremap.renumber(labels)[0].astype(np.uint32, copy=False)


def estimate_diameter(image, rounding=0.0):
    """Estimate the typical diameter of the nuclei of an image.

    See `regions.typical_diameter`, after a first segmentation at one threshold of the image reduced, and of ever finer
    ones until nuclei are `CLEAR_DIAMETER` wide and two estimates agree: what is large can be measured on few pixels,
    and what gets smaller whenever the image gets finer is clumps or haze.

    Parameters
    ----------
    image : (H, W) float32
    rounding : float
        See `threshold.rounding_noise`.

    Returns
    -------
    diameter : float or None
        px; None if nothing stands out from the background.
    sure : bool
        Whether the last two estimates agree on a diameter that a nucleus can have in such a field.
    """
    factor, coarser = max(2, -(-max(image.shape) // COARSEST_SIDE)), None
    while True:
        size = max(image.shape[1] // factor, 1), max(image.shape[0] // factor, 1)
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor > 1 else image
        width = _diameter_at_one_threshold(reduced, rounding)
        diameter = None if width is None else factor * width
        sure = None not in (diameter, coarser) and 1 / AGREEMENT <= diameter / coarser <= AGREEMENT
        sure = sure and diameter <= WIDEST * min(image.shape)
        if factor == 1 or (sure and width >= CLEAR_DIAMETER):
            return diameter, sure
        factor, coarser = -(-factor // 2), diameter


def _diameter_at_one_threshold(image, rounding):
    """Typical diameter after a segmentation at one threshold, px; None without an object."""
    smooth = blur(image, 1.0)
    level, noise = background_level(smooth)
    limit = global_threshold(smooth, level, max(noise, rounding))
    labels = split_objects(fill_voids.fill(smooth > limit), smooth - level, GUESSED_DIAMETER)
    areas = np.bincount(labels.ravel())[1:]
    diameter = typical_diameter(areas[areas >= SPECK])
    return None if diameter is None else SHRINKAGE * diameter


def trim_halos(labels, signal, fraction):
    """Remove the pixels of each object that are dimmer than a fraction of the mean of its brighter half.

    A threshold common to a neighbourhood takes the halo of a bright nucleus for nucleus.

    Parameters
    ----------
    labels : (H, W) uint32
    signal : (H, W) float32
        Background-subtracted intensity.
    fraction : float

    Returns
    -------
    (H, W) uint32
    """
    count = int(labels.max())
    mean = mean_by_label(signal, labels, count)
    plateau = mean_by_label(signal, np.where(signal >= mean[labels], labels, 0), count)
    return np.where(signal > fraction * plateau[labels], labels, 0)


def keep_largest_parts(labels, min_area=0, max_area=np.inf):
    """Keep the largest 4-connected part of every object, if its area is within the limits.

    Parameters
    ----------
    labels : (H, W) uint32
    min_area, max_area : float
        px², inclusive.

    Returns
    -------
    (H, W) uint32
    """
    parts = cc3d.connected_components(labels, connectivity=4, out_dtype=np.uint32)
    regions = find_regions(parts)
    owner = labels[regions.rows[regions.starts], regions.columns[regions.starts]]
    order = np.lexsort((-regions.areas, owner))
    largest = order[np.r_[True, owner[order][1:] != owner[order][:-1]]] if len(order) else order
    largest = largest[(regions.areas[largest] >= min_area) & (regions.areas[largest] <= max_area)]
    table = np.zeros(len(owner) + 1, np.uint32)
    table[regions.labels[largest]] = owner[largest]
    return table[parts]


def fill_small_holes(mask, max_area):
    """Fill the holes of a mask up to an area: a gap enclosed by a ring of nuclei is larger and stays.

    Parameters
    ----------
    mask : (H, W) bool
    max_area : float
        px².

    Returns
    -------
    (H, W) bool
    """
    filled = fill_voids.fill(mask)
    holes = filled & ~mask
    if not holes.any():
        return mask
    parts = cc3d.connected_components(holes, connectivity=4, out_dtype=np.uint32)
    small = np.bincount(parts.ravel()) <= max_area
    small[0] = False
    return mask | small[parts]


def fill_label_holes(labels, max_area):
    """Give every hole up to an area to one of the objects around it, the one with the highest label.

    Parameters
    ----------
    labels : (H, W) uint32
    max_area : float
        px².

    Returns
    -------
    (H, W) uint32
    """
    covered = labels > 0
    holes = fill_small_holes(covered, max_area) & ~covered
    if not holes.any():
        return labels
    regions = find_regions(cc3d.connected_components(holes, connectivity=4, out_dtype=np.uint32))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    around = cv2.dilate(labels.astype(np.float32), cross)[regions.rows, regions.columns]
    filled = labels.copy()
    filled[regions.rows, regions.columns] = segment_max(around, regions)[regions.owners]
    return filled
