"""Splitting of a foreground into touching objects, by necks and by dips of intensity."""

import cc3d
import cv2
import edt
import numpy as np
from skimage.segmentation import watershed

from profiling.cells.threshold import blur

WORKING_DIAMETER = 12  # objects are split on an image reduced to about this diameter in px
DISTANCE_SMOOTHING = 0.04  # sigma as a fraction of the diameter: rough outlines make false maxima
INTENSITY_SMOOTHING = 0.08  # texture inside a nucleus must not split it
INTENSITY_WEIGHT = 0.7
DEPTH = 0.08  # two maxima are two objects if the pass between them is lower by this, in log units
OUTSIDE = np.float32(-1e3)
NEIGHBOURS = np.ones((3, 3), np.uint8)


def reconstruct(marker, mask):
    """Greyscale reconstruction of `marker` under `mask` by dilation (Vincent, 1993), 8-connected.

    Parameters
    ----------
    marker, mask : (H, W) float32
        marker ≤ mask everywhere.

    Returns
    -------
    (H, W) float32
    """
    while True:
        grown = marker
        for _ in range(4):
            grown = cv2.min(cv2.dilate(grown, NEIGHBOURS), mask)
        if np.array_equal(grown, marker):
            return grown
        marker = grown


def extended_maxima(landscape, mask, depth):
    """Label the maxima that stand out by at least `depth` from the pass to any higher maximum.

    Parameters
    ----------
    landscape : (H, W) float32
    mask : (H, W) bool
        Where maxima may lie.
    depth : float
        In the units of the landscape.

    Returns
    -------
    (H, W) uint32 labels 1..n
    """
    inside = np.where(mask, landscape, OUTSIDE)
    lowered = reconstruct(np.where(mask, landscape - np.float32(depth), OUTSIDE), inside)
    step = np.float32(1e-3)
    flat = reconstruct(np.where(mask, lowered - step, OUTSIDE), lowered)
    return cc3d.connected_components(mask & (lowered - flat > step / 2), connectivity=8, out_dtype=np.uint32)


def split_objects(mask, signal, diameter):
    """Split a foreground into objects.

    The landscape is the logarithm of the distance to the background times a power of the intensity.
    A difference of logarithms is a ratio, so that `DEPTH` says how much narrower a neck must be than the
    smaller of the two objects, whatever their size.

    Parameters
    ----------
    mask : (H, W) bool
        Foreground without holes.
    signal : (H, W) float32
        Background-subtracted intensity.
    diameter : float
        Typical diameter of an object, px.

    Returns
    -------
    (H, W) uint32
        Labels 1..n inside the mask, 0 outside; specks lost by the reduction stay 0.
    """
    height, width = mask.shape
    factor = max(1, int(diameter / WORKING_DIAMETER))
    if factor > 1:
        size = -(-width // factor), -(-height // factor)
        mask_small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        signal = cv2.resize(signal, size, interpolation=cv2.INTER_AREA)
        diameter = diameter / factor
    else:
        mask_small = mask
    if not mask_small.any():
        return np.zeros(mask.shape, np.uint32)

    distance = blur(edt.edt(mask_small), max(DISTANCE_SMOOTHING * diameter, 0.5))
    intensity = blur(signal, max(INTENSITY_SMOOTHING * diameter, 0.5))
    floor = max(0.05 * float(intensity[mask_small].mean()), float(np.finfo(np.float32).tiny))
    landscape = np.log(np.maximum(distance, 0.5)) + INTENSITY_WEIGHT * np.log(np.maximum(intensity, floor))
    landscape = np.where(mask_small, landscape, OUTSIDE).astype(np.float32)
    seeds = extended_maxima(landscape, mask_small, DEPTH)
    labels = watershed(-landscape, seeds.astype(np.int32), mask=mask_small).astype(np.float32)
    if factor > 1:
        spread = cv2.dilate(labels, NEIGHBOURS)  # the edge pixels of the full mask have no reduced pixel
        labels = np.where(labels > 0, labels, spread)
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.where(mask, labels, 0).astype(np.uint32)
