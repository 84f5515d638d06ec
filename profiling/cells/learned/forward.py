"""The network as a function from arrays to arrays, on the CPU by OpenVINO or on a GPU by torch."""

import os
import threading

import numpy as np

from profiling.cells.learned.batching import batched
from profiling.cells.learned.normalise import VIEWS
from profiling.cells.learned.weights import read_weights
from profiling.devices import choose_device, cpu_has_bf16, reproducible
from profiling.errors import ProfilingError
from profiling.progress import log


def load_forward(weights, device="cpu", threads=None, precision="fp32"):
    """Make the function that runs the network.

    Parameters
    ----------
    weights : dict of str to ndarray
        See `weights.read_weights`.
    device : {"cpu", "cuda"}
    threads : int, optional
        Of the CPU. Left out: `OMP_NUM_THREADS`, which Snakemake sets to the threads of the job, else all cores.
    precision : {"fp32", "bf16"}
        Of the arithmetic on the CPU; bf16 where it has that, else fp32 with a warning.

    Returns
    -------
    callable
        (1, 2, H, W) float32 → (1, 4, H, W) float32, H and W multiples of `maps.STRIDE`. Several Python threads
        may call it at a time: on the CPU calls take turns, on a GPU those that wait run as one batch.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision is {precision!r}; it must be fp32 or bf16.")
    if device == "cuda":
        if precision != "fp32":
            raise ValueError("precision is a setting of the CPU; on a GPU the network is not what takes the time.")
        return _on_gpu(weights)
    if precision == "bf16" and not cpu_has_bf16():
        log.warning("this CPU does not compute in bf16: the nucleus network runs in fp32, at about half the speed")
        precision = "fp32"
    threads = threads or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return _on_cpu(weights, threads, precision)


def check_weights(path):
    """Raise ProfilingError where a file holds no network that can run.

    Parameters
    ----------
    path : str or Path
        See `weights.read_weights`.
    """
    weights = read_weights(path)
    try:
        load_forward(weights, threads=1)(np.zeros((1, VIEWS, 32, 32), np.float32))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ProfilingError(f"{path}: its tensors do not fit each other ({reason}); train it again.") from None


def _on_cpu(weights, threads, precision):
    import openvino as ov

    from profiling.cells.learned.graph import build_graph

    options = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # two jobs would be pinned to the same core
    }
    request = ov.Core().compile_model(build_graph(weights), "CPU", options).create_infer_request()
    turn = threading.Lock()

    def forward(inputs):
        with turn:
            return request.infer([inputs])[0].copy()

    return forward


def _on_gpu(weights):
    import torch

    from profiling.cells.learned.network import network_of

    device = choose_device("cuda")
    network = network_of(weights).eval().to(device, memory_format=torch.channels_last)

    def run(inputs):
        with torch.inference_mode(), reproducible(device):
            images = torch.from_numpy(inputs).pin_memory().to(device, non_blocking=True)
            return network(images.contiguous(memory_format=torch.channels_last)).cpu().numpy()

    return batched(run)


def with_flips(forward):
    """Average the maps over the four mirror images of a field: four times the time.

    Parameters
    ----------
    forward : callable
        See `load_forward`.

    Returns
    -------
    callable
        The same, with the offsets turned back; the logits are averaged.
    """

    def average(inputs):
        total = 0
        for axes in ((), (2,), (3,), (2, 3)):
            maps = np.flip(forward(np.ascontiguousarray(np.flip(inputs, axes))), axes).copy()
            for channel, axis in ((2, 2), (3, 3)):  # offsets along y and x change their sign
                if axis in axes:
                    maps[:, channel] *= -1
            total = total + maps
        return total / 4

    return average
