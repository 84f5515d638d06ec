"""Choice of the compute device; one process a GPU."""

import fcntl
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

_held = []


def accelerator_present():
    """Whether the machine has an NVIDIA or Apple GPU, found out without importing torch."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return apple or any(Path("/dev").glob("nvidia[0-9]*"))


def choose_device(device="auto", wait=10.0):
    """Torch device for this process, alone on its GPU until the process ends.

    Where a scheduler has set ``CUDA_VISIBLE_DEVICES`` its choice is taken. Otherwise the first GPU whose lock
    file is free is taken; the lock goes with the process, also when it crashes. Nothing touches a GPU when the
    device is ``cpu``.

    Parameters
    ----------
    device : {"auto", "cuda", "mps", "cpu"}
        ``auto`` is CUDA, then MPS, then the CPU.
    wait : float
        Seconds between two tries while all GPUs are taken.

    Returns
    -------
    torch.device

    Raises
    ------
    RuntimeError
        If ``cuda`` or ``mps`` is asked for and there is none.
    """
    import torch

    if device == "cpu":
        return torch.device("cpu")
    if device in ("auto", "cuda") and torch.cuda.device_count():
        assigned = "CUDA_VISIBLE_DEVICES" in os.environ
        return torch.device("cuda", 0 if assigned else _lock_one(torch.cuda.device_count(), wait))
    if device in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    if device != "auto":
        raise RuntimeError(f"embedding.device is {device} but there is none; set it to auto or cpu")
    return torch.device("cpu")


def _lock_one(count, wait):
    folder = Path(os.environ.get("PROFILING_LOCKS", tempfile.gettempdir()))
    while True:
        for index in range(count):
            handle = _open_lock(folder / f"profiling-gpu-{index}.lock")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
            else:
                _held.append(handle)
                return index
        time.sleep(wait)


def _open_lock(path):
    """Open a lock file that other users of the machine can open too, whoever made it."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o666)
    except FileExistsError:
        return os.open(path, os.O_RDONLY)
    os.fchmod(handle, 0o666)
    return handle
