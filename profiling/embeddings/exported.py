"""The CPU engine: a network exported once and run by OpenVINO, which needs no torch and is twice as fast."""

import openvino as ov

from profiling.embeddings.embedder import Embedder

BATCH_SIZE = 32


def export_network(backbone, pooling, channels, size, path):
    """Write a backbone with its pooling as an OpenVINO model (``.xml`` with a ``.bin`` beside it), in fp32.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
    pooling : {"mean", "mean+std"}
    channels : int
        1, or 3 for a composite.
    size : int
        Pixels a side of the input.
    path : str or Path
        The ``.xml``.
    """
    import torch

    from profiling.embeddings.network import FeatureNetwork

    example = torch.zeros(BATCH_SIZE, channels, size, size)
    with torch.no_grad():
        model = ov.convert_model(FeatureNetwork(backbone, pooling), example_input=example, input=example.shape)
    ov.save_model(model, path, compress_to_fp16=False)


def load_exported(path, composite=False, precision="fp32", threads=1):
    """The embedder of an exported network on the CPU.

    Parameters
    ----------
    path : str or Path
        What :func:`export_network` wrote.
    composite : bool
        Whether it takes three channels together.
    precision : {"fp32", "bf16"}
        Arithmetic; bf16 only where the CPU has it.
    threads : int

    Returns
    -------
    Embedder
        Its features equal those of torch to about 1e-4 of their scale.
    """
    options = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # two jobs would be pinned to the same core
    }
    request = ov.Core().compile_model(path, "CPU", options).create_infer_request()

    def forward(images):
        return request.infer([images])[0].copy()

    return Embedder(forward, composite, BATCH_SIZE, fill=True)
