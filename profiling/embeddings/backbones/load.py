"""The one way to a network, whatever its source."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from profiling.embeddings.backbones.defaults import default_layers
from profiling.embeddings.backbones.files import read_header
from profiling.embeddings.backbones.layouts import Layout, layout_of
from profiling.embeddings.backbones.libraries import shipped, timm_network, torchvision_network
from profiling.embeddings.backbones.names import BackboneError, check_choice, parse_name
from profiling.embeddings.network import run_layers
from profiling.files import hash_file


@dataclass(frozen=True)
class Backbone:
    """A network in evaluation mode, what its input must look like and which features are taken from it.

    Attributes
    ----------
    name : str
        As in the settings.
    network : torch.nn.Module or pathlib.Path
        Without its classifier; the path of an ONNX file.
    mean, std : tuple of float
        Of the input channels, for images scaled to [0, 1].
    layers : list of str
        Modules whose outputs are features; ``last`` is the network's output.
    weights : str
        Where the weights came from.
    licence : str
        Licence of the weights, as far as known.
    sha256 : str
        Hash of the weights' names and values as they are run, or of an ONNX file.
    channels : int
        Channels of the network's input; a single channel is repeated to so many.
    layouts : list of Layout
        Of the layers' outputs.
    per_crop : bool
        Whether each channel of each image is standardised by itself, before `mean` and `std`.
    tokens : {"both", "class", "mean"}
    rotations : {1, 4, 8}
        See :class:`profiling.embeddings.network.FeatureNetwork`.
    """

    name: str
    network: Any = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: list[str]
    weights: str
    licence: str
    sha256: str
    channels: int = 3
    layouts: list[Layout] | None = None
    per_crop: bool = False
    tokens: str = "both"
    rotations: int = 1


def backbone_of(settings):
    """The backbone of a screen's settings (:class:`profiling.settings.Embedding`); see :func:`load_backbone`."""
    return load_backbone(
        settings.backbone,
        settings.weights,
        settings.layers,
        size=settings.input_size,
        channels=len(settings.composite) if settings.composite else 1,
        mean=settings.input_mean,
        std=settings.input_std,
        scaling=settings.input_scaling,
        tokens=settings.tokens,
        rotations=settings.rotations,
    )


def load_backbone(
    name="efficientnet_lite0", weights=None, layers=None, seed=0, *, size=96, channels=None, mean=None, std=None,
    scaling="plate", tokens="both", rotations=1,
):  # fmt: skip
    """Load a network with its weights.

    Parameters
    ----------
    name : str
        ``efficientnet_lite0`` (Tan & Le 2019, ImageNet; needs no network), ``torchvision:<model>``,
        ``torchvision:<model>@<weights>``, ``timm:<model>`` or ``file:<path>`` (an ONNX graph, or safetensors that say
        in their metadata which network they belong to). Weights of the libraries download once and are cached.
    weights : str, optional
        A file (safetensors, or a PyTorch state dict read with ``weights_only``), or ``untrained``.
    layers : list of str, optional
        Modules to take features from, or tensors of an ONNX graph. Default: those the file names, else
        :data:`profiling.embeddings.backbones.defaults.DEFAULT_LAYERS`.
    seed : int
        Of the random weights of ``untrained``.
    size : int
        Pixels a side of the images.
    channels : int, optional
        Channels of the images: 1, or those of a composite.
    mean, std : list of float, optional
        Of the input, a value a channel or one for all. Default: what the network was trained with.
    scaling : {"plate", "crop"}
        ``crop`` standardises each channel of each image by itself, in place of the mean and std that the network was
        trained with; those given are applied after it.
    tokens, rotations
        As in :class:`profiling.embeddings.network.FeatureNetwork`.

    Returns
    -------
    Backbone

    Raises
    ------
    BackboneError
        If the name, the weights or a layer is not known, or the network does not take such images.
    """
    check_choice(name, weights, layers, size, None if channels == 1 else channels)
    source, model, chosen = parse_name(name)
    if source == "file" and Path(model).suffix.lower() == ".onnx":
        from profiling.embeddings.backbones.graphs import open_graph

        network, layers, layouts, taken = open_graph(model, layers, size, channels)
        found, licence, sha256 = (None, None), "see the source of the file", hash_file(model)
    else:
        origin, path = name, weights
        if source == "file":
            origin, said = read_header(model)
            layers, path = layers or said, model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, *found, licence, taken = _open(origin, path, size, channels)
        if path not in (None, "untrained"):
            licence = "see the source of the file"
        network.eval().requires_grad_(False)
        if not layers:
            layers = default_layers(*parse_name(origin)[:2])
            if layers[0] not in dict(network.named_modules()):
                layers = ["last"]
        layouts = _layouts(network, layers, size, taken, name)
        sha256 = _hash(network)
    if channels not in (None, 1, taken):
        raise BackboneError(f"{name} takes {taken} channels together; list so many in embedding.composite")
    if channels == 1 and taken not in (1, 3):
        raise BackboneError(f"{name} takes {taken} channels together; list them in embedding.composite")
    if tokens == "class" and any(layout.kind == "tokens" and not layout.prefix for layout in layouts):
        raise BackboneError(f"{name} has no class token at {', '.join(layers)}; set embedding.tokens to mean")
    per_crop = scaling == "crop"
    if per_crop:  # what the network was trained with would be applied on top
        found = None, None
    return Backbone(
        name=name,
        network=network,
        mean=_per_channel(mean or found[0], taken, name, "input_mean", per_crop),
        std=_per_channel(std or found[1], taken, name, "input_std", per_crop),
        layers=layers,
        weights=weights or ("file" if source == "file" else "pretrained"),
        licence=licence,
        sha256=sha256,
        channels=taken,
        layouts=layouts,
        per_crop=per_crop,
        tokens=tokens,
        rotations=rotations,
    )


