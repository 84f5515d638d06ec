"""The public way to an embedding: a network on a GPU, or as the reference on a CPU, that takes crops."""

import torch

from profiling.devices import choose_device
from profiling.embeddings.backbones import load_backbone
from profiling.embeddings.embedder import Embedder
from profiling.embeddings.torch_network import CPU_BATCH, DeviceNetwork
from profiling.embeddings.torch_transfer import download
from profiling.memory import keep_memory

GPU_BATCH = 512


def load_embedder(
    backbone="efficientnet_lite0",
    device="auto",
    precision="auto",
    composite=False,
    *,
    weights=None,
    layers=None,
    pooling="mean+std+centre",
    batch_size=None,
    channels=3,
    **options,
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
        Whether the channels of a crop go through the network together; otherwise each channel goes through alone.
    weights, layers, pooling
        As in :class:`profiling.settings.Embedding`.
    batch_size : int, optional
        Images a forward pass to begin with. Default: 64 on a CPU, else 512.
    channels : int
        Of a composite.
    **options
        Others of :func:`profiling.embeddings.backbones.load_backbone`: size, mean, std, scaling, tokens, rotations.

    Returns
    -------
    Embedder
        Its batches adapt to the memory of the device, see :class:`profiling.embeddings.torch_network.DeviceNetwork`.
    """
    keep_memory()
    loaded = load_backbone(backbone, weights, layers, channels=channels if composite else 1, **options)
    device = choose_device(device)
    batch_size = batch_size or (CPU_BATCH if device.type == "cpu" else GPU_BATCH)
    network = DeviceNetwork(loaded, pooling, device, precision, batch_size)

    def forward(images):
        return download(network(torch.from_numpy(images).to(device)))()

    return Embedder(forward, composite, batch_size, channels=channels)
