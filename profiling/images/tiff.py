"""Pages of TIFF files: found, checked to be whole, decoded by what does it fastest and notices damage.

tifffile interprets the directories and decodes most compressions. Uncompressed pixels are read straight into the
image. LZW and PackBits are left to libtiff, which is faster there (benchmarks/decoding.py); zlib is not: libtiff
stops inflating when the image is full, and so never compares the checksum. Damage within uncompressed, LZW,
PackBits, JPEG, JPEG 2000 and JPEG XR pixels, which have no checksum, can pass unnoticed, and so can it within
Zstandard and LZMA, whose checksum is optional.
"""

import struct
from contextlib import contextmanager
from math import ceil, prod

import imagecodecs
import numpy as np
from tifffile import COMPRESSION, TiffFile, TiffPage

from profiling.images.disk import fill, read_exactly
from profiling.images.errors import ImageError, damage_reported, damaged, require_grey

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
LARGEST_DIRECTORY = 4096  # entries
NEW_SUBFILE_TYPE, COPY_OR_MASK = 254, 1 | 4  # thumbnails, pyramids, transparency masks
LIBTIFF = {COMPRESSION.LZW, COMPRESSION.PACKBITS}
# Decoders of JPEG and JPEG 2000 fill up what is not there; the marker at the end tells.
END_MARKER = {COMPRESSION.JPEG: b"\xff\xd9", COMPRESSION.JPEG2000: b"\xff\xd9"}
TAIL = 64  # bytes of a strip or tile, of which zeros may follow its end
PLAUSIBLE_BYTES, PLAUSIBLE_RATIO = 2**30, 10_000  # beyond both it is not an empty image but a damaged size
SURPLUS = 2**20  # bytes that may be read along with a page


def read_plane(file, path, page):
    """Decode one page.

    Parameters
    ----------
    file : io.BufferedReader of a RetriedFile
    path : Path
        For messages.
    page : int
        Among the pages of full size, from 0; or among the planes that ImageJ and others write behind a single page.

    Returns
    -------
    (H, W) ndarray
        Values as stored, in native byte order, 1-bit images as uint8.

    Raises
    ------
    ImageError
        As :func:`profiling.images.read.read_image`.
    """
    with _opened(file, path) as tiff:
        directory, plane = _find(tiff, path, _directories(file, path, page + 1), page)
        _require_image(directory, path)
        _require_whole(directory, plane, file.raw.size, path)
        image = _decode(file, tiff, directory, plane, path)
    require_grey(path, image.shape)
    if image.dtype == bool:
        return image.view(np.uint8)
    if not image.dtype.isnative:
        return image.byteswap(inplace=True).view(image.dtype.newbyteorder("="))
    return image


def read_header(file, path):
    """Describe the first page and count the pages.

    The last page is looked at too, since it is what a file lacks that was cut short.

    Parameters
    ----------
    file, path
        As for :func:`read_plane`.

    Returns
    -------
    dict
        As :func:`profiling.images.read.read_header`.
    """
    with _opened(file, path) as tiff:
        directories = _directories(file, path)
        first, _ = _find(tiff, path, directories, 0)
        _require_image(first, path)
        count = len(directories) if len(directories) > 1 else _planes_behind(tiff, first)
        for index in {0, count - 1}:
            _require_whole(*_find(tiff, path, directories, index), file.raw.size, path)
        height, width = first.shape
        dtype = np.dtype(np.uint8) if first.dtype.kind == "b" else first.dtype
    return {"width": width, "height": height, "dtype": dtype.name, "pages": count}


@contextmanager
def _opened(file, path):
    """tifffile's view of a file, without its detours for instruments that write several pages into one."""
    detours = dict.fromkeys(("is_lsm", "is_scanimage", "is_ndpi"), False)
    with damage_reported(path), TiffFile(file, offset=0, size=file.raw.size, **detours) as tiff:
        yield tiff


def _directories(file, path, stop=None):
    """Offsets of the directories of pages of full size, at most the first `stop`; of all if none is flagged so."""
    header = bytes(read_exactly(file, 0, 16))
    order = "<" if header[:2] == b"II" else ">"
    if b"+" in header[2:4]:  # BigTIFF
        number, offset_type, position, entry = "Q", "Q", 8, [("value", order + "u4"), ("rest", "u4")]
    else:
        number, offset_type, position, entry = "H", "I", 4, [("value", order + "u4")]
    entry = np.dtype([("code", order + "u2"), ("type", "u2"), ("count", order + offset_type), *entry])
    number, pointer = struct.Struct(order + number), struct.Struct(order + offset_type)
    listed, full = {}, []
    (offset,) = pointer.unpack_from(header, position)
    while offset:
        if offset in listed:
            raise damaged(path, "its list of pages runs in a circle")
        if offset + number.size > file.raw.size:
            raise damaged(path, f"page {len(listed)} begins at byte {offset}, the file ends at {file.raw.size}")
        (count,) = number.unpack(read_exactly(file, offset, number.size))
        if count > LARGEST_DIRECTORY:
            raise damaged(path, f"page {len(listed)} has {count} entries")
        table = read_exactly(file, offset + number.size, count * entry.itemsize + pointer.size)
        if len(table) < count * entry.itemsize + pointer.size:
            raise damaged(path, f"the description of page {len(listed)} is cut short")
        entries = np.frombuffer(table, entry, count)
        kind = entries["value"][entries["code"] == NEW_SUBFILE_TYPE]
        listed[offset] = None
        if not (kind & COPY_OR_MASK).any():
            full.append(offset)
        if len(full) == stop:
            break
        (offset,) = pointer.unpack_from(table, count * entry.itemsize)
    return full or list(listed)


