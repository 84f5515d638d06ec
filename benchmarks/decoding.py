"""How fast images are read: MB/s of pixels by compression, layout and threads, against plain libraries.

    python -m benchmarks.decoding [--sides 1080 2160] [--repeats 5] [--only WORD ...]

Simulated fields (uint16, 12 bits; the nuclei of a 20x field) are written to a temporary folder in each kind of file.
`read` is profiling.images.read_image, `plain` is tifffile.imread with one worker, for PNG and JPEG cv2.imread, and
`copy` a copy of the decoded array in memory. All take turns on the same file, which the operating system
holds in memory. With one thread processor time counts, with two that read at once the clock; of every figure
the best turn. `ratio` is how many times faster `read` is than `plain`, the median of the turns.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tifffile

from profiling.demo.cells import paint_field
from profiling.demo.optics import photograph, plate_optics
from profiling.images import read_image

PAD = 48  # px
SURVIVAL = 0.42  # of the cells of the simulator, about 140 nuclei in 1080 x 1080 px
THREADS = (1, 2)
TURN = 0.05  # seconds of processor time that a turn takes at least
STRIPS = {"rowsperstrip": 64}
TILES = {"tile": (256, 256)}
CODECS = {
    "uncompressed": {},
    "LZW": {"compression": "lzw"},
    "LZW, predictor": {"compression": "lzw", "predictor": 2},
    "zlib": {"compression": "zlib"},
    "zlib, predictor": {"compression": "zlib", "predictor": 2},
    "Zstandard": {"compression": "zstd"},
    "Zstandard, predictor": {"compression": "zstd", "predictor": 2},
    "LZMA": {"compression": "lzma"},
    "PackBits": {"compression": "packbits"},
    "JPEG 2000": {"compression": "jpeg2000"},
    "JPEG XR": {"compression": "jpegxr"},
}
LAYOUTS = {"strips": STRIPS, "tiles": TILES, "a row a strip": {"rowsperstrip": 1}}
EVERY_LAYOUT = {"uncompressed", "LZW, predictor", "zlib, predictor", "Zstandard, predictor"}


def field(side, seed=0):
    """Simulate a field of nuclei, (side, side) uint16."""
    rng = np.random.default_rng(seed)
    light, *_ = paint_field(side + 2 * PAD, "normal", 1.0, SURVIVAL, rng)
    return photograph(light[0], "DNA", plate_optics(0, side, seed)["DNA"], 1.0, rng, PAD)


def write_kinds(folder, image):
    """Write the image in each kind of file, and yield its name, path and the library's way to read it."""

    def plain(path):
        return tifffile.imread(path, maxworkers=1)

    def picture(path):
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)

    for codec, options in CODECS.items():
        for layout, parts in LAYOUTS.items():
            if layout == "strips" or codec in EVERY_LAYOUT:
                path = folder / f"{codec}, {layout}.tif"
                tifffile.imwrite(path, image, **options, **parts)
                yield path.stem, path, plain
    path = folder / "big-endian.tif"
    tifffile.imwrite(path, image, byteorder=">", **STRIPS)
    yield "uncompressed, big-endian", path, plain
    for name, pixels in (("PNG.png", image), ("JPEG.jpg", (image >> 4).astype(np.uint8))):
        cv2.imwrite(str(folder / name), pixels)
        yield name[:-4], folder / name, picture


def seconds(function, path, count, threads, pool):
    """Seconds an image takes: of processor time with one thread, by the clock with several."""
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    if threads == 1:
        for _ in range(count):
            function(path)
    else:
        list(pool.map(function, [path] * (threads * count)))
    return (clock() - start) / (count * threads)


def measure(path, plain, repeats):
    """Rates and ratios of one file.

    Returns
    -------
    share : float
        Bytes of the file to bytes of its pixels.
    rates : dict
        ``{(name, threads): float}``, MB of pixels a second, the best of all turns.
    ratios : dict
        ``{threads: float}``, how many times faster than `plain` `read` is: the median of the turns, in which both
        meet about the same load.
    """
    image = read_image(path)
    if path.suffix != ".jpg":
        np.testing.assert_array_equal(image, plain(path), strict=True)
    contestants = {"read": read_image, "plain": plain, "copy": lambda path: image.copy()}
    counts = {name: max(1, int(TURN / seconds(function, path, 1, 1, None))) for name, function in contestants.items()}
    turns = {(name, threads): [] for name in contestants for threads in THREADS}
    with ThreadPoolExecutor(max(THREADS)) as pool:
        for _ in range(repeats):
            for (name, threads), times in turns.items():
                times.append(seconds(contestants[name], path, counts[name], threads, pool))
    rates = {key: image.nbytes / 1e6 / min(times) for key, times in turns.items()}
    ratios = {n: float(np.median(np.divide(turns["plain", n], turns["read", n]))) for n in THREADS}
    return path.stat().st_size / image.nbytes, rates, ratios


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[1080, 2160], help="of the square fields, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="kinds whose name holds one of these")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    print(
        "| file | side | size | read, plain, copy | two threads | ratio | two threads |\n|---|---|---|---|---|---|---|"
    )
    for side in options.sides:
        with tempfile.TemporaryDirectory() as folder:
            for name, path, plain in write_kinds(Path(folder), field(side)):
                if any(word in name for word in options.only):
                    share, rates, ratios = measure(path, plain, options.repeats)
                    one, two = (
                        ", ".join(f"{rates[contestant, threads]:,.0f}" for contestant in ("read", "plain", "copy"))
                        for threads in THREADS
                    )
                    print(
                        f"| {name} | {side} | {share:.0%} | {one} | {two} | {ratios[1]:.2f} | {ratios[2]:.2f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
