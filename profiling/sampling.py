"""Samples of cells that depend on the cells' keys alone, never on row order or on a library's hash."""

from hashlib import blake2b

import numpy as np
import pandas as pd

NAME_COLUMNS = ("Metadata_Plate", "Metadata_Well")
NUMBER_COLUMNS = ("Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_CellID")
WITH_DEFAULT_ZERO = ("Metadata_Time", "Metadata_Z")


def key_hash(frame, seed=0):
    """Hash the key of every cell to 64 bits.

    Each distinct plate and well name is hashed once (BLAKE2b); the six parts of the key are then chained
    with the SplitMix64 finaliser (Steele et al., OOPSLA 2014). The result is the same for any row order,
    column type (string, categorical, int32, int64, whole floats) and library version.

    Parameters
    ----------
    frame : DataFrame, n rows
        Columns Metadata_Plate, Metadata_Well, Metadata_Site, Metadata_CellID, and Metadata_Time and
        Metadata_Z, which are 0 where absent.
    seed : int

    Returns
    -------
    (n,) uint64 array

    Raises
    ------
    ValueError
        If a key column is missing, or one of numbers holds nulls or fractions.
    """
    missing = [c for c in NAME_COLUMNS + NUMBER_COLUMNS if c not in frame and c not in WITH_DEFAULT_ZERO]
    if missing:
        raise ValueError(f"cell key columns are missing: {', '.join(missing)}")
    state = _mix(np.full(len(frame), seed % 2**64, dtype=np.uint64))
    for column in NAME_COLUMNS:
        state = _mix(state ^ _hash_names(frame[column]))
    for column in NUMBER_COLUMNS:
        numbers = _whole_numbers(frame[column]) if column in frame else np.zeros(1, dtype=np.int64)
        state = _mix(state ^ _mix(numbers.view(np.uint64)))
    return state


def stratified_sample(frame, size, by=("Metadata_Plate", "Metadata_Well"), seed=0):
    """Choose cells as evenly as possible over nested strata: over plates first, then wells of a plate.

    Cells queue by their `key_hash` within a well, the wells of a plate take turns, then the plates take
    turns, and the first `size` cells are chosen. A stratum that runs out gives all it has and the others
    go on, and a smaller sample is always a subset of a larger one.

    Parameters
    ----------
    frame : DataFrame, n rows
        Cell key columns (see `key_hash`) and the columns `by`.
    size : int
        Cells wanted; all are taken where there are fewer.
    by : sequence of str
        Columns of the strata, outermost first. Nulls form a stratum of their own.
    seed : int

    Returns
    -------
    (min(size, n),) int64 array
        Row positions, ascending.

    Raises
    ------
    ValueError
        If size is negative or a key column is missing (see `key_hash`).
    """
    if size < 0:
        raise ValueError(f"the sample size must not be negative, got {size}")
    if size >= len(frame):
        return np.arange(len(frame))
    by = list(by)
    queue = np.argsort(key_hash(frame, seed), kind="stable")
    for depth in range(len(by), 0, -1):
        stratum = frame.groupby(by[:depth], dropna=False, observed=True, sort=False).ngroup().to_numpy()
        turn = _turns(stratum[queue])
        queue = queue[np.argsort(turn, kind="stable")]
    return np.sort(queue[:size])


def _turns(stratum):
    """Count, for every element, the earlier elements of the same stratum."""
    order = np.argsort(stratum, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(stratum))])[stratum[order]]
    turns = np.empty(len(stratum), dtype=np.int64)
    turns[order] = np.arange(len(stratum)) - first
    return turns


def _mix(x):
    """Scramble 64-bit integers by the finaliser of SplitMix64; products wrap."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hash_names(names):
    """Hash a column of strings, each distinct value once; a null hashes as a value of its own."""
    codes, distinct = pd.factorize(names, use_na_sentinel=False)
    texts = ["\0" if pd.isna(name) else str(name) for name in distinct]
    digests = b"".join(blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)[codes]


def _whole_numbers(column):
    """Return a column of whole numbers as int64, whatever its type."""
    if column.isna().any():
        raise ValueError(f"{column.name} holds {int(column.isna().sum())} nulls")
    values = column.to_numpy()
    numbers = values.astype(np.int64)
    if values.dtype.kind == "f" and not np.array_equal(values, numbers):
        raise ValueError(f"{column.name} must hold whole numbers")
    return numbers
