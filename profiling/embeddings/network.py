"""The network as it is run and exported: normalisation, the layers that are kept, their pooling."""

import torch
from torch import nn


class _Done(Exception):
    """Ends a forward pass after the last layer that is needed."""


class FeatureNetwork(nn.Module):
    """From images (N, 1 or 3, S, S) in [0, 1] to pooled features (N, D): what is run, and what is exported."""

    def __init__(self, backbone, pooling, half=False):
        super().__init__()
        self.network = backbone.network.bfloat16() if half else backbone.network
        self.layers, self.pooling, self.half = backbone.layers, pooling, half
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

    def forward(self, images):
        """Replicate a single channel to three, normalise as the backbone was trained, run and pool."""
        batch = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        batch = batch.contiguous(memory_format=torch.channels_last)
        outputs = run_layers(self.network, batch.bfloat16() if self.half else batch, self.layers)
        return torch.cat([pool(output.float(), self.pooling) for output in outputs], dim=1)


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