def _open(name, weights, size, channels):
    """Network, mean, std, licence and channels of a model that a library has."""
    source, model, chosen = parse_name(name)
    if source == "timm":
        return timm_network(model, size, weights, channels if channels != 1 else None)
    if source == "torchvision":
        return *torchvision_network(model, chosen, size, weights), 3
    found = shipped(weights is None)
    if weights not in (None, "untrained"):
        from profiling.embeddings.backbones.files import fit_weights, read_weights, without_prefix

        fit_weights(found[0], without_prefix(read_weights(weights), found[0].state_dict()), weights)
    return *found, 3


def _per_channel(values, channels, name, key, per_crop):
    if values is None:
        if per_crop:
            return (0.0,) * channels if key == "input_mean" else (1.0,) * channels
        raise BackboneError(
            f"{name}: nothing says how its input was normalised; set embedding.input_mean and input_std (0 and 1 for "
            "none), or embedding.input_scaling to crop"
        )
    values = tuple(float(value) for value in values)
    if len(values) not in (1, channels):
        raise BackboneError(f"embedding.{key} has {len(values)} values, but {name} takes {channels} channels")
    return values * channels if len(values) == 1 else values


def _layouts(network, layers, size, channels, name):
    """Layouts of the layers, from the outputs for an image of zeros."""
    modules = dict(network.named_modules())
    if unknown := [layer for layer in layers if layer != "last" and layer not in modules]:
        near = [module for module in modules if module.count(".") <= 1 and module]
        raise BackboneError(f"{name} has no layer {unknown[0]!r}; some of its layers: {', '.join(near[:30])}")
    try:
        with torch.inference_mode():
            outputs = run_layers(network, torch.zeros(1, channels, size, size), layers)
    except KeyError as error:
        raise BackboneError(f"{name}: layer {error} is not run when features are computed; choose another") from None
    except (RuntimeError, AssertionError, ValueError) as error:
        raise BackboneError(
            f"{name} does not take images of {size} px ({str(error).splitlines()[0]}); choose another "
            "embedding.input_size"
        ) from None
    # A transformer of torchvision does not say that it has a class token.
    prefix = getattr(network, "num_prefix_tokens", 1 if hasattr(network, "class_token") else None)
    last = getattr(network, "output_fmt", "") == "NHWC" or type(network).__name__ == "SwinTransformer"
    shapes = [getattr(output, "shape", ()) for output in outputs]
    layouts = [layout_of(shape, prefix, last, channels) for shape in shapes]
    for layer, shape, layout in zip(layers, shapes, layouts, strict=True):
        if layout is None:
            what = f"an output of the shape {tuple(shape)}" if shape else "no single tensor"
            raise BackboneError(f"{name}: layer {layer!r} gives {what}, which is not pooled; choose another")
    return layouts


def _hash(network):
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
