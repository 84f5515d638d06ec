"""How good features are on cells that were not learned from: retrieval of treatments, and signs of collapse."""

import numpy as np
import pandas as pd

from profiling.embeddings.adapt.whitening import fit_whitening, whiten

COMPONENTS = 50
NEIGHBOURS = 10
RESAMPLES = 1000


def retrieval(features, rows, column="Metadata_Well"):
    """Share of each cell's nearest neighbours elsewhere that have had its treatment.

    Features are whitened to 50 components first, as the workflow does, and compared by cosine.

    Parameters
    ----------
    features : ndarray of float32, shape (N, D)
    rows : pandas.DataFrame, N rows
        Metadata_Plate, Metadata_Well, Metadata_Treatment (null where there is none).
    column : {"Metadata_Well", "Metadata_Plate"}
        Neighbours in the same well, or on the same plate, do not count: cells of a well are alike for many reasons.

    Returns
    -------
    pandas.DataFrame, a row a well that could be judged
        Metadata_Plate, Metadata_Well, Metadata_Treatment, Hits (mean share among the 10 nearest) and Chance (the
        share of the treatment among the cells that could have been neighbours).
    """
    known = rows["Metadata_Treatment"].notna().to_numpy()
    rows, features = rows[known].reset_index(drop=True), features[known]
    if len(rows) < 3:
        return pd.DataFrame(columns=["Metadata_Plate", "Metadata_Well", "Metadata_Treatment", "Hits", "Chance"])
    scores = whiten(features, fit_whitening(features, COMPONENTS))
    scores /= np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-12)
    keys = ["Metadata_Plate"] if column == "Metadata_Plate" else ["Metadata_Plate", "Metadata_Well"]
    place = rows.groupby(keys, sort=False).ngroup().to_numpy()
    treatment = pd.factorize(rows["Metadata_Treatment"])[0]
    hits, chance = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for start in range(0, len(rows), 512):
        part = slice(start, start + 512)
        likeness = scores[part] @ scores.T
        allowed = place[part, None] != place
        same = treatment[part, None] == treatment
        findable = (same & allowed).any(axis=1)
        likeness[~allowed] = -np.inf
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :NEIGHBOURS]
        counted = np.take_along_axis(allowed, nearest, axis=1)
        found = (np.take_along_axis(same, nearest, axis=1) & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        share = (same & allowed).sum(axis=1) / np.maximum(allowed.sum(axis=1), 1)
        hits[part], chance[part] = np.where(findable, found, np.nan), np.where(findable, share, np.nan)
    wells = rows[["Metadata_Plate", "Metadata_Well", "Metadata_Treatment"]].assign(Hits=hits, Chance=chance)
    wells = wells.dropna(subset=["Hits"]).groupby(["Metadata_Plate", "Metadata_Well", "Metadata_Treatment"])
    return wells[["Hits", "Chance"]].mean().reset_index()


def balanced(wells, name="Hits"):
    """Mean over treatments of the means over their wells, so that many control wells do not decide."""
    return float(wells.groupby("Metadata_Treatment")[name].mean().mean()) if len(wells) else float("nan")


def gain_interval(before, after, seed=0):
    """Interval of 95 % of the gain in :func:`balanced`, by a paired bootstrap of the wells of each treatment.

    Parameters
    ----------
    before, after : pandas.DataFrame
        From :func:`retrieval` of the same cells.
    seed : int

    Returns
    -------
    (float, float)
        NaN without wells. It holds for these plates: the spread over plates and seeds is not in it.
    """
    if not len(before):
        return float("nan"), float("nan")
    gain = after["Hits"].to_numpy() - before["Hits"].to_numpy()
    groups = [gain[index] for index in before.groupby("Metadata_Treatment").indices.values()]
    rng = np.random.default_rng(seed)
    means = np.mean(
        [group[rng.integers(len(group), size=(RESAMPLES, len(group)))].mean(axis=1) for group in groups], axis=0
    )
    return tuple(np.percentile(means, [2.5, 97.5]).tolist())


def effective_rank(features):
    """Exponential of the entropy of the spectrum of standardised features (Roy & Vetterli 2007), 1 to D.

    Features that have collapsed to a few directions, the failure of learning without labels, have a small one.
    """
    spread = features.std(axis=0)
    varying = spread > 1e-6 * max(float(spread.max()), 1e-12)
    if not varying.any():
        return 1.0
    scaled = (features[:, varying] - features[:, varying].mean(axis=0)) / spread[varying]
    values = np.linalg.eigvalsh(np.asarray(scaled.T @ scaled, np.float64)).clip(0)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
