"""Quality of the masks of a field: statistics of its nuclei, and a score that needs no reference.

The score asks of the nuclei image and the masks alone whether they fit, whatever engine made the masks: whether a
mask covers what is bright about it and no more, whether masks meet within bright nuclei, whether something bright
has no mask, and whether masks have the smooth convex outlines of nuclei. It is calibrated to the average precision
that comparison with a true segmentation would give.
"""

from typing import NamedTuple

import cc3d
import cv2
import fastremap
import numpy as np

from profiling.cells.regions import find_regions
from profiling.cells.shape import convex_areas
from profiling.cells.threshold import background_level, blur, global_threshold, rounding_noise

QUANTILES = {"Q05": 0.05, "Q25": 0.25, "Median": 0.5, "Q75": 0.75, "Q95": 0.95}
FIELD_STATISTICS = (
    *(f"NucleusArea{name}" for name in QUANTILES),
    "BorderShare",
    "NucleusCoverage",
    "SegmentationScore",
)
"""Columns of the `fields` table that `measure_field` gives."""

WORKING_DIAMETER = 10  # px; larger nuclei are reduced to between this and its double, the score must cost little
SMOOTHING = 0.7  # px, sigma
SAMPLE_SIDE = 150  # background and threshold use a grid of about this many rows and columns
SURROUNDINGS = 0.25  # width of what is compared with a mask, as a fraction of the nuclei's diameter
HALF = 0.5  # of the mean of a nucleus' brighter half; where it falls below, the nucleus ends
MISFIT = 0.6  # IoU of a mask with its nucleus at half height, below which it does not fit
SEAM, BRIGHT = 0.2, 0.75  # share of an outline, and brightness relative to a nucleus' brighter half
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
CORE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # what has no room for it is no nucleus
FEWEST_DARK = 5  # dark objects that make a field without masks suspicious

INTERCEPT = 4.19
WEIGHTS = np.array([-1.75, -1.0, -1.77, -1.41])
"""Logistic regression of the average precision at IoU 0.5 on the evidence, in its order. Fitted by
`benchmarks/segmentation_score.py` on the fluorescence nuclei of the 2018 Data Science Bowl (BBBC038, stage 1,
even field groups): true masks and those of the classical engine, as they are and spoiled in thirteen ways."""


class Evidence(NamedTuple):
    """What speaks against the masks of a field: from 0 upwards, all of it lowers the score.

    Attributes
    ----------
    misfit : float
        Share of the masks whose IoU with what is bright about them is below `MISFIT`.
    cut : float
        Share of the masks of which more than `SEAM` of the outline lies along other masks and is bright there: two
        nuclei that touch are dim between them, one nucleus in two masks is not.
    missed : float
        Area that is bright and far from any mask, as a share of it and all masks; square root.
    roughness : float
        1 less the mean solidity, in hundredths on a logarithmic scale: log(1 + x).
    """

    misfit: float
    cut: float
    missed: float
    roughness: float


def measure_field(image, nuclei, cells, step=None):
    """Measure the masks of one field.

    Parameters
    ----------
    image : (H, W) real array
        Channel of the nuclei.
    nuclei : (H, W) integer array
        Labels of the nuclei.
    cells : pandas.DataFrame
        Cell table of the field, from `measure_cells`.
    step : float, optional
        See `threshold.rounding_noise`.

    Returns
    -------
    dict of str to float
        `FIELD_STATISTICS`; areas in px² and the share at the border are NaN where there are no nuclei.
    """
    areas = cells["Nuclei_AreaShape_Area"].to_numpy(float)
    solidity = cells["Nuclei_AreaShape_Solidity"].to_numpy(float)
    quantiles = np.quantile(areas, list(QUANTILES.values())) if len(areas) else np.full(len(QUANTILES), np.nan)
    score = segmentation_score(image, nuclei, areas, solidity, step)
    others = cells["NucleusTouchesBorder"].mean(), areas.sum() / nuclei.size, score
    return dict(zip(FIELD_STATISTICS, (*quantiles, *others), strict=True))


def segmentation_score(image, nuclei, areas=None, solidity=None, step=None):
    """Estimate how good the masks of the nuclei of a field are, without a reference.

    Parameters
    ----------
    image : (H, W) real array
        Bright nuclei on dark background, no NaN.
    nuclei : (H, W) integer array
        Labels; 0 is background.
    areas, solidity : (n,) array, optional
        Area in px² and solidity of the nuclei where they are known; measured here otherwise.
    step : float, optional
        See `threshold.rounding_noise`.

    Returns
    -------
    float
        0 to 1, an estimate of the average precision tp / (tp + fp + fn) at IoU 0.5. A field without masks gets 1,
        or 0 where an object as wide as `CORE` is brighter than its background, or `FEWEST_DARK` are darker, as in
        transmitted light; dust and dead pixels are fewer.
    """
    if areas is None or solidity is None:
        regions = find_regions(nuclei)
        areas, solidity = regions.areas, regions.areas / convex_areas(regions)
    rounding = rounding_noise(image, step)
    signal, bright, labels, diameter = _prepare(image, nuclei, areas, rounding)
    if not labels.any():
        dark = _stands_out(-signal, rounding)[1]
        return float(_count_objects(bright) == 0 and _count_objects(dark, whole=True) < FEWEST_DARK)
    evidence = _collect(signal, bright, labels, diameter, solidity)
    return float(1 / (1 + np.exp(-INTERCEPT - WEIGHTS @ evidence)))


