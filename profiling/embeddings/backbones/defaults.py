"""Layers that features are taken from where the settings name none."""

DEFAULT_LAYERS = {
    "shipped": {"efficientnet_lite0": "blocks.4"},
    "torchvision": {
        "convnext": "features.5",
        "densenet": "features.denseblock3",
        "efficientnet_b": "features.6",
        "efficientnet_v2": "features.5",
        "inception_v3": "Mixed_6e",
        "regnet": "trunk_output.block3",
        "resne": "layer3",
        "swin": "features.5",
        "vit_": "encoder.ln",
        "wide_resnet": "layer3",
    },
    "timm": {
        "beit": "norm",
        "convnext": "stages.2",
        "deit": "norm",
        "densenet": "features.denseblock3",
        "efficientnet_": "blocks.5",
        "efficientnetv2": "blocks.4",
        "eva02": "norm",
        "inception_v3": "Mixed_6e",
        "mobilenetv3_large": "blocks.5",
        "mobilenetv3_small": "blocks.4",
        "regnet": "s3",
        "resne": "layer3",
        "swin": "layers.2",
        "tf_efficientnet_": "blocks.5",
        "tf_efficientnetv2": "blocks.4",
        "vit_": "norm",
        "wide_resnet": "layer3",
    },
}
"""By source and start of the model's name: the last stage but one of convolutional networks, the tokens after the
last normalisation of transformers. Measured on cells for EfficientNet-Lite0 only (docs/features.md), where a stage
earlier is better still; for the others it is an analogy. Models not named give their last layer."""


def default_layers(source, model):
    """Layers of a model, as a list of one."""
    found = [layer for start, layer in DEFAULT_LAYERS.get(source, {}).items() if model.startswith(start)]
    return found[:1] or ["last"]
