"""C01 and DIB files of Cellomics (ArrayScan, CellInsight) instruments.

A DIB file is a Windows bitmap header of 40 bytes, 12 bytes more, and little-endian grey pixels from the top row
down, plane after plane. A C01 file is that, as a zlib stream after 4 bytes (16, big-endian). There is no public
description by the vendor: this is how Bio-Formats (CellomicsReader) and CellProfiler read them.
"""

import struct
import zlib

import numpy as np

from profiling.images.disk import read_exactly
from profiling.images.errors import ImageError, damage_reported, damaged

MAGIC = C01, DIB = (b"\0\0\0\x10", b"\x28\0\0\0")
HEADER = struct.Struct("<IIIHHI")  # its size, width, height, planes, bits a pixel, compression
PIXELS = 52  # bytes before them
START = 2**12  # bytes of a C01 file that hold its header for certain
SURPLUS = 2**20  # bytes that may follow the pixels
DTYPES = {8: np.dtype("uint8"), 16: np.dtype("<u2"), 32: np.dtype("<u4")}


def read_plane(file, path, page):
    """Decode one plane of a C01 or DIB file.

    Parameters
    ----------
    file : io.BufferedReader of a RetriedFile
    path : Path
        For messages.
    page : int

    Returns
    -------
    (H, W) ndarray of unsigned integers

    Raises
    ------
    ImageError
        As :func:`profiling.images.read.read_image`; damage within a DIB file, which has no checksum, can pass.
    """
    header = read_header(file, path)
    if not 0 <= page < header["pages"]:
        raise ImageError(f"{path}: has no page {page} but {header['pages']} from 0; check the image table")
    shape, dtype = (header["height"], header["width"]), np.dtype(header["dtype"]).newbyteorder("<")
    plane = shape[0] * shape[1] * dtype.itemsize
    data = read_exactly(file, 0, file.raw.size)
    if data.startswith(C01):
        data = _inflated(data, path, PIXELS + header["pages"] * plane)
    start = PIXELS + page * plane
    if len(data) < start + plane:
        raise damaged(path, f"{len(data)} bytes instead of {start + plane}")
    return np.frombuffer(data, dtype, shape[0] * shape[1], start).reshape(shape).astype(dtype.newbyteorder("="))


def read_header(file, path):
    """Describe a C01 or DIB file.

    Parameters
    ----------
    file, path
        As for :func:`read_plane`.

    Returns
    -------
    dict
        As :func:`profiling.images.read.read_header`; a truncated C01 file is recognised only by its pixels.
    """
    start = read_exactly(file, 0, START)
    compressed = start.startswith(C01)
    with damage_reported(path):
        if compressed:
            start = zlib.decompressobj().decompress(start[4:], PIXELS)
        size, width, height, planes, bits, compression = HEADER.unpack_from(start)
    needed = PIXELS + width * height * planes * bits // 8
    if size != 40 or compression or bits not in DTYPES or 0 in (width, height, planes):
        raise ImageError(
            f"{path}: not the greyscale bitmap of a Cellomics instrument that its first bytes announce ({width} × "
            f"{height} pixels of {bits} bits, compression {compression}); export it as TIFF"
        )
    if needed > (1000 * file.raw.size if compressed else file.raw.size):  # zlib's highest ratio is 1032
        raise damaged(path, f"{file.raw.size} bytes in the file, {needed} are needed")
    return {"width": width, "height": height, "dtype": DTYPES[bits].name, "pages": planes}


def _inflated(data, path, needed):
    """The bytes that are needed, once the checksum at the end of the stream has been compared."""
    stream = zlib.decompressobj()
    with damage_reported(path):
        inflated = stream.decompress(memoryview(data)[4:], needed)
        stream.decompress(stream.unconsumed_tail, SURPLUS)
    if not stream.eof:
        raise damaged(path, "its end is missing")
    return inflated
