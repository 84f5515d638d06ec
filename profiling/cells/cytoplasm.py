"""Cells around nuclei: by the image of a cytoplasm channel, or as a ring of fixed width."""

import cc3d
import cv2
import edt
import numpy as np
from skimage.segmentation import watershed

from profiling.cells.propagate import propagate
from profiling.cells.threshold import NOISE_MARGIN, blur, lowest_level, rounding_noise

WORKING_DIAMETER = 10  # cells are grown on an image reduced to this nucleus diameter in px
RING = 0.3  # default width of the ring as a fraction of the nucleus' diameter
RIM = 0.1  # cytoplasm around every nucleus, however dim, as a fraction of the nucleus' diameter
REACH = 2.5  # no cell extends further from its nucleus than this many nucleus diameters
SMOOTHING = 0.07  # sigma as a fraction of the nucleus' diameter
EDGE_FRACTION = 0.2  # the edge of a cell, relative to the mean signal of the ring around its nucleus
REGULARISATION = 0.3  # default of the propagation: less gives dim cells shells of their bright neighbours' haze
DISTANCE_WEIGHT = 1.0  # in the flood, one nucleus diameter weighs as much as this change of log intensity


def median_diameter(nuclei):
    """Median diameter of the discs with the nuclei's areas, px: (H, W) labels → float, NaN without nuclei."""
    areas = np.bincount(nuclei.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(4 / np.pi * np.median(areas))) if len(areas) else float("nan")


def expand_ring(nuclei, width):
    """Expand every nucleus by up to `width` px, each pixel going to the nearest nucleus.

    Parameters
    ----------
    nuclei : (H, W) uint32
    width : float
        px.

    Returns
    -------
    (H, W) uint32
    """
    if not nuclei.any():
        return nuclei.copy()
    nearest, distance = nearest_nucleus(nuclei)
    return keep_nucleus_parts(np.where(distance <= width, nearest, 0), nuclei)


def nearest_nucleus(nuclei):
    """Label of the nearest nucleus and the distance to it.

    The distance is exact; the label is that of OpenCV's 5 × 5 chamfer transform, whose error of at most 2 %
    moves the border between two nuclei by less than a pixel at the widths of use.

    Returns
    -------
    nearest : (H, W) uint32
    distance : (H, W) float32
        px, 0 inside nuclei.
    """
    return nearest_label(nuclei)[0], edt.edt(nuclei == 0)


def nearest_label(labels):
    """Nearest labelled pixel by OpenCV's 5 × 5 chamfer distance: (H, W) uint32 → its label, uint32, and float32 px."""
    outside = labels == 0
    distance, source = cv2.distanceTransformWithLabels(
        outside.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(source.max()) + 1, np.uint32)
    owner[source[~outside]] = labels[~outside]
    return owner[source], distance


def propagate_cells(nuclei, image, threshold_correction=1.0, step=None, regularisation=REGULARISATION):
    """Grow cells along the paths of least change in a cytoplasm channel, see `grow_cells` and `propagate`.

    This is CellProfiler's Propagation (Jones, Carpenter & Golland, 2005) on the logarithm of the signal, where it
    works on the signal itself: a dim cell beside a bright one else takes the dim outskirts of its neighbour,
    since it has little intensity to lose on the way there.

    Parameters
    ----------
    nuclei, image, threshold_correction, step
        See `grow_cells`.
    regularisation : float
        Weight of distance against intensity: a tenth of a nucleus' diameter costs as much as this change of log
        intensity, summed over 3 × 3 pixels. 0 follows the intensity alone; with much, the nearest nucleus wins.

    Returns
    -------
    (H, W) uint32
    """

    def divide(brightness, seeds, mask, reach, diameter):
        return propagate(brightness, seeds, mask, regularisation * WORKING_DIAMETER / diameter)

    return grow_cells(nuclei, image, divide, threshold_correction, step)


