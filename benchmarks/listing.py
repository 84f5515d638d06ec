"""Time and memory of the image table before any image is opened: names, listing, places.

    python -m benchmarks.listing [--names 1000000] [--files 100000] [--folder FOLDER] [--repeats 3]

Names of three instruments are made in memory and go through the pattern reader and `place`; beside it, the bare search
of the regular expression in every name. Empty files are then made in one folder (in FOLDER, else the system's temporary
one) and removed; they go through `list_files` and `index_plate`, whose headers are not read; beside it, a bare
`os.scandir` with one stat a file. Seconds are processor time, the fastest of the repeats, which take turns; memory is
the growth of the process beyond what names and files take, at most.
"""

import argparse
import multiprocessing
import os
import re
import resource
import tempfile
import time
from pathlib import Path

from profiling.plates.image_table import index_plate, place
from profiling.plates.listing import File, list_files
from profiling.plates.patterns import PATTERNS
from profiling.plates.readers import pattern
from profiling.plates.wells import plate_wells
from profiling.settings import Images

SITES, CHANNELS = 9, 5
NAMES = {
    "well_site_channel": "{well}_s{site}_C{channel}.tif",
    "yokogawa": "Plate-7_{well}_T0001F{site:03d}L01A01Z{z:02d}C{channel:02d}.tif",
    "imagexpress": "TimePoint_1/ZStep_{z}/9987_{well}_s{site}_w{channel}.TIF",
}
HEADER = {"width": 1080, "height": 1080, "dtype": "uint16", "pages": 1}


def make_names(kind, count):
    """Names of a plate of 384 wells, site after site, as many planes as it takes."""
    template, names = NAMES[kind], []
    sites = SITES if "{z" in template else count // (384 * CHANNELS) + 1
    while len(names) < count:
        plane = len(names) // (384 * sites * CHANNELS) + 1
        names += [
            template.format(well=well, site=site, z=plane, channel=channel)
            for well in plate_wells(384)
            for site in range(1, sites + 1)
            for channel in range(1, CHANNELS + 1)
        ]
    return names[:count]


def seconds(functions, repeats):
    """Processor time of each function, the fastest of the repeats, which take turns."""
    times = [[] for _ in functions]
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_names(kind, count, repeats):
    files = [File(path, 2_332_800, 1_700_000_000) for path in make_names(kind, count)]
    before, settings, folder = peak(), Images(), Path("plate")
    images, problems = pattern.read(folder, files, settings)
    channels = list(images["Metadata_Channel"].unique())
    found, outside = place(images, 384, channels)
    assert len(found) == count and not problems and not outside
    grown = peak() - before
    expression = re.compile(PATTERNS[kind])
    bare, detect, read, placed = seconds(
        [
            lambda: [expression.search(file.path) for file in files],
            lambda: pattern.detect(folder, files),
            lambda: pattern.read(folder, files, settings),
            lambda: place(images, 384, channels),
        ],
        repeats,
    )
    total = detect + read + placed
    print(
        f"{kind:<18} {count:>9,} names: detect {detect:.2f} s, read {read:.2f} s, place {placed:.2f} s; "
        f"{total / bare:.1f} x the bare search ({bare:.2f} s); {grown:.0f} MB more"
    )


def run_files(count, parent, repeats):
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        for name in make_names("well_site_channel", count):
            os.close(os.open(os.path.join(folder, name), os.O_CREAT))
        before, settings = peak(), Images()
        channels = [f"C{channel}" for channel in range(1, CHANNELS + 1)]
        images, problems = index_plate("P", folder, 384, channels, settings, lambda path: HEADER)
        assert images["Path"].notna().sum() == count and problems.empty
        grown = peak() - before

        def bare():
            with os.scandir(folder) as entries:
                return sorted((entry.name, entry.stat().st_size) for entry in entries)

        bare, listing, table = seconds(
            [
                bare,
                lambda: list_files(folder),
                lambda: index_plate("P", folder, 384, channels, settings, lambda path: HEADER),
            ],
            repeats,
        )
    print(
        f"{count:>28,} files: list {listing:.2f} s, {listing / bare:.1f} x the bare scandir ({bare:.2f} s); "
        f"listing and table {table:.2f} s; {grown:.0f} MB more"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    # A process each: the peak of one would hide that of the next.
    spawn = multiprocessing.get_context("spawn")
    cases = [(run_names, (kind, args.names, args.repeats)) for kind in NAMES]
    cases.append((run_files, (args.files, args.folder, args.repeats)))
    for run, arguments in cases:
        process = spawn.Process(target=run, args=arguments)
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
