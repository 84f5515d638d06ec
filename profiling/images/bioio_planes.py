"""One plane of an instrument's own file (CZI, ND2, LIF) by bioio and its plugins, an optional extra."""

from math import prod
from threading import local

import numpy as np

from profiling.errors import ProfilingError
from profiling.images.errors import ImageError, damage_reported, require_grey
from profiling.plates.readers.bioio import PLUGINS, open_file, scenes_of

SUFFIXES = tuple(PLUGINS)

_last = local()  # the file last opened by a thread: opening one of many scenes takes longer than a plane of it


def read_plane(path, page=0):
    """Read one plane.

    Parameters
    ----------
    path : Path
    page : int
        Counted over scene, time, channel and z, z fastest, from 0.

    Returns
    -------
    (H, W) ndarray
        Native byte order; dtype as stored.

    Raises
    ------
    ImageError
        If the plugin is not installed, the file is absent or damaged or in colour, or has no such page.
    """
    image, scenes = _open(path)
    ends = np.cumsum([prod(scene.planes) for scene in scenes])
    if not 0 <= page < ends[-1]:
        raise ImageError(f"{path}: has no page {page} but {ends[-1]} from 0; check the image table")
    index = int(np.searchsorted(ends, page, side="right"))
    sizes = scenes[index].planes
    time, channel, z = map(int, np.unravel_index(page - ends[index] + prod(sizes), sizes))
    with damage_reported(path):
        image.set_scene(index)
        has_samples = "S" in image.dims.order
        plane = np.asarray(
            image.get_image_dask_data("YXS" if has_samples else "YX", T=time, C=channel, Z=z).compute(scheduler="sync")
        )
    require_grey(path, plane.shape)
    if plane.dtype.kind not in "buif":
        raise ImageError(f"{path}: pixels of an unsupported type ({plane.dtype}); export integers or floats")
    plane = np.ascontiguousarray(plane.astype(plane.dtype.newbyteorder("="), copy=False))
    return plane.view(np.uint8) if plane.dtype.kind == "b" else plane


def read_header(path):
    """Describe a file by the size of its first scene.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        As :func:`profiling.images.read.read_header`; ``pages`` are the planes of all scenes.

    Raises
    ------
    ImageError
        As :func:`read_plane`.
    """
    image, scenes = _open(path)
    with damage_reported(path):
        image.set_scene(0)
        dtype = np.dtype(image.dtype)
    height, width = scenes[0].shape
    return {
        "width": width,
        "height": height,
        "dtype": "uint8" if dtype.kind == "b" else dtype.name,
        "pages": sum(prod(scene.planes) for scene in scenes),
    }


def _open(path):
    """The opened file and its scenes; opened anew where it has changed."""
    try:
        facts = path.stat()
        key = str(path), facts.st_size, facts.st_mtime_ns
        if getattr(_last, "key", None) != key:
            image = open_file(path)
            _last.key, _last.opened = key, (image, scenes_of(image, path))
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({error.strerror}); check its permissions") from error
    except ProfilingError as error:
        raise ImageError(str(error)) from error
    image, scenes = _last.opened
    if not scenes:
        raise ImageError(f"{path}: holds no scene; export it again")
    return image, scenes
