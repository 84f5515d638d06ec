"""OME-XML, the metadata of OME-TIFF: plates, wells, images, and where each plane of an image lies.

Described at https://docs.openmicroscopy.org/ome-model/latest/ (schema 2016-06; older ones differ in nothing that is
read here). A document is streamed, so that one of 100,000 planes needs little more than a table of them.
"""

from math import isfinite, nan, prod
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from profiling.errors import ProfilingError

BLOCK = 1 << 20  # bytes parsed at a time
MAXIMUM_PLANES = 5_000_000  # of a document; more is a damaged one
MICROMETRES = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}
COPY_AGAIN = "copy it again from the instrument"


class OmeImage(NamedTuple):
    """An image: one field of a well with all its planes.

    Attributes
    ----------
    id, name : str
    channels : tuple of str
        Names where they are unique, else numbers from 0.
    pixel_size : float
        In x, um; NaN where it is not said.
    position : tuple of float
        Stage in x and y, um; NaN where it is not said in a unit of length.
    files : tuple
        Name of each file that holds planes of the image; None for the document's own.
    planes : (N, 5) ndarray of int64
        Time, channel, z, index of the file and page of each plane.
    """

    id: str
    name: str
    channels: tuple
    pixel_size: float
    position: tuple
    files: tuple
    planes: np.ndarray


class OmeField(NamedTuple):
    """A field of a well, by its place in a plate.

    Attributes
    ----------
    row, column : int
        From 0.
    id : str or None
    index : int or None
        In the order of acquisition.
    image : str or None
        ID of its image.
    position : tuple of float
        Stage in x and y, um; NaN where it is not said in a unit of length.
    """

    row: int
    column: int
    id: str | None
    index: int | None
    image: str | None
    position: tuple


class OmeDocument(NamedTuple):
    """What a document says.

    Attributes
    ----------
    images : list of OmeImage
    plates : dict of str to list
        Name of a plate → its fields, each an OmeField.
    metadata_file : str or None
        Where the metadata are instead.
    """

    images: list
    plates: dict
    metadata_file: str | None


def read_ome_xml(path, text=None):
    """Parse an OME-XML document.

    Parameters
    ----------
    path : Path
        The document, or the TIFF file that holds it.
    text : str, optional
        The document, where it is not the file.

    Returns
    -------
    OmeDocument

    Raises
    ------
    ProfilingError
        If it cannot be read, is damaged, declares a document type, or contradicts itself.
    """
    images, plates, facts = [], {}, {"planes": 0}
    image, wells, well, data, foreign = {}, [], [], [], []

    def start(tag, attributes):
        name = tag.rpartition(":")[2]
        if not facts.setdefault("root", name == "OME"):
            raise _damaged(path, f"its root is <{name[:60]}>, not <OME>")
        if foreign or name == "StructuredAnnotations":  # where vendors put elements of their own
            foreign.append(name)
            return
        if name == "OME":
            facts["uuid"] = attributes.get("UUID")
        elif name == "Image":
            image.clear()
            image.update(id=attributes.get("ID", ""), name=attributes.get("Name", ""), channels=[], data=[], place=None)
        elif name == "Pixels" and image:
            image["pixels"] = attributes
        elif name == "Channel" and image:
            image["channels"].append((attributes.get("Name", ""), attributes.get("SamplesPerPixel", "1")))
        elif name == "TiffData" and image:
            image["data"].append((attributes, [None, ""]))
        elif name == "UUID" and image and image["data"]:
            image["data"][-1][1][0] = attributes.get("FileName")
            data.append(image["data"][-1][1])
        elif name == "Plane" and image and image["place"] is None:
            image["place"] = _position(attributes)
        elif name == "Plate":
            wells[:] = [attributes.get("Name") or attributes.get("ID", ""), []]
        elif name == "Well" and wells:
            well[:] = [_number(path, attributes, "Row"), _number(path, attributes, "Column")]
        elif name == "WellSample" and well:
            index = _number(path, attributes, "Index", None)
            position = _position(attributes) or (nan, nan)
            wells[1].append(OmeField(*well, attributes.get("ID"), index, None, position))
        elif name == "ImageRef" and wells and wells[1]:
            wells[1][-1] = wells[1][-1]._replace(image=attributes.get("ID"))
        elif name == "BinaryOnly":
            facts["metadata_file"] = attributes.get("MetadataFile", "")

    def characters(text):
        if data:
            data[-1][1] += text

    def end(tag):
        name = tag.rpartition(":")[2]
        if foreign:
            foreign.pop()
        elif name == "UUID":
            data.clear()
        elif name == "Image" and image:
            images.append(_image(path, image, facts.get("uuid")))
            image.clear()
            facts["planes"] += len(images[-1].planes)
            if facts["planes"] > MAXIMUM_PLANES:
                raise _damaged(path, f"more than {MAXIMUM_PLANES} planes")
        elif name == "Plate" and wells:
            plates.setdefault(wells[0], []).extend(wells[1])
            wells.clear()
        elif name == "Well":
            well.clear()

    def refuse(*_):
        raise _damaged(path, "it declares a document type, which OME-XML has not")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = characters, refuse
    try:
        if text is None:
            with open(path, "rb") as file:
                while block := file.read(BLOCK):
                    parser.Parse(block, False)
            parser.Parse(b"", True)
        else:
            parser.Parse(text, True)
    except ProfilingError:
        raise
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error.strerror}); correct its rights or copy it") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _damaged(path, error) from None
    return OmeDocument(images, plates, facts.get("metadata_file"))


