"""The error of images that cannot be used, and its usual wordings."""

from contextlib import contextmanager

from profiling.errors import ProfilingError

COPY_AGAIN = "copy it again from the instrument, or exclude its well"
EXPORT_GREY = "export each channel as a greyscale image of its own"


class ImageError(ProfilingError):
    """An image that cannot be used; the message names the file, what is wrong and the remedy."""


def damaged(path, detail):
    """Error of a file that lacks pixels or holds others than were written."""
    return ImageError(f"{path}: truncated or damaged ({detail}); {COPY_AGAIN}")


@contextmanager
def damage_reported(path):
    """Turn whatever a decoder raises on a damaged file, which may be nearly anything, into an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise damaged(path, error) from error


def require_grey(path, shape):
    """Refuse colour images, volumes and images without pixels."""
    if len(shape) == 3 and (shape[-1] in (3, 4) or shape[0] in (3, 4)):
        raise ImageError(f"{path}: a colour image {shape}; {EXPORT_GREY}")
    if len(shape) != 2 or 0 in shape:
        raise ImageError(f"{path}: not a 2-D image, its shape is {shape}; export one plane a page")
