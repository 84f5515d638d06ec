"""ONNX files as backbones: a graph that is computed, not a program that is run."""

import codecs
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov

from profiling.embeddings.backbones.layouts import layout_of
from profiling.embeddings.backbones.names import MOST_CHANNELS, BackboneError

MEMORY = b"_ORT_MEM_ADDR_"
"""Place of weights by which OpenVINO takes a number in the file for an address in memory."""
EXTERNAL = ("external data", "externally stored data", "outside the base directory")
"""What OpenVINO says of a file whose weights are not where it names them."""


def open_graph(path, layers, size, channels):
    """What is to be known of an ONNX file.

    Parameters
    ----------
    path : str or Path
    layers : list of str or None
        Tensors of the graph; None, or ``last``, is its first output.
    size : int
        Pixels a side of the images.
    channels : int or None
        Channels of the images, for a graph that takes any number.

    Returns
    -------
    path : Path
    layers : list of str
    layouts : list of Layout
    channels : int
        Of the graph's input.

    Raises
    ------
    BackboneError
        If the file cannot be used.
    """
    path, layers = Path(path), list(layers or ["last"])
    graph, taken = read_graph(path, layers, size, channels)
    network = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
    images = np.random.default_rng(0).random((2, taken, size, size), np.float32)
    try:
        together = list(network([images]).values())
        alone = list(network([images[1:]]).values())
    except RuntimeError as error:
        raise BackboneError(f"{path} does not take images of {size} px ({_reason(error)})") from None
    layouts = [layout_of(output.shape, None, False, taken) for output in together]
    for layer, both, one, layout in zip(layers, together, alone, layouts, strict=True):
        if layout is None:
            raise BackboneError(f"{path}: {layer!r} has the shape {both.shape}, which is not pooled; choose another")
        if not (np.isfinite(both).all() and np.isfinite(one).all()):
            raise BackboneError(f"{path}: {layer!r} is not finite for an ordinary image; export the network again")
        if len(both) != 2 or len(one) != 1 or np.abs(both[1] - one[0]).max() > 1e-3 * np.abs(one).max():
            raise BackboneError(
                f"{path}: {layer!r} of an image depends on the others of the batch; export the network in evaluation "
                "mode and with a dynamic first axis"
            )
    return path, layers, layouts, taken


def read_graph(path, layers, size, channels):
    """The part of an ONNX file that computes some of its tensors, and the channels that it takes.

    Returns
    -------
    openvino.Model
        From images (N, C, size, size), N free, to the tensors.
    int

    Raises
    ------
    BackboneError
        If the file is absent, not ONNX, in several files, or not from one image to the tensors.
    """
    graph = _read_alone(Path(path))
    if len(graph.inputs) != 1 or graph.input().partial_shape.rank != ov.Dimension(4):
        raise BackboneError(f"{path}: needs one input of the shape (N, C, height, width)")
    axis = graph.input().partial_shape[1]
    taken = (channels or 3) if axis.is_dynamic else axis.get_length()
    if not 1 <= taken <= MOST_CHANNELS:
        raise BackboneError(f"{path}: its input has {taken} channels; give it images (N, C, height, width)")
    tensors = _tensors(graph)
    if unknown := [layer for layer in layers if layer not in tensors]:
        shown = ", ".join(list(tensors)[:30])
        raise BackboneError(f"{path} has no tensor {unknown[0]!r}; its outputs, then others: {shown}")
    part = ov.Model([ov.op.Result(tensors[layer]) for layer in layers], graph.get_parameters(), "backbone")
    try:
        part.reshape([-1, taken, size, size])
    except RuntimeError as error:
        raise BackboneError(
            f"{path} does not take a batch of images of {size} px ({_reason(error)}); choose "
            "another embedding.input_size, or export it with dynamic axes"
        ) from None
    return part, taken


def _read_alone(path):
    """The graph of a file that is read where no other file is, so that its hash is that of all its weights."""
    if not path.is_file():
        raise BackboneError(f"backbone: there is no file {str(path)!r}")
    data = path.read_bytes()
    if data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise BackboneError(f"{path}: is no ONNX file but XML; export the network to ONNX")
    if MEMORY in data:
        raise _in_another_file(path)
    with tempfile.TemporaryDirectory(prefix="onnx-") as folder:
        copy = Path(folder) / "network.onnx"
        copy.write_bytes(data)
        try:
            return ov.Core().read_model(copy)
        except RuntimeError as error:
            if any(words in str(error) for words in EXTERNAL):
                raise _in_another_file(path) from None
            raise BackboneError(f"{path}: is no ONNX file that OpenVINO can read ({_reason(error)})") from None


def _in_another_file(path):
    return BackboneError(
        f"{path}: its weights are in another file; export it as one, in torch with "
        "torch.onnx.export(..., external_data=False)"
    )


def _reason(error):
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _tensors(graph):
    """Name → output of an operation; the graph's own outputs come first."""
    found = {"last": graph.output(0).node.input_value(0)}
    for result in graph.outputs:
        found |= {name: result.node.input_value(0) for name in sorted(result.names)}
    for operation in reversed(graph.get_ordered_ops()):
        if operation.get_type_name() not in ("Constant", "Result", "Parameter"):
            for output in operation.outputs():
                found |= {name: output for name in sorted(output.names) if name not in found}
    return found
