"""Normalisation on negative controls: a robust z-score per plate, and sphering."""

import warnings

import numpy as np
import pandas as pd

NORMAL_CONSISTENCY = 1.4826  # MAD of a normal distribution to its standard deviation
ROWS = 8192
COLUMNS = 64


def fit_scaler(controls):
    """Fit the robust z-score of one plate on its negative controls.

    Parameters
    ----------
    controls : (n, d) array
        Features of the plate's negative control cells that passed quality.

    Returns
    -------
    median, mad : (d,) float64 arrays
        Median and median absolute deviation about it (not scaled). Both are NaN for a feature with a
        value that is not finite, so that `usable_features` drops it.

    Raises
    ------
    ValueError
        If there are no controls.
    """
    if len(controls) == 0:
        raise ValueError("no negative control cells to fit the normalisation on")
    d = controls.shape[1]
    median, mad = np.empty(d), np.empty(d)
    for start in range(0, d, COLUMNS):
        block = slice(start, start + COLUMNS)
        values = np.array(controls[:, block].T, dtype=np.float64, order="C")
        values[~np.isfinite(values).all(axis=1)] = np.nan
        median[block] = np.median(values, axis=1)
        mad[block] = np.median(np.abs(values - median[block, None]), axis=1, overwrite_input=True)
    return median, mad


def usable_features(mads):
    """Tell the features that every plate can scale: those whose MAD is finite and positive on all.

    A feature without spread on one plate is dropped for the whole screen; dividing by a small number
    instead would turn rounding into phenotypes.

    Parameters
    ----------
    mads : (plates, d) array

    Returns
    -------
    (d,) bool array
    """
    mads = np.atleast_2d(mads)
    return (np.isfinite(mads) & (mads > 0)).all(axis=0)


def dropped_features(mads, names, plates):
    """List what `usable_features` drops, by name and with the plate that is the cause.

    Parameters
    ----------
    mads : (plates, d) array
    names : d feature names
    plates : names of the plates

    Returns
    -------
    DataFrame
        Feature, Metadata_Plate, Reason ("no spread" or "not finite"); one row a feature and plate.
    """
    mads = np.atleast_2d(mads)
    plate, feature = np.nonzero(~(np.isfinite(mads) & (mads > 0)))
    return pd.DataFrame(
        {
            "Feature": np.asarray(names, dtype=object)[feature],
            "Metadata_Plate": np.asarray(plates, dtype=object)[plate],
            "Reason": np.where(np.isfinite(mads[plate, feature]), "no spread", "not finite"),
        }
    )


def zscore(x, median, mad, clip=10.0):
    """Scale features to robust z-scores, z = (x - median) / (1.4826 MAD), clipped to [-clip, clip].

    Parameters
    ----------
    x : (n, d) array of floats
    median, mad : (d,) arrays
        As `fit_scaler` returns them, usable features only.
    clip : float
        Limit in robust standard deviations.

    Returns
    -------
    (n, d) float32 array

    Raises
    ------
    ValueError
        If a MAD is not finite and positive, or x holds a value that is not finite.
    """
    unusable = np.flatnonzero(~usable_features(mad))
    if len(unusable):
        raise ValueError(f"features without spread must be dropped first: {_listed(unusable)}")
    require_finite(x)
    scale = NORMAL_CONSISTENCY * np.asarray(mad, dtype=np.float64)
    z = np.empty(x.shape, dtype=np.float32)
    for start in range(0, len(x), ROWS):
        block = slice(start, start + ROWS)
        z[block] = np.clip((x[block] - median) / scale, -clip, clip)
    return z


def sphering(controls, regularisation):
    """Fit the sphering (ZCA whitening) transform W = V (Λ + λI)^(-1/2) Vᵀ on negative controls.

    Λ and V are the eigenvalues and eigenvectors of the controls' covariance; the covariance of
    transformed controls tends to I as λ → 0 (Kessy, Lewin & Strimmer, Am. Stat. 2018; Ando et al.,
    bioRxiv 161422). Apply it as `sphere(x, mean, W)`.

    Parameters
    ----------
    controls : (n, d) array, n >= 2
        Negative controls, usually profiles of control wells.
    regularisation : float
        λ >= 0, in the units of the controls' variance.

    Returns
    -------
    mean : (d,) float64 array
    W : (d, d) float64 array, symmetric

    Raises
    ------
    ValueError
        If n < 2, λ < 0, or λ = 0 while the controls do not span all d dimensions.

    Warns
    -----
    UserWarning
        If there are no more controls than dimensions: the directions in which the controls do not vary
        are then stretched by λ^(-1/2). Reduce the dimensions first, or raise λ.
    """
    controls = np.asarray(controls, dtype=np.float64)
    n, d = controls.shape
    if n < 2 or regularisation < 0:
        raise ValueError(f"sphering needs at least 2 controls and λ >= 0, got {n} and {regularisation}")
    require_finite(controls)
    mean = controls.mean(axis=0)
    variance, vectors = np.linalg.eigh(np.cov(controls, rowvar=False, ddof=1).reshape(d, d))
    variance = np.maximum(variance, 0)
    flat = int((variance <= variance.max() * d * np.finfo(float).eps).sum())
    if regularisation == 0 and flat:
        raise ValueError(f"{n} controls leave {flat} of {d} dimensions without variance: reduce first or raise λ")
    if n <= d:
        warnings.warn(
            f"sphering on {n} controls in {d} dimensions stretches {flat} of them by "
            f"{regularisation**-0.5:.3g}: reduce first or raise λ",
            stacklevel=2,
        )
    return mean, (vectors / np.sqrt(variance + regularisation)) @ vectors.T


def sphere(x, mean, transform):
    """Apply `sphering`: (x - mean) W, (n, d) -> (n, d) float32."""
    return ((x - mean) @ transform).astype(np.float32)


def require_finite(x, names=None):
    """Raise a ValueError that names the columns of x (n, d) with values that are not finite.

    Parameters
    ----------
    x : (n, d) array
    names : d column names, optional
        Columns are named by their position without them.
    """
    bad = np.zeros(x.shape[1], dtype=np.int64)
    for start in range(0, len(x), ROWS):
        bad += (~np.isfinite(x[start : start + ROWS])).sum(axis=0)
    columns = np.flatnonzero(bad)
    if len(columns):
        labels = columns if names is None else np.asarray(names, dtype=object)[columns]
        raise ValueError(f"{bad.sum()} values are not finite, in columns {_listed(labels)}")


def _listed(labels, most=8):
    shown = ", ".join(str(label) for label in labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"
