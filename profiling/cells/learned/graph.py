"""The network as an OpenVINO graph, straight from its weights: twice as fast as torch, and no import of it."""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from profiling.cells.learned.normalise import VIEWS

EPSILON = 1e-5  # of torch's batch normalisation


def build_graph(weights):
    """Build the graph of `network.NucleusNet` in evaluation mode, batch normalisation folded into its convolutions.

    Parameters
    ----------
    weights : dict of str to ndarray
        The network's state dict.

    Returns
    -------
    openvino.Model
        (1, 2, H, W) float32 → (1, 4, H, W) float32 for any H and W that are multiples of the network's stride.
    """
    levels = 1 + sum(name.startswith("ups.") and name.endswith(".weight") for name in weights)
    image = ops.parameter([1, VIEWS, -1, -1], np.float32)
    x = _block(ops.space_to_depth(image, "depth_first", 2), weights, "stem")
    skips = [x]
    for level in range(levels - 1):
        x = _block(x, weights, f"downs.{level}", stride=2)
        x = _residual(x, weights, f"encoders.{level}")
        skips.append(x)
    for level in reversed(range(levels - 1)):
        x = _convolution(x, weights[f"ups.{level}.weight"], weights[f"ups.{level}.bias"])
        x = ops.add(_enlarge(x), skips[level])
        x = _residual(x, weights, f"decoders.{level}")
    x = _convolution(x, weights["head.weight"], weights["head.bias"])
    return ov.Model([ops.depth_to_space(x, "depth_first", 2)], [image], "nuclei")


def _block(x, weights, name, stride=1):
    return ops.relu(_convolution(x, *_folded(weights, f"{name}.convolution", f"{name}.normalisation"), stride))


def _residual(x, weights, name):
    inner = _block(x, weights, f"{name}.first")
    inner = _convolution(inner, *_folded(weights, f"{name}.second", f"{name}.normalisation"))
    return ops.relu(ops.add(x, inner))


def _folded(weights, convolution, normalisation):
    """Kernel and bias of a convolution with the batch normalisation after it."""
    gain = weights[f"{normalisation}.weight"] / np.sqrt(weights[f"{normalisation}.running_var"] + EPSILON)
    bias = weights[f"{normalisation}.bias"] - gain * weights[f"{normalisation}.running_mean"]
    return weights[f"{convolution}.weight"] * gain[:, None, None, None], bias


def _convolution(x, kernel, bias, stride=1):
    pad = kernel.shape[-1] // 2
    x = ops.convolution(x, kernel.astype(np.float32), [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])
    return ops.add(x, bias.astype(np.float32).reshape(1, -1, 1, 1))


def _enlarge(x):
    """Twice the size, every pixel repeated."""
    return ops.interpolate(
        x,
        np.array([2, 2], np.float32),
        mode="nearest",
        shape_calculation_mode="scales",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=np.array([2, 3]),
    )
