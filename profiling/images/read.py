"""Decoding of one plane of one image file, with an error for people when it cannot be done."""

from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image

from profiling.errors import ProfilingError

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_MAGIC = b"\x89PNG"
JPEG_MAGIC = b"\xff\xd8\xff"
LAST_BYTES = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
PILLOW_DTYPES = {"1": "uint8", "L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "uint16"}
EXPORT_GREY = "export each channel as a greyscale image of its own"
COPY_AGAIN = "copy it again from the instrument, or exclude its well"


class ImageError(ProfilingError):
    """An image that cannot be used; the message names the file, what is wrong and the remedy."""


def read_image(path, page=0):
    """Read one greyscale plane of a TIFF, PNG or JPEG file.

    Values are as stored: a palette or an inverted display of a TIFF changes how it is shown, not what was
    measured, so palette images return their indices.

    Parameters
    ----------
    path : str or Path
    page : int
        Page of a multi-page TIFF, from 0.

    Returns
    -------
    (H, W) ndarray
        Native byte order; dtype as stored, 1-bit images as uint8 (0, 1; PNG 0, 255).

    Raises
    ------
    ImageError
        If the file is absent, empty, not an image, truncated, in colour or not 2-D, has no such page, or
        holds NaN or infinite values.
    """
    path = Path(path)
    image = _read_tiff(path, page) if _kind(path) == "TIFF" else _read_picture(path, page)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ImageError(f"{path}: holds NaN or infinite values; export it again with finite pixels")
    return image


def read_header(path):
    """Describe an image file from its metadata, without decoding pixels.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        ``width``, ``height`` (int, pixels), ``dtype`` (str, of `read_image`) and ``pages`` (int).

    Raises
    ------
    ImageError
        As `read_image`, as far as metadata tell; a truncated TIFF is recognised by strips or tiles that
        end behind the end of the file.
    """
    path = Path(path)
    if _kind(path) == "TIFF":
        with _damage_reported(path), tifffile.TiffFile(path) as tiff:
            pages = [_checked_page(tiff, path, index) for index in range(len(tiff.pages))]
            height, width = pages[0].shape
            dtype = np.dtype(np.uint8) if pages[0].dtype.kind == "b" else pages[0].dtype
        return {"width": width, "height": height, "dtype": dtype.name, "pages": len(pages)}
    with _open_picture(path) as picture:
        width, height = picture.size
        dtype = PILLOW_DTYPES[picture.mode]
    return {"width": width, "height": height, "dtype": dtype, "pages": 1}


def _kind(path):
    """Recognise the format by its first bytes, since instruments are free with extensions."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the plate's folder and the image table") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    if not magic:
        raise ImageError(f"{path}: the file is empty; {COPY_AGAIN}")
    if magic in TIFF_MAGIC:
        return "TIFF"
    if magic == PNG_MAGIC:
        return "PNG"
    if magic.startswith(JPEG_MAGIC):
        return "JPEG"
    raise ImageError(f"{path}: not a TIFF, PNG or JPEG image; {COPY_AGAIN}, or export it as TIFF")


def _damaged(path, detail):
    return ImageError(f"{path}: truncated or damaged ({detail}); {COPY_AGAIN}")


@contextmanager
def _damage_reported(path):
    """Turn whatever a decoder raises on a damaged file, which may be nearly anything, into an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _require_grey(path, shape):
    if len(shape) == 3 and shape[-1] in (3, 4):
        raise ImageError(f"{path}: a colour image {shape}; {EXPORT_GREY}")
    if len(shape) != 2 or 0 in shape:
        raise ImageError(f"{path}: not a 2-D image, its shape is {shape}; export one plane a page")


def _checked_page(tiff, path, index):
    """Page ``index`` once it is known to be greyscale and to lie in the file whole."""
    try:
        page = tiff.pages[index]
    except IndexError:
        raise ImageError(f"{path}: has no page {index} but {len(tiff.pages)} from 0; check the image table") from None
    shape, dtype = page.shape, page.dtype
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    segments = int(np.prod(page.chunked))
    _require_grey(path, shape)
    if dtype is None or dtype.kind not in "buif":
        raise ImageError(f"{path}: pixels of an unsupported type ({dtype}); export integers or floats")
    # tifffile fills missing segments with zeros, which would pass for a dark field
    if len(offsets) != segments or len(counts) != segments or (counts == 0).any() or (offsets == 0).any():
        raise _damaged(path, "strips of pixels are missing")
    end, size = (offsets + counts).max(), tiff.filehandle.size
    if end > size:
        raise _damaged(path, f"pixels end at byte {end}, the file at byte {size}")
    needed = shape[0] * -(-shape[1] * page.bitspersample // 8)  # rows of packed pixels end on whole bytes
    if page.compression == tifffile.COMPRESSION.NONE and counts.sum() < needed:
        raise _damaged(path, f"{counts.sum()} bytes of pixels instead of {needed}")
    return page


def _read_tiff(path, index):
    with _damage_reported(path), tifffile.TiffFile(path) as tiff:
        page = _checked_page(tiff, path, index)
        image = _decode_lzw(path, page) if index == 0 else None
        if image is None:
            image = page.asarray(maxworkers=1)
    _require_grey(path, image.shape)
    if image.dtype == bool:
        return image.view(np.uint8)
    return image.astype(image.dtype.newbyteorder("="), copy=False)


def _decode_lzw(path, page):
    """First page of a plain LZW TIFF by OpenCV, faster than imagecodecs; None where it cannot."""
    plain = (
        page.compression == tifffile.COMPRESSION.LZW
        and page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        and page.dtype in (np.uint8, np.uint16)
        and page.bitspersample == 8 * page.dtype.itemsize
        and getattr(page.tags.get("Orientation"), "value", 1) == 1
    )
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if plain else None
    if image is None or image.shape != page.shape or image.dtype != page.dtype:
        return None
    return image


def _open_picture(path):
    """Open a PNG or JPEG, decoding nothing yet, and check that it is complete and grey."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        tail = file.read()
    with _damage_reported(path):
        picture = Image.open(path)
    if LAST_BYTES[picture.format] not in tail:
        picture.close()
        raise _damaged(path, "its end is missing")
    if picture.mode not in PILLOW_DTYPES:
        picture.close()
        raise ImageError(f"{path}: a colour image ({picture.mode}); {EXPORT_GREY}")
    return picture


def _read_picture(path, page):
    if page != 0:
        raise ImageError(f"{path}: has no page {page}, PNG and JPEG have one (0); check the image table")
    _open_picture(path).close()
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise _damaged(path, "it cannot be decoded")
    _require_grey(path, image.shape)
    return image
