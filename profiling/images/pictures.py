"""PNG and JPEG files."""

import imagecodecs
import numpy as np
from PIL import Image

from profiling.images.disk import read_exactly
from profiling.images.errors import EXPORT_GREY, ImageError, damage_reported, damaged, require_grey

MAGIC = (b"\x89PNG", b"\xff\xd8\xff")
DECODERS = {"PNG": imagecodecs.png_decode, "JPEG": imagecodecs.jpeg8_decode}
LAST_BYTES = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
TAIL = 1024  # bytes, in which the end of the image is looked for
PILLOW_DTYPES = {"1": "uint8", "L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "uint16"}


def read_plane(file, path, page):
    """Decode a PNG or JPEG file.

    Parameters
    ----------
    file : io.BufferedReader of a RetriedFile
    path : Path
        For messages.
    page : int
        0.

    Returns
    -------
    (H, W) ndarray of uint8 or uint16

    Raises
    ------
    ImageError
        As :func:`profiling.images.read.read_image`.
    """
    if page != 0:
        raise ImageError(f"{path}: has no page {page}, PNG and JPEG have one (0); check the image table")
    kind, colour, _ = _inspect(file, path)
    with damage_reported(path):
        image = DECODERS[kind](read_exactly(file, 0, file.raw.size))
    if kind == "PNG" and image.ndim == 3 and image.shape[2] == 2:
        image = image[..., 0]  # one grey value was declared transparent
    if colour and image.ndim == 3:
        if (image != image[..., :1]).any():
            raise ImageError(f"{path}: a colour image {image.shape}; {EXPORT_GREY}")
        image = image[..., 0]
    require_grey(path, image.shape)
    return np.ascontiguousarray(image)


def read_header(file, path):
    """Describe a PNG or JPEG file.

    Whether a JPEG in colour is grey only its pixels tell: these, and no others, are decoded.

    Parameters
    ----------
    file, path
        As for :func:`read_plane`.

    Returns
    -------
    dict
        As :func:`profiling.images.read.read_header`.
    """
    _, colour, header = _inspect(file, path)
    if colour:
        read_plane(file, path, 0)
    return header


def _inspect(file, path):
    """Format, whether it is a JPEG in colour, and the header, once the file is known to have its end."""
    file.seek(0)
    with damage_reported(path), Image.open(file, formats=("PNG", "JPEG")) as picture:
        kind, mode, (width, height) = picture.format, picture.mode, picture.size
    if LAST_BYTES[kind] not in read_exactly(file, max(0, file.raw.size - TAIL), TAIL):
        raise damaged(path, "its end is missing")
    colour = kind == "JPEG" and mode == "RGB"
    if mode not in PILLOW_DTYPES and not colour:
        raise ImageError(f"{path}: a colour image ({mode}); {EXPORT_GREY}")
    dtype = PILLOW_DTYPES.get(mode, "uint8")
    return kind, colour, {"width": width, "height": height, "dtype": dtype, "pages": 1}
