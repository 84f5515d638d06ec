"""The network as an OpenVINO graph, straight from its weights: twice as fast as torch, and no import of it."""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from profiling.cells.learned.lite0 import EPSILON, SKIPS, STAGES
from profiling.cells.learned.normalise import VIEWS


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
    image = ops.parameter([1, VIEWS, -1, -1], np.float32)
    *skips, x = _encode(image, weights)
    for level in reversed(range(len(skips))):
        x = _enlarge(_linear(x, weights, f"ups.{level}"))
        x = ops.add(x, _linear(skips[level], weights, f"laterals.{level}"))
        if level == 0:
            x = ops.add(x, ops.relu(_block(ops.space_to_depth(image, "depth_first", 2), weights, "pixels")))
        inner = ops.relu(_block(x, weights, f"decoders.{level}.first"))
        x = ops.relu(ops.add(x, _block(inner, weights, f"decoders.{level}.second")))
    x = _linear(x, weights, "head")
    return ov.Model([ops.depth_to_space(x, "depth_first", 2)], [image], "nuclei")


def _encode(image, weights):
    x, features = ops.clamp(_block(image, weights, "encoder.stem", stride=2), 0, 6), []
    for number, stage in enumerate(STAGES):
        for block in range(stage.blocks):
            name, stride = f"encoder.stages.{number}.{block}", stage.stride if block == 0 else 1
            inner = x if stage.expansion == 1 else ops.clamp(_block(x, weights, f"{name}.expand"), 0, 6)
            inner = ops.clamp(_block(inner, weights, f"{name}.depthwise", stride), 0, 6)
            inner = _block(inner, weights, f"{name}.project")
            x = ops.add(x, inner) if block else inner
        features.append(x)
    return [features[stage] for stage in SKIPS]


def _block(x, weights, name, stride=1):
    return _convolution(x, *_folded(weights, f"{name}.convolution", f"{name}.normalisation"), stride)


def _linear(x, weights, name):
    return _convolution(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _folded(weights, convolution, normalisation):
    """Kernel and bias of a convolution with the batch normalisation after it."""
    gain = weights[f"{normalisation}.weight"] / np.sqrt(weights[f"{normalisation}.running_var"] + EPSILON)
    bias = weights[f"{normalisation}.bias"] - gain * weights[f"{normalisation}.running_mean"]
    return weights[f"{convolution}.weight"] * gain[:, None, None, None], bias


def _convolution(x, kernel, bias, stride=1):
    kernel, pad = kernel.astype(np.float32), kernel.shape[-1] // 2
    placing = [stride] * 2, [pad] * 2, [pad] * 2, [1, 1]
    if kernel.shape[1] == 1 and len(kernel) > 1:  # every channel by itself
        x = ops.group_convolution(x, kernel[:, None], *placing)
    else:
        x = ops.convolution(x, kernel, *placing)
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