def _find(tiff, path, directories, index):
    """The page that holds the pixels of `index`, and their place among the planes behind its first pixel."""
    if not directories:
        raise damaged(path, "it has no pages")
    count = len(directories)
    if 0 <= index < count:
        return _page(tiff, directories[index]), 0
    if count == 1:
        page = _page(tiff, directories[0])
        count = _planes_behind(tiff, page)
        if 0 <= index < count:
            return page, index
    raise ImageError(f"{path}: has no page {index} but {count} from 0; check the image table")


def _page(tiff, offset):
    if tiff.pages and offset == tiff.pages.first.offset:
        return tiff.pages.first
    tiff.filehandle.seek(offset)
    return TiffPage(tiff, index=0)


def _planes_behind(tiff, page):
    """Planes of a stack whose pixels all follow the description of one page, as ImageJ writes beyond 4 GB."""
    if not _is_raw(page):
        return 1
    if tiff.is_imagej:  # counted here, since tifffile takes a stack that is cut short for a single image
        return max(1, int(tiff.imagej_metadata.get("images", 1)))
    return max(1, tiff.series[0].size // page.size) if tiff.is_shaped else 1


def _require_image(page, path):
    require_grey(path, page.shape)
    if page.dtype is None or page.dtype.kind not in "buif":
        raise ImageError(f"{path}: pixels of an unsupported type ({page.dtype}); export integers or floats")


def _require_whole(page, plane, size, path):
    """Refuse a page whose pixels do not all lie in the file."""
    offsets, counts = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
    segments = prod(page.chunked)
    # tifffile fills missing segments with zeros, which would pass for a dark field
    if len(offsets) != segments or len(counts) != segments or (counts <= 0).any() or (offsets <= 0).any():
        raise damaged(path, "strips of pixels are missing")
    needed = page.shape[0] * ceil(prod(page.shape[1:]) * page.bitspersample / 8)  # rows end on whole bytes
    end = int((offsets + counts).max())
    if plane:
        end = int(offsets[0]) + (plane + 1) * needed
    if end > size:
        raise damaged(path, f"pixels end at byte {end}, the file at byte {size}")
    stored = int(counts.sum())
    if page.compression == COMPRESSION.NONE and stored < needed:
        raise damaged(path, f"{stored} bytes of pixels instead of {needed}")
    claimed = max(needed, prod(page.chunks) * page.bitspersample // 8)
    if claimed > max(PLAUSIBLE_BYTES, PLAUSIBLE_RATIO * stored):
        raise damaged(path, f"{stored} bytes cannot hold {page.shape} pixels")


def _is_plain(page):
    """Whether pixels fill whole bytes, as they do in memory once they are decompressed."""
    return page.dtype is not None and page.bitspersample == 8 * page.dtype.itemsize and page.fillorder == 1


def _is_raw(page):
    return _is_plain(page) and page.compression == COMPRESSION.NONE and page.predictor == 1 and page.is_contiguous


def _decode(file, tiff, page, plane, path):
    if _is_raw(page):
        return _read_uncompressed(file, page, plane, path)
    left_different = page.compression == COMPRESSION.PACKBITS and page.predictor != 1  # libtiff does not add up there
    if page.compression in LIBTIFF and _is_plain(page) and page is tiff.pages.first and not left_different:
        image = _decode_by_libtiff(file, page)
        if image is not None:
            return image
    if page.compression in END_MARKER:
        _require_end(file, page, path)
    try:
        return page.asarray(maxworkers=1)
    except MemoryError as error:  # of an image too large, or of a decoder that believes a damaged size
        np.empty(2 * page.nbytes, np.uint8)
        raise damaged(path, error) from error


def _require_end(file, page, path):
    for offset, count in zip(page.dataoffsets, page.databytecounts):
        tail = min(count, TAIL)
        if not read_exactly(file, offset + count - tail, tail).rstrip(b"\0").endswith(END_MARKER[page.compression]):
            raise damaged(path, "the end of its pixels is missing")


def _read_uncompressed(file, page, plane, path):
    image = np.empty(page.shape, page.dtype.newbyteorder(page.parent.byteorder))
    file.seek(page.dataoffsets[0] + plane * image.nbytes)
    filled = fill(file, image.reshape(-1).view(np.uint8))
    if filled < image.nbytes:
        raise damaged(path, f"{filled} bytes of pixels instead of {image.nbytes}")
    return image


def _decode_by_libtiff(file, page):
    """First page by libtiff, which needs the whole file; None where that is too much to read, or it fails."""
    if file.raw.size > 4 * sum(page.databytecounts) + SURPLUS:
        return None
    try:
        image = imagecodecs.tiff_decode(read_exactly(file, 0, file.raw.size), index=0)
    except imagecodecs.TiffError:
        return None
    return image if image.shape == page.shape and image.dtype == page.dtype else None
