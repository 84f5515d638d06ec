"""The torch engine: a network in memory, on a GPU or as the reference on a CPU."""

import torch

from profiling.embeddings.backbones import load_backbone
from profiling.embeddings.devices import choose_device
from profiling.embeddings.embedder import Embedder
from profiling.embeddings.network import FeatureNetwork
from profiling.memory import keep_memory


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
    return torch_embedder(loaded, device, precision, composite, pooling, batch_size)


def torch_embedder(backbone, device, precision="fp32", composite=False, pooling="mean+std", batch_size=None):
    """The embedder of a loaded backbone on a torch device; see :func:`load_embedder`."""
    keep_memory()
    half = precision == "bf16"
    network = FeatureNetwork(backbone, pooling, half).to(device=device, memory_format=torch.channels_last)

    def forward(images):
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(device)
            return network(batch).cpu().numpy()

    return Embedder(forward, composite, batch_size or (64 if device.type == "cpu" else 512))
