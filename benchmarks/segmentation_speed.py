"""Time of the nuclei of a field on one core, against CellProfiler's IdentifyPrimaryObjects.

    python -m benchmarks.segmentation_speed [IMAGE ...] [--engine NAME] [--set NAME=VALUE] [--diameter PX]
        [--cellprofiler PYTHON] [--profile]

Without images, a simulated field of 1080 x 1080 px with about 140 nuclei. Both work in turns on the same
field, one thread each; the figure is the processor time of the fastest of several turns. The replica in
benchmarks/cellprofiler_primary.py is left out where `centrosome` is not installed; `--cellprofiler` names the Python of
an environment with CellProfiler 4.2, whose module is then timed as well and its labels compared with those of the
replica.
"""

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import tempfile
import time
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.cellprofiler_primary import identify_primary_objects, scaled
from benchmarks.segmentation import limit_threads, parse_setting
from profiling.cells import load_segmenter
from profiling.cells.matching import THRESHOLDS, find_overlaps, intersections_over_unions
from profiling.demo.cells import paint_field
from profiling.demo.optics import photograph, plate_optics
from profiling.images import read_image

SIDE, PAD = 1080, 48  # px
SURVIVAL = 0.42  # of the simulator's cells, for about 140 nuclei in the field
WORKER = Path(__file__).with_name("cellprofiler_worker.py")


def simulated_field(seed=0):
    """Simulate the nuclei of a 20x field with about 140 nuclei, (1080, 1080) uint16."""
    rng = np.random.default_rng(seed)
    light, *_ = paint_field(SIDE + 2 * PAD, "normal", 1.0, SURVIVAL, rng)
    return photograph(light[0], "DNA", plate_optics(0, SIDE, seed)["DNA"], 1.0, rng, PAD)


def timed(function):
    """Return a function that gives the result and the seconds of processor time of `function`."""

    def call(*arguments):
        start = time.process_time()
        result = function(*arguments)
        return result, time.process_time() - start

    return call


@contextmanager
def running_cellprofiler(python, limits):
    """CellProfiler in a process of its own: a function from an image to labels and seconds.

    Parameters
    ----------
    python : str
        The Python of CellProfiler's environment.
    limits : (float, float) or (None, None)
        Smallest and largest diameter, px.
    """
    with tempfile.TemporaryDirectory() as folder:
        image_path, labels_path = Path(folder) / "image.npy", Path(folder) / "labels.npy"
        task = {"image": str(image_path), "labels": str(labels_path), "smallest": limits[0], "largest": limits[1]}
        messages = Path(folder) / "messages"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with messages.open("w") as errors:
            worker = subprocess.Popen(
                [python, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )

        def identify(image):
            np.save(image_path, scaled(image))
            worker.stdin.write(json.dumps(task) + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                raise RuntimeError(f"CellProfiler failed: {messages.read_text()[-500:]}")
            return np.load(labels_path), json.loads(answer)["seconds"]

        try:
            yield identify
        finally:
            worker.stdin.close()
            worker.wait()


def take_turns(image, methods, repeats):
    """Time methods in turns on one image.

    Parameters
    ----------
    image : (H, W) array
    methods : dict of str to callable
        From an image to labels and seconds.
    repeats : int
        Turns, after one that is not counted.

    Returns
    -------
    seconds : dict of str to float
        Of the fastest turn.
    labels : dict of str to (H, W) array
    """
    seconds, labels = {name: [] for name in methods}, {}
    for turn in range(repeats + 1):
        for name, method in methods.items():
            labels[name], duration = method(image)
            seconds[name] += [duration] if turn else []
    return {name: min(durations) for name, durations in seconds.items()}, labels


def agreement(one, other):
    """Share of the objects of two label images that have a partner with an IoU above 0.9."""
    overlaps = find_overlaps(one, other)
    matched = (intersections_over_unions(overlaps) > THRESHOLDS[-1]).sum()
    return matched / max(len(overlaps.truth_areas), len(overlaps.predicted_areas), 1)


def profile(function, image, lines=18):
    """Print where the time of `function(image)` goes, by own time."""
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(function, image)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", type=Path, nargs="*")
    parser.add_argument("--engine", default="classical")
    parser.add_argument("--set", type=parse_setting, action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--diameter", type=float, help="nucleus diameter, px (absent: estimated; CellProfiler 10-40)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cellprofiler", metavar="PYTHON", help="Python of an environment with CellProfiler 4.2")
    parser.add_argument("--profile", action="store_true", help="where the engine's time goes")
    options = parser.parse_args(arguments)

    limit_threads(1)
    segment = load_segmenter(options.engine, nucleus_diameter=options.diameter, **dict(options.settings)).segment
    limits = (None, None) if options.diameter is None else (0.5 * options.diameter, 2 * options.diameter)
    replica_limits = () if options.diameter is None else limits
    ours, replica = options.engine, "replica"
    rows = []
    genuine = running_cellprofiler(options.cellprofiler, limits) if options.cellprofiler else nullcontext()
    with genuine as cellprofiler:
        methods = {ours: timed(segment)}
        if find_spec("centrosome"):
            methods[replica] = timed(lambda image: identify_primary_objects(image, *replica_limits))
        if cellprofiler:
            methods["CellProfiler"] = cellprofiler
        fields = {path.stem[:24]: read_image(path) for path in options.images} or {"simulated": simulated_field()}
        for name, image in fields.items():
            seconds, labels = take_turns(image, methods, options.repeats)
            row = {"field": name, "size": "{}x{}".format(*image.shape)}
            row |= {f"{method} n": len(np.unique(found)) - 1 for method, found in labels.items()}
            row |= {f"{method} ms": 1000 * duration for method, duration in seconds.items()}
            row |= {f"{method} ratio": seconds[method] / seconds[ours] for method in methods if method != ours}
            if cellprofiler and replica in methods:
                row["replica = CellProfiler"] = agreement(labels[replica], labels["CellProfiler"])
            rows.append(row)
            if options.profile:
                profile(segment, image)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    ratios = table.filter(like=" ratio")
    if len(methods) > 1:
        print("median ratio: " + ", ".join(f"{name[:-6]} {value:.2f}" for name, value in ratios.median().items()))


if __name__ == "__main__":
    main()
