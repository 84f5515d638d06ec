"""From the network's maps to labels: every pixel of the foreground votes for the centre of its nucleus."""

import cv2
import numpy as np

from profiling.cells.cytoplasm import nearest_nucleus
from profiling.cells.learned.targets import OFFSET_UNIT
from profiling.cells.split import extended_maxima

THRESHOLD = 0.5  # probability of the foreground
VOTE_SPREAD = 1.5  # px, sigma that unites the votes of one nucleus
DEPTH = 1.0  # two heaps of votes are two nuclei if the pass between them is lower by this, in log units
FEWEST_VOTES = 3.0  # a lower heap is no nucleus
LEAST_SURE = 0.75  # mean probability in a nucleus; less is haze, or light from another plane


def decode(maps, shape):
    """Find the nuclei in the maps of a field.

    Votes instead of a watershed: a nucleus is where the offsets of its pixels meet, whatever its shape (after
    Neven et al., 2019, and Panoptic-DeepLab, Cheng et al., 2020), so that no height has to be flooded, and each
    pixel is assigned by one look at the map of the nearest heap.

    Parameters
    ----------
    maps : (4, h, w) float32
        See `maps.predict_maps`.
    shape : (int, int)
        Of the field. The outlines are cut from the probability at this resolution.

    Returns
    -------
    (H, W) uint32
        Labels, not in order; a nucleus may have several parts.
    """
    labels = drop_unsure(assign_votes(maps[0] > THRESHOLD, maps[2:]), maps[0])
    if maps.shape[1:] == tuple(shape):
        return labels
    height, width = shape
    shrinks = height < maps.shape[1]
    probability = cv2.resize(maps[0], (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    labels = labels.astype(np.float32)  # exact up to 2^24 nuclei
    spread = np.where(labels > 0, labels, cv2.dilate(labels, np.ones((3, 3), np.uint8)))
    spread = cv2.resize(spread, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.where(probability > THRESHOLD, spread, 0).astype(np.uint32)


def assign_votes(foreground, offsets):
    """Label the pixels of the foreground by the heap of votes that theirs falls on or next to.

    Parameters
    ----------
    foreground : (H, W) bool
    offsets : (2, H, W) float32
        From each pixel to the centre of its nucleus (y, x), in units of `targets.OFFSET_UNIT` px.

    Returns
    -------
    (H, W) uint32
    """
    height, width = foreground.shape
    labels = np.zeros(foreground.shape, np.uint32)
    y, x = np.nonzero(foreground)
    if len(y) == 0:
        return labels
    at_y = np.clip(np.rint(y + OFFSET_UNIT * offsets[0][y, x]).astype(np.int64), 0, height - 1)
    at_x = np.clip(np.rint(x + OFFSET_UNIT * offsets[1][y, x]).astype(np.int64), 0, width - 1)
    votes = np.bincount(at_y * width + at_x, minlength=foreground.size).reshape(foreground.shape)
    heaps = cv2.GaussianBlur(votes.astype(np.float32), (0, 0), VOTE_SPREAD)
    lowest = np.float32(FEWEST_VOTES / (2 * np.pi * VOTE_SPREAD**2))
    centres = extended_maxima(np.log(np.maximum(heaps, lowest)), heaps > lowest, DEPTH)
    if not centres.any():
        return labels
    labels[y, x] = nearest_nucleus(centres)[0][at_y, at_x]
    return labels


def drop_unsure(labels, probability):
    """Remove nuclei in which the network hardly believes.

    Parameters
    ----------
    labels : (H, W) uint32
    probability : (H, W) float32
        Of the foreground.

    Returns
    -------
    (H, W) uint32
    """
    inside = np.flatnonzero(labels)
    owners = labels.ravel()[inside]
    sums = np.bincount(owners, probability.ravel()[inside])
    unsure = sums < LEAST_SURE * np.bincount(owners)
    if unsure.any():
        labels = labels.copy()
        labels.ravel()[inside[unsure[owners]]] = 0
    return labels
