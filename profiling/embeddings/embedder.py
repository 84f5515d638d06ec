"""Crops to embeddings, whatever engine computes them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Embedder:
    """An engine with its network.

    Attributes
    ----------
    forward : callable
        Images (N, 1, S, S), or (N, C, S, S) for a composite, float32 in [0, 1] → features (N, D) float32.
    composite : bool
        Whether the channels go through the network together.
    batch_size : int
        Images a call of ``forward`` at most.
    fill : bool
        Whether ``forward`` takes exactly ``batch_size`` images, the last of which may be filling.
    channels : int
        Of a composite.
    """

    forward: Callable
    composite: bool
    batch_size: int
    fill: bool = False
    channels: int = 3

    def embed(self, crops):
        """Embeddings of crops.

        Parameters
        ----------
        crops : ndarray of float32, shape (N, C, S, S)
            Intensities in [0, 1]. For a composite C is what the network takes, most often 3.

        Returns
        -------
        ndarray of float32, shape (N, C·D), or (N, D) for a composite
            Channel by channel, within a channel layer by layer: means, then standard deviations. Independent of the
            batch size to the rounding of the hardware.

        Raises
        ------
        ValueError
            If the crops have another shape.
        """
        crops = np.asarray(crops, dtype=np.float32)
        if crops.ndim != 4 or (self.composite and crops.shape[1] != self.channels):
            want = f"(N, {self.channels}, S, S)" if self.composite else "(N, C, S, S)"
            raise ValueError(f"crops have the shape {crops.shape}, expected {want}")
        count, channels = crops.shape[:2]
        images = crops if self.composite else crops.reshape(count * channels, 1, *crops.shape[2:])
        if not count:
            width = self._batch(np.zeros((1, *images.shape[1:]), dtype=np.float32)).shape[1]
            return np.zeros((0, width * (1 if self.composite else channels)), dtype=np.float32)
        starts = range(0, len(images), self.batch_size)
        parts = [self._batch(images[start : start + self.batch_size]) for start in starts]
        return np.concatenate(parts).reshape(count, -1)

    def _batch(self, images):
        count = len(images)
        if self.fill and count < self.batch_size:
            filling = np.zeros((self.batch_size - count, *images.shape[1:]), dtype=np.float32)
            images = np.concatenate([images, filling])
        return self.forward(np.ascontiguousarray(images))[:count]
