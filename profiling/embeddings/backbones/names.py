"""Names of backbones and of the features taken from them; what is wrong without loading anything is told here."""

import re
from pathlib import PurePath
from typing import NamedTuple

from profiling.errors import ProfilingError

LITE0 = "efficientnet_lite0"
POOLING_PARTS = ("mean", "gem", "std", "max", "centre")
MOST_CHANNELS = 64
"""That a network takes together; a file that says more would have memory filled before it is refused."""
GRAPHS, WEIGHTS = (".onnx",), (".safetensors",)
PROGRAMS = (".pt", ".pth", ".pt2", ".ts", ".torchscript", ".pkl", ".ckpt", ".bin")
_LITE0_LAYER = re.compile(r"last|conv_stem|bn1|blocks(\.[0-6](\..+)?)?|conv_head|bn2|global_pool(\..+)?")
_PATCH = re.compile(r"(?:patch|^vit_[a-z]_)(\d+)")


class BackboneError(ProfilingError):
    """A backbone or weights file that cannot be loaded; the message names it and the remedy."""


class BackboneName(NamedTuple):
    """The parts of a name: `source` is ``shipped``, ``torchvision``, ``timm`` or ``file``, `model` what it calls it."""

    source: str
    model: str
    weights: str | None = None


def parse_name(name):
    """Take a backbone's name apart.

    Parameters
    ----------
    name : str
        ``efficientnet_lite0``, ``torchvision:<model>``, ``torchvision:<model>@<weights>``, ``timm:<model>`` or
        ``file:<path>`` of an ONNX or safetensors file.

    Returns
    -------
    BackboneName

    Raises
    ------
    BackboneError
        If it is none of these.
    """
    source, _, model = name.partition(":")
    if name == LITE0:
        return BackboneName("shipped", LITE0)
    if source == "torchvision" and model:
        model, _, weights = model.partition("@")
        return BackboneName(source, model, weights or None)
    if source == "timm" and model:
        return BackboneName(source, model)
    if source == "file" and model:
        _check_kind(model)
        return BackboneName(source, model)
    raise BackboneError(
        f"backbone {name!r} is not known; take {LITE0}, torchvision:<model>, timm:<model> or file:<path>"
    )


def _check_kind(path):
    suffix = PurePath(path).suffix.lower()
    if suffix in PROGRAMS:
        raise BackboneError(
            f"backbone: {path} may hold a program (TorchScript, torch.export and pickles do), which loading would run. "
            "Export the network to ONNX, or name its architecture as the backbone and its weights in embedding.weights"
        )
    if suffix not in GRAPHS + WEIGHTS:
        raise BackboneError(f"backbone: {path} is neither an .onnx file nor a .safetensors file")


def parse_pooling(pooling):
    """Parts of a pooling such as ``mean+std``, in its order.

    Raises
    ------
    BackboneError
        If a part is not known or stands twice.
    """
    parts = pooling.split("+")
    if unknown := [part for part in parts if part not in POOLING_PARTS]:
        raise BackboneError(f"pooling: {unknown[0]!r} is none of {', '.join(POOLING_PARTS)}, joined by +")
    if len(set(parts)) < len(parts):
        raise BackboneError(f"pooling: {pooling!r} has a part twice")
    return parts


def check_choice(backbone, weights=None, layers=None, input_size=None, channels=None):
    """Refuse a choice that cannot work, as far as names tell.

    Parameters
    ----------
    backbone, weights, layers
        As in :func:`profiling.embeddings.backbones.load_backbone`.
    input_size : int, optional
        Pixels a side of the network's input.
    channels : int, optional
        Channels of the composite; None where each channel goes through alone.

    Raises
    ------
    BackboneError
    """
    name = parse_name(backbone)
    if layers is not None and (not layers or len(set(layers)) < len(layers)):
        raise BackboneError("layers needs at least one name, and each once")
    if name.source == "file" and weights is not None:
        raise BackboneError(f"{backbone} has its weights in it; leave embedding.weights out")
    if name.source == "shipped":
        if unknown := [layer for layer in layers or [] if not _LITE0_LAYER.fullmatch(layer)]:
            raise BackboneError(
                f"{LITE0} has no layer {unknown[0]!r}; it has conv_stem, blocks.0 to blocks.6, conv_head and last"
            )
    if channels not in (None, 3) and (name.source in ("shipped", "torchvision") or _hub(name, weights)):
        raise BackboneError(f"composite needs exactly three channels for {backbone}, which was trained on colours")
    patch = _PATCH.search(name.model) if name.source in ("torchvision", "timm") else None
    if patch and input_size and input_size % int(patch[1]):
        near = int(patch[1]) * max(1, round(input_size / int(patch[1])))
        raise BackboneError(
            f"input_size {input_size} is no multiple of {patch[1]}, the patch of {backbone}; take {near} for example"
        )


def _hub(name, weights):
    return name.source == "timm" and weights is None
