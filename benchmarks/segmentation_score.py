"""How well the reference-free segmentation score agrees with the truth, and its calibration.

    python -m benchmarks.segmentation_score FOLDER [--limit N] [--table FILE]

FOLDER holds `images/` and `labels/` of the same names and `index.csv` with `field_group`, a number. Every field is
segmented by both engines as it should be and with settings or images that spoil the masks, and true masks are spoiled
as well, so that masks of all qualities and of another origin than our engines are seen. The weights are fitted on the
groups with even numbers; everything printed is of the groups with odd numbers: Spearman's correlation of the score with
the average precision (AP) at IoU 0.5, and the area under the ROC curve with which it tells fields below an AP of 0.5.
Every group counts the same in the fit. `profiling.cells.quality` holds the weights that this prints.
"""

import argparse
from functools import partial
from pathlib import Path

import cc3d
import cv2
import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.degradation import add_noise, blur_field
from benchmarks.labelled_fields import choose_fields, list_fields, read_fields
from profiling.cells import load_segmenter
from profiling.cells.classical import estimate_diameter
from profiling.cells.cytoplasm import median_diameter
from profiling.cells.learned.engine import find_nuclei
from profiling.cells.learned.forward import load_forward
from profiling.cells.learned.weights import read_weights
from profiling.cells.matching import average_precision, match_counts
from profiling.cells.quality import INTERCEPT, WEIGHTS, Evidence, collect_evidence
from profiling.cells.regions import find_regions, segment_mean
from profiling.cells.threshold import rounding_noise

FAILED = 0.5  # AP below which masks have failed
PENALTY = 1e-3  # on the squared weights of the standardised evidence
THRESHOLDS = {
    "threshold x 0.5": {"threshold_correction": 0.5},
    "threshold x 2": {"threshold_correction": 2.0},
    "Otsu": {"threshold": "otsu"},
}


def misuse(field, rng):
    """What spoils the masks of any engine: yields (name, image, diameter), a diameter of None being estimated."""
    diameter = estimate_diameter(np.ascontiguousarray(field.image, np.float32), rounding_noise(field.image))[0] or 16.0
    yield "as it is", field.image, None
    yield "diameter x 0.4", field.image, 0.4 * diameter
    yield "diameter x 2.5", field.image, 2.5 * diameter
    yield "blurred", blur_field(field, 0.2).image, None
    yield "noisy", add_noise(field, 0.4, rng).image, None


def spoil_classical(field, rng):
    """Masks of the classical engine: yields (name, image, labels)."""
    for name, image, diameter in misuse(field, rng):
        yield f"classical, {name}", image, load_segmenter("classical", nucleus_diameter=diameter).segment(image)
    for name, settings in THRESHOLDS.items():
        segmenter = load_segmenter("classical", nucleus_diameter=None, **settings)
        yield f"classical, {name}", field.image, segmenter.segment(field.image)


def spoil_network(field, rng, forward):
    """Masks of a network: yields (name, image, labels)."""
    for name, image, diameter in misuse(field, rng):
        yield f"nuclei, {name}", image, find_nuclei(image, forward, diameter)


def spoil_truth(field, rng):
    """The true masks and worse ones: yields (name, image, labels)."""
    truth, diameter = field.truth.astype(np.int32), median_diameter(field.truth)
    yield "truth", field.image, truth
    if not truth.any():
        return
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.7) * diameter
    shift = round(away * np.sin(angle)), round(away * np.cos(angle))
    kept = rng.uniform(size=truth.max() + 1) > 0.5
    width = max(1, round(0.15 * diameter))
    for name, labels in (
        ("truth, merged", merge(truth, max(1, round(0.2 * diameter)))),
        ("truth, split", split(truth, 0.6, rng)),
        ("truth, shifted", np.roll(truth, shift, (0, 1))),
        ("truth, grown", grow(truth, width)),
        ("truth, shrunk", shrink(truth, width)),
        ("truth, half lost", np.where(kept[truth], truth, 0)),
    ):
        yield name, field.image, labels


def merge(labels, gap):
    """One mask for those that are up to 2 `gap` px apart."""
    parts = cc3d.connected_components(cv2.dilate((labels > 0).astype(np.uint8), disc(gap)), connectivity=8)
    return np.where(labels > 0, parts, 0)


