"""k-means clusters of cells, numbered by size, and the evidence for their number."""

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from scipy.stats.contingency import crosstab
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.metrics.pairwise import euclidean_distances
from threadpoolctl import threadpool_limits

from profiling.phenotypes.assign import assign
from profiling.phenotypes.normalise import require_finite


def fit_clusters(x, k, seed=0, n_init=10, threads=1):
    """Fit k-means (Lloyd, k-means++ starts) and number the clusters by size, the largest first.

    Numbers are stable for the same input only: a refit may renumber.

    Parameters
    ----------
    x : (n, d) float array
        Normalised principal components of a sample of cells; never map coordinates.
    k : int
    seed : int
    n_init : int
        Starts; the one with the smallest inertia is kept.
    threads : int
        Sums over threads are not associative: keep the number fixed for equal results.

    Returns
    -------
    (k, d) array, the type of x
        Row 0 is the centre of cluster 1.

    Raises
    ------
    ValueError
        If there are fewer cells than clusters, or x holds a value that is not finite.
    """
    if not 1 <= k <= len(x):
        raise ValueError(f"{k} clusters need at least {max(k, 1)} cells, there are {len(x)}")
    require_finite(x)
    with threadpool_limits(limits=threads):
        fit = KMeans(k, n_init=n_init, random_state=seed, algorithm="lloyd").fit(x)
    by_size = np.argsort(-np.bincount(fit.labels_, minlength=k), kind="stable")
    return fit.cluster_centers_[by_size]


def sweep_clusters(x, plates, ks, seeds=(0, 1, 2), n_init=5, controls=None, silhouette_cells=2000, threads=1):
    """Describe the clusters for several k and seeds, to choose k and to see batches.

    For every k and seed one fit is made on all cells and one on a random half. Stability compares the
    first with the second ones of all seeds, so it covers both the start and the sample.

    Parameters
    ----------
    x : (n, d) float array
        Normalised principal components of a sample of cells.
    plates : (n,) array
    ks, seeds : sequences of int
        k below 2 or above half the cells is left out.
    n_init, threads
        See `fit_clusters`.
    controls : (n,) bool array, optional
        Measure the association with plates on these cells alone. With negative controls here, plates
        that hold different compounds do not look like batches.
    silhouette_cells : int
        Cells in the silhouette's sample, the same for all fits.

    Returns
    -------
    DataFrame, one row a k and seed
        K, Seed, Silhouette (mean over the sample), Inertia (mean squared distance to the
        centre), Stability (mean adjusted Rand index) and PlateAssociation (`cramers_v`; null on a single
        plate).
    """
    n = len(x)
    plates = pd.factorize(np.asarray(plates))[0]
    controls = np.ones(n, dtype=bool) if controls is None else np.asarray(controls)
    shown = np.sort(np.random.default_rng(0).permutation(n)[:silhouette_cells])
    distances = euclidean_distances(x[shown]).astype(np.float64)
    np.fill_diagonal(distances, 0)

    rows = []
    for k in (k for k in ks if 2 <= k <= n // 2):
        halves = [_labels_from_half(x, k, seed, n_init, threads) for seed in seeds]
        for seed in seeds:
            labels, distance = assign(x, fit_clusters(x, k, seed, n_init, threads))
            rows.append(
                {
                    "K": k,
                    "Seed": seed,
                    "Silhouette": _silhouette(distances, labels[shown]),
                    "Inertia": float((distance.astype(np.float64) ** 2).mean()),
                    "Stability": float(np.mean([adjusted_rand_score(labels, half) for half in halves])),
                    "PlateAssociation": cramers_v(labels[controls], plates[controls]),
                }
            )
    columns = ["K", "Seed", "Silhouette", "Inertia", "Stability", "PlateAssociation"]
    return pd.DataFrame(rows, columns=columns)


def cramers_v(a, b):
    """Measure the association of two labellings by Cramér's V, corrected for bias.

    Bergsma, J. Korean Stat. Soc. 2013: expected near 0 for independent labels, 1 for a perfect match.

    Parameters
    ----------
    a, b : (n,) arrays of labels

    Returns
    -------
    float
        NaN where one labelling has a single value.
    """
    table = crosstab(a, b).count
    if min(table.shape) < 2:
        return float("nan")
    n, (r, c) = table.sum(), table.shape
    phi2 = chi2_contingency(table, correction=False).statistic / n
    phi2 = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    r, c = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi2 / min(r - 1, c - 1)))


def _labels_from_half(x, k, seed, n_init, threads):
    """Label all cells by a fit on a random half of them."""
    half = np.sort(np.random.default_rng(seed).permutation(len(x))[: len(x) // 2])
    return assign(x, fit_clusters(x[half], k, seed, n_init, threads))[0]


def _silhouette(distances, labels):
    if not 2 <= len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(distances, labels, metric="precomputed"))
