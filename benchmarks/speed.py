"""Cells per second of processor time, from LZW files to the tables of embeddings, against a naive loop.

    python -m benchmarks.speed [--fields 3] [--repeats 2] [--only WORD ...] [--without WORD ...] [--folder FOLDER]
        [--peer PYTHON]

Simulated fields of 1080 x 1080 px, three channels, with about 140 cells. One process on one core; everything is
measured in turns, and the figure is that of the fastest turn. For every network:

- `raw`: the network alone, in the same engine at the same batch;
- `stage`: from fields in memory to features; `of raw` is its share;
- `job`: from files and masks to features, the whole embedding job with its tables and thumbnails; `disk` is that of
  the embeddings;
- `+ classical`, `+ nuclei`: the same with segmentation by these engines and the measurements of cells.

`ratio` is `job` to the naive loop (see benchmarks/naive_loop.py), `disk ratio` to that with its crops on
disk, and, with `--peer PYTHON`, `peer` to scPortrait (see benchmarks/scportrait_worker.py), which runs first, in a
process of its own. Starting (reading the tables, compiling the network) is reported separately, as a job takes minutes.
Words of `--only`: naive, disk, memory, workers, and those in the names of the networks.
"""

import argparse
import functools
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by libraries when they are loaded

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.speed_screen import CHANNELS, make_screen, repeat_screen, segment_screen
from profiling.cells.jobs import read_labels
from profiling.embeddings.jobs import embed, embed_fields, fetch_backbone, load_engine
from profiling.embeddings.reading import crop_sides, field_labels, read_fields, read_scaling
from profiling.images import read_image
from profiling.images.fields import read_flatfields
from profiling.settings import Embedding
from profiling.tables import read_table, write_table

STEP_SECONDS = 2
PEER_WORKER = Path(__file__).with_name("scportrait_worker.py")
PEER_CROP, PEER_SIZE = 128, 96  # px
RESNET = {"backbone": "torchvision:resnet18", "weights": "untrained", "layers": ["last"], "pooling": "mean"}
TOGETHER = {"composite": list(CHANNELS)}
BLOCK5 = {"backbone": "efficientnet_lite0", "layers": ["blocks.5"], "pooling": "mean+std"}
NETWORKS = {
    "block5 96 composite fp32": BLOCK5 | TOGETHER,
    "block5 96 composite bf16": BLOCK5 | TOGETHER | {"precision": "bf16"},
    "block5 96 channels fp32": BLOCK5,
    "block5 96 channels bf16": BLOCK5 | {"precision": "bf16"},
    "block5 128 composite fp32": BLOCK5 | TOGETHER | {"input_size": 128, "crop": "128 px"},
    "block5 crop 128 to 96 composite fp32": BLOCK5 | TOGETHER | {"crop": "128 px"},
    "default 96 channels fp32": {},
    "resnet18 96 composite fp32": TOGETHER | RESNET,
}
"""Settings by name: EfficientNet-Lite0 up to block 5, the platform's default, and the network of the naive loop.

Random weights are as fast as trained ones.
"""
ENGINES = ("classical", "nuclei")
RATIOS = {"ratio": "naive resnet18 96 composite fp32", "disk ratio": "naive disk resnet18 96 composite fp32"}


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="rows with all of these words")
    parser.add_argument("--without", nargs="*", default=[], metavar="WORD", help="rows with none of these words")
    parser.add_argument("--folder", type=Path, help="keep the fields and networks there and use them again")
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with scPortrait, which is measured, too")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    sys.stdout.reconfigure(line_buffering=True)

    def wanted(name):
        words = set(name.split())
        return set(given.only) <= words and not words & set(given.without)

    with tempfile.TemporaryDirectory() as temporary, threadpool_limits(1):
        folder = given.folder or Path(temporary)
        screen = prepare_screen(folder / f"screen{given.fields}", given.fields)
        with one_core():
            peer = measure_peer(given.peer, screen, given.repeats) if given.peer else None
            measure_rates(folder, screen, wanted, given.repeats, peer)
        name = next(iter(NETWORKS))
        prepare_network(folder, name)
        if wanted("memory"):
            measure_memory(folder, name, screen)
        if wanted("workers"):
            measure_workers(folder, name, screen, given.repeats)


