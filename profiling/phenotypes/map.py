"""The t-SNE map of cells, and the place of new cells on it."""

import numpy as np
from openTSNE import TSNEEmbedding
from openTSNE.affinity import Multiscale, PerplexityBasedNN
from threadpoolctl import threadpool_limits

from profiling.phenotypes.assign import assign
from profiling.phenotypes.normalise import require_finite
from profiling.phenotypes.reduce import fit_pca, moments, transform

SMALLEST = 8  # below this t-SNE has no neighbourhoods to speak of
EXACT_NEIGHBOURS = 50_000  # approximate (Annoy) above
INTERPOLATE_FROM = 5_000  # measured: Barnes-Hut is faster below, FFT interpolation above
MULTISCALE_FROM = 50_000
EXAGGERATE_FROM = 100_000


def fit_map(x, perplexity=30.0, seed=0, threads=1, iterations=500, exaggeration=None, multiscale=None):
    """Lay cells out on a plane by t-SNE (openTSNE; Poličar et al., J. Stat. Softw. 2024).

    Choices for faithful global structure follow Kobak & Berens, Nat. Commun. 2019: the first two
    principal components scaled to a standard deviation of 1e-4 as the start, affinities of two scales
    from 50,000 cells on, and late exaggeration 4 from 100,000 cells on. The learning rate is
    n / exaggeration (Belkina et al., Nat. Commun. 2019).

    Parameters
    ----------
    x : (n, d) float array
        Normalised principal components of a sample of cells.
    perplexity : float
        Capped at (n - 1) / 3.
    seed : int
        Of the jitter of the start, and of approximate neighbours above 50,000 cells.
    threads : int
        The result is the same for the same number of threads.
    iterations : int
        After 250 with early exaggeration 12.
    exaggeration : float, optional
        1 keeps plain t-SNE; larger pulls neighbours together. By the number of cells where None.
    multiscale : bool, optional
        Add the perplexity n / 100, at most 200. By the number of cells where None.

    Returns
    -------
    (n, 2) float32 array
        Below 8 cells, the first two principal components.

    Raises
    ------
    ValueError
        If x holds a value that is not finite.
    """
    require_finite(x)
    n = len(x)
    start = _start(x, seed)
    if n < SMALLEST:
        return (start * 1e4).astype(np.float32)
    multiscale = n >= MULTISCALE_FROM if multiscale is None else multiscale
    exaggeration = (4.0 if n >= EXAGGERATE_FROM else 1.0) if exaggeration is None else exaggeration
    with threadpool_limits(limits=threads):
        affinities = _affinities(x, perplexity, multiscale, seed, threads)
        layout = _embedding(start, affinities, seed, threads)
        layout.optimize(250, exaggeration=12, momentum=0.5, inplace=True)
        layout.optimize(iterations, exaggeration=exaggeration, momentum=0.8, inplace=True)
    return np.asarray(layout, dtype=np.float32)


def place(x_new, x_sample, coordinates, perplexity=5.0, seed=0, threads=1, iterations=250):
    """Place new cells on a finished map; neither the map nor other new cells move them.

    Each new cell starts at the median of its 25 nearest sample cells and is optimised against the
    sample alone (Poličar et al., Mach. Learn. 2023), from arrays only: no pickled model is needed.

    Parameters
    ----------
    x_new : (m, d) float array
    x_sample : (n, d) float array
        What the map was fitted on.
    coordinates : (n, 2) array
        What `fit_map` returned for it.
    perplexity : float
        Capped at (n - 1) / 3.
    seed, threads, iterations : int
        See `fit_map`.

    Returns
    -------
    (m, 2) float32 array
        Where the sample has fewer than 8 cells, the coordinates of the nearest one.

    Raises
    ------
    ValueError
        If there are new cells but no sample, the lengths of the sample and its coordinates differ, or a
        value is not finite.
    """
    require_finite(x_new)
    if len(x_sample) != len(coordinates):
        raise ValueError(f"the sample has {len(x_sample)} cells and {len(coordinates)} coordinates")
    if len(x_new) == 0:
        return np.empty((0, 2), dtype=np.float32)
    if len(x_sample) == 0:
        raise ValueError("an empty map has no place for new cells")
    if len(x_sample) < SMALLEST:
        return np.asarray(coordinates, dtype=np.float32)[assign(x_new, x_sample)[0] - 1]
    with threadpool_limits(limits=threads):
        affinities = _affinities(x_sample, perplexity, False, seed, threads)
        # transform() moves the sample's box to the origin: do that first, and undo it
        centre = (np.max(coordinates, axis=0) + np.min(coordinates, axis=0)) / 2
        sample = _embedding(coordinates - centre, affinities, seed, threads)
        placed = centre + sample.transform(x_new, perplexity=affinities.perplexity, n_iter=iterations)
    return np.asarray(placed, dtype=np.float32)


def _affinities(x, perplexity, multiscale, seed, threads):
    n = len(x)
    perplexity = min(perplexity, (n - 1) / 3)
    method = "exact" if n <= EXACT_NEIGHBOURS else "annoy"
    shared = {"method": method, "n_jobs": threads, "random_state": seed}
    if multiscale and n / 100 > perplexity:
        return Multiscale(x, perplexities=[perplexity, min(n / 100, 200)], **shared)
    return PerplexityBasedNN(x, perplexity=perplexity, **shared)


def _embedding(coordinates, affinities, seed, threads):
    method = "bh" if len(coordinates) < INTERPOLATE_FROM else "fft"
    return TSNEEmbedding(
        np.asarray(coordinates, dtype=np.float64),
        affinities,
        negative_gradient_method=method,
        learning_rate="auto",
        n_jobs=threads,
        random_state=seed,
    )


def _start(x, seed):
    """First two principal components, scaled to 1e-4, with jitter so that equal cells can part."""
    start = np.zeros((len(x), 2))
    if len(x) and np.ptp(x, axis=0).any():
        scores = transform(x, fit_pca(*moments(x)[1:], components=2))
        start[:, : scores.shape[1]] = scores * (1e-4 / scores[:, 0].std())
    return start + np.random.default_rng(seed).normal(0, 1e-6, start.shape)
