"""One plane of an OME-Zarr image.

Zarr has no word for a lost chunk: what is absent counts as full of the fill value, because writers may leave out
chunks that are. A camera's image has none such, so an absent chunk is taken for lost, with one exception: a place
of the field that no plane of the image has, while the rest of the plane is there, was never imaged (a corner of
fields that were stitched) and is the fill value.
"""

import os
from contextlib import contextmanager
from itertools import accumulate, product
from math import prod
from pathlib import Path

import numpy as np

from profiling.errors import ProfilingError
from profiling.images.errors import COPY_AGAIN, ImageError
from profiling.plates.readers.ome_zarr import read_layout

DRIVERS = {"0.4": "zarr", "0.5": "zarr3"}
MAXIMUM_BYTES = 2**33  # of a plane or a chunk; more is a damaged document
PLAUSIBLE_BYTES, PLAUSIBLE_RATIO = 2**30, 10_000  # beyond both it is no empty image but a damaged document


def read_plane(path, page=0):
    """Read one plane at full resolution.

    Parameters
    ----------
    path : str or Path
        Folder of the image group.
    page : int
        The plane, counted over time, channel and z, z fastest, from 0.

    Returns
    -------
    (H, W) ndarray
        Native byte order; dtype as stored, bool as uint8.

    Raises
    ------
    ImageError
        If it is no OME-Zarr image, has no such page, or its chunks are absent or damaged.
    """
    with _damage_reported(path):
        layout, array = _open(path)
        if not 0 <= page < prod(layout.planes):
            raise ImageError(f"{path}: has no page {page} but {prod(layout.planes)} from 0; check the image table")
        image = _read(path, layout, array, page)
        if layout.axes.index("x") < layout.axes.index("y"):
            image = np.ascontiguousarray(image.T)
    return image.view(np.uint8) if image.dtype.kind == "b" else image


def read_header(path):
    """Describe an image group from its metadata, without reading chunks.

    Parameters
    ----------
    path : str or Path
        Folder of the image group.

    Returns
    -------
    dict
        ``width``, ``height`` (int, pixels), ``dtype`` (str) and ``pages`` (int).

    Raises
    ------
    ImageError
        If it is no OME-Zarr image, or its pixels are of a type or compression that cannot be read.
    """
    with _damage_reported(path):
        layout, array = _open(path)
        length = dict(zip(layout.axes, layout.shape))
        dtype = array.dtype.numpy_dtype
        return {
            "width": length["x"],
            "height": length["y"],
            "dtype": "uint8" if dtype.kind == "b" else dtype.name,
            "pages": prod(layout.planes),
        }


@contextmanager
def _damage_reported(path):
    """Whatever the documents or the decoder raise becomes an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except ProfilingError as error:
        raise ImageError(str(error)) from None
    except Exception as error:
        # the library tells its settings behind the reason
        reason = str(error).split(" [tensorstore_spec=")[0].split(" [source locations=")[0]
        raise ImageError(f"{path}: damaged, or of a kind that cannot be read ({reason}); {COPY_AGAIN}") from error


def _open(path):
    """Layout and sharpest array of an image, once they are known to agree and to be of a sane size."""
    layout = read_layout(path)
    array = _array(path, layout)
    dtype, lengths = array.dtype.numpy_dtype, dict(zip(layout.axes, layout.shape))
    if dtype.kind not in "buif":
        raise ImageError(f"{path}: pixels of an unsupported type ({dtype}); write integers or floats")
    plane, chunk = lengths["x"] * lengths["y"], prod(array.chunk_layout.write_chunk.shape)
    size = max(plane, chunk) * dtype.itemsize
    large = size > PLAUSIBLE_BYTES and not _holds(Path(path) / layout.array, size // PLAUSIBLE_RATIO)
    if array.shape != layout.shape or size > MAXIMUM_BYTES or large:
        raise ImageError(f"{path}: an array of {array.shape} in chunks of {chunk} pixels cannot be; {COPY_AGAIN}")
    return layout, array


def _holds(folder, size):
    """Whether the files of a folder are of so many bytes together."""
    files = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return any(total >= size for total in accumulate(file.stat().st_size for file in files))


def _array(path, layout, fill=False):
    """The array by tensorstore, which can tell absent chunks from written ones and runs no code of the store's."""
    import tensorstore  # 66 MB that only screens in OME-Zarr need

    store = {"driver": "file", "path": str((Path(path) / layout.array).absolute())}
    spec = {"driver": DRIVERS[layout.version], "kvstore": store, "fill_missing_data_reads": fill}
    return tensorstore.open(spec, open=True, read=True).result()


def _read(path, layout, array, page):
    index = _index(layout, page)
    try:
        return array[index].read().result()
    except ValueError as error:
        if not _is_absence(error):
            raise
    absent, count = _absent(layout, array, page)
    if len(absent) == count or _is_elsewhere(layout, array, page, absent):
        raise ImageError(
            f"{path}: {len(absent)} of {count} chunks of page {page} are absent; {COPY_AGAIN}, or have empty chunks "
            "written too"
        )
    return _array(path, layout, fill=True)[index].read().result()


def _index(layout, page, y=slice(None), x=slice(None)):
    """Indices of a plane, or of a part of it."""
    place = dict(zip("tcz", map(int, np.unravel_index(page, layout.planes))), y=y, x=x)
    return tuple(place.get(axis, 0) for axis in layout.axes)


def _absent(layout, array, page):
    """Places in y and x of the plane's chunks that are absent, and number of its chunks."""
    steps = dict(zip(layout.axes, zip(array.shape, array.chunk_layout.read_chunk.shape)))
    starts = [range(0, length, step) for length, step in (steps["y"], steps["x"])]
    places = [
        (slice(y, min(y + steps["y"][1], steps["y"][0])), slice(x, min(x + steps["x"][1], steps["x"][0])))
        for y, x in product(*starts)
    ]
    return [place for place in places if not _is_there(array[_index(layout, page, *place)])], len(places)


def _is_elsewhere(layout, array, page, places):
    """Whether another plane has a chunk at one of the places; also where no other plane could tell."""
    steps = np.array(array.chunk_layout.read_chunk.shape)
    chunks = {tuple(np.array(_index(layout, other, 0, 0)) // steps): other for other in range(prod(layout.planes))}
    del chunks[tuple(np.array(_index(layout, page, 0, 0)) // steps)]
    return not chunks or any(
        _is_there(array[_index(layout, other, *place)]) for place in places for other in chunks.values()
    )


def _is_there(part):
    try:
        part.read().result()
    except ValueError as error:
        return not _is_absence(error)
    return True


def _is_absence(error):
    return str(error).startswith("NOT_FOUND")
