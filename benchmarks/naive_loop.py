"""How per-cell features are computed without care: what the speed benchmark measures against.

A stand-in for the nearest peer (scPortrait) where that is not installed, with the steps that both need: each cell is
cut and masked by itself, scaled between percentiles of its own crop, and goes through torch in batches. With `on_disk`
the crops pass through a file, each channel compressed by itself as float16, as the peer's HDF5 file holds them (128 px,
LZF, two masks and the channels). The peer does more: it blurs and fills each cell's mask, keeps an index of the cells,
copies whole images to memory-mapped files, and writes tables beside its features.
"""

import tempfile

import cv2
import imagecodecs
import numpy as np
import tifffile
import torch

BATCH_SIZE = 32
PERCENTILES = (0.1, 99.9)


def naive_features(fields, network, crop=96, size=96, on_disk=False):
    """Features of the cells of fields.

    Parameters
    ----------
    fields : iterable of (list of Path, ndarray (H, W), ndarray (N, 2), ndarray (N,))
        Files of the three channels, label image, centres in pixels and labels of the cells.
    network : torch.nn.Module
        Takes composites (N, 3, size, size).
    crop, size : int
        Pixels a side of the crop and of the network's input.
    on_disk : bool
        Whether the crops pass through a file.

    Returns
    -------
    features : ndarray, shape (N, D)
    stored : int
        Bytes of the file.
    """
    crops = (image for field in fields for image in cut_field(*field, crop))
    if on_disk:
        with tempfile.TemporaryFile() as file:
            sizes = [[_write(file, channel) for channel in (*_masks(image), *image)] for image in crops]
            file.seek(0)
            stored = (np.stack([_read(file, size, crop) for size in cell])[2:] for cell in sizes)
            return run_network(stored, network, size), int(np.sum(sizes))
    return run_network(crops, network, size), 0


def cut_field(paths, labels, centres, cells, crop):
    """Crops (3, crop, crop) of a field's cells in [0, 1], one at a time."""
    half = crop // 2
    planes = [np.pad(tifffile.imread(path), half, mode="reflect") for path in paths]
    labels = np.pad(labels, half, mode="reflect")
    for (row, column), cell in zip(np.rint(centres).astype(int), cells, strict=True):
        window = np.s_[row : row + crop, column : column + crop]
        own = labels[window] == cell
        channels = []
        for plane in planes:
            image = plane[window].astype(np.float32) * own
            low, high = np.percentile(image, PERCENTILES)
            channels.append(np.clip((image - low) / max(high - low, 1e-6), 0, 1))
        yield np.stack(channels)


def run_network(crops, network, size):
    """Features (N, D) of crops, in batches."""
    features, batch = [], []

    def run():
        with torch.inference_mode():
            features.append(network(torch.from_numpy(np.stack(batch))).numpy())
        batch.clear()

    for crop in crops:
        crop = crop.astype(np.float32)
        if crop.shape[-1] != size:
            crop = cv2.resize(crop.transpose(1, 2, 0), (size, size)).transpose(2, 0, 1)
        batch.append(crop)
        if len(batch) == BATCH_SIZE:
            run()
    if batch:
        run()
    return np.concatenate(features)


def _masks(image):
    mask = image.any(axis=0)
    return mask, mask


def _write(file, channel):
    return file.write(imagecodecs.lzf_encode(channel.astype(np.float16).tobytes()))


def _read(file, size, crop):
    data = imagecodecs.lzf_decode(file.read(size), out=2 * crop * crop)
    return np.frombuffer(data, np.float16).reshape(crop, crop)
