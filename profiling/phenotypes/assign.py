"""Cells to clusters by the nearest centre."""

import numpy as np

from profiling.phenotypes.normalise import require_finite

ROWS = 16384


def assign(x, centres):
    """Assign cells to the nearest centre; memory is bounded by a block of rows.

    Parameters
    ----------
    x : (n, d) float array
    centres : (k, d) array

    Returns
    -------
    cluster : (n,) int16 array
        1..k.
    distance : (n,) float32 array
        Euclidean distance to the centre, in the units of x.
    """
    require_finite(x)
    cluster = np.empty(len(x), dtype=np.int16)
    distance = np.empty(len(x), dtype=np.float32)
    half_norms = (centres**2).sum(axis=1) / 2
    for start in range(0, len(x), ROWS):
        block = x[start : start + ROWS]
        nearest = (half_norms - block @ centres.T).argmin(axis=1)
        cluster[start : start + ROWS] = nearest + 1
        distance[start : start + ROWS] = np.linalg.norm(block - centres[nearest], axis=1)
    return cluster, distance
