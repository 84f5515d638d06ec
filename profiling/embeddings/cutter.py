"""From fields as stored to the network's images on a CPU, a block of cells at a time."""

import numpy as np

from profiling.embeddings.crops import own_pixels, pixels_of, resize_matrix, sides, windows


class Cutter:
    """Scales, cuts, masks and resizes the cells of fields; the same steps as on every engine.

    Pixels are scaled after cutting: sparse fields cost what their cells cost, and a block stays in the cache.

    Parameters
    ----------
    scaling : profiling.embeddings.fields.Scaling
    crop : int, (int, int) or None
        Height and width of the crop in pixels; None takes each field whole, once for each of its cells.
    size : int
        Pixels a side of the network's input.
    """

    def __init__(self, scaling, crop, size):
        self.crop, self.size = None if crop is None else sides(crop), size
        self.darks = scaling.darks
        ranges = scaling.highs - scaling.lows
        self.offsets = (scaling.lows / ranges).astype(np.float32)
        gains = [(1 / (flat * span)).astype(np.float32) for flat, span in zip(scaling.flats, ranges, strict=True)]
        # A flat field of one value needs no window of its own.
        self.gains = [gain.ravel()[0] if np.ptp(gain) == 0 else self._windows(gain) for gain in gains]
        self.matrices = None

    def field(self, field):
        """A function ``fill(start, stop, out)`` that writes the images of these cells of a field.

        Parameters
        ----------
        field : profiling.embeddings.fields.FieldCells

        Returns
        -------
        callable
            ``out`` is float32 of the shape (stop - start, C, size, size).
        """
        planes = self._windows(field.planes)
        labels = None if field.labels is None else self._windows(field.labels)
        pixels = pixels_of(field.centres) if self.crop else np.zeros((len(field.centres), 2), int)
        matrices = self._resizing(planes.shape[-2:])

        def fill(start, stop, out):
            rows, columns = pixels[start:stop].T
            own = None if labels is None else own_pixels(labels[rows, columns], field.cells[start:stop])
            for channel, plane in enumerate(planes):
                crops = plane[rows, columns]
                scaled = out[:, channel] if matrices is None else np.empty(crops.shape, np.float32)
                np.subtract(crops, self.darks[channel], out=scaled, dtype=np.float32)
                gain = self.gains[channel]
                scaled *= gain if np.ndim(gain) == 0 else gain[rows, columns]
                scaled -= self.offsets[channel]
                np.clip(scaled, 0, 1, out=scaled)
                if own is not None:
                    scaled *= own
                if matrices is not None:
                    narrow = scaled.reshape(-1, scaled.shape[-1]) @ matrices[1].T
                    np.matmul(matrices[0], narrow.reshape(*scaled.shape[:2], self.size), out=out[:, channel])

        return fill

    def _windows(self, planes):
        return planes[..., None, None, :, :] if self.crop is None else windows(planes, self.crop)

    def _resizing(self, shape):
        if shape == (self.size, self.size):
            return None
        if self.matrices is None or (self.matrices[0].shape[1], self.matrices[1].shape[1]) != shape:
            self.matrices = [resize_matrix(side, self.size) for side in shape]
        return self.matrices
