"""Reader for plates in OME-Zarr (HCS), versions 0.4 (Zarr 2) and 0.5 (Zarr 3).

The formats are described at https://ngff.openmicroscopy.org/0.4/#hcs-layout and
https://ngff.openmicroscopy.org/0.5/#hcs-layout. A plate is a Zarr group that names its wells, a well a group that
names its images, an image a group that names its arrays, the sharpest first.

`Path` is the group of the image, `Page` the number of the plane of the sharpest array, counted over time, channel
and z, z fastest. Sites are the images of a well in the order in which the well names them, from 1: the fields of a
second acquisition are sites behind those of the first, because whether it is another staining, time or place is
not recorded. A channel goes by its label where the labels of the image are unique, else by its number, from 0; times
and planes are numbered from 0. Positions are those of the coordinate transformations, x to the right and y down as
in the image. `FileSize` and `Modified` are those of the array's document, since the chunks are not listed.
"""

import json
import re
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import isfinite, nan, prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.readers import as_images

THREADS = 16
MAXIMUM_PLANES = 1_000_000  # of one image; more is a damaged shape
GROUPS = {"0.4": ".zattrs", "0.5": "zarr.json"}
ARRAYS = {"0.4": ".zarray", "0.5": "zarr.json"}
MICROMETRES = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
COPY_AGAIN = "copy it again from the instrument, or write it again"

# The library that validates the documents also advises on names; what is only unusual is no concern of the reader.
warnings.filterwarnings("ignore", message=r"(The FieldOfView|The name|Warning: )")


class ImageLayout(NamedTuple):
    """What the metadata of an image group say.

    Attributes
    ----------
    version : str
        Of OME-Zarr.
    array : str
        Path of the sharpest array below the group.
    axes : str
        Letter of each axis of the array (``tczyx``); ``?`` for an axis of another kind, whose length is 1.
    shape : tuple of int
        Of the array.
    channels : tuple of str
        Name or number of each channel.
    pixel_size : float
        In x, um; NaN where it is not said.
    position : tuple of float
        Middle of the field in x and y, um; NaN where it is not said.
    size, modified : int
        Of the array's document: bytes, seconds since 1970.
    """

    version: str
    array: str
    axes: str
    shape: tuple
    channels: tuple
    pixel_size: float
    position: tuple
    size: int
    modified: int

    @property
    def planes(self):
        """Numbers of time points, channels and planes."""
        length = dict(zip(self.axes, self.shape))
        return tuple(length.get(axis, 1) for axis in "tcz")


def detect(folder, files):
    """Whether the folder is an OME-Zarr plate, or one lies in it."""
    return any(_plate_version(Path(folder) / path) for path in _groups(files)[:2])


def read(folder, files, settings):
    """Images of an OME-Zarr plate (see :mod:`profiling.plates.readers`).

    An image or a well whose metadata are not there, as in an acquisition that was stopped, has the rows of the usual
    one, so that its loss is seen when its header is read. A document of a plate or well that is damaged, or not what
    the format asks for, is an error.
    """
    groups = _groups(files)
    plates = [path for path in groups if _plate_version(Path(folder) / path)]
    if len(plates) != 1:
        found = (
            f"holds {len(plates)} OME-Zarr plates ({', '.join(plates[:3])})" if plates else "holds no OME-Zarr plate"
        )
        raise ProfilingError(f"{folder}: {found}; let the plate's folder be, or hold, exactly one")
    root = Path(folder) / plates[0]
    prefix = "" if plates[0] == "." else f"{plates[0]}/"
    version = _plate_version(root)
    wells = _wells(root, version)
    with ThreadPoolExecutor(THREADS) as pool:
        fields = list(pool.map(lambda path: _fields(root / path, version), wells))
        absent = [path for path, names in zip(wells, fields) if names is None]
        if len(absent) == len(wells):
            raise ProfilingError(f"{root}: none of its {len(wells)} wells is there; {COPY_AGAIN}")
        usual = _most_common(fields)
        images = pd.DataFrame(
            [
                (well, site, f"{path}/{name}")
                for (path, well), names in zip(wells.items(), fields)
                for site, name in enumerate(names or usual, start=1)
            ],
            columns=["Metadata_Well", "Metadata_Site", "Path"],
        )
        layouts = list(pool.map(lambda path: _layout_or_error(root / path, version), images["Path"]))
    problems = []
    if absent:
        problems.append(
            (prefix + absent[0], f"the plate names {len(absent)} wells that are not there, this the first", COPY_AGAIN)
        )
    return _rows(images, layouts, prefix), problems


