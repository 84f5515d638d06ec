"""The compute engine: crops in, pooled features out."""

import ctypes
from dataclasses import dataclass

import numpy as np
import torch

from profiling.embeddings.backbones import Backbone, load_backbone
from profiling.embeddings.devices import choose_device


class _Done(Exception):
    """Ends a forward pass after the last layer that is needed."""


def load_embedder(
    backbone="efficientnet_lite0",
    device="auto",
    precision="auto",
    composite=False,
    *,
    weights=None,
    layers=None,
    pooling="mean+std",
    batch_size=None,
):
    """A network that turns crops into embeddings.

    Parameters
    ----------
    backbone : str
        Name as in :func:`profiling.embeddings.backbones.load_backbone`.
    device : {"auto", "cuda", "mps", "cpu"}
        Where it runs.
    precision : {"auto", "fp32", "bf16"}
        Arithmetic; ``auto`` is fp32, which is the same on all hardware to about 1e-4.
    composite : bool
        Whether the three channels of a crop go through the network together; otherwise each channel goes
        through alone, replicated to three.
    weights, layers, pooling, batch_size
        As in :class:`profiling.settings.Embedding`.

    Returns
    -------
    Embedder
    """
    loaded = load_backbone(backbone, weights=weights, layers=layers)
    device = choose_device(device)
    network = loaded.network.to(device=device, memory_format=torch.channels_last)
    keep_freed_memory()
    batch_size = batch_size or (64 if device.type == "cpu" else 512)
    if precision == "bf16":
        network = network.to(torch.bfloat16)
    return Embedder(loaded, network, device, precision == "bf16", composite, pooling, batch_size)


@dataclass(frozen=True)
class Embedder:
    """A loaded network with the way its outputs are pooled; see :func:`load_embedder`."""

    backbone: Backbone
    network: torch.nn.Module
    device: torch.device
    half: bool
    composite: bool
    pooling: str
    batch_size: int

    def embed(self, crops):
        """Embeddings of crops.

        Parameters
        ----------
        crops : ndarray of float32, shape (N, C, S, S)
            Intensities in [0, 1]. C is 3 for a composite.

        Returns
        -------
        ndarray of float32, shape (N, C·D), or (N, D) for a composite
            Channel by channel, within a channel layer by layer: means, then standard deviations. Independent of
            the batch size to the rounding of the hardware.

        Raises
        ------
        ValueError
            If the crops have another shape.
        """
        crops = np.asarray(crops, dtype=np.float32)
        if crops.ndim != 4 or (self.composite and crops.shape[1] != 3):
            want = "(N, 3, S, S)" if self.composite else "(N, C, S, S)"
            raise ValueError(f"crops have the shape {crops.shape}, expected {want}")
        count, channels = crops.shape[:2]
        images = crops if self.composite else crops.reshape(count * channels, 1, *crops.shape[2:])
        with torch.inference_mode():
            if not len(images):
                probe = np.zeros((1, *images.shape[1:]), dtype=np.float32)
                width = self._forward(probe).shape[1]
                return np.zeros((0, width * (1 if self.composite else channels)), dtype=np.float32)
            starts = range(0, len(images), self.batch_size)
            parts = [self._forward(images[start : start + self.batch_size]) for start in starts]
        return np.concatenate(parts).reshape(count, -1)

    def _forward(self, images):
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        batch = batch.expand(-1, 3, -1, -1)
        mean = torch.tensor(self.backbone.mean, device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(self.backbone.std, device=self.device).view(1, 3, 1, 1)
        batch = ((batch - mean) / std).contiguous(memory_format=torch.channels_last)
        outputs = run_layers(self.network, batch.bfloat16() if self.half else batch, self.backbone.layers)
        return torch.cat([pool(output.float(), self.pooling) for output in outputs], dim=1).cpu().numpy()


def keep_freed_memory():
    """Let the C library keep the memory it frees, where it is glibc.

    A network frees and takes the same large buffers in every pass; giving them back to the system each time costs
    a single-threaded CPU pass up to half of its speed in page faults.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        trim_threshold, mmap_threshold = -1, -3
        library.mallopt(mmap_threshold, 1 << 30)
        library.mallopt(trim_threshold, (1 << 31) - 1)


def run_layers(network, batch, layers):
    """Outputs of named modules, in the order named; nothing after the last of them is computed.

    Parameters
    ----------
    network : torch.nn.Module
    batch : torch.Tensor
        Input of the network.
    layers : list of str
        Module names; ``last`` is the network's own output.

    Returns
    -------
    list of torch.Tensor
    """
    found = {}

    def keep(name):
        def hook(module, inputs, output):
            found[name] = output
            if all(layer in found for layer in layers):
                raise _Done

        return hook

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_hook(keep(name)) for name in layers if name != "last"]
    try:
        found["last"] = network(batch)
    except _Done:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return [found[layer] for layer in layers]


def pool(output, pooling):
    """Pool a layer's output over space (N, C, H, W) or tokens (N, T, C); (N, C) stays as it is.

    Returns
    -------
    torch.Tensor, shape (N, C) or (N, 2·C)
        Means, then for ``mean+std`` standard deviations (of the population, finite for a single position).
    """
    if output.ndim == 2:
        return output
    positions = output.flatten(2) if output.ndim == 4 else output.transpose(1, 2)
    mean = positions.mean(dim=2)
    if pooling == "mean":
        return mean
    return torch.cat([mean, positions.std(dim=2, unbiased=False)], dim=1)
