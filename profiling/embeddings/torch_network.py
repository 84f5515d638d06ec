"""A network on a torch device, in batches that fit into its memory."""

import copy
from contextlib import nullcontext
from dataclasses import replace

import torch

from profiling.devices import reproducible
from profiling.embeddings.network import FeatureNetwork
from profiling.errors import ProfilingError
from profiling.progress import log

CPU_BATCH = 64
LARGEST_GUESS = 1024
"""Images of a batch at most; on an H100 the figures of benchmarks/README.md are with it."""
PROBE = 8
MEMORY_SIGNS = ("out of memory", "can't allocate memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


class DeviceNetwork:
    """From images on a device to pooled features, whatever their number; the one forward pass of the torch engine.

    Where memory runs out, the batch is halved and the same images are run again; the smaller batch is kept. On CUDA
    every batch has the same number of images, the last one filled up, and is replayed as a CUDA graph: launching the
    150 kernels of a small network one by one takes Python as long as running them takes the device.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
        Copied, so that other engines can be made of it.
    pooling : str
    device : torch.device
    precision : {"auto", "fp32", "bf16"}
        ``auto`` is fp32.
    batch_size : int, optional
        Images a batch to begin with. Default: on CUDA what half of the free memory holds, 1,024 at most; else 64.
    compiled : bool
        Whether torch compiles the network: about 40 s at the start, against the seconds that a chunk of a screen takes.
    """

    def __init__(self, backbone, pooling, device, precision="fp32", batch_size=None, compiled=False):
        own = replace(backbone, network=copy.deepcopy(backbone.network))
        network = FeatureNetwork(own, pooling, precision == "bf16")
        self.network = network.eval().to(device=device, memory_format=torch.channels_last)
        self.device, self.compiled = device, compiled
        self.fixed = device.type == "cuda"
        self.wanted, self.batch_size, self.shape, self.run = batch_size, None, None, None

    @torch.inference_mode()
    def __call__(self, images):
        """Features of images.

        Parameters
        ----------
        images : torch.Tensor of float32, shape (N, c, S, S)
            On the device, in [0, 1], N > 0.

        Returns
        -------
        torch.Tensor of float32, shape (N, D)
            On the device. Independent of the batch size to the rounding of the hardware; the same bits for the same
            batch size on the same hardware.

        Raises
        ------
        ProfilingError
            If a single image does not fit into the memory.
        """
        if tuple(images.shape[1:]) != self.shape:
            self.prepare(tuple(images.shape[1:]))
        parts, start = [], 0
        while start < len(images):
            with on(self.device), reproducible(self.device):
                features = attempt(self._batch, images[start : start + self.batch_size])
            if features is None:
                self.shrink()
                continue
            parts.append(features)
            start += len(features)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @torch.inference_mode()
    def prepare(self, shape):
        """Settle the batch size for images of a shape (c, S, S); returns the number of features D."""
        self.shape, self.run = shape, None
        self.batch_size = self.wanted or self._guess()
        return self(torch.zeros(1, *shape, device=self.device)).shape[1]

    def shrink(self):
        """Halve the batch after the memory ran out."""
        if self.batch_size == 1:
            raise ProfilingError(
                f"the memory of device {self.device} does not hold one image of {self.shape[-1]} pixels a side: end "
                "other programs there, take a smaller embedding.input_size or backbone, or set embedding.device to cpu"
            )
        self.batch_size = max(1, self.batch_size // 2)
        self.run = None
        with on(self.device):
            free_memory(self.device)
        log.info("device %s is out of memory: %d images a batch from here on", self.device, self.batch_size)

    def _batch(self, images):
        count = len(images)
        if self.fixed and count < self.batch_size:
            images = torch.cat([images, images.new_zeros(self.batch_size - count, *self.shape)])
        if self.run is None:
            self.run = self._ready(images)
        return self.run(images)[:count]

    def _ready(self, images):
        """What runs a batch like this one."""
        run = compile_network(self.network, images) if self.compiled else self.network
        if self.device.type != "cuda":
            return run
        try:
            return capture(run, images)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            log.info("no CUDA graph of this network (%s); it runs without", str(error).splitlines()[0])
            return run

    def _guess(self):
        if self.device.type != "cuda":
            return CPU_BATCH
        with on(self.device), reproducible(self.device):
            peaks = [self._peak(PROBE), self._peak(4 * PROBE)]
            free_memory(self.device)
            if None in peaks:
                return 1
            return largest_batch(torch.cuda.mem_get_info()[0], (peaks[1] - peaks[0]) / (3 * PROBE))

    def _peak(self, count):
        """Bytes of the device that are in use at most while so many images go through; None if they do not fit."""
        torch.cuda.reset_peak_memory_stats()
        fits = attempt(self.network, torch.zeros(count, *self.shape, device=self.device)) is not None
        return torch.cuda.max_memory_allocated() if fits else None


def largest_batch(free, image):
    """The power of two of images, each so many bytes, that half of the free bytes hold."""
    fitting = max(1, int(free / 2 / max(1, image)))
    return min(LARGEST_GUESS, 2 ** (fitting.bit_length() - 1))


def attempt(function, *arguments):
    """What the function returns, or None where the memory runs out.

    The error is let go of before this returns: its traceback holds on to the memory that was in use.
    """
    try:
        return function(*arguments)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    return None


def out_of_memory(error):
    """Whether an error says that a device, or the computer, has no memory left."""
    known = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
    return known or any(sign in str(error) for sign in MEMORY_SIGNS)


def free_memory(device):
    """Give memory that torch holds in reserve back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def on(device):
    """Context in which CUDA's own calls go to this device and touch no other."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def capture(run, images):
    """Record a network as a CUDA graph; the function returned replays it on images of the same shape."""
    static = images.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        run(static)  # libraries choose algorithms and take memory at the first run, which cannot be recorded
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # Fields are uploaded on another thread meanwhile, which concerns this recording only in its default mode.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = run(static)

    def replay(batch):
        static.copy_(batch)
        graph.replay()
        return output.clone()

    return replay


def compile_network(network, images):
    """Compile a network for images of one shape; traced first, since hooks and their exceptions do not compile."""
    from torch.fx.experimental.proxy_tensor import make_fx

    with torch.inference_mode(False), torch.no_grad():
        traced = make_fx(network)(torch.zeros_like(images))
    return torch.compile(traced, dynamic=False)
