"""Permutation of wells within plates: the one null behind every p-value of the platform.

Wells are permuted, never cells: cells of a well share its history and are no independent evidence. Labels
move within plates only, so differences between plates are the same under the null as in the data.
"""

from itertools import combinations, product
from math import comb, prod

import numpy as np
from scipy.stats import false_discovery_control

BLOCK = 256
TOLERANCE = 1e-9  # relative; equal statistics that differ by rounding count as equal


def count_arrangements(labels, strata):
    """Count the distinct ways to permute labels within strata, an exact integer.

    Parameters
    ----------
    labels, strata : (n,) arrays
    """
    return prod(_multinomial(labels[strata == stratum]) for stratum in np.unique(strata))


def permuted_labels(labels, strata, permutations, seed=0):
    """Yield the labels permuted within strata, in blocks of at most 256 arrangements.

    Where there are no more distinct arrangements than `permutations` each comes exactly once, the
    observed one among them; else arrangements are drawn at random.

    Parameters
    ----------
    labels : (n,) array
    strata : (n,) array
        Plates.
    permutations : int
    seed : int

    Yields
    ------
    (b, n) array of labels
    """
    labels, strata = np.asarray(labels), np.asarray(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    if is_exhaustive(labels, strata, permutations):
        every = product(*[_arrangements(labels[rows]) for rows in members])
        arrangements = np.array([np.concatenate(parts) for parts in every])
        permuted = np.empty_like(arrangements)
        permuted[:, np.concatenate(members)] = arrangements
        for start in range(0, len(permuted), BLOCK):
            yield permuted[start : start + BLOCK]
        return
    rng = np.random.default_rng(seed)
    for start in range(0, permutations, BLOCK):
        permuted = np.tile(labels, (min(BLOCK, permutations - start), 1))
        for rows in members:
            permuted[:, rows] = rng.permuted(permuted[:, rows], axis=1)
        yield permuted


def is_exhaustive(labels, strata, permutations):
    """Tell whether `permuted_labels` goes through all distinct arrangements."""
    return count_arrangements(labels, strata) <= permutations


def p_values(observed, null, exhaustive):
    """Compute permutation p-values; large statistics are evidence.

    p = (1 + #{null >= observed}) / (N + 1) for N random permutations (Phipson & Smyth, Stat. Appl. Genet.
    Mol. Biol. 2010), and p = #{null >= observed} / N for all N arrangements, the observed one among them.

    Parameters
    ----------
    observed : (m,) array
    null : (N, m) array
    exhaustive : bool

    Returns
    -------
    p : (m,) float64 array
    attainable : (m,) float64 array
        The smallest p that the same wells could have given: 1 / (N + 1), or the share of arrangements
        that reach the largest statistic.
    """
    margin = TOLERANCE * np.abs(null).max(axis=0)
    reached = (null >= observed - margin).sum(axis=0)
    if not exhaustive:
        return (1 + reached) / (len(null) + 1), np.full(len(observed), 1 / (len(null) + 1))
    return reached / len(null), (null >= null.max(axis=0) - margin).mean(axis=0)


def benjamini_hochberg(p):
    """Correct p-values (m,) by Benjamini-Hochberg; NaN, for what was not tested, stays NaN."""
    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def difference_weights(treated, plates):
    """Weights of wells that turn their values into the difference of treated wells from controls.

    On each plate the mean of controls is taken from the mean of treated wells, and plates are averaged by
    their number of treated wells. Every plate must hold both.

    Parameters
    ----------
    treated : (b, n) bool array
        One arrangement a row; the numbers of treated wells a plate are the same in all rows.
    plates : (n,) array

    Returns
    -------
    (b, n) float64 array
        weights @ values (n, d) is the (b, d) array of differences.
    """
    codes = np.unique(plates, return_inverse=True)[1]
    counts = np.bincount(codes, weights=treated[0])
    controls = np.bincount(codes) - counts
    positive, negative = 1 / counts.sum(), counts / controls / counts.sum()
    return np.where(treated, positive, -negative[codes])


def treated_and_controls(treated, control, plates):
    """Find the rows that a comparison with controls of the same plates can use.

    Parameters
    ----------
    treated, control : (n,) bool arrays
    plates : (n,) array

    Returns
    -------
    (m,) int64 array
        Rows of treated or control wells on plates that hold both.
    """
    shared = np.isin(plates, plates[treated]) & np.isin(plates, plates[control])
    return np.flatnonzero((treated | control) & shared)


def _multinomial(labels):
    """Count the distinct orders of labels."""
    counts = np.unique(labels, return_counts=True)[1].tolist()
    return prod(comb(sum(counts[: i + 1]), count) for i, count in enumerate(counts))


def _arrangements(labels):
    """All distinct orders of labels (n,), an array of one a row."""
    values, counts = np.unique(labels, return_counts=True)
    if len(values) < 2:
        return labels[None]
    n = len(labels)
    places = np.array(list(combinations(range(n), int(counts[0]))))
    here = np.zeros((len(places), n), dtype=bool)
    np.put_along_axis(here, places, True, axis=1)
    rest = _arrangements(labels[labels != values[0]])
    orders = np.full((len(places), len(rest), n), values[0])
    orders[np.broadcast_to(~here[:, None], orders.shape)] = np.tile(rest, (len(places), 1)).ravel()
    return orders.reshape(-1, n)
