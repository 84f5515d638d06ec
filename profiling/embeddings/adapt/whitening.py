"""Principal components of equal variance: the space in which features are compared, as the workflow's reduction."""

from typing import NamedTuple

import numpy as np


class Whitening(NamedTuple):
    """A fitted whitening: ``(features - mean) @ matrix``.

    Attributes
    ----------
    mean : ndarray of float32, shape (D,)
    matrix : ndarray of float32, shape (D, K)
    """

    mean: np.ndarray
    matrix: np.ndarray


def fit_whitening(features, components, complete=False):
    """Standardise features, turn them to principal components and scale these to near unit variance.

    Parameters
    ----------
    features : ndarray of float32, shape (N, D)
    components : int
        Kept at most; fewer where N or D is smaller. The variance of the last one is added before the root, as in
        the setting ``reduction.whiten``, so that components that are mostly noise are not blown up.
    complete : bool
        Keep the components beyond these too, with less weight than the last of them: distances in this space are 0 only
        for features that are equal.

    Returns
    -------
    Whitening
        A feature that does not vary gets a weight of 0.
    """
    features = np.asarray(features, np.float64)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    weights = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(spread.max(), 1e-12))
    scaled = (features - mean) * weights
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    kept = min(components, len(features) - 1, int((values > 1e-9 * max(values[-1], 1e-12)).sum()))
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    ridge, kept = values[max(kept - 1, 0)], len(values) if complete and kept else kept
    matrix = weights[:, None] * vectors[:, :kept] / np.sqrt(values[:kept] + ridge)
    return Whitening(mean.astype(np.float32), matrix.astype(np.float32))


def whiten(features, whitening):
    """Features (N, D) in the whitened space, (N, K); arrays or tensors."""
    return (features - whitening.mean) @ whitening.matrix
