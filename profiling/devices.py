"""Choice of the compute device, one process a GPU, and arithmetic on it that is the same on every run."""

import fcntl
import os
import platform
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from profiling.errors import ProfilingError
from profiling.progress import log

NO_DEVICES = ("", "-1", "NoDevFiles")
_held = {}


def accelerator_present():
    """Whether this process may use an NVIDIA or Apple GPU, found out without importing torch or touching the GPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in NO_DEVICES:
        return False
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return apple or Path("/dev/dxg").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def cpu_has_bf16():
    """Whether this CPU computes in bf16, rather than emulating it."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def choose_device(device="auto", wait=10.0):
    """Torch device for this process, alone on its GPU until the process ends.

    Where ``CUDA_VISIBLE_DEVICES`` names a single device, as a scheduler does that has assigned one, it is taken. Of
    several the first whose lock file is free is taken, wherever the process is given them: locks go by the identity of
    a device, not by its number, which differs between containers and jobs. A lock goes with the process, also when it
    crashes; a process that asks again gets the device it has. Nothing touches a GPU when the device is ``cpu``.

    Parameters
    ----------
    device : {"auto", "cuda", "mps", "cpu"}
        ``auto`` is CUDA, then MPS, then the CPU. An Apple GPU is shared without a lock.
    wait : float
        Seconds between two tries while all GPUs are taken.

    Returns
    -------
    torch.device

    Raises
    ------
    ProfilingError
        If ``cuda`` or ``mps`` is asked for and there is none, or there is no place for lock files, which is the folder
        for temporary files or the one named by ``PROFILING_LOCKS``.
    """
    import torch

    if device == "cpu":
        return torch.device("cpu")
    if device in ("auto", "cuda") and torch.cuda.is_available():
        if os.environ.get("CUDA_VISIBLE_DEVICES") and torch.cuda.device_count() == 1:
            return torch.device("cuda", 0)
        identities = [_identity(index) for index in range(torch.cuda.device_count())]
        return torch.device("cuda", _lock_one(identities, wait))
    if device in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    if device != "auto":
        raise ProfilingError(f"device is {device} but there is none; set it to cpu")
    return torch.device("cpu")


@contextmanager
def reproducible(device):
    """Context of plain arithmetic, the same on every run: no TF32, no choice of algorithms by timing.

    torch lets convolutions use TF32 by default, which has 10 bits of mantissa: fp32 would be 1e-3 off the CPU.
    """
    if device.type != "cuda":
        yield
        return
    import torch

    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def _identity(index):
    """What tells a CUDA device from all others: its UUID, which for a part of a GPU (MIG) is the part's own."""
    import torch

    return str(getattr(torch.cuda.get_device_properties(index), "uuid", index))


def _lock_one(identities, wait):
    """Position of the first device that no other process has; waits for one."""
    folder = Path(os.environ.get("PROFILING_LOCKS", tempfile.gettempdir()))
    paths = [folder / f"profiling-gpu-{identity}.lock" for identity in identities]
    for index, path in enumerate(paths):
        if path in _held:
            return index
    waiting = False
    while True:
        for index, path in enumerate(paths):
            handle = _lock(path)
            if handle is not None:
                _held[path] = handle
                return index
        if not waiting:
            log.info("all GPUs are taken (%d); waiting for one", len(paths))
            waiting = True
        time.sleep(wait)


def _lock(path):
    """Lock a file; returns its handle, or None where another process has it."""
    handle = _open_lock(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    if not _is_at(handle, path):
        os.close(handle)
        return _lock(path)
    return handle


def _is_at(handle, path):
    """Whether an open file is still the one at a path: temporary folders are swept, and those who come lock another."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _open_lock(path):
    """Open a lock file, made if need be; all users of the machine can open it, whoever made it."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            _make_lock(path)
        except OSError as error:
            raise ProfilingError(
                f"{path}: this lock file of a GPU cannot be opened ({error.strerror}); have it removed, or set "
                "PROFILING_LOCKS to another folder that all users of the machine can write"
            ) from None


def _make_lock(path):
    """Make a lock file that everybody can write from its first moment, unless another process is faster."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}-") as file:
            os.fchmod(file.fileno(), 0o666)
            os.link(file.name, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise ProfilingError(
            f"{path.parent}: no lock file of a GPU can be made here ({error.strerror}); set PROFILING_LOCKS to a "
            "folder that all users of the machine can write"
        ) from None
