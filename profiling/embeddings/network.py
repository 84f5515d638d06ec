"""The network as it is run and exported: normalisation, the layers that are kept, their pooling."""

import copy
import math

import torch
from torch import nn

from profiling.embeddings.backbones.layouts import Layout, layout_of
from profiling.embeddings.backbones.names import BackboneError, parse_pooling

CENTRE_WIDTH = 0.15
"""Standard deviation of the Gaussian weights of centred pooling, in sides of the crop."""


class _Done(Exception):
    """Ends a forward pass after the last layer that is needed."""


class FeatureNetwork(nn.Module):
    """From images (N, c, S, S) in [0, 1] to pooled features (N, D): what is run, and what is exported.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
        With ``rotations`` the features are averages over the four right-angle rotations of the image, or (8) over these
        and their mirror images. `tokens` says which tokens of a transformer are taken: the class token (``class``),
        those of the patches (``mean``), pooled, or ``both`` in this order; registers never are.
    pooling : str
        See :func:`pool`.
    half : bool
        Whether the network computes in bf16, on a copy of its weights.

    Raises
    ------
    BackboneError
        If the backbone is an ONNX file, which torch does not run.
    """

    def __init__(self, backbone, pooling, half=False):
        super().__init__()
        if not isinstance(backbone.network, nn.Module):
            raise BackboneError(
                f"{backbone.name} is an ONNX file, which runs on the CPU only: set embedding.device to cpu"
            )
        self.network = copy.deepcopy(backbone.network).bfloat16() if half else backbone.network
        self.layers, self.half = backbone.layers, half
        self.prepare, self.summarise = Prepare(backbone), Summarise(backbone, pooling)

    def forward(self, images):
        """Prepare the images, run the network up to the last layer needed, pool."""
        batch = self.prepare(images).contiguous(memory_format=torch.channels_last)
        outputs = run_layers(self.network, batch.bfloat16() if self.half else batch, self.layers)
        return self.summarise(*(output.float() for output in outputs))


class Prepare(nn.Module):
    """Images (N, c, S, S) in [0, 1] as a backbone takes them, (rotations·N, C, S, S)."""

    def __init__(self, backbone):
        super().__init__()
        self.channels, self.rotations, self.per_crop = backbone.channels, backbone.rotations, backbone.per_crop
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, -1, 1, 1))

    def forward(self, images):
        """Normalise, repeat a single channel to the three of a network of colours and turn."""
        given = int(images.shape[1])
        if given != self.channels and (given, self.channels) != (1, 3):
            raise BackboneError(
                f"the network takes {self.channels} channels together, not {given}; list them as composite"
            )
        if self.per_crop:
            centred = images - images.mean(dim=(2, 3), keepdim=True)
            # The addend, far below any noise of a camera, keeps constant crops finite.
            images = centred / (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-7).sqrt()
        batch = (images.expand(-1, self.channels, -1, -1) - self.mean) / self.std
        if self.rotations >= 4:
            turned = batch.transpose(2, 3)
            batch = torch.cat([batch, turned.flip(2), batch.flip(2, 3), turned.flip(3)])
        return torch.cat([batch, batch.flip(3)]) if self.rotations == 8 else batch


class Summarise(nn.Module):
    """Outputs of a backbone's layers, pooled, side by side and averaged over rotations: (N, D)."""

    def __init__(self, backbone, pooling):
        super().__init__()
        self.layouts, self.tokens, self.rotations = backbone.layouts, backbone.tokens, backbone.rotations
        self.pooling = pooling

    def forward(self, *outputs):
        """Pool each output by its layout."""
        pooled = [
            pool(output, self.pooling, layout, self.tokens)
            for output, layout in zip(outputs, self.layouts, strict=True)
        ]
        features = torch.cat(pooled, dim=1)
        if self.rotations == 1:
            return features
        return features.view(self.rotations, -1, features.shape[1]).mean(dim=0)


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


def pool(output, pooling, layout=None, tokens="both"):
    """Pool a layer's output over space or tokens; a vector (N, C) stays as it is.

    Parameters
    ----------
    output : torch.Tensor, shape (N, C, H, W), (N, H, W, C), (N, T, C) or (N, C)
    pooling : str
        Parts joined by ``+``, whose results stand side by side in this order: ``mean``; ``std``, of the population;
        ``gem``, the generalised mean with p = 3 of the positive part (Radenović et al. 2018), (mean max(x, 0)³)^⅓;
        ``max``; ``centre``, mean and then standard deviation weighted by a Gaussian around the middle of the crop,
        where the cell is.
    layout : profiling.embeddings.backbones.layouts.Layout, optional
        Default: by the number of axes, maps as (N, C, H, W).
    tokens : {"both", "class", "mean"}
        Which tokens are taken; without a class token, those of the patches.

    Returns
    -------
    torch.Tensor, shape (N, C·parts), with C more for the class token
    """
    layout = layout or layout_of(output.shape) or Layout("tokens")
    if layout.kind == "vector":
        return output
    before = []
    if layout.kind == "tokens":
        if layout.prefix and tokens in ("class", "both"):
            before = [output[:, 0]]
            if tokens == "class":
                return before[0]
        positions = output[:, layout.prefix :].transpose(1, 2)
        side = math.isqrt(int(positions.shape[2]) // layout.grids)
        shape = (side, side)
    else:
        maps = output.permute(0, 3, 1, 2) if layout.kind == "map_last" else output
        positions, shape = maps.flatten(2), maps.shape[2:]
    mean = positions.mean(dim=2)
    parts = {
        "mean": lambda: [mean],
        "std": lambda: [positions.std(dim=2, unbiased=False)],
        "gem": lambda: [positions.clamp(min=0).pow(3).mean(dim=2).pow(1 / 3)],
        "max": lambda: [positions.amax(dim=2)],
        "centre": lambda: _centred(positions, shape, layout.grids),
    }
    return torch.cat([*before, *(values for part in parse_pooling(pooling) for values in parts[part]())], dim=1)


def _centred(positions, shape, grids):
    weights = centre_weights(*shape, positions.device).repeat(grids) / grids
    mean = (positions * weights).sum(dim=2)
    spread = ((positions - mean.unsqueeze(2)).square() * weights).sum(dim=2)
    return [mean, spread.sqrt()]


def centre_weights(height, width, device=None):
    """Gaussian weights around the middle of a map, which sum to 1.

    Made where they are used: a copy from the host would stall a GPU and forbid recording a CUDA graph.

    Returns
    -------
    torch.Tensor of float32, shape (height·width,)
    """
    rows, columns = ((torch.arange(int(side), device=device) + 0.5) / int(side) - 0.5 for side in (height, width))
    weights = torch.exp(-(rows[:, None].square() + columns.square()) / (2 * CENTRE_WIDTH**2)).flatten()
    return weights / weights.sum()
