"""Whether features computed in bf16 are as good as those in fp32: the same neighbours and the same clusters."""

from typing import NamedTuple

import numpy as np

NEIGHBOURS = 10
CLUSTERS, COMPONENTS, STARTS = 15, 50, 10
SEED_PAIRS = ((0, 1), (1, 2), (2, 0))
MINIMUM_CELLS = 200  # ten neighbours and 15 clusters of fewer cells say little
KNN_NEEDED, CLUSTERS_NEEDED = 0.95, 0.95


class Agreement(NamedTuple):
    """How far two sets of features agree on the same cells.

    Attributes
    ----------
    neighbours : float
        Share of the nearest neighbours that are the same.
    clusters : float
        Adjusted Rand index between clusters of one set and clusters of the other.
    ceiling : float
        The same between two seeds of k-means on the reference: what two equal sets would reach.
    """

    neighbours: float
    clusters: float
    ceiling: float

    def passes(self):
        """Whether the other features may stand in for the reference."""
        return self.neighbours >= KNN_NEEDED and self.clusters >= CLUSTERS_NEEDED * self.ceiling


def compare(reference, other):
    """Agreement of features on the same cells.

    Features are standardised. Neighbours are the ten nearest by cosine; clusters are those of k-means (Lloyd, several
    starts, k = 15) on at most 50 principal components, and their adjusted Rand index is the mean over pairs of seeds.

    Parameters
    ----------
    reference, other : ndarray of float32, shape (N, F)
        At least 200 cells.

    Returns
    -------
    Agreement
    """
    from sklearn.metrics import adjusted_rand_score

    reference, other = standardise(reference), standardise(other)
    mine, theirs = nearest(reference), nearest(other)
    shared = np.mean([np.isin(a, b).mean() for a, b in zip(mine, theirs, strict=True)])
    seeds = sorted({seed for pair in SEED_PAIRS for seed in pair})
    first, second = ({seed: cluster(features, seed) for seed in seeds} for features in (reference, other))
    clusters = np.mean([adjusted_rand_score(first[a], second[b]) for a, b in SEED_PAIRS])
    ceiling = np.mean([adjusted_rand_score(first[a], first[b]) for a, b in SEED_PAIRS])
    return Agreement(float(shared), float(clusters), float(ceiling))


def standardise(features):
    """Features of mean 0 and standard deviation 1; those that do not vary are 0."""
    centred = features - features.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def nearest(features, count=NEIGHBOURS):
    """The nearest cells of each cell by cosine, (N, count), in no order."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argpartition(-similarity, count, axis=1)[:, :count]


def cluster(features, seed):
    """Labels of k-means on principal components."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    components = min(COMPONENTS, *features.shape)
    scores = PCA(components, svd_solver="covariance_eigh").fit_transform(features)
    return KMeans(CLUSTERS, n_init=STARTS, random_state=seed).fit_predict(scores)
