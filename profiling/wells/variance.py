"""Do replicates agree? Variance within treatments over variance between them, with its null."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from profiling.phenotypes.normalise import require_finite
from profiling.wells import permutation

NUMBERS = ["Within", "Between", "Ratio", "NullMedian", "NullLow", "NullHigh", "PValue", "AttainablePValue"]


def variance_ratio(profiles, groups, plates=None, positions=None, permutations=999, seed=0):
    """Compare the variance within replicates with the variance between treatments.

    After Jackson et al., 2019 (deep phenotypic profiling of high-throughput screens). Both variances are
    half the mean squared distance between two wells, summed over components: Within over pairs of
    replicates, averaged over treatments; Between over pairs of wells of different treatments. The ratio is
    near 1, whatever the number of replicates, when treatments do nothing.

    Parameters
    ----------
    profiles : (n, d) array
        Profiles of wells. Leave negative controls out: they are one treatment with many wells.
    groups : (n,) array
        Treatment of each well.
    plates : (n,) array, optional
        Labels are permuted within plates where given, else over all wells.
    positions : (n,) array, optional
        Well names. Where given, only pairs of wells in different positions count, so that what a position
        does to its cells cannot pass as agreement. Read the ratio then: the p-value still takes positions as
        exchangeable.
    permutations : int
        Of treatments over wells; all distinct arrangements are used where there are no more.
    seed : int

    Returns
    -------
    dict
        Within, Between, Ratio, NullMedian, NullLow and NullHigh (2.5th and 97.5th percentiles), PValue (a
        small ratio is evidence), AttainablePValue, Permutations (arrangements used), Treatments, Wells.
        The numbers are NaN where no treatment has (such) replicates there is only one treatment, or all
        profiles are equal.

    Raises
    ------
    ValueError
        If a profile is not finite.
    """
    profiles = np.asarray(profiles, dtype=np.float64)
    require_finite(profiles)
    labels = pd.factorize(np.asarray(groups), use_na_sentinel=False)[0]
    strata = np.zeros(len(labels), int) if plates is None else pd.factorize(np.asarray(plates))[0]
    places = None if positions is None else pd.factorize(np.asarray(positions))[0]
    result = {"Treatments": int(labels.max(initial=-1) + 1), "Wells": len(labels)}
    result = dict.fromkeys(NUMBERS, float("nan")) | {"Permutations": 0} | result
    if result["Treatments"] < 2:
        return result
    profiles = profiles - profiles.mean(axis=0)
    norms = (profiles**2).sum(axis=1)
    every = _pairs(profiles, norms, np.zeros_like(labels), places)
    within, between = _variances(every, *_pairs(profiles, norms, labels, places))
    if np.isnan(within) or not between > 0:
        return result

    blocks = permutation.permuted_labels(labels, strata, permutations, seed)
    null = np.array([_variances(every, *_pairs(profiles, norms, row, places)) for block in blocks for row in block])
    ratios = null[:, 0] / null[:, 1]
    exhaustive = permutation.is_exhaustive(labels, strata, permutations)
    finite = np.isfinite(ratios)  # an arrangement may leave no replicates in different positions
    p, attainable = permutation.p_values(np.array([-within / between]), -ratios[finite, None], exhaustive)
    low, median, high = np.percentile(ratios[finite], [2.5, 50, 97.5])
    values = [within, between, within / between, median, low, high, p[0], attainable[0]]
    return result | dict(zip(NUMBERS, map(float, values))) | {"Permutations": int(finite.sum())}


def _variances(every, pairs, squares):
    """Variance within and between treatments from the pairs of every well and of each treatment's wells."""
    replicated = pairs > 0
    within = (squares[replicated] / pairs[replicated]).mean() / 2 if replicated.any() else np.nan
    others = every[0].sum() - pairs.sum()
    between = (every[1].sum() - squares.sum()) / others / 2 if others else np.nan
    return within, between


def _pairs(profiles, norms, labels, places):
    """Number of pairs of wells of every label, in different places if given, and their squared distances."""
    number = labels.max() + 1
    pairs, squares = _all_pairs(profiles, norms, labels, number)
    if places is None:
        return pairs, squares
    cells, inverse = np.unique(labels * (places.max() + 1) + places, return_inverse=True)
    label = cells // (places.max() + 1)
    same_pairs, same_squares = _all_pairs(profiles, norms, inverse, len(cells))
    return pairs - np.bincount(label, same_pairs, number), squares - np.bincount(label, same_squares, number)


def _all_pairs(profiles, norms, labels, number):
    """Number of pairs of wells of every label, and Σ‖xᵢ - xⱼ‖² = n Σ‖xᵢ‖² - ‖Σxᵢ‖² over them."""
    n = len(labels)
    indicator = csr_array((np.ones(n), labels, np.arange(n + 1)), shape=(n, number)).T
    size = np.bincount(labels, minlength=number)
    squares = size * np.bincount(labels, norms, number) - ((indicator @ profiles) ** 2).sum(axis=1)
    return size * (size - 1) / 2, squares
