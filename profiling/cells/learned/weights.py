"""Weights of the network as a safetensors file: half precision, with what they are in the header."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from profiling.errors import ProfilingError
from profiling.files import hash_file, sort_header, whole_file

FORMAT = "profiling nucleus network 2"
SHIPPED = Path(__file__).with_name("nuclei.safetensors")
CALMER = "train it again, with a lower `learning_rate`"


def write_weights(path, state, facts):
    """Write the weights of a trained network.

    Parameters
    ----------
    path : str or Path
    state : dict of str to ndarray
        The state dict; kernels are rounded to float16, which is half the file and moves no outline by a pixel.
    facts : dict of str to str
        What to say of them: data, licence, metrics, settings.

    Raises
    ------
    ProfilingError
        If a number is not finite, as in a training that diverged.
    """
    tensors = {
        name: np.ascontiguousarray(values, np.float16 if values.ndim == 4 else np.float32)
        for name, values in state.items()
        if not name.endswith("num_batches_tracked")
    }
    if broken := _not_finite(tensors):
        raise ProfilingError(f"The network diverged ({broken} is not finite), {path} is not written; {CALMER}.")
    with whole_file(path) as temporary:
        temporary.write_bytes(sort_header(save(tensors, metadata={"format": FORMAT, **facts})))


def read_weights(path=None):
    """Read the weights of a network.

    Parameters
    ----------
    path : str or Path, optional
        Left out: those that come with the installation.

    Returns
    -------
    dict of str to float32 ndarray

    Raises
    ------
    ProfilingError
        If the file is missing, or is not what `write_weights` wrote.
    """
    path = Path(path or SHIPPED)
    if not path.is_file():
        raise ProfilingError(f"There is no weights file {path}; train-segmenter writes one.")
    try:
        with safe_open(path, "np") as file:
            found = (file.metadata() or {}).get("format", "")
            if found != FORMAT and found.startswith(FORMAT[:-1]):
                raise ProfilingError(f"{path} is of another form of the nucleus network; train it again.")
            if found != FORMAT:
                raise ProfilingError(f"{path} holds no nucleus network; train-segmenter writes one.")
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}
        with safe_open(SHIPPED, "np") as file:
            ranks = {name: len(file.get_slice(name).get_shape()) for name in file.keys()}
    except (SafetensorError, TypeError) as error:
        raise ProfilingError(f"{path} cannot be read as safetensors: {error}.") from None
    if other := [name for name, rank in ranks.items() if name not in tensors or tensors[name].ndim != rank]:
        raise ProfilingError(
            f"{path}: {len(other)} tensors are not those of the network, {other[0]} first; copy it again."
        )
    if broken := _not_finite(tensors):
        raise ProfilingError(f"{path} is of a training that diverged ({broken} is not finite); {CALMER}.")
    return tensors


def _not_finite(tensors):
    """Name of the first tensor that holds NaN or an infinite number, None without any."""
    return next((name for name, values in tensors.items() if not np.isfinite(values).all()), None)


def weights_hash(path=None):
    """SHA-256 of a weights file, hexadecimal."""
    return hash_file(path or SHIPPED)
