"""From fields as stored to the network's images, on a torch device; the same steps as on every engine."""

from typing import NamedTuple

import numpy as np
import torch

from profiling.embeddings.crops import resize_matrix


class Range(NamedTuple):
    """:class:`profiling.embeddings.fields.Scaling` on a device: ``clip((pixel - darks) * gains - offsets)``.

    Attributes
    ----------
    darks, offsets : torch.Tensor of float32, shape (C, 1, 1)
    gains : torch.Tensor of float32, shape (C, H, W) or (C, 1, 1)
    """

    darks: torch.Tensor
    gains: torch.Tensor
    offsets: torch.Tensor


def to_range(scaling, device):
    """Put a :class:`profiling.embeddings.fields.Scaling` on a device."""
    spans = np.asarray(scaling.highs) - np.asarray(scaling.lows)
    gains = [(1 / (flat * span)).astype(np.float32) for flat, span in zip(scaling.flats, spans, strict=True)]
    shape = np.broadcast_shapes(*(gain.shape for gain in gains))

    def place(values):
        return torch.tensor(np.asarray(values, np.float32), device=device)

    return Range(
        place(scaling.darks)[:, None, None],
        place([np.broadcast_to(gain, shape) for gain in gains]),
        place(scaling.lows / spans)[:, None, None],
    )


def scale(planes, values):
    """Correct and scale the pixels of a field.

    Parameters
    ----------
    planes : torch.Tensor, shape (C, H, W)
        uint8 or float32; int16 stands for the bits of uint16, a type that torch hardly computes with.
    values : Range

    Returns
    -------
    torch.Tensor of float32, shape (C, H, W)
        In [0, 1].
    """
    pixels = planes.to(torch.float32, copy=True)
    if planes.dtype == torch.int16:
        pixels.add_(planes < 0, alpha=65536)
    return pixels.sub_(values.darks).mul_(values.gains).sub_(values.offsets).clamp_(0, 1)


def reflect(positions, length):
    """Positions inside an axis for positions anywhere: reflected at its first and last pixel as often as needed.

    Parameters
    ----------
    positions : torch.Tensor of int64
    length : int

    Returns
    -------
    torch.Tensor of int64
        As ``numpy.pad`` has it with ``mode="reflect"``.
    """
    if length == 1:
        return torch.zeros_like(positions)
    period = 2 * (length - 1)
    inside = positions.remainder(period)
    return torch.minimum(inside, period - inside)


def cut(field, corners, shape):
    """Windows of a field in one gather; what lies outside the field is filled by reflection.

    Parameters
    ----------
    field : torch.Tensor, shape (C, H, W)
    corners : torch.Tensor of int64, shape (N, 2)
        First row and column of each window.
    shape : (int, int)
        Height and width of the windows.

    Returns
    -------
    torch.Tensor, shape (N, C, height, width)
    """
    channels = torch.arange(len(field), device=field.device)
    rows, columns = (
        reflect(corners[:, axis, None] + torch.arange(side, device=field.device), field.shape[axis + 1])
        for axis, side in enumerate(shape)
    )
    return field[channels[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def mask_neighbours(crops, labels, cells):
    """Set pixels of other cells to 0, in place.

    Parameters
    ----------
    crops : torch.Tensor of float32, shape (N, C, height, width)
    labels : torch.Tensor of int32, shape (N, 1, height, width)
    cells : torch.Tensor of int32, shape (N,)
        Label of each crop's own cell.
    """
    crops *= (labels == 0) | (labels == cells[:, None, None, None])


def resizing(shape, size, device):
    """The two matrices that resize crops of a shape (h, w) to a square of `size`; None where they fit."""
    if tuple(shape) == (size, size):
        return None
    return [torch.from_numpy(resize_matrix(side, size)).to(device) for side in shape]


def resize(crops, matrices):
    """Crops (N, C, h, w) at another size, see :func:`profiling.embeddings.crops.resize_matrix`."""
    if matrices is None:
        return crops
    rows, columns = matrices
    return rows @ (crops @ columns.T)
