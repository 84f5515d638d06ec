"""Weights from files, and their fit to a network. Nothing that is read here executes code."""

import json
import sys
from collections import Counter
from pathlib import Path

import torch

from profiling.embeddings.backbones.names import BackboneError

ELSEWHERE = ("file:", "timm:hf-hub:", "timm:hf_hub:")
"""Backbones that a file cannot say it belongs to: it would name another file, or a place to download from."""
TEACHERS = ("teacher", "ema")


def read_weights(path):
    """Tensors of a weights file by name.

    Parameters
    ----------
    path : str or Path
        Safetensors, or what ``torch.save`` wrote of tensors in (nested) dictionaries, read with ``weights_only``.
        Names of nested dictionaries are joined by dots.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    BackboneError
        If there is no such file or it needs code to be run.
    """
    path = Path(path)
    if not path.is_file():
        raise BackboneError(f"embedding.weights: there is no file {str(path)!r}")
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return dict(_tensors(torch.load(path, map_location="cpu", weights_only=True)))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackboneError(
            f"{path}: not a weights file that loads without running code ({reason}); where you trust it, load it "
            "elsewhere and save its tensors alone as .safetensors"
        ) from None


def _tensors(values, before=""):
    if isinstance(values, dict):
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                yield f"{before}{key}", value
            else:
                yield from _tensors(value, f"{before}{key}.")


def read_header(path):
    """Backbone and layers that a safetensors file says it holds, in the metadata of its header.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    backbone : str
    layers : list of str or None

    Raises
    ------
    BackboneError
        If there is no such file, or it says no backbone or not one by name.
    """
    from safetensors import safe_open

    if not Path(path).is_file():
        raise BackboneError(f"backbone: there is no file {str(path)!r}")
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
    except Exception as error:
        raise BackboneError(f"{path}: not a safetensors file ({error})") from None
    backbone = said.get("backbone", "")
    if not backbone or backbone.startswith(ELSEWHERE):
        raise BackboneError(
            f"{path}: does not say in its metadata which network it belongs to; name that as the backbone (such as "
            "timm:vit_small_patch16_224) and this file in embedding.weights"
        )
    try:
        layers = json.loads(said.get("layers", "null"))
    except ValueError:
        layers = said["layers"].split(",")
    except RecursionError:
        layers = []
    named = isinstance(layers, list) and all(isinstance(layer, str) and layer for layer in layers)
    if layers is not None and not (named and layers and len(set(layers)) == len(layers)):
        raise BackboneError(
            f"{path}: `layers` in its metadata is no JSON list of names, each once; name embedding.layers"
        )
    return backbone, layers


def without_prefix(values, names):
    """Tensors of a checkpoint by the network's own names.

    Checkpoints put names such as ``module.``, ``backbone.`` or ``teacher.`` before those of the network. The prefix
    under which most names are found is taken; of a teacher and a student that have as many, the teacher.

    Parameters
    ----------
    values : dict of str to torch.Tensor
    names : collection of str
        Of the network's tensors.

    Returns
    -------
    dict of str to torch.Tensor
    """
    names, found = set(names), Counter()
    for key in values:
        parts = key.split(".")
        found.update(".".join([*parts[:start], ""]) for start in range(len(parts)) if ".".join(parts[start:]) in names)
    if not found:
        return values
    prefix = max(sorted(found), key=lambda one: (found[one], any(name in one for name in TEACHERS)))
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def fit_weights(network, values, path):
    """Put tensors into a network; those that it lacks, such as a classifier's, are passed over.

    Where names or shapes differ, timm's own conversion of foreign checkpoints is tried, which also fits position
    embeddings to the size of the input.

    Raises
    ------
    BackboneError
        If a tensor is missing or has another shape.
    """
    own = network.state_dict()
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert and _differences(own, values) != ([], []):
        try:
            values = convert(dict(values), network)
        except Exception as error:
            raise BackboneError(
                f"{path}: is it the weights of another model? timm cannot convert it: {error}"
            ) from None
    missing, wrong = _differences(own, values)
    if missing:
        raise BackboneError(
            f"{path}: {len(missing)} of the network's {len(own)} tensors are not in the file, the first is "
            f"{missing[0]}; is it the weights of another model?"
        )
    if wrong:
        shapes = f"{tuple(values[wrong[0]].shape)} in the file, {tuple(own[wrong[0]].shape)} in the network"
        raise BackboneError(f"{path}: tensor {wrong[0]} has another shape ({shapes}); is it another model?")
    if broken := [key for key in own if not torch.isfinite(values[key]).all()]:
        raise BackboneError(
            f"{path}: tensor {broken[0]} has values that are not finite; take the file from its source again"
        )
    network.load_state_dict({key: values[key] for key in own})


def _differences(own, values):
    missing = [key for key in own if key not in values]
    return missing, [key for key in own if key in values and values[key].shape != own[key].shape]
