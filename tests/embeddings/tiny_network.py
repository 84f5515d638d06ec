"""A network as `export_network` writes it, small and made without torch, so that what it gives is known."""

import json

import numpy as np
import openvino as ov
from openvino import opset13 as ops

SIZE = 16


def write_network(path, channels=1):
    """Write a network whose features are known: mean, mean of squares, and mean of the upper half, of all channels."""
    images = ops.parameter([32, channels, SIZE, SIZE], np.float32)
    upper = np.zeros((1, 1, SIZE, SIZE), np.float32)
    upper[..., : SIZE // 2, :] = 2
    parts = [images, ops.multiply(images, images), ops.multiply(images, ops.constant(upper))]
    means = [ops.reduce_mean(part, ops.constant([1, 2, 3]), keep_dims=False) for part in parts]
    columns = [ops.unsqueeze(mean, ops.constant([1])) for mean in means]
    ov.save_model(ov.Model([ops.concat(columns, 1)], [images]), path, compress_to_fp16=False)


def write_backbone(folder, channels=1):
    """The record of a backbone with such a network beside it."""
    record = folder / "backbone.json"
    write_network(record.with_suffix(".xml"), channels)
    record.write_text(json.dumps({"name": "tiny", "sha256": "0" * 64}))
    return record


def expected(images):
    """What the network gives for images (N, C, SIZE, SIZE), each channel alone: (N, C * 3)."""
    parts = [images, images**2, 2 * images * (np.arange(SIZE) < SIZE // 2)[:, None]]
    return np.stack([part.mean(axis=(2, 3)) for part in parts], axis=2).reshape(len(images), 3 * images.shape[1])
