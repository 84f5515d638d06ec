"""Cells a second of the torch engine against the raw network and against decoding, in one run.

    python -m benchmarks.gpu [--device cuda] [--fields 400] [--threads 16] [--precision fp32 bf16] [--only WORD ...]
        [--size 96] [--side 1080] [--cells 140] [--batch-size N] [--compiled] [--repeats 3]

Simulated fields with three channels of 12 bits in LZW files; cells at random places, each channel through the network
alone. A few fields are made, and read again and again. For every network and precision, by the clock, the fastest of
the repeats, in turns:

- `raw`: the network alone, in the engine's own way (graph, batch, precision), on one batch that lies on the device;
- `memory`: from decoded fields to features, and its share of `raw`;
- `files`: from files, decoded by so many threads, to features, and its share of `raw`;
- `decoding`: the same files decoded by the same threads, and nothing else. Where `files` comes near it, decoding is the
  bound: more threads, or files that decode faster (see Decoding in benchmarks/README.md).

`to device` is what the fields bring to the device, in bytes a cell and, at the rate of `memory`, in GB/s. Starting
(loading, compiling, recording the graph, finding the batch) is told apart. ResNet-50, ConvNeXt-T and ViT-S have random
weights, which are as fast as trained ones. `--device cpu --fields 2` runs the same code on a CPU, to test it.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from profiling.demo.cells import paint_field
from profiling.demo.design import CHANNELS
from profiling.demo.optics import photograph, plate_optics
from profiling.devices import choose_device
from profiling.embeddings.backbones.load import backbone_of
from profiling.embeddings.fields import FieldCells, Scaling
from profiling.embeddings.torch_engine import TorchEngine
from profiling.embeddings.torch_network import DeviceNetwork
from profiling.images.read import read_image
from profiling.parallel import map_ahead
from profiling.settings import Embedding

NETWORKS = {
    "efficientnet_lite0": {},
    "resnet50": {"backbone": "torchvision:resnet50", "weights": "untrained"},
    "convnext_tiny": {"backbone": "torchvision:convnext_tiny", "weights": "untrained"},
    "vit_small": {"backbone": "timm:vit_small_patch16_224", "weights": "untrained"},
}
DISTINCT, PAD, DARK, DENSITY = 4, 48, 100.0, 0.49


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    parser.add_argument("--fields", type=int, default=400)
    parser.add_argument("--cells", type=int, default=140, help="of a field")
    parser.add_argument("--side", type=int, default=1080, help="of a field, px")
    parser.add_argument("--size", type=int, default=96, help="of crop and input, px")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="that decode")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--only", nargs="+", default=[""], help="words in the names of networks")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--compiled", action="store_true", help="by torch.compile")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}, {options.threads} threads decode, {options.fields} fields")
    print("| network | batch | start s | raw | memory | share | files | share | decoding | to device |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        fields = write_fields(Path(folder), options.side, options.cells)
        for network in NETWORKS:
            for precision in options.precision:
                if any(word in network for word in options.only):
                    settings = Embedding(
                        **NETWORKS[network],
                        precision=precision,
                        input_size=options.size,
                        batch_size=options.batch_size,
                    )
                    print(row(f"{network} {precision}", measure(settings, device, fields, options)), flush=True)


def write_fields(folder, side, cells, seed=0):
    """A few simulated fields as LZW files: ``[(paths of the channels, centres of the cells)]``."""
    optics = plate_optics(0, side, seed)
    fields = []
    for index in range(DISTINCT):
        rng = np.random.default_rng([seed, index])
        light, *_ = paint_field(side + 2 * PAD, "normal", 1.0, DENSITY, rng)
        paths = [folder / f"{index}_{channel}.tif" for channel in CHANNELS]
        for path, plane, channel in zip(paths, light, CHANNELS, strict=True):
            image = photograph(plane, channel, optics[channel], 1.0, rng, PAD)
            tifffile.imwrite(path, image, compression="lzw", rowsperstrip=64)
        fields.append((paths, rng.random((cells, 2)) * (side - 1)))
    return fields


def read(field):
    """Decode a field."""
    paths, centres = field
    planes = np.stack([read_image(path) for path in paths])
    return FieldCells(planes, centres, np.arange(len(centres)), None, np.arange(0))


def measure(settings, device, fields, options):
    """Seconds for all fields, by way; with what was found out on the way."""
    start = time.perf_counter()
    network = DeviceNetwork(
        backbone_of(settings), settings.pooling, device, settings.precision, settings.batch_size, options.compiled
    )
    channels = len(CHANNELS)
    scaling = Scaling(
        [np.ones((1, 1), np.float32)] * channels, *(np.full(channels, x, np.float32) for x in (DARK, 0, 3000))
    )
    engine = TorchEngine(network, scaling, options.size, options.size)
    started = time.perf_counter() - start
    decoded = [read(field) for field in fields]
    cells = options.fields * options.cells
    batch = torch.rand(network.batch_size, 1, options.size, options.size, device=device)

    def many(items):
        return (items[index % len(items)] for index in range(options.fields))

    def raw():
        for _ in range(-(-cells * channels // len(batch))):
            network(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    ways = {
        "raw": raw,
        "memory": lambda: consume(engine.embed_fields(many(decoded)), cells),
        "files": lambda: consume(engine.embed_fields(map_ahead(read, many(fields), options.threads)), cells),
        "decoding": lambda: sum(1 for _ in map_ahead(read, many(fields), options.threads)),
    }
    times = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - begin)
    rates = {name: cells / min(taken) for name, taken in times.items()}
    carried = sum(field.planes.nbytes for field in decoded) / len(decoded) / options.cells
    return {"batch": network.batch_size, "start": started, "bytes": carried} | rates


def consume(results, cells):
    """Take all results; none may be lost."""
    found = sum(len(result.features) for result in results)
    if found != cells:
        raise RuntimeError(f"{found} cells came back of {cells}")


def row(name, found):
    """A row of the table; rates in cells a second."""
    rates = " | ".join(
        f"{found[way]:,.0f}" + ("" if way == "raw" else f" | {found[way] / found['raw']:.0%}")
        for way in ("raw", "memory", "files")
    )
    carried = f"{found['bytes'] / 1e3:.0f} kB a cell, {found['bytes'] * found['memory'] / 1e9:.1f} GB/s"
    return f"| {name} | {found['batch']} | {found['start']:.1f} | {rates} | {found['decoding']:,.0f} | {carried} |"


if __name__ == "__main__":
    main()
