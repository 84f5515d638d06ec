"""The CPU engine: a network exported once and run by OpenVINO, which needs no torch and is twice as fast."""

import openvino as ov

from profiling.embeddings.batches import embed_in_batches
from profiling.embeddings.cutter import Cutter
from profiling.embeddings.embedder import Embedder
from profiling.memory import keep_memory

BATCH_SIZE = 16
"""Images a batch: what a network of this kind keeps in the cache of a core; 32 and more are 10 % slower."""


def export_network(backbone, pooling, channels, size, path):
    """Write a backbone with its pooling as an OpenVINO model (``.xml`` with a ``.bin`` beside it), in fp32.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
    pooling : str
        See :func:`profiling.embeddings.network.pool`.
    channels : int
        1, or those of a composite.
    size : int
        Pixels a side of the input.
    path : str or Path
        The ``.xml``.
    """
    from profiling.embeddings.convert import to_openvino

    ov.save_model(to_openvino(backbone, pooling, channels, size), path, compress_to_fp16=False)


def compile_network(path, precision="fp32", threads=1, batch_size=BATCH_SIZE):
    """An exported network ready to run: `threads` streams of one thread each.

    Parameters
    ----------
    path : str or Path
        What :func:`export_network` wrote.
    precision : {"fp32", "bf16"}
        Arithmetic; bf16 only where the CPU has it.
    threads : int
        Two streams of one thread do 1.4 times the work of one stream of two threads.
    batch_size : int
        Images a batch, always as many.

    Returns
    -------
    openvino.CompiledModel
    """
    core = ov.Core()
    model = core.read_model(path)
    shape = model.input().partial_shape
    shape[0] = batch_size
    model.reshape(shape)
    options = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,  # two jobs would be pinned to the same core
    }
    return core.compile_model(model, "CPU", options)


def load_exported(path, composite=False, precision="fp32", threads=1):
    """The embedder of an exported network on the CPU.

    Parameters
    ----------
    path, precision, threads
        As in :func:`compile_network`.
    composite : bool
        Whether it takes the channels together.

    Returns
    -------
    Embedder
        Its features equal those of torch to about 1e-4 of their scale.
    """
    network = compile_network(path, precision, threads)
    request = network.create_infer_request()

    def forward(images):
        return request.infer([images])[0].copy()

    return Embedder(forward, composite, BATCH_SIZE, fill=True, channels=network.input().shape[1])


class ExportedEngine:
    """The engine (see :mod:`profiling.embeddings.fields`) of an exported network on the CPU.

    Parameters
    ----------
    path : str or Path
        What :func:`export_network` wrote.
    scaling : profiling.embeddings.fields.Scaling
        Of the channels, in their order.
    crop : int, (int, int) or None
        Height and width of the crop in pixels; None takes each field whole.
    composite : bool
        Whether the channels go through the network together; otherwise each goes through alone.
    precision, threads
        As in :func:`compile_network`.
    batch_size : int
        Images a batch at least; batches hold whole cells.

    Attributes
    ----------
    width : int
        Features of a cell.
    """

    def __init__(self, path, scaling, crop, composite=False, precision="fp32", threads=1, batch_size=BATCH_SIZE):
        keep_memory()
        channels = len(scaling.lows)
        passes = 1 if composite else channels
        cells = -(-batch_size // passes)
        network = compile_network(path, precision, threads, cells * passes)
        size = network.input().shape[-1]
        self.shape = (cells, channels, size, size)
        self.width = network.output().shape[1] * passes
        self.cutter = Cutter(scaling, crop, size)
        # With several streams, one batch more keeps all of them at work while the next is cut.
        self.requests = [network.create_infer_request() for _ in range(threads + (threads > 1))]

    def embed_fields(self, fields):
        """Features of the cells of fields, in order; batches are filled across fields.

        Parameters
        ----------
        fields : iterable of FieldCells

        Returns
        -------
        iterator of FieldFeatures
            Independent of the cells that share a batch, and of the number of threads.
        """
        return embed_in_batches(fields, self.cutter.field, self.requests, self.shape, self.width)