@contextmanager
def one_core():
    """Run on one core: the thread that decodes would otherwise take turns with, or slow down, that of the network."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def prepare_screen(folder, fields):
    """The screen in a folder, made where it is not there."""
    record = folder / "screen.json"
    if record.is_file():
        paths = json.loads(record.read_text())
        from benchmarks.speed_screen import Screen

        return Screen(*(Path(path) if isinstance(path, str) else path for path in paths))
    screen = make_screen(folder, fields)
    record.write_text(json.dumps(screen, default=str))
    return screen


def prepare_network(folder, name):
    """Settings of a network, and its record with the exported network beside it."""
    settings = Embedding(device="cpu", **{"crop": "96 px", **NETWORKS[name]})
    key = re.sub(r"\W", "-", name.removesuffix("bf16").removesuffix("fp32"))
    record = folder / key / "backbone.json"
    if not record.is_file():
        record.parent.mkdir(parents=True, exist_ok=True)
        fetch_backbone(settings, record)
    return settings, record


class Task:
    """The embedding of a screen's fields by one network, in the steps that are timed."""

    def __init__(self, folder, name, screen):
        self.settings, self.record = prepare_network(folder, name)
        self.screen = screen
        self.cells = read_table(screen.segmented, "segmented")
        self.flats = read_flatfields(screen.flatfields, list(CHANNELS))
        scaling = read_scaling(self.flats, screen.limits)
        crop = crop_sides(self.settings, self.cells, self.flats)
        self.engine = load_engine(self.settings, self.record, scaling, crop)
        self.images = np.random.default_rng(0).random(self.engine.shape, dtype=np.float32)

    def fields(self):
        """Fields as read from files."""
        images = read_table(self.screen.images, "images")
        labels = lambda rows: self.screen.labels  # noqa: E731
        return read_fields(self.cells, images, self.screen.folder, self.flats, labels, self.settings)[1]

    def raw(self):
        """As many cells through the network alone; their number."""
        request = self.engine.requests[0]
        tensor = request.get_input_tensor()
        tensor.data[:] = self.images.reshape(tensor.data.shape)
        batches = -(-len(self.cells) // len(self.images))
        for _ in range(batches):
            request.infer()
        return batches * len(self.images)

    def stage(self, fields):
        """From fields in memory to features; the number of cells."""
        return sum(len(result.features) for _, result in embed_fields(self.engine, iter(fields)))

    def decoded(self):
        """From files to features in memory; the number of cells."""
        return self.stage(self.fields())

    def job(self, out, cells=None):
        """The whole job, with its start; the number of cells."""
        screen = self.screen
        out.mkdir(parents=True, exist_ok=True)
        embed(
            screen.images, screen.folder, screen.flatfields, screen.limits, cells or screen.segmented, screen.labels,
            self.record, screen.wells, list(CHANNELS), self.settings,
            *(out / f"{table}.parquet" for table in ("embeddings", "cells", "thumbnails")),
        )  # fmt: skip
        return len(self.cells)

    def start(self, out):
        """The same job for no cells: what it costs to start."""
        out.mkdir(parents=True, exist_ok=True)
        write_table(out / "segmented.parquet", "segmented", self.cells.head(0))
        self.job(out, out / "segmented.parquet")


def repeats_of_fields(task):
    """How often to take a task's fields so that a step lasts some seconds: starting is subtracted."""
    task.raw()
    start = time.process_time()
    task.raw()
    return int(np.clip(round(STEP_SECONDS / (time.process_time() - start)), 1, 6))


def measure_peer(python, screen, repeats):
    """Print what scPortrait does on the fields; its cells per second of processor time, its start subtracted."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, array in mosaic(read_masked_fields(screen), PEER_CROP // 2).items():
            np.save(Path(temporary) / f"{name}.npy", array)
        words = [python, PEER_WORKER, temporary, str(PEER_CROP), str(PEER_SIZE), str(repeats + 1)]
        said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    cells, rates, starts = peer_rates([json.loads(line) for line in said.splitlines()])
    print(
        f"scPortrait, {cells} cells and four times as many: cells per CPU-second, start in brackets: "
        + ", ".join(f"{step} {rate:.0f} ({starts[step]:.1f} s)" for step, rate in rates.items() if step != "bytes")
        + f"; {1 / rates['bytes'] / 1000:.1f} kB a cell on disk"
    )
    return 1 / (1 / rates["extraction"] + 1 / rates["features"])


def peer_rates(turns):
    """Cells of the shorter image, cells a second (and a byte) by step, and what each step costs before its first cell.

    Parameters
    ----------
    turns : list of dict
        What `scportrait_worker` answers. Of an image and of a longer one the fastest turn counts; the rate is that of
        the cells that the longer one has more.
    """
    short, long = sorted({turn["cells"] for turn in turns})
    rates, starts = {}, {}
    for step in ("loading", "extraction", "features", "bytes"):
        few, many = (min(turn[step] for turn in turns if turn["cells"] == cells) for cells in (short, long))
        rates[step] = (long - short) / (many - few)
        starts[step] = few - short / rates[step]
    return short, rates, starts


def read_masked_fields(screen):
    """Images (channels, H, W), nuclei and cells (H, W) of a screen's fields, one after the other."""
    images = read_table(screen.images, "images")
    for (well, site), own in images.groupby(["Metadata_Well", "Metadata_Site"]):
        paths = own.set_index("Metadata_Channel")["Path"]
        planes = np.stack([read_image(screen.folder / paths[channel]) for channel in CHANNELS])
        yield planes, *(read_labels(screen.labels / f"{well}.tif", site, name) for name in ("Nuclei", "Cells"))


def mosaic(fields, margin):
    """Fields side by side, with a reflected margin in which there are no masks: images, nuclei and cells."""
    planes, nuclei, cells, first = [], [], [], 0
    for image, *labels in fields:
        planes.append(image)
        for parts, part in zip((nuclei, cells), labels, strict=True):
            parts.append(np.where(part > 0, part + first, 0))
        first = cells[-1].max(initial=first)
    around = ((margin, margin), (margin, margin))
    return {
        "images": np.pad(np.concatenate(planes, 2), ((0, 0), *around), mode="reflect"),
        "nuclei": np.pad(np.hstack(nuclei), around),
        "cells": np.pad(np.hstack(cells), around),
    }


def measure_rates(folder, screen, wanted, repeats, peer):
    """Print the rates of the networks, of segmentation and of the naive loop."""
    tasks, timed, outs = {}, {}, {}
    longer = {1: screen}
    for name in filter(wanted, NETWORKS):
        times = repeats_of_fields(Task(folder, name, screen))
        if times not in longer:
            longer[times] = repeat_screen(screen, times, Path(tempfile.mkdtemp(dir=folder)) / "screen")
        task = tasks[name] = Task(folder, name, longer[times])
        outs[name] = folder / "out" / re.sub(r"\W", "-", name)
        held = list(Task(folder, name, screen).fields()) * times
        timed[name, "raw"] = task.raw
        timed[name, "stage"] = functools.partial(task.stage, held)
        timed[name, "job"] = functools.partial(task.job, outs[name])
        timed[name, "start"] = functools.partial(task.start, outs[name] / "none")
    cells = len(read_table(screen.segmented, "segmented"))
    for engine in ENGINES:
        elsewhere = screen._replace(segmented=folder / engine / "segmented.parquet", labels=folder / engine / "labels")
        elsewhere.labels.mkdir(parents=True, exist_ok=True)
        timed[engine] = functools.partial(segment_screen, elsewhere, engine)
    timed |= naive_loops(screen, wanted)
    seconds, counts = take_turns(timed, repeats)
    segmentation = {engine: seconds[engine] / cells for engine in ENGINES}
    print(f"{cells} cells in {len(read_table(screen.images, 'images')) // len(CHANNELS)} fields")
    for engine, duration in segmentation.items():
        print(f"segmentation ({engine}) and measurements alone: {1 / duration:.0f} cells per CPU-second")
    naive = {key: counts[key] / seconds[key] for key in timed if isinstance(key, str) and key.startswith("naive")}
    for name, rate in naive.items():
        print(f"{name}: {rate:.1f} cells per CPU-second")
    header = (
        "raw",
        "stage",
        "of raw",
        "job",
        "of raw",
        *RATIOS,
        "peer",
        *(f"+ {engine}" for engine in ENGINES),
        "start",
        "disk",
    )
    print(f"\n{'cells per CPU-second':38}" + "".join(f"{title:>12}" for title in header))
    for name, task in tasks.items():
        rates = {step: counts[name, step] / seconds[name, step] for step in ("raw", "stage")}
        duration = (seconds[name, "job"] - seconds[name, "start"]) / len(task.cells)
        # Fields that are there several times would be compressed to one.
        Task(folder, name, screen).job(outs[name])
        disk = (outs[name] / "embeddings.parquet").stat().st_size / cells
        row = (
            f"{rates['raw']:.0f}", f"{rates['stage']:.0f}", f"{rates['stage'] / rates['raw']:.0%}",
            f"{1 / duration:.0f}", f"{1 / duration / rates['raw']:.0%}",
            *(f"{1 / duration / naive[loop]:.1f}" if loop in naive else "-" for loop in RATIOS.values()),
            f"{1 / duration / peer:.1f}" if peer else "-",
            *(f"{1 / (duration + masks):.0f}" for masks in segmentation.values()),
            f"{seconds[name, 'start']:.1f} s", f"{disk:.0f} B/cell",
        )  # fmt: skip
        print(f"{name:38}" + "".join(f"{value:>12}" for value in row))


def naive_loops(screen, wanted):
    """The naive loop as steps to time: crops of 96 px, and crops of 128 px that pass through a file, as the peer's."""
    variants = dict(zip(RATIOS.values(), ({"crop": 96}, {"crop": 128, "on_disk": True}), strict=True))
    if not any(wanted(name) for name in variants):
        return {}
    import torch
    from torchvision.models import resnet18

    from benchmarks.naive_loop import naive_features

    torch.set_num_threads(1)
    network = resnet18(weights=None).eval()
    network.fc = torch.nn.Identity()
    images = read_table(screen.images, "images")
    fields = []
    for site, rows in read_table(screen.segmented, "segmented").groupby(["Metadata_Well", "Metadata_Site"]):
        own = images[(images["Metadata_Well"] == site[0]) & (images["Metadata_Site"] == site[1])]
        paths = [screen.folder / own.set_index("Metadata_Channel")["Path"][channel] for channel in CHANNELS]
        centres = rows[["Nuclei_Location_CenterY", "Nuclei_Location_CenterX"]].to_numpy()
        fields.append((paths, rows, centres, rows["Metadata_CellID"].to_numpy()))

    def run(**options):
        given = ((paths, field_labels(screen.labels, rows), *rest) for paths, rows, *rest in fields)
        return len(naive_features(given, network, size=96, **options)[0])

    return {name: functools.partial(run, **options) for name, options in variants.items() if wanted(name)}


def take_turns(steps, repeats):
    """Seconds of processor time of the fastest turn of each step, and the cells of one.

    Parameters
    ----------
    steps : dict
        Name → a function that returns a number of cells.
    repeats : int
        Turns of all steps, after one that is not counted for steps that take less than two seconds.
    """
    seconds, counts = {}, {}
    for turn in range(repeats + 1):
        print(f"turn {turn + 1} of {repeats + 1}, {len(steps)} steps", file=sys.stderr)
        for name, step in steps.items():
            if turn == repeats and seconds[name] > 2:
                continue
            start = time.process_time()
            counts[name] = step()
            duration = time.process_time() - start
            seconds[name] = min(seconds.get(name, duration), duration)
    return seconds, counts


def measure_memory(folder, name, screen):
    """Print the peak memory of a job on the fields and on four times as many, each in a process of its own."""
    peaks = []
    with tempfile.TemporaryDirectory() as temporary:
        for times in (1, 4):
            longer = repeat_screen(screen, times, Path(temporary) / str(times))
            peaks.append(in_processes(1, run_job, folder, name, longer)[0].memory)
    print(f"\npeak memory: {peaks[0]:.0f} MiB, with four times as many fields {peaks[1]:.0f} MiB")


def measure_workers(folder, name, screen, repeats):
    """Print what two workers do by the clock to what one does, beside the same of the network alone."""
    ratios = {}
    with tempfile.TemporaryDirectory() as temporary:
        longer = repeat_screen(screen, 4, Path(temporary) / "long")
        for what in ("raw", "decoded"):
            walls = {count: [] for count in (1, 2)}
            for _ in range(repeats):
                for count, found in walls.items():
                    found.append(max(run.wall for run in in_processes(count, run_step, folder, name, longer, what)))
            ratios[what] = 2 * min(walls[1]) / min(walls[2])
    print(
        f"two workers do {ratios['decoded']:.2f} × the work of one; the network alone in two processes "
        f"{ratios['raw']:.2f} ×, which is what the cores of this machine allow"
    )


def in_processes(count, function, *arguments):
    """What `count` processes return, which all begin at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=_run, args=(function, arguments, index, barrier, queue)) for index in range(count)
    ]
    for process in processes:
        process.start()
    results = [queue.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    if errors := [result for result in results if isinstance(result, str)]:
        raise RuntimeError(errors[0])
    return results


def _run(function, arguments, index, barrier, queue):
    try:
        cv2.setNumThreads(1)
        queue.put(SimpleNamespace(**function(*arguments, index, barrier)))
    except Exception as error:
        barrier.abort()
        queue.put(f"{type(error).__name__}: {error}")


def run_job(folder, name, screen, index, barrier):
    """A whole job, for its peak of memory."""
    Task(folder, name, screen).job(folder / "out" / f"process{index}")
    return {"memory": peak_memory()}


def run_step(folder, name, screen, what, index, barrier):
    """A step by the clock, begun when the other processes are ready."""
    task = Task(folder, name, screen)
    task.raw()
    barrier.wait()
    start = time.perf_counter()
    getattr(task, what)()
    return {"wall": time.perf_counter() - start}


def peak_memory():
    """Largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # That of getrusage would count what the process that started this one had.
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
