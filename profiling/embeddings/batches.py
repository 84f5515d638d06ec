"""Batches of a fixed number of cells, filled across fields; results field by field, in order."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from profiling.embeddings.fields import FieldFeatures


@dataclass
class _Result:
    """What is known of a field's features, and how many of its cells are still in batches."""

    features: np.ndarray
    pictures: np.ndarray
    missing: int


class _Batch:
    """A request of the network with the cells that are in it."""

    def __init__(self, request, shape, width):
        self.request = request
        self.images = request.get_input_tensor().data.reshape(shape)
        self.features = request.get_output_tensor().data.reshape(shape[0], width)
        self.used, self.parts = 0, []

    def finish(self):
        """Wait for the network, hand its features over and be empty again."""
        self.request.wait()
        place = 0
        for result, start, stop in self.parts:
            result.features[start:stop] = self.features[place : place + stop - start]
            result.missing -= stop - start
            place += stop - start
        self.used, self.parts = 0, []
        return self


def embed_in_batches(fields, fill_field, requests, shape, width):
    """Features of the cells of fields, in order.

    Parameters
    ----------
    fields : iterable of FieldCells
    fill_field : callable
        From a field to a function ``fill(start, stop, out)``, see :meth:`profiling.embeddings.cutter.Cutter.field`.
    requests : list of openvino.InferRequest
        So many batches are in work at a time.
    shape : tuple of int
        (cells a batch, C, size, size)
    width : int
        Features of a cell.

    Yields
    ------
    FieldFeatures
    """
    cells = shape[0]
    unfinished, running = deque(), deque()
    free = deque(_Batch(request, shape, width) for request in requests)

    def run():
        """Start the batch at hand; the next one is at hand when this returns."""
        batch = free.popleft()
        batch.request.start_async()
        running.append(batch)
        if not free:
            free.append(running.popleft().finish())

    try:
        for field in fields:
            count = len(field.centres)
            pictures = np.empty((len(field.shown), *shape[1:]), np.float32)
            result = _Result(np.empty((count, width), np.float32), pictures, count)
            unfinished.append(result)
            fill, start = fill_field(field), 0
            while start < count:
                batch = free[0]
                stop = min(count, start + cells - batch.used)
                images = batch.images[batch.used : batch.used + stop - start]
                fill(start, stop, images)
                here = (field.shown >= start) & (field.shown < stop)
                pictures[here] = images[field.shown[here] - start]
                batch.parts.append((result, start, stop))
                batch.used += stop - start
                start = stop
                if batch.used == cells:
                    run()
            yield from _finished(unfinished)
        if free[0].used:
            run()
        while running:
            running.popleft().finish()
        yield from _finished(unfinished)
    finally:
        for batch in running:
            batch.request.wait()


def _finished(unfinished):
    while unfinished and not unfinished[0].missing:
        result = unfinished.popleft()
        yield FieldFeatures(result.features, result.pictures)
