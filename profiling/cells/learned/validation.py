"""How good the masks of a network are on annotated fields that it was not trained on."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from profiling.cells.learned.engine import find_nuclei
from profiling.cells.learned.forward import load_forward
from profiling.cells.learned.samples import read_annotation
from profiling.cells.matching import average_precision, match_counts
from profiling.images.read import read_image

THRESHOLDS = (0.5, 0.75)


def validate(weights, fields, device="cpu"):
    """Segment annotated fields with their diameters estimated, and compare.

    Parameters
    ----------
    weights : dict of str to ndarray
        Of the network.
    fields : pandas.DataFrame
        image, labels (paths), components (see `samples.read_annotation`).
    device : {"cpu", "cuda"}
        On the CPU one thread works, on a GPU all that there are prepare fields for it.

    Returns
    -------
    dict of str to float
        Average precision tp / (tp + fp + fn) above an IoU of 0.5 and of 0.75, as a mean over fields and pooled
        over nuclei; empty without fields.
    """
    if fields.empty:
        return {}
    forward = load_forward(weights, device, threads=1)

    def counts_of(row):
        truth = read_annotation(row.labels, row.components)
        return match_counts(truth, find_nuclei(read_image(row.image), forward), THRESHOLDS)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if device == "cuda" else 1) as pool:
        counts = list(pool.map(counts_of, fields.itertuples()))
    counts = np.array(counts, float).reshape(-1, len(THRESHOLDS), 3)
    mean = average_precision(counts).mean(0)
    pooled = average_precision(counts.sum(0))
    named = {f"AP{100 * threshold:.0f}": value for threshold, value in zip(THRESHOLDS, mean)}
    return named | {f"AP{100 * threshold:.0f}_pooled": value for threshold, value in zip(THRESHOLDS, pooled)}
