"""Fields a second of the learned nucleus engine, by number of threads that prepare fields and decode maps.

    python -m benchmarks.segmentation_gpu [--device cuda] [--fields 200] [--threads 1 4 16]

Simulated fields of 1080 x 1080 px with about 140 nuclei, in memory, diameters estimated. On a GPU all threads share one
network, and fields that wait run as one batch. `--device cpu --fields 4` runs the same on a CPU.
"""

import argparse
import os
import time

import cv2

from benchmarks.segmentation_speed import simulated_field
from profiling.cells import load_segmenter
from profiling.parallel import map_ahead

DISTINCT = 4


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--fields", type=int, default=200)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4, os.cpu_count()])
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    segment = load_segmenter("nuclei", device=options.device).segment
    fields = [simulated_field(seed) for seed in range(DISTINCT)]
    count = int(segment(fields[0]).max())
    print(f"{options.device}, {options.fields} fields of 1080 x 1080 px, {count} nuclei in the first")
    for threads in options.threads:
        start = time.perf_counter()
        for _ in map_ahead(segment, (fields[index % DISTINCT] for index in range(options.fields)), threads):
            pass
        print(f"{threads} threads: {options.fields / (time.perf_counter() - start):.2f} fields a second", flush=True)


if __name__ == "__main__":
    main()