def split(labels, share, rng):
    """Cut a share of the masks in two through their centroids, each in another direction."""
    regions = find_regions(labels)
    angle = rng.uniform(0, np.pi, len(regions.labels))
    cut = rng.uniform(size=len(regions.labels)) < share
    rows = regions.rows - segment_mean(regions.rows, regions)[regions.owners]
    columns = regions.columns - segment_mean(regions.columns, regions)[regions.owners]
    beyond = rows * np.sin(angle)[regions.owners] + columns * np.cos(angle)[regions.owners] > 0
    moved = beyond & cut[regions.owners]
    halved = labels.copy()
    halved[regions.rows[moved], regions.columns[moved]] += labels.max()
    return halved


def grow(labels, width):
    """Widen the masks into the background."""
    return np.where(labels > 0, labels, cv2.dilate(labels.astype(np.float32), disc(width)).astype(labels.dtype))


def shrink(labels, width):
    """Take the rim off the masks."""
    values = labels.astype(np.float32)
    return np.where(cv2.erode(values, disc(width)) == cv2.dilate(values, disc(width)), labels, 0)


def disc(radius):
    """Structuring element of that radius, px."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def measure(fields):
    """Evidence and AP of all masks of the fields, a row each: Image, Group, Masks, AP and the evidence."""
    rows = []
    sources = spoil_classical, partial(spoil_network, forward=load_forward(read_weights(), threads=1)), spoil_truth
    for number, field in enumerate(read_fields(fields)):
        rng = np.random.default_rng(number)
        for source in sources:
            for name, image, labels in source(field, rng):
                evidence = collect_evidence(image, labels)
                if evidence is None:
                    continue
                precision = float(average_precision(match_counts(field.truth, labels, (0.5,)))[0])
                known = {"Image": field.name, "Group": field.group, "Masks": name, "AP": precision}
                rows.append(known | evidence._asdict())
    return pd.DataFrame(rows)


def fit(evidence, precision, weight):
    """Logistic regression of a share on the evidence, every weight at most 0: intercept and weights."""
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0)
    x = np.c_[np.ones(len(evidence)), (evidence - mean) / deviation]

    def loss(beta):
        logit = x @ beta
        cost = weight @ (np.logaddexp(0, logit) - precision * logit) / weight.sum()
        slope = x.T @ (weight * (1 / (1 + np.exp(-logit)) - precision)) / weight.sum()
        return cost + PENALTY * beta[1:] @ beta[1:], slope + 2 * PENALTY * np.r_[0, beta[1:]]

    bounds = [(None, None), *[(None, 0)] * evidence.shape[1]]
    beta = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return beta[0] - beta[1:] @ (mean / deviation), beta[1:] / deviation


def predict(evidence, intercept, weights):
    """The score of evidence (n, k)."""
    return 1 / (1 + np.exp(-intercept - evidence @ weights))


def summarise(table):
    """AP, score and their agreement of each kind of masks, and of all; NaN where all or none have failed."""
    failed = table["AP"] < FAILED
    separable = failed.any() and not failed.all()
    return pd.Series(
        {
            "fields": len(table),
            "AP": table["AP"].mean(),
            "score": table["Score"].mean(),
            "Spearman": spearmanr(table["Score"], table["AP"]).statistic,
            "failed": failed.sum(),
            "AUC": roc_auc_score(failed, -table["Score"]) if separable else np.nan,
        }
    )


def main(arguments=None):
    """Run the benchmark from the command line."""
    formatter = partial(argparse.RawDescriptionHelpFormatter, width=110)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, help="at most this many fields, evenly spaced")
    parser.add_argument("--table", type=Path, help="file for the evidence and AP of all masks, Parquet")
    options = parser.parse_args(arguments)
    table = measure(choose_fields(list_fields(options.folder), limit=options.limit))
    evidence, fitted = table[list(Evidence._fields)].to_numpy(), (table["Group"] % 2 == 0).to_numpy()
    weight = 1 / table.groupby("Group")["AP"].transform("size").to_numpy()
    intercept, weights = fit(evidence[fitted], table["AP"].to_numpy()[fitted], weight[fitted])
    print(f"fitted: intercept {intercept:.2f}, weights {np.round(weights, 2).tolist()}")
    print(f"used:   intercept {INTERCEPT:.2f}, weights {WEIGHTS.tolist()}")
    table["Score"] = predict(evidence, INTERCEPT, WEIGHTS)
    if options.table:
        table.to_parquet(options.table, index=False)
    unseen = table[~fitted]
    parts = {"all": unseen} | dict(iter(unseen.groupby("Masks", sort=False)))
    print(pd.DataFrame({name: summarise(part) for name, part in parts.items()}).T.round(3).to_string())


if __name__ == "__main__":
    main()