def flood_cells(nuclei, image, threshold_correction=1.0, step=None):
    """Grow cells by a flood from the nuclei, see `grow_cells`.

    A seeded watershed on the darkness of the channel plus the distance from the nuclei: neighbours meet in
    the dark valley between them if there is one, else half way.

    Parameters
    ----------
    nuclei, image, threshold_correction, step
        See `grow_cells`.

    Returns
    -------
    (H, W) uint32
    """

    def divide(brightness, seeds, mask, reach, diameter):
        return watershed(DISTANCE_WEIGHT * reach - brightness, seeds, mask=mask)

    return grow_cells(nuclei, image, divide, threshold_correction, step)


def grow_cells(nuclei, image, divide, threshold_correction=1.0, step=None):
    """Grow cells from nuclei through the foreground of a cytoplasm channel.

    Each cell ends where the signal falls below a fraction of that around its own nucleus, so that dim cells
    beside bright ones keep their extent, and has at least a thin rim.

    Parameters
    ----------
    nuclei : (H, W) uint32
    image : (H, W) real array
        Cytoplasm channel, no NaN.
    divide : callable
        `divide(brightness, seeds, mask, reach, diameter)` gives the pixels of a mask to the seeds, on images
        reduced to (h, w): float32 log intensity above the background, int32 labels, bool, float32 distance from
        the nearest nucleus in nucleus diameters, and the nucleus' diameter in px → (h, w) int32 labels.
    threshold_correction : float
        Factor on the height of the foreground threshold above the background.
    step : float, optional
        See `threshold.rounding_noise`.

    Returns
    -------
    (H, W) uint32
        The labels of the nuclei. Every cell contains its nucleus and is one 4-connected region if the nuclei are.
    """
    if not nuclei.any():
        return nuclei.copy()
    diameter = median_diameter(nuclei)
    smooth = blur(np.ascontiguousarray(image, np.float32), max(SMOOTHING * diameter, 0.7))
    level, noise = lowest_level(smooth)
    floor = NOISE_MARGIN * max(noise, rounding_noise(image, step))
    signal = smooth - level

    nearest, distance = nearest_nucleus(nuclei)
    ring = np.where((distance > 0) & (distance <= RING * diameter), nearest, 0)
    limit = np.maximum(EDGE_FRACTION * mean_by_label(signal, ring, int(nuclei.max())), floor)
    limit *= threshold_correction

    scale = min(1.0, WORKING_DIAMETER / diameter)
    size = max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0]))
    small = cv2.resize(signal, size, interpolation=cv2.INTER_AREA)
    seeds = cv2.resize(nuclei.astype(np.float32), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int32)
    reach = cv2.resize(distance, size, interpolation=cv2.INTER_NEAREST_EXACT) / diameter
    lowest = float(limit[1:].min())
    mask = ((small > lowest) & (reach <= REACH)) | (seeds > 0)
    brightness = np.log(np.maximum(small, max(lowest, 1e-6 * float(small.max()), np.finfo(np.float32).tiny)))
    cells = divide(brightness, seeds, mask, reach, scale * diameter)
    cells = cv2.resize(cells.astype(np.float32), image.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(
        np.uint32
    )
    cells = np.where(signal > limit[cells], cells, 0)
    rim = (cells == 0) & (distance <= max(RIM * diameter, 1))
    return keep_nucleus_parts(np.where(rim, nearest, cells), nuclei)


def mean_by_label(values, labels, count):
    """Mean of `values` by label: (count + 1,) float64, indexed by label, 0 where a label has no pixel."""
    pixels = np.flatnonzero(labels)
    owners = labels.ravel()[pixels]
    sums = np.bincount(owners, weights=values.ravel()[pixels], minlength=count + 1)
    return sums / np.maximum(np.bincount(owners, minlength=count + 1), 1)


def keep_nucleus_parts(cells, nuclei):
    """Make every cell contain its nucleus, and drop its parts that are not connected to it.

    Parameters
    ----------
    cells, nuclei : (H, W) uint32

    Returns
    -------
    (H, W) uint32
    """
    cells = np.where(nuclei > 0, nuclei, cells)
    parts = cc3d.connected_components(cells, connectivity=4, out_dtype=np.uint32)
    keep = np.zeros(int(parts.max()) + 1, bool)
    keep[parts[nuclei > 0]] = True
    return np.where(keep[parts], cells, 0)
