"""Comparison of a label image with the true one: matches, and the kinds of error.

Two objects match if their intersection over union (IoU) exceeds a threshold of at least 0.5. An object can
have only one such partner, so that greedy and optimal matching are the same and counting pairs suffices.

Four kinds of error are told apart by what holds more than half of an object, as in Coelho et al. (2009, "Nuclear
segmentation in microscope cell images"), who assign every object to the one it shares most pixels with:

- split: a true object that holds more than half of each of two or more predicted objects;
- merged: a predicted object that holds more than half of each of two or more true objects;
- missed: a true object of which more than half is predicted to be background;
- spurious: a predicted object of which more than half is true background.

Caicedo et al. (2019) count a split where two predicted objects have an IoU above 0.1 with one true object. That
overlooks clumps of ten and counts neighbours whose common border is misplaced, which this definition does not.
"""

from typing import NamedTuple

import fastremap
import numpy as np

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)


class Overlaps(NamedTuple):
    """Which true and predicted objects overlap.

    Attributes
    ----------
    truth_areas : (T,) int array
        px².
    predicted_areas : (P,) int array
    truth, predicted : (pairs,) int arrays
        Indices of the two objects of each overlapping pair.
    shared : (pairs,) int array
        Area that the two share, px².
    """

    truth_areas: np.ndarray
    predicted_areas: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    shared: np.ndarray


def find_overlaps(truth, predicted):
    """Find the overlapping pairs of objects of two label images.

    Parameters
    ----------
    truth, predicted : (H, W) integer arrays
        Labels, not necessarily consecutive; 0 is background.

    Returns
    -------
    Overlaps

    Raises
    ------
    ValueError
        If the images differ in shape.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"The labels have shape {truth.shape}, the predicted ones {predicted.shape}.")
    truth = fastremap.renumber(np.ascontiguousarray(truth))[0].ravel().astype(np.int64)
    predicted = fastremap.renumber(np.ascontiguousarray(predicted))[0].ravel().astype(np.int64)
    truth_areas, predicted_areas = np.bincount(truth)[1:], np.bincount(predicted)[1:]
    both = (truth > 0) & (predicted > 0)
    keys, shared = fastremap.unique((truth[both] - 1) * len(predicted_areas) + predicted[both] - 1, return_counts=True)
    pairs = np.divmod(keys, max(len(predicted_areas), 1))
    return Overlaps(truth_areas, predicted_areas, *pairs, shared)


def intersections_over_unions(overlaps):
    """IoU of every overlapping pair, (pairs,) float64."""
    union = overlaps.truth_areas[overlaps.truth] + overlaps.predicted_areas[overlaps.predicted] - overlaps.shared
    return overlaps.shared / union


def match_counts(truth, predicted, thresholds=THRESHOLDS):
    """True positives, false positives and false negatives at each IoU threshold.

    Parameters
    ----------
    truth, predicted : (H, W) integer arrays
        Labels; 0 is background.
    thresholds : sequence of float
        A pair matches above it; at least 0.5.

    Returns
    -------
    (len(thresholds), 3) int array
    """
    return count_matches(find_overlaps(truth, predicted), thresholds)


def count_matches(overlaps, thresholds=THRESHOLDS):
    """As `match_counts`, of the overlaps of two label images."""
    if min(thresholds) < 0.5:
        raise ValueError("Matches are unique only for IoU thresholds of at least 0.5.")
    ious = intersections_over_unions(overlaps)
    tp = (ious[None, :] > np.asarray(thresholds)[:, None]).sum(1)
    return np.stack([tp, len(overlaps.predicted_areas) - tp, len(overlaps.truth_areas) - tp], axis=1)


def average_precision(counts):
    """Return tp / (tp + fp + fn) along the last axis of (tp, fp, fn); 1 where there is nothing to find."""
    total = counts.sum(-1)
    return np.where(total == 0, 1.0, counts[..., 0] / np.maximum(total, 1))


def mean_matched_iou(overlaps):
    """Mean IoU of the pairs above 0.5, how well outlines agree where objects do; NaN without a match."""
    ious = intersections_over_unions(overlaps)
    matched = ious[ious > 0.5]
    return float(matched.mean()) if len(matched) else float("nan")


def count_errors(overlaps):
    """Numbers of split, merged, missed and spurious objects, as the module defines them.

    Parameters
    ----------
    overlaps : Overlaps

    Returns
    -------
    dict of str to int
        `Split` and `Missed` true objects, `Merged` and `Spurious` predicted ones.
    """
    n_truth, n_predicted = len(overlaps.truth_areas), len(overlaps.predicted_areas)
    in_truth = 2 * overlaps.shared > overlaps.predicted_areas[overlaps.predicted]
    in_predicted = 2 * overlaps.shared > overlaps.truth_areas[overlaps.truth]
    fragments = np.bincount(overlaps.truth[in_truth], minlength=n_truth)
    members = np.bincount(overlaps.predicted[in_predicted], minlength=n_predicted)
    found = np.bincount(overlaps.truth, overlaps.shared, minlength=n_truth)
    true = np.bincount(overlaps.predicted, overlaps.shared, minlength=n_predicted)
    return {
        "Split": int((fragments >= 2).sum()),
        "Merged": int((members >= 2).sum()),
        "Missed": int((2 * found < overlaps.truth_areas).sum()),
        "Spurious": int((2 * true < overlaps.predicted_areas).sum()),
    }
