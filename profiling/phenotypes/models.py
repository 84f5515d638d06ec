"""Fitted models on disk: named arrays in one .npz, never pickles."""

from pathlib import Path

import numpy as np

from profiling.errors import ProfilingError
from profiling.files import whole_file


def save_arrays(path, **arrays):
    """Write named arrays to an .npz, whole or not at all.

    Parameters
    ----------
    path : path ending in .npz
        Its folder is made where needed.
    **arrays : array_like
        Numbers, booleans or text.

    Raises
    ------
    TypeError
        If an array holds Python objects.
    ValueError
        If the path does not end in .npz.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"models are saved as .npz, got {path.name}")
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise TypeError(f"only plain arrays can be saved, not Python objects: {', '.join(objects)}")
    with whole_file(path) as temporary:
        np.savez(temporary, **arrays)


def load_arrays(path):
    """Read what `save_arrays` wrote, as a dict of arrays; files with pickles or larger contents are refused."""
    with np.load(path, allow_pickle=False) as file:
        unpacked = sum(member.file_size for member in file.zip.infolist())
        if unpacked > Path(path).stat().st_size:
            raise ProfilingError(f"{path}: unpacks to {unpacked} bytes; save it uncompressed, by numpy.savez")
        arrays = {name: file[name] for name in file.files}
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ProfilingError(f"{path}: holds something else than arrays; have the workflow make it again")
    return arrays
