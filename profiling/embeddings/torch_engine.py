"""The torch engine: fields go to the device once, as stored, and features come back; see `fields` for the steps."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from profiling.devices import reproducible
from profiling.embeddings import torch_crops
from profiling.embeddings.crops import sides
from profiling.embeddings.fields import FieldFeatures
from profiling.embeddings.torch_network import DeviceNetwork, attempt
from profiling.embeddings.torch_transfer import download, upload_fields
from profiling.memory import keep_memory

IN_FLIGHT = 2
"""Batches that the device is given beyond the one whose features are waited for: it never waits for the host."""


def torch_engine(backbone, settings, scaling, crop, device, threads=1):
    """The engine of a loaded backbone on a torch device.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
    settings : profiling.settings.Embedding
    scaling : profiling.embeddings.fields.Scaling
        Of the channels, in their order.
    crop : int, (int, int) or None
        Height and width of the crop in pixels; None takes each field whole.
    device : torch.device
    threads : int
        Of torch on the CPU.

    Returns
    -------
    TorchEngine
    """
    keep_memory()
    torch.set_num_threads(threads)
    network = DeviceNetwork(backbone, settings.pooling, device, settings.precision, settings.batch_size)
    return TorchEngine(network, scaling, crop, settings.input_size, settings.composite is not None)


@dataclass
class _Result:
    """Features of a field's images, as far as they are known."""

    features: np.ndarray
    pictures: Any
    known: int = 0


class TorchEngine:
    """An engine (see :mod:`profiling.embeddings.fields`) on a torch device.

    Parameters
    ----------
    network : profiling.embeddings.torch_network.DeviceNetwork
    scaling : profiling.embeddings.fields.Scaling
    crop : int, (int, int) or None
    input_size : int
    composite : bool
        Whether the channels go through the network together; otherwise each goes through alone.

    Attributes
    ----------
    width : int
        Features of a cell.
    """

    def __init__(self, network, scaling, crop, input_size, composite=False):
        channels = len(scaling.lows)
        self.network, self.size = network, input_size
        self.device = network.device
        self.range = torch_crops.to_range(scaling, self.device)
        self.crop = None if crop is None else sides(crop)
        self.passes = 1 if composite else channels
        self.shape = (channels // self.passes, input_size, input_size)
        self.width = network.prepare(self.shape) * self.passes
        self.matrices = {}

    def embed_fields(self, fields):
        """Features of the cells of fields, in order; batches are filled across fields.

        Parameters
        ----------
        fields : iterable of FieldCells

        Yields
        ------
        FieldFeatures
            Independent of the cells that share a batch, in fp32 to 1e-4 of the features' scale.

        Raises
        ------
        ProfilingError
            If a field, or a single image, does not fit into the memory of the device.
        """
        waiting = deque()
        for features in self._features(self._images(fields, waiting)):
            while len(features):
                result = waiting[0]
                count = min(len(features), len(result.features) - result.known)
                result.features[result.known : result.known + count] = features[:count]
                result.known += count
                features = features[count:]
                if result.known == len(result.features):
                    yield self._finish(waiting.popleft())
        while waiting:
            yield self._finish(waiting.popleft())

    def _finish(self, result):
        return FieldFeatures(result.features.reshape(-1, self.width), result.pictures())

    def _images(self, fields, waiting):
        """Images of all fields, at most a batch at a time; notes in `waiting` what becomes of them."""
        for field in upload_fields(fields, self.crop, self.device):
            count = len(field.corners)
            features = np.empty((count * self.passes, self.width // self.passes), np.float32)
            waiting.append(_Result(features, self._no_pictures))
            if not count:
                continue
            planes = self._fitting(torch_crops.scale, field.planes, self.range)
            if len(field.shown):
                waiting[-1].pictures = download(self._fitting(self._cut, field, planes, field.shown))
            start = 0
            while start < count:
                crops = self._fitting(self._cut_next, field, planes, start)
                start += len(crops)
                yield crops.reshape(-1, *self.shape)

    def _cut_next(self, field, planes, start):
        cells = max(1, self.network.batch_size // self.passes)
        return self._cut(field, planes, slice(start, start + cells))

    @torch.inference_mode()
    def _cut(self, field, planes, chosen):
        """Crops (n, C, S, S) of some cells of a field at the network's input size."""
        shape = self.crop or tuple(planes.shape[1:])
        corners = field.corners[chosen]
        crops = torch_crops.cut(planes, corners, shape)
        if field.labels is not None:
            torch_crops.mask_neighbours(crops, torch_crops.cut(field.labels, corners, shape), field.cells[chosen])
        if shape not in self.matrices:
            self.matrices = {shape: torch_crops.resizing(shape, self.size, self.device)}
        with reproducible(self.device):
            return torch_crops.resize(crops, self.matrices[shape])

    def _fitting(self, function, *arguments):
        """What a function returns, run again with a smaller batch where the memory runs out."""
        while (result := attempt(function, *arguments)) is None:
            self.network.shrink()
        return result

    def _no_pictures(self):
        return np.empty((0, self.passes * self.shape[0], self.size, self.size), np.float32)

    def _features(self, pieces):
        """Features of images, in order and in parts of any length; the device is some batches ahead."""
        running = deque()
        for batch in rebatch(pieces, self.network):
            running.append(download(self.network(batch)))
            if len(running) > IN_FLIGHT:
                yield running.popleft()()
        while running:
            yield running.popleft()()


def rebatch(pieces, network):
    """Join and split pieces of images into batches of the network's size at the time; the last may be smaller."""
    held, count = [], 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        while count >= network.batch_size:
            images = torch.cat(held) if len(held) > 1 else held[0]
            batch, rest = images[: network.batch_size], images[network.batch_size :]
            held, count = [rest] if len(rest) else [], len(rest)
            yield batch
    if held:
        yield torch.cat(held)
