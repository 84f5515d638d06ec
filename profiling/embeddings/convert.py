"""A backbone with the steps before and after it as one OpenVINO model."""

import openvino as ov

from profiling.embeddings.backbones.graphs import read_graph


def to_openvino(backbone, pooling, channels, size):
    """Convert a backbone to a model from images to pooled features.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
    pooling : str
        See :func:`profiling.embeddings.network.pool`.
    channels : int
        Of the images: 1, or those of a composite.
    size : int
        Pixels a side of the images.

    Returns
    -------
    openvino.Model
        From (N, channels, size, size) to (N, D), N free. What it gives equals
        :class:`profiling.embeddings.network.FeatureNetwork` to about 1e-4 of its scale.
    """
    import torch

    from profiling.embeddings.network import FeatureNetwork, Prepare, Summarise

    images = torch.zeros(2, channels, size, size)
    if isinstance(backbone.network, torch.nn.Module):
        return _converted(FeatureNetwork(backbone, pooling), [images])
    graph, _ = read_graph(backbone.network, backbone.layers, size, backbone.channels)
    before = _converted(Prepare(backbone), [images])
    shapes = [output.partial_shape for output in graph.outputs]
    examples = [
        torch.zeros(2 * backbone.rotations, *(axis.get_length() for axis in list(shape)[1:])) for shape in shapes
    ]
    after = _converted(Summarise(backbone, pooling), examples)
    graph.input().replace(before.output(0).node.input_value(0))
    for there, here in zip(after.inputs, graph.outputs, strict=True):
        there.replace(here.node.input_value(0))
    return ov.Model(after.get_results(), before.get_parameters(), "features")


def _converted(module, examples):
    import torch

    free = [ov.PartialShape([-1, *example.shape[1:]]) for example in examples]
    with torch.no_grad():
        return ov.convert_model(module.eval(), example_input=tuple(examples), input=free)
