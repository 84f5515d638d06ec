"""One plane of any image file that a plate holds, with an error for people when it cannot be read."""

from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np

from profiling.images import cellomics, pictures, tiff
from profiling.images.disk import RetriedFile
from profiling.images.errors import COPY_AGAIN, ImageError

__all__ = ["ImageError", "read_header", "read_image"]

HEAD = 2**14  # bytes read at first: with most instruments the whole description of an image
LARGEST = 1e15  # of a pixel; sums of squares of a whole field are then finite in float32


def read_image(path, page=0):
    """Read one greyscale plane.

    Values are as stored: a palette or an inverted display of a TIFF changes how it is shown, not what was
    measured, so palette images return their indices. A file is recognised by its first bytes, since instruments are
    free with extensions; it is opened once, and read again where the network fails for a moment.

    Parameters
    ----------
    path : str or Path
        TIFF, PNG, JPEG or Cellomics file, the folder of an OME-Zarr image, or a file of a format that bioio reads.
    page : int
        Page from 0. In a TIFF those of full size count, not thumbnails and masks; in an ImageJ stack its planes.

    Returns
    -------
    (H, W) ndarray
        Native byte order; dtype as stored, images of 1 bit as uint8 (0, 1), PNG of 1, 2 or 4 bits as uint8 from 0
        to 255. A JPEG in colour whose three channels are the same is grey; other colour is refused.

    Raises
    ------
    ImageError
        If the file is absent, empty, not an image, truncated, in colour or not 2-D, has no such page, cannot be
        read after several tries, or holds NaN, infinite values or values beyond `LARGEST`.
    """
    path = Path(path)
    with _reader(path) as (reader, file):
        image = reader.read_plane(*file, path, page)
    if image.dtype.kind == "f" or image.dtype.itemsize == 8:
        low, high = float(image.min(initial=0)), float(image.max(initial=0))
        if not np.isfinite(low) or not np.isfinite(high):
            raise ImageError(f"{path}: holds NaN or infinite values; export it again with finite pixels")
        if max(-low, high) > LARGEST:
            extreme = low if -low > high else high
            raise ImageError(f"{path}: holds values up to {extreme:.3g}, no intensities; export it again, or copy it")
    return image


def read_header(path):
    """Describe an image file from its metadata, without decoding pixels (but those of a JPEG in colour).

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
    with _reader(path) as (reader, file):
        return reader.read_header(*file, path)


@contextmanager
def _reader(path):
    """The module that reads a path, and the opened file in a list; none for libraries that open it themselves."""
    try:
        raw = RetriedFile(path)
    except IsADirectoryError:
        from profiling.images import zarr_planes

        yield zarr_planes, []
        return
    with BufferedReader(raw, HEAD) as file:
        magic = file.peek(4)[:4]
        if not magic:
            raise ImageError(f"{path}: the file is empty; {COPY_AGAIN}")
        for reader in (tiff, pictures, cellomics):
            if magic.startswith(reader.MAGIC):
                yield reader, [file]
                return
    from profiling.images import bioio_planes

    if path.suffix.lower() not in bioio_planes.SUFFIXES:
        raise ImageError(f"{path}: not a TIFF, PNG or JPEG image; {COPY_AGAIN}, or export it as TIFF")
    yield bioio_planes, []