def read_layout(path, version=None):
    """Metadata of an image group.

    Parameters
    ----------
    path : str or Path
        The group's folder.
    version : str, optional
        Of OME-Zarr, where it is known.

    Returns
    -------
    ImageLayout

    Raises
    ------
    ProfilingError
        If it is no OME-Zarr image of a known version, or its documents are damaged.
    """
    path = Path(path)
    if version is None:
        version = _version(path)
    if version is None:
        raise ProfilingError(f"{path}: no such OME-Zarr image; {COPY_AGAIN}")
    attributes = _attributes(path, version)
    if attributes is None:
        raise ProfilingError(f"{path / GROUPS[version]}: no such file; {COPY_AGAIN}")
    document = path / GROUPS[version]
    several = attributes.get("multiscales")
    content = {"version": attributes["version"]} if "version" in attributes else {}
    content |= {"multiscales": several[:1]} if isinstance(several, list) else {}  # colours cannot spoil an image
    image = _validated(document, "Image", version, content)
    multiscale = image.multiscales[0]
    array = multiscale.datasets[0].path
    if not array.isprintable() or {"", ".", ".."} & set(array.split("/")):
        raise ProfilingError(f"{document}: {array!r} is no path of an array below it; {COPY_AGAIN}")
    array_document = path / array / ARRAYS[version]
    axes = "".join(_letter(axis) for axis in multiscale.axes)
    shape = _shape(array_document, _load(array_document), len(axes))
    layout = ImageLayout(version, array, axes, shape, (), nan, (nan, nan), *_facts(array_document))
    unknown = [axis.name for axis, letter, length in zip(multiscale.axes, axes, shape) if letter == "?" and length > 1]
    if unknown or "x" not in axes or "y" not in axes or len(set(axes) - {"?"}) + axes.count("?") < len(axes):
        names = ", ".join(axis.name for axis in multiscale.axes)
        raise ProfilingError(f"{document}: its axes ({names}) are not of t, c, z, y and x; write it with these")
    if prod(layout.planes) > MAXIMUM_PLANES:
        raise ProfilingError(
            f"{array_document}: {prod(layout.planes)} planes in an image, more than can be; {COPY_AGAIN}"
        )
    scale, position = _geometry(multiscale, axes, shape)
    channels = _channels(attributes.get("omero"), layout.planes[1])
    return layout._replace(channels=channels, pixel_size=scale, position=position)


def _groups(files):
    """Paths of what may be Zarr groups; their size is listed as 0."""
    return [file.path for file in files if file.path == "." or (file.size == 0 and file.path.lower().endswith(".zarr"))]


def _plate_version(path):
    """Version of an OME-Zarr plate; None where there is none."""
    version = _version(path)
    return version if version and "plate" in _attributes(path, version) else None


def _version(path):
    """Version by the kind of document that a group has; None where it has none."""
    return next((version for version in ("0.5", "0.4") if (path / GROUPS[version]).is_file()), None)


def _load(path):
    """A JSON document; None where there is none."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error.strerror}); check its rights") from None
    except (ValueError, RecursionError) as error:
        raise ProfilingError(f"{path}: damaged, not a JSON document ({error}); {COPY_AGAIN}") from None
    if not isinstance(document, dict):
        raise ProfilingError(f"{path}: damaged, not a JSON object; {COPY_AGAIN}")
    return document


def _attributes(path, version):
    """What a group's document says of OME-Zarr; None where there is no document."""
    document = _load(path / GROUPS[version])
    if document is None or version == "0.4":
        return document
    attributes = document.get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    return ome if isinstance(ome, dict) else {}


