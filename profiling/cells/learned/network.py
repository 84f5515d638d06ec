"""The network of the learned nucleus engine: EfficientNet-Lite0 looks, a small decoder draws."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from profiling.cells.learned.lite0 import EPSILON, SKIPS, STAGES, STEM, imagenet_weights
from profiling.cells.learned.normalise import VIEWS

MAPS = ("foreground", "distance", "offset_y", "offset_x")
WIDTHS = (32, 64, 96)


class NucleusNet(nn.Module):
    """Maps of nuclei from images, both at full resolution.

    The encoder's features at 1/16 of the resolution are enlarged step by step and added to those of each finer one
    (Ronneberger et al., 2015; Lin et al., 2017). The pixels themselves enter the last step, and leave it, two by two
    folded into channels, so that all arithmetic runs at half the resolution and outlines keep theirs. Every operation
    is local: what a pixel gets depends on its surroundings of `maps.MARGIN` px alone, and fields can be cut into tiles.

    Parameters
    ----------
    widths : sequence of 3 int
        Channels of the decoder at 1/2, 1/4 and 1/8 of the resolution.

    Notes
    -----
    Input (N, 2, H, W) float32, H and W multiples of `maps.STRIDE`; output (N, 4, H, W): logit of the foreground,
    logit of the normalised distance to the outline, offset to the nucleus' centroid in units of
    `targets.OFFSET_UNIT` px (y, x).
    """

    def __init__(self, widths=WIDTHS):
        super().__init__()
        seen = [STAGES[stage].channels for stage in SKIPS]
        self.encoder = Encoder()
        self.pixels = Convolution(4 * VIEWS, widths[0])
        self.laterals = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(seen, widths))
        self.ups = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip((*widths[1:], seen[-1]), widths))
        self.decoders = nn.ModuleList(Residual(width) for width in widths)
        self.head = nn.Conv2d(widths[0], 4 * len(MAPS), 1)

    def forward(self, images):
        """Run the network; see the class for the shapes."""
        *skips, x = self.encoder(images)
        for level in reversed(range(len(skips))):
            x = functional.interpolate(self.ups[level](x), scale_factor=2, mode="nearest")
            x = x + self.laterals[level](skips[level])
            if level == 0:
                x = x + self.pixels(functional.pixel_unshuffle(images, 2))
            x = self.decoders[level](x)
        return functional.pixel_shuffle(self.head(x), 2)

    def start_from_imagenet(self):
        """Give the encoder its weights from ImageNet."""
        weights = imagenet_weights(list(self.encoder.state_dict()))
        self.encoder.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})


def network_of(weights):
    """Make the network that some weights are of.

    Parameters
    ----------
    weights : dict of str to ndarray
        See `weights.read_weights`; they say how wide the decoder is.

    Returns
    -------
    NucleusNet
    """
    network = NucleusNet([len(weights[f"ups.{level}.bias"]) for level in range(len(SKIPS) - 1)])
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    return network


class Encoder(nn.Module):
    """The first stages of EfficientNet-Lite0 (N, 2, H, W) → features after each stage of `SKIPS`."""

    def __init__(self):
        super().__init__()
        self.stem = Convolution(VIEWS, STEM, stride=2, activation=functional.relu6)
        inputs, stages = STEM, []
        for stage in STAGES:
            blocks = []
            for block in range(stage.blocks):
                stride = stage.stride if block == 0 else 1
                blocks.append(InvertedResidual(inputs, stage.channels, stage.kernel, stride, stage.expansion))
                inputs = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images):
        """See the class."""
        x, features = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return [features[stage] for stage in SKIPS]


class InvertedResidual(nn.Module):
    """Expansion to more channels, a convolution of each by itself, and back (Sandler et al., 2018)."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        convolution = partial(Convolution, activation=functional.relu6)
        inner = inputs * expansion
        self.expand = convolution(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, outputs, 1, activation=None)
        self.same = stride == 1 and inputs == outputs

    def forward(self, x):
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        inner = self.project(self.depthwise(self.expand(x)))
        return x + inner if self.same else inner


class Convolution(nn.Module):
    """Convolution, batch normalisation, activation."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1, activation=functional.relu):
        super().__init__()
        make = Depthwise if groups == inputs else nn.Conv2d
        self.convolution = make(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.normalisation = nn.BatchNorm2d(outputs, EPSILON)
        self.activation = activation

    def forward(self, x):
        """(N, inputs, H, W) → (N, outputs, H / stride, W / stride)."""
        x = self.normalisation(self.convolution(x))
        return x if self.activation is None else self.activation(x)


class Depthwise(nn.Conv2d):
    """Convolution of each channel by itself, in float32 on a CPU: oneDNN is slow at its gradient in bfloat16."""

    def forward(self, x):
        """As of any convolution."""
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class Residual(nn.Module):
    """Two convolutions beside an identity (He et al., 2016)."""

    def __init__(self, width):
        super().__init__()
        self.first = Convolution(width, width)
        self.second = Convolution(width, width, activation=None)

    def forward(self, x):
        """(N, width, H, W) → the same shape."""
        return functional.relu(x + self.second(self.first(x)))