def collect_evidence(image, nuclei):
    """What `segmentation_score` weighs, as `Evidence`; None for a field without masks. For its calibration."""
    regions = find_regions(nuclei)
    signal, bright, labels, diameter = _prepare(image, nuclei, regions.areas, rounding_noise(image))
    if not labels.any():
        return None
    return _collect(signal, bright, labels, diameter, regions.areas / convex_areas(regions))


def _prepare(image, nuclei, areas, rounding):
    """Reduced field: signal above the background, where it is bright, labels 1..n, and diameter of the nuclei, px."""
    diameter = np.sqrt(4 / np.pi * np.median(areas)) if len(areas) else WORKING_DIAMETER
    factor = max(1, min(int(diameter / WORKING_DIAMETER), *image.shape))
    image = image.astype(np.float32)
    if factor > 1:
        height, width = image.shape[0] // factor, image.shape[1] // factor
        whole = image[: height * factor, : width * factor]
        image = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        nuclei = nuclei[factor // 2 :: factor, factor // 2 :: factor][:height, :width]
    signal, bright = _stands_out(blur(image, SMOOTHING), rounding)
    return signal, bright, fastremap.renumber(np.ascontiguousarray(nuclei))[0], diameter / factor


def _stands_out(smooth, rounding):
    """A smoothed image less its background, and where it is brighter than that: (H, W) float32 and bool."""
    stride = max(1, min(smooth.shape) // SAMPLE_SIDE)
    coarse = smooth[::stride, ::stride]
    level, noise = background_level(coarse)
    bright = smooth > global_threshold(coarse, level, max(noise, rounding))
    return smooth - level, bright


def _count_objects(mask, whole=False):
    """Number of objects of a mask that are as wide as `CORE`; with `whole` only those away from the border."""
    objects = cc3d.connected_components(mask, connectivity=4, out_dtype=np.uint32)
    wide = np.unique(objects[cv2.erode(mask.view(np.uint8), CORE) > 0])
    if whole:
        edges = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
        wide = np.setdiff1d(wide, edges)
    return len(wide)


def _collect(signal, bright, labels, diameter, solidity):
    count = int(labels.max()) + 1

    def per_mask(owners, values=None):
        return np.bincount(owners, values, count)[1:]

    mask = labels > 0
    labels = labels.astype(np.float32)  # OpenCV dilates float images only up to all label numbers
    side = 2 * max(1, round(SURROUNDINGS * diameter)) + 1
    near = cv2.dilate(labels, np.ones((side, side), np.uint8))
    highest = cv2.dilate(labels, CROSS)
    lowest = cv2.erode(np.where(mask, labels, np.float32(count)), CROSS)
    outline = mask & ((highest != labels) | (cv2.erode(labels, CROSS) != labels))
    seam = mask & ((highest > labels) | (lowest < labels))

    pixels = np.flatnonzero(near)
    owners = np.where(mask, labels, near).ravel()[pixels].astype(np.intp)
    inside, outline, seam = (where.ravel()[pixels] for where in (mask, outline, seam))
    values = signal.ravel()[pixels].astype(np.float64)
    areas = per_mask(owners[inside])
    mean = np.r_[0, per_mask(owners[inside], values[inside]) / areas]
    brighter = inside & (values >= mean[owners])
    plateau = np.r_[1, np.maximum(per_mask(owners[brighter], values[brighter]) / per_mask(owners[brighter]), 1e-6)]
    relative = values / plateau[owners]

    high = relative > HALF
    shared = per_mask(owners[high & inside])
    iou = shared / (areas + per_mask(owners[high]) - shared)
    met, light = per_mask(owners[seam]), per_mask(owners[seam], relative[seam])
    cut = (met > SEAM * per_mask(owners[outline])) & (light > BRIGHT * met)
    missed = np.count_nonzero(bright & (near == 0))
    return Evidence(
        misfit=float((iou < MISFIT).mean()),
        cut=float(cut.mean()),
        missed=float(np.sqrt(missed / (missed + areas.sum()))),
        roughness=float(np.log1p(100 * (1 - np.mean(solidity)))),
    )
