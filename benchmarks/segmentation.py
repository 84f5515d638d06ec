"""Quality and speed of nucleus segmentation against instance labels.

    python -m benchmarks.segmentation FOLDER [--engine classical] [--diameter PX] [--limit N]
                                             [--groups-column field_group] [--half 0|1]

FOLDER holds `images/NAME.png` and `labels/NAME.png` (TIFF as well), the labels being instance label images
with background 0. Prints average precision tp / (tp + fp + fn) at IoU 0.5 to 0.9, as a mean over images and
pooled over objects, the count error and the seconds per field.

With `--groups-column`, `index.csv` names the group of every image (its first column is the image's name):
the results are then also averaged per group, so that many tiles of one field do not count many times, and
`--half` takes every second group, to tune on one half and report on the other.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

from profiling.cells import load_segmenter

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)
SUFFIXES = (".png", ".tif", ".tiff")


def read_image(path):
    """Read one single-channel image file as it is stored."""
    if path.suffix == ".png":
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise ValueError(f"{path} cannot be decoded.")
    else:
        image = tifffile.imread(path)
    if image.ndim != 2:
        raise ValueError(f"{path} has shape {image.shape}; a single-channel image is expected.")
    return image


def best_ious(truth, predicted):
    """IoU of every overlapping pair of a true and a predicted object, and the numbers of both.

    Returns
    -------
    ious : (pairs,) float array
    n_truth, n_predicted : int
    """
    truth_ids, truth = np.unique(truth, return_inverse=True)
    predicted_ids, predicted = np.unique(predicted, return_inverse=True)
    shape = len(truth_ids), len(predicted_ids)
    pairs = truth.ravel() * shape[1] + predicted.ravel()
    overlap = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    objects = np.ix_(truth_ids > 0, predicted_ids > 0)
    iou = overlap[objects] / np.maximum(union[objects], 1)
    return iou[iou > 0], *iou.shape


def match_counts(truth, predicted, thresholds=THRESHOLDS):
    """True positives, false positives and false negatives at each IoU threshold.

    An object has at most one partner with IoU > 0.5, so that for thresholds from 0.5 every matching is the
    optimal one and counting pairs suffices.

    Returns
    -------
    (len(thresholds), 3) int array
    """
    if min(thresholds) < 0.5:
        raise ValueError("Matches are unique only for IoU thresholds of at least 0.5.")
    ious, n_truth, n_predicted = best_ious(truth, predicted)
    tp = (ious[None, :] > np.asarray(thresholds)[:, None]).sum(1)
    return np.stack([tp, n_predicted - tp, n_truth - tp], axis=1)


def average_precision(counts):
    """Return tp / (tp + fp + fn) along the last axis of (tp, fp, fn); 1 where there is nothing to find."""
    total = counts.sum(-1)
    return np.where(total == 0, 1.0, counts[..., 0] / np.maximum(total, 1))


def list_pairs(folder):
    """Return (image path, label path) of every image of the folder that has labels, sorted by name."""
    images = sorted(p for p in (folder / "images").iterdir() if p.suffix in SUFFIXES)
    labels = {p.stem: p for p in (folder / "labels").iterdir() if p.suffix in SUFFIXES}
    missing = [p.name for p in images if p.stem not in labels]
    if missing:
        raise ValueError(f"{len(missing)} images of {folder} have no labels, the first is {missing[0]}.")
    return [(path, labels[path.stem]) for path in images]


def evaluate(pairs, segmenter, thresholds=THRESHOLDS):
    """Segment every image and compare it with its labels.

    Returns
    -------
    counts : (images, thresholds, 3) int array of tp, fp, fn
    seconds : (images,) float array
    """
    counts, seconds = [], []
    for image_path, label_path in pairs:
        image, truth = read_image(image_path), read_image(label_path)
        start = time.perf_counter()
        predicted = segmenter.segment(image)
        seconds.append(time.perf_counter() - start)
        counts.append(match_counts(truth, predicted, thresholds))
    return np.stack(counts), np.array(seconds)


def summarise(counts, thresholds=THRESHOLDS, groups=None):
    """Average precision at each threshold: mean over images, pooled over objects and, if given, per group."""
    table = pd.DataFrame({"IoU": thresholds})
    table["AP, mean over images"] = average_precision(counts).mean(0)
    table["AP, pooled over objects"] = average_precision(counts.sum(0))
    if groups is not None:
        per_image = pd.DataFrame(average_precision(counts))
        table["AP, mean over groups"] = per_image.groupby(np.asarray(groups)).mean().mean().to_numpy()
    return table


def main(arguments=None):
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", default="classical")
    parser.add_argument("--diameter", type=float, help="nucleus diameter in px (estimated per image if absent)")
    parser.add_argument("--groups-column", help="column of index.csv that names the group of an image")
    parser.add_argument("--half", type=int, choices=(0, 1), help="every second group only, from this one")
    parser.add_argument("--limit", type=int, help="at most this many images")
    options = parser.parse_args(arguments)
    if options.half is not None and not options.groups_column:
        parser.error("--half needs --groups-column")

    pairs, groups = list_pairs(options.folder), None
    if options.groups_column:
        index = pd.read_csv(options.folder / "index.csv")
        groups = index.set_index(index.columns[0])[options.groups_column].loc[[p.stem for p, _ in pairs]]
        groups = groups.to_numpy()
    if options.half is not None:
        chosen = np.unique(groups, return_inverse=True)[1] % 2 == options.half
        pairs, groups = [pair for pair, keep in zip(pairs, chosen) if keep], groups[chosen]
    pairs = pairs[: options.limit]
    groups = None if groups is None else groups[: options.limit]

    segmenter = load_segmenter(options.engine, nucleus_diameter=options.diameter)
    counts, seconds = evaluate(pairs, segmenter)
    n_truth, n_predicted = counts[:, 0, [0, 2]].sum(1), counts[:, 0, [0, 1]].sum(1)
    print(summarise(counts, groups=groups).to_string(index=False, float_format="%.3f"))
    print(
        f"{len(pairs)} fields, {n_truth.sum()} true and {n_predicted.sum()} predicted objects; "
        f"count error {np.abs(n_predicted - n_truth).mean():.2f} a field in the mean, "
        f"{np.abs(n_predicted - n_truth).sum() / max(n_truth.sum(), 1):.1%} of all objects; "
        f"{seconds.mean():.3f} s a field (median {np.median(seconds):.3f})"
    )


if __name__ == "__main__":
    main()
