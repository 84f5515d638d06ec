"""Principal components from accumulated moments: memory holds one covariance, not the screen."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from profiling.phenotypes.normalise import require_finite

ROWS = 4096


class Moments(NamedTuple):
    """Count, mean (d,) and population covariance (d, d), divisor n, both float64."""

    n: int
    mean: np.ndarray
    cov: np.ndarray


class Reduction(NamedTuple):
    """A fitted PCA.

    mean (d,), components (k, d) with orthonormal rows, variance (k,) along them and
    variance_ratio (k,), their share of the total variance; all float64.
    """

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray
    variance_ratio: np.ndarray


def moments(x):
    """Compute the moments of one plate.

    Products are taken in the precision of x (float32 at least), block by block about the mean, and
    summed in float64.

    Parameters
    ----------
    x : (n, d) array of floats

    Returns
    -------
    Moments
        Of zeros where n is 0.

    Raises
    ------
    ValueError
        If x holds a value that is not finite.
    """
    require_finite(x)
    n, d = x.shape
    if n == 0:
        return Moments(0, np.zeros(d), np.zeros((d, d)))
    precision = np.result_type(x.dtype, np.float32)
    mean = x.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((d, d))
    for start in range(0, n, ROWS):
        centred = (x[start : start + ROWS] - mean).astype(precision, copy=False)
        scatter += centred.T @ centred
    return Moments(n, mean, scatter / n)


def pool_moments(parts: Iterable[Moments], equal_weight=True):
    """Pool the moments of plates, one at a time.

    The differences between the plates' means count as variance, as they would if the cells were put
    together. Chan, Golub & LeVeque, Am. Stat. 1983.

    Parameters
    ----------
    parts : iterable of Moments
        Of the same d; a generator keeps memory at two covariances. Plates with n = 0 are left out.
    equal_weight : bool
        Every plate weighs the same; else every cell does.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        If no part has a cell.
    """
    total, weight = None, 0.0
    for part in parts:
        if part.n == 0:
            continue
        added = 1.0 if equal_weight else float(part.n)
        weight += added
        if total is None:
            total = part
            continue
        share = added / weight
        shift = part.mean - total.mean
        cov = total.cov + share * (part.cov - total.cov) + share * (1 - share) * np.outer(shift, shift)
        total = Moments(total.n + part.n, total.mean + share * shift, cov)
    if total is None:
        raise ValueError("no cells to fit principal components on")
    return total


def fit_pca(mean, cov, components):
    """Fit principal components to pooled moments.

    Parameters
    ----------
    mean : (d,) array
    cov : (d, d) array
    components : int or float
        Number of components, or the share of the variance (0 < share < 1) that the fewest components
        must reach. Directions without variance are never returned, so there may be fewer.

    Returns
    -------
    Reduction
        The largest absolute loading of every component is positive, which fixes the signs.

    Raises
    ------
    ValueError
        If `components` is neither, or there is no variance at all.
    """
    is_share = not float(components).is_integer()
    if components <= 0 or (is_share and components > 1):
        raise ValueError(f"components must be a number >= 1 or a share between 0 and 1, got {components}")
    variance, vectors = np.linalg.eigh(cov)
    variance, vectors = variance[::-1], vectors[:, ::-1]
    rank = int((variance > max(variance[0], 0) * len(variance) * np.finfo(float).eps).sum())
    if rank == 0:
        raise ValueError("the features have no variance: there is nothing to reduce")
    ratio = variance / np.trace(cov)
    count = np.searchsorted(np.cumsum(ratio), components) + 1 if is_share else int(components)
    count = min(count, rank)
    loadings = vectors[:, :count].T
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.sign(loadings[np.arange(count), largest])
    return Reduction(np.asarray(mean, float), loadings * signs[:, None], variance[:count], ratio[:count])


def whiten(reduction):
    """Scale the components of a PCA so that strong directions weigh alike in distances.

    The variance λᵢ along a component becomes λᵢ / (λᵢ + λ), where λ is that of the last component kept: near 1
    where there is signal, 1/2 at the noise floor. Without λ, a screen of few cells drowns in whitened noise.

    Parameters
    ----------
    reduction : Reduction

    Returns
    -------
    Reduction
        The same directions, no longer orthonormal.
    """
    scale = np.sqrt(reduction.variance + reduction.variance[-1])
    return reduction._replace(components=reduction.components / scale[:, None])


def transform(x, reduction):
    """Project x (n, d) onto the principal components, -> (n, k) float32."""
    scores = np.empty((len(x), len(reduction.components)), dtype=np.float32)
    loadings = reduction.components.T.astype(np.result_type(x.dtype, np.float32))
    for start in range(0, len(x), ROWS):
        block = slice(start, start + ROWS)
        scores[block] = (x[block] - reduction.mean).astype(loadings.dtype, copy=False) @ loadings
    return scores