def _validated(document, kind, version, content):
    """The content of a document, checked by the model (``Plate``, ``Well``, ``Image``) of its version."""
    import pydantic  # the models are built on import: half a second that only readers of OME-Zarr should pay
    from yaozarrs import v04, v05

    inner = content.get({"Image": "multiscales"}.get(kind, kind.lower()))
    inner = inner[0] if isinstance(inner, list) and inner else inner
    holder = content if version == "0.5" else inner if isinstance(inner, dict) else {}
    if "version" in holder and holder["version"] != version:
        raise ProfilingError(
            f"{document}: OME-Zarr version {holder['version']!r} is not known, only 0.4 (.zattrs) and 0.5 (zarr.json) "
            "are; write it in one of these"
        )
    model = getattr({"0.4": v04, "0.5": v05}[version], kind)
    try:
        return model.model_validate(content, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or kind.lower()
        reason = re.sub(r"\s+", " ", first["msg"])
    except RecursionError:
        place, reason = kind.lower(), "nested too deeply"
    raise ProfilingError(
        f"{document}: not a valid OME-Zarr {version} {kind.lower()} ({place}: {reason}); have it written again"
    ) from None


def _wells(root, version):
    """Path below the plate → name of each well, as written."""
    document = root / GROUPS[version]
    plate = _validated(document, "Plate", version, _attributes(root, version)).plate
    wells = {}
    for well in plate.wells:
        row, column = plate.rows[well.rowIndex].name, plate.columns[well.columnIndex].name
        # Some writers name the columns by letters and the rows by numbers.
        if {row, column} != set(well.path.split("/")):
            raise ProfilingError(
                f"{document}: the well {well.path} is said to lie in row {row}, column {column}; have it written again"
            )
        letters, number = (column, row) if row.isdecimal() and column.isalpha() else (row, column)
        name = f"r{row}c{column}" if row.isdecimal() and column.isdecimal() else f"{letters}{number}"
        if well.path in wells:
            raise ProfilingError(f"{document}: names the well {well.path} twice; have it written again")
        wells[well.path] = name
    return wells


def _fields(path, version):
    """Names of a well's images in their order; None where the well is not there."""
    attributes = _attributes(path, version)
    if attributes is None:
        return None
    document = path / GROUPS[version]
    names = [image.path for image in _validated(document, "Well", version, attributes).well.images]
    for name in names:
        if not name.strip(".") or name.startswith("__"):
            raise ProfilingError(f"{document}: {name!r} cannot be the path of an image; have it written again")
    if len(set(names)) < len(names):
        raise ProfilingError(f"{document}: names an image twice; have it written again")
    return tuple(names)


def _layout_or_error(path, version):
    try:
        return read_layout(path, version)
    except ProfilingError as error:
        return error


def _rows(images, layouts, prefix):
    """One row a plane of every image; images without a layout have the planes of the usual one."""
    known = [(layout.planes, layout.channels) for layout in layouts if isinstance(layout, ImageLayout)]
    if not known:
        raise layouts[0]
    usual = _most_common(known)
    planes = [(layout.planes, layout.channels) if isinstance(layout, ImageLayout) else usual for layout in layouts]
    facts = [
        (layout.pixel_size, *layout.position, layout.size, layout.modified)
        if isinstance(layout, ImageLayout)
        else (nan, nan, nan, 0, 0)
        for layout in layouts
    ]
    images = images.assign(Path=prefix + images["Path"])
    images[["PixelSize", "PositionX", "PositionY", "FileSize", "Modified"]] = facts
    counts = [prod(numbers) for numbers, _ in planes]
    rows = images.loc[images.index.repeat(counts)].reset_index(drop=True)
    numbered = {key: _numbered(*key) for key in set(planes)}
    rows["Page"] = np.concatenate([np.arange(count) for count in counts])
    for place, column in enumerate(("Metadata_Time", "Metadata_Channel", "Metadata_Z")):
        rows[column] = np.concatenate([numbered[key][place] for key in planes])
    return as_images(rows)


def _numbered(planes, channels):
    """Time, name of the channel and z of each plane of an image."""
    time, channel, z = np.indices(planes).reshape(3, -1)
    return time, np.array(channels, dtype=object)[channel], z


def _most_common(values):
    return Counter(value for value in values if value is not None).most_common(1)[0][0]


def _letter(axis):
    kinds = {"time": "t", "channel": "c"}
    name = axis.name.lower()
    return kinds.get(axis.type, name if name in "tczyx" and len(name) == 1 else "?")


def _shape(document, content, axes):
    if content is None:
        raise ProfilingError(f"{document}: no such file; {COPY_AGAIN}")
    shape = content.get("shape")
    if not isinstance(shape, list) or len(shape) != axes or not all(type(n) is int and n > 0 for n in shape):
        raise ProfilingError(f"{document}: the shape {shape} is not that of an image with {axes} axes; {COPY_AGAIN}")
    return tuple(shape)


def _facts(path):
    """Size and time of a document that has just been read."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, int(facts.st_mtime)


def _geometry(multiscale, axes, shape):
    """Pixel size in x and middle of the field in x and y, um."""
    scale, origin = np.ones(len(axes)), np.full(len(axes), nan)
    for transform in [*multiscale.datasets[0].coordinateTransformations, *(multiscale.coordinateTransformations or [])]:
        if transform.type == "scale":
            scale, origin = scale * transform.scale, origin * transform.scale
        else:
            origin = np.nan_to_num(origin) + transform.translation
    units = [MICROMETRES.get(axis.unit, nan) if axis.type == "space" else nan for axis in multiscale.axes]
    middle = (origin + scale * (np.array(shape) - 1) / 2) * units
    size = float((scale * units)[axes.index("x")])
    position = tuple(float(middle[axes.index(axis)]) for axis in "xy")
    return size if isfinite(size) and size > 0 else nan, position if all(map(isfinite, position)) else (nan, nan)


def _channels(omero, count):
    """Labels of the channels where they are unique, else their numbers."""
    channels = omero.get("channels") if isinstance(omero, dict) else None
    labels = (
        [channel.get("label") for channel in channels if isinstance(channel, dict)]
        if isinstance(channels, list)
        else []
    )
    usable = all(isinstance(label, str) and label.strip() and label.isprintable() for label in labels)
    if usable and len(labels) == count and len(set(labels)) == count:
        return tuple(labels)
    return tuple(map(str, range(count)))
