"""The network of the learned nucleus engine: a residual U-Net that works at half resolution."""

import torch
from torch import nn
from torch.nn import functional

from profiling.cells.learned.normalise import VIEWS

MAPS = ("foreground", "distance", "offset_y", "offset_x")


class NucleusNet(nn.Module):
    """Maps of nuclei from images, both at full resolution.

    Two by two pixels are folded into channels on the way in and out, so that most of the arithmetic runs at
    half the resolution and the outlines keep theirs. Every operation is local: what a pixel gets depends on
    its surroundings of `maps.MARGIN` px alone, and fields can be cut into tiles.

    Parameters
    ----------
    widths : sequence of int
        Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.

    Notes
    -----
    Input (N, 2, H, W) float32, H and W multiples of `maps.STRIDE`; output (N, 4, H, W): logit of the foreground,
    logit of the normalised distance to the outline, offset to the nucleus' centroid in units of
    `targets.OFFSET_UNIT` px (y, x).
    """

    def __init__(self, widths):
        super().__init__()
        self.stem = Convolution(4 * VIEWS, widths[0])
        self.encoders = nn.ModuleList(Residual(width) for width in widths[1:])
        self.downs = nn.ModuleList(Convolution(a, b, stride=2) for a, b in zip(widths, widths[1:]))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:]))
        self.decoders = nn.ModuleList(Residual(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 4 * len(MAPS), 1)

    def forward(self, images):
        """Run the network; see the class for the shapes."""
        x = self.stem(functional.pixel_unshuffle(images, 2))
        skips = [x]
        for down, encoder in zip(self.downs, self.encoders):
            x = encoder(down(x))
            skips.append(x)
        for level in reversed(range(len(self.ups))):
            x = functional.interpolate(self.ups[level](x), scale_factor=2, mode="nearest") + skips[level]
            x = self.decoders[level](x)
        return functional.pixel_shuffle(self.head(x), 2)


def network_of(weights):
    """Make the network that some weights are of.

    Parameters
    ----------
    weights : dict of str to ndarray
        See `weights.read_weights`; they say how wide the network is.

    Returns
    -------
    NucleusNet
    """
    stem = weights["stem.convolution.weight"].shape[0]
    downs = sum(name.startswith("downs.") and name.endswith(".convolution.weight") for name in weights)
    network = NucleusNet([stem] + [weights[f"downs.{level}.convolution.weight"].shape[0] for level in range(downs)])
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    return network


class Convolution(nn.Module):
    """3×3 convolution, batch normalisation, ReLU."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(outputs)

    def forward(self, x):
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        return functional.relu(self.normalisation(self.convolution(x)))


class Residual(nn.Module):
    """Two convolutions beside an identity (He et al., 2016)."""

    def __init__(self, width):
        super().__init__()
        self.first = Convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.normalisation = nn.BatchNorm2d(width)

    def forward(self, x):
        """(N, width, H, W) → the same shape."""
        return functional.relu(x + self.normalisation(self.second(self.first(x))))