def numbered_planes(times, channels, depths, order="ZCT"):
    """Planes of a file in the order of its pages.

    Parameters
    ----------
    times, channels, depths : int
    order : str
        Dimensions from the fastest to the slowest.

    Returns
    -------
    (N, 5) ndarray of int64
        As in :class:`OmeImage`.
    """
    sizes = {"T": times, "C": channels, "Z": depths}
    places = np.indices([sizes[letter] for letter in reversed(order)]).reshape(3, -1)
    place = dict(zip(reversed(order), places))
    page = np.arange(places.shape[1])
    return np.stack([place["T"], place["C"], place["Z"], np.zeros_like(page), page], axis=1)


def usable_names(names, count):
    """Names of the channels where they are unique, else their numbers from 0."""
    if len(names) == count == len(set(names)) and all(name.strip() and name.isprintable() for name in names):
        return tuple(names)
    return tuple(map(str, range(count)))


def _image(path, image, own):
    """An image from the attributes of its elements."""
    pixels = image.get("pixels")
    if pixels is None:
        raise _damaged(path, f"the image {image['id'][:60]!r} has no pixels")
    sizes = {letter: _number(path, pixels, f"Size{letter}") for letter in "TCZ"}
    order = pixels.get("DimensionOrder", "XYZCT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise _damaged(path, f"DimensionOrder is {pixels['DimensionOrder'][:60]!r}")
    samples = [count for _, count in image["channels"]]
    if samples and _is_sum(samples, sizes["C"]):
        sizes["C"] = len(samples)  # those of a colour image are one plane
    total = prod(sizes.values())
    if not 0 < total <= MAXIMUM_PLANES:
        raise _damaged(path, f"the image {image['id'][:60]!r} has {total} planes")
    planes, files = _placed(path, image, sizes, order, own)
    size = _length(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))
    return OmeImage(
        image["id"],
        image["name"],
        usable_names([name for name, _ in image["channels"]], sizes["C"]),
        size if size > 0 else nan,
        image["place"] or (nan, nan),
        files,
        planes,
    )


def _placed(path, image, sizes, order, own):
    """Planes and files of an image by its TiffData; in the order of the pages where there is none."""
    all_planes = numbered_planes(sizes["T"], sizes["C"], sizes["Z"], order)
    files, blocks, left = {}, [], len(all_planes)
    for attributes, (name, uuid) in image["data"] or [({}, (None, ""))]:
        if not name or (own is not None and uuid.strip() == own):
            name = None  # a file that was renamed is known by its UUID
        page = _number(path, attributes, "IFD", 0)
        first = [_number(path, attributes, f"First{letter}", 0) for letter in order]
        lengths = [sizes[letter] for letter in order]
        if any(place >= length for place, length in zip(first, lengths)):
            raise _damaged(path, f"the image {image['id'][:60]!r} has a plane beyond its size")
        begin = first[0] + lengths[0] * (first[1] + lengths[1] * first[2])
        count = _number(path, attributes, "PlaneCount", 1 if "IFD" in attributes else len(all_planes))
        block = all_planes[begin : begin + count].copy()
        block[:, 3] = files.setdefault(name, len(files))
        block[:, 4] = page + np.arange(len(block))
        blocks.append(block)
        left -= len(block)
        if left < 0:
            raise _damaged(path, f"the image {image['id'][:60]!r} has a plane twice")
    return np.concatenate(blocks), tuple(files)


def _is_sum(texts, total):
    return all(text.isascii() and text.isdigit() and len(text) < 4 for text in texts) and sum(map(int, texts)) == total


def _number(path, attributes, name, default=...):
    """A whole number of an element, not negative."""
    text = attributes.get(name)
    if text is None and default is not ...:
        return default
    text = "nothing" if text is None else text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise _damaged(path, f"{name} is {text[:60]!r} and no number")
    return int(text)


def _position(attributes):
    """Stage position in um; None where an element has none."""
    x, y = (
        _length(attributes.get(f"Position{axis}"), attributes.get(f"Position{axis}Unit", "reference frame"))
        for axis in "XY"
    )
    return (x, y) if isfinite(x) and isfinite(y) else None


def _length(text, unit):
    """A length in um; NaN where it is no number, or its unit is no length."""
    try:
        number = float(text or "nan") * MICROMETRES.get(unit, nan)
    except ValueError:
        return nan
    return number if isfinite(number) else nan


def _damaged(path, detail):
    return ProfilingError(f"{path}: its OME-XML is damaged or not understood ({detail}); {COPY_AGAIN}")
