"""From the network's maps to labels: every pixel of the foreground votes for the centre of its nucleus."""

import cv2
import fastremap
import numpy as np

from profiling.cells.cytoplasm import nearest_label
from profiling.cells.learned.targets import LONGEST_VOTE
from profiling.cells.learned.tiles import cut_side
from profiling.cells.split import extended_maxima

THRESHOLD = 0.5  # probability of the foreground
VOTE_SPREAD = 1.5  # px, sigma that unites the votes of one nucleus
DEPTH = 1.0  # two heaps of votes are two nuclei if the pass between them is lower by this, in log units
FEWEST_VOTES = 3.0  # a lower heap is no nucleus
LEAST_SURE = 0.75  # mean probability in a nucleus; less is haze, or light from another plane
LARGEST_TILE = 1536  # px a side, margins included; bounds the memory between votes and labels
STRIPE = 256  # rows


def decode(probability, offsets, shape):
    """Find the nuclei in the maps of a field.

    Votes instead of a watershed: a nucleus is where the offsets of its pixels meet, whatever its shape (after
    Neven et al., 2019, and Panoptic-DeepLab, Cheng et al., 2020), so that no height has to be flooded, and each
    pixel is assigned by one look at the map of the nearest heap.

    Parameters
    ----------
    probability : (h, w) float32
    offsets : (2, h, w) int16
        See `maps.predict_maps`.
    shape : (int, int)
        Of the field. The outlines are cut from the probability at this resolution.

    Returns
    -------
    (H, W) uint32
        Labels, not in order; a nucleus may have several parts.
    """
    labels = drop_unsure(assign_votes(probability > THRESHOLD, offsets), probability)
    if probability.shape == tuple(shape):
        return labels
    height, width = shape
    shrinks = height < len(probability)
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    probability = cv2.resize(probability, (width, height), interpolation=interpolation)
    labels = labels.astype(np.float32)  # exact up to 2^24 nuclei
    spread = cv2.dilate(labels, np.ones((3, 3), np.uint8))
    np.copyto(spread, labels, where=labels > 0)
    spread = cv2.resize(spread, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.where(probability > THRESHOLD, spread, 0).astype(np.uint32)


def assign_votes(foreground, offsets):
    """Label the pixels of the foreground by the heap of votes that theirs falls on or next to.

    Parameters
    ----------
    foreground : (H, W) bool
    offsets : (2, H, W) int16
        From each pixel to the centre of its nucleus (y, x), px.

    Returns
    -------
    (H, W) uint32
        Labels 1..n.
    """
    height, width = foreground.shape
    labels = np.zeros(foreground.shape, np.uint32)
    heaps = heap_votes(foreground, offsets)
    for top, bottom in cut_side(height, LARGEST_TILE, LONGEST_VOTE):
        for left, right in cut_side(width, LARGEST_TILE, LONGEST_VOTE):
            y0, x0 = max(0, top - LONGEST_VOTE), max(0, left - LONGEST_VOTE)
            tile = heaps[y0 : bottom + LONGEST_VOTE, x0 : right + LONGEST_VOTE]
            nearest = nearest_heap(tile, y0 * width + x0, width)
            inside = np.s_[top:bottom, left:right]
            y, x = np.nonzero(foreground[inside])
            at_y, at_x = landings(offsets[(slice(None), *inside)], y, x, (top, left), foreground.shape)
            at_y, at_x = np.clip(at_y - y0, 0, len(tile) - 1), np.clip(at_x - x0, 0, tile.shape[1] - 1)
            labels[inside][y, x] = nearest[at_y, at_x]
    labels, numbers = fastremap.renumber(labels, in_place=True)
    places = np.fromiter(numbers, np.int64, len(numbers))
    ranks = np.zeros(len(places) + 1, np.uint32)
    ranks[np.fromiter(numbers.values(), np.int64, len(numbers))] = np.argsort(np.argsort(places))
    return ranks[labels]


def heap_votes(foreground, offsets):
    """Count the votes that fall on and around each pixel.

    Parameters
    ----------
    foreground, offsets
        See `assign_votes`.

    Returns
    -------
    (H, W) float32
    """
    height, width = foreground.shape
    votes = np.zeros(foreground.shape, np.float32)
    for top in range(0, height, STRIPE):
        rows = slice(top, top + STRIPE)
        y, x = np.nonzero(foreground[rows])
        if len(y):
            at_y, at_x = landings(offsets[:, rows], y, x, (top, 0), foreground.shape)
            counts = np.bincount((at_y - at_y.min()) * width + at_x)
            votes.ravel()[at_y.min() * width :][: len(counts)] += counts
    return cv2.GaussianBlur(votes, (0, 0), VOTE_SPREAD)


def landings(offsets, y, x, origin, shape):
    """Where the votes of pixels fall: rows and columns (int64) in the field.

    Parameters
    ----------
    offsets : (2, h, w) int16
        Of a part of the field.
    y, x : (n,) int64
        Pixels of the part.
    origin, shape : (int, int)
        The part's first pixel in the field, and the field's size.
    """
    at_y = np.clip(y + (origin[0] + offsets[0][y, x].astype(np.int64)), 0, shape[0] - 1)
    at_x = np.clip(x + (origin[1] + offsets[1][y, x].astype(np.int64)), 0, shape[1] - 1)
    return at_y, at_x


def nearest_heap(heaps, origin, width):
    """The nearest heap of votes that makes a nucleus, numbered alike in every tile that shows it whole.

    Parameters
    ----------
    heaps : (h, w) float32
        Tile of what `heap_votes` gives.
    origin, width : int
        Position of the tile's first pixel in the flattened field, and the field's width.

    Returns
    -------
    (h, w) uint32
        1 more than the position of the heap's first pixel in the flattened field; 0 without any.
    """
    lowest = np.float32(FEWEST_VOTES / (2 * np.pi * VOTE_SPREAD**2))
    centres = extended_maxima(np.log(np.maximum(heaps, lowest)), heaps > lowest, DEPTH)
    if not centres.any():
        return centres
    places = np.flatnonzero(centres)
    first = np.full(int(centres.max()) + 1, centres.size)
    np.minimum.at(first, centres.ravel()[places], places)
    y, x = np.divmod(first, heaps.shape[1])
    return (origin + y * width + x + 1).astype(np.uint32)[nearest_label(centres)[0]]


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
    areas, sums, count = 0, 0, int(labels.max()) + 1
    for top in range(0, len(labels), STRIPE):
        owners = labels[top : top + STRIPE].ravel()
        areas += np.bincount(owners, minlength=count)
        sums += np.bincount(owners, probability[top : top + STRIPE].ravel(), minlength=count)
    unsure = sums < LEAST_SURE * areas
    unsure[0] = False
    return np.where(unsure[labels], np.uint32(0), labels) if unsure.any() else labels
