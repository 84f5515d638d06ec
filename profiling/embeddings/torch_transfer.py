"""Fields to a torch device and results back, while the device works."""

from typing import NamedTuple

import numpy as np
import torch

from profiling.embeddings.crops import pixels_of, sides
from profiling.embeddings.torch_network import attempt, free_memory, on
from profiling.errors import ProfilingError
from profiling.parallel import map_ahead


class DeviceField(NamedTuple):
    """A field with its cells on a device.

    Attributes
    ----------
    planes : torch.Tensor, shape (C, H, W)
        As stored: uint8, float32, or int16 for the bits of uint16.
    corners : torch.Tensor of int64, shape (N, 2)
        First row and column of each crop.
    cells : torch.Tensor of int32, shape (N,)
    labels : torch.Tensor of int32, shape (1, H, W), or None
    shown : torch.Tensor of int64, shape (K,)
    """

    planes: torch.Tensor
    corners: torch.Tensor
    cells: torch.Tensor
    labels: torch.Tensor | None
    shown: torch.Tensor


def upload_fields(fields, crop, device):
    """Put fields on a device, one ahead of the field at hand, on a thread and a copy stream of their own.

    Parameters
    ----------
    fields : iterable of profiling.embeddings.fields.FieldCells
    crop : int, (int, int) or None
        Height and width of the crops; None for whole fields.
    device : torch.device

    Yields
    ------
    DeviceField
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def upload(field):
        arrays = _arrays(field, crop)
        for _ in range(2):
            placed = attempt(_place, arrays, device, stream)
            if placed is not None:
                return placed
            free_memory(device)
        channels, height, width = field.planes.shape
        raise ProfilingError(
            f"a field of {channels} channels and {width} × {height} pixels does not fit into the memory of device "
            f"{device}: end other programs there, or set embedding.device to cpu"
        )

    for placed, copied in map_ahead(upload, fields, 1):
        if stream is not None:
            current = torch.cuda.current_stream(device)
            current.wait_event(copied)
            for tensor in placed:
                if tensor is not None:
                    tensor.record_stream(current)
        yield placed


def _arrays(field, crop):
    """The arrays of a field with the type that each has on the device."""
    planes = field.planes
    if planes.dtype == np.uint16:
        planes, kind = planes.view(np.int16), torch.int16
    else:
        kind = torch.uint8 if planes.dtype == np.uint8 else torch.float32
    if crop is None:
        corners = np.zeros((len(field.centres), 2), np.int64)
    else:
        corners = pixels_of(field.centres) - np.array(sides(crop)) // 2
    labels = field.labels if field.labels is None else field.labels[None]
    return (
        (planes, kind),
        (corners, torch.int64),
        (field.cells, torch.int32),
        (labels, torch.int32),
        (field.shown, torch.int64),
    )


def _place(arrays, device, stream):
    """Copy arrays to a device through pinned memory; returns the field and the event after which it is there."""
    with on(device), torch.cuda.stream(stream):  # no stream: nothing is done
        tensors = [None if array is None else _stage(array, kind, device) for array, kind in arrays]
        placed = DeviceField(*(None if t is None else t.to(device, non_blocking=True) for t in tensors))
        return placed, None if stream is None else stream.record_event()


def _stage(array, kind, device):
    """A copy of an array that the device can fetch by itself; torch keeps and reuses such memory."""
    staged = torch.empty(np.shape(array), dtype=kind, pin_memory=device.type == "cuda")
    np.copyto(staged.numpy(), array, casting="unsafe")
    return staged


def download(tensor):
    """Start to copy a tensor to the host; the function returned waits for it and gives the array."""
    if tensor.device.type != "cuda":
        array = tensor.cpu().numpy()
        return lambda: array
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    copied = torch.cuda.current_stream(tensor.device).record_event()

    def wait():
        copied.synchronize()
        return host.numpy()

    return wait
