"""Streamed reading of the index of a measurement, the XML that Harmony and Columbus write.

The standard library's expat is driven element by element: an index has 37 elements an image, of which a dozen are
wanted, and reaches hundreds of MB; `iterparse`, which makes a tree of them, takes half as long again. A document type
is refused, and with it every entity, of its own or from outside.
"""

from typing import NamedTuple
from xml.parsers import expat

from profiling.errors import ProfilingError

PLATE = ("Name", "PlateID", "PlateRows", "PlateColumns")
IMAGE = (
    "URL",
    "State",
    "Row",
    "Col",
    "FieldID",
    "PlaneID",
    "TimepointID",
    "ChannelID",
    "ChannelName",
    "ImageResolutionX",
    "PositionX",
    "PositionY",
)
PAGE = "BufferNo"
"""Attribute of Columbus' ``URL``: the image's page in a file that holds several, from 0."""

INDEX_ROOT = "EvaluationInputData"
CHUNK = 1 << 20  # bytes read at once


class Index(NamedTuple):
    """What an index says, as text.

    Attributes
    ----------
    plate : dict of str
        Elements of :data:`PLATE` that it has.
    images : dict of list
        By element, and :data:`PAGE`: one entry an image, None where the image lacks it. A length has its unit
        behind it (``1E-06 m``).
    channels : dict of dict of str
        By ``ChannelID``: what ``Maps`` says of the channel.
    """

    plate: dict
    images: dict
    channels: dict


def read_index(path, image_fields=IMAGE, channel_fields=()):
    """Read the index of a Harmony or Columbus measurement.

    ``EvaluationInputData`` has ``Plates/Plate``, ``Wells/Well``, ``Maps/Map/Entry`` (a channel, by ``ChannelID``)
    and ``Images/Image``. Until Harmony 5 every image repeats its channel's name and optics; from Harmony 6 on they
    stand once, in one of the maps. The structure is as in the exports of Harmony 5 and 7 that the tests of
    pe2loaddata hold (github.com/broadinstitute/pe2loaddata); Harmony publishes none.

    Parameters
    ----------
    path : Path
    image_fields : iterable of str
        Elements of an image, or of its channel in ``Maps``, to keep.
    channel_fields : iterable of str
        Further elements of a channel in ``Maps`` to keep.

    Returns
    -------
    Index

    Raises
    ------
    ProfilingError
        If it is no such index, is broken off or has a document type. The message has nothing of its content.
    """
    plate, channels, image = {}, {}, {}
    columns = {field: [] for field in (*image_fields, PAGE)}
    texts, known = [], {}  # texts repeat from image to image: each is kept once
    section, owner, field, unit = "", None, "", None
    fields = {"Plate": PLATE, "Entry": (*image_fields, *channel_fields), "Image": image_fields}
    holders = {"Plate": "Plates", "Entry": "Maps", "Image": "Images"}
    sections = ("Plates", "Wells", "Maps", "Images")
    structure, wanted_get = {}, {}.get

    def root(name, _):
        prefix = name.removesuffix(INDEX_ROOT)
        structure.update((prefix + local, local) for local in (*sections, *holders))
        for holder, names in fields.items():
            fields[holder] = {prefix + local: local for local in names}
        parser.StartElementHandler = start

    def start(name, attributes):
        nonlocal field, unit
        field = wanted_get(name)
        if field:
            unit = attributes.get("Unit")
            if PAGE in attributes:
                owner[PAGE] = attributes[PAGE]
            parser.CharacterDataHandler, parser.EndElementHandler = texts.append, end
        elif name in structure:
            enter(structure[name], attributes)

    def end(_):
        text = "".join(texts).strip()
        texts.clear()
        if unit:
            text = f"{text} {unit}"
        owner[field] = known.setdefault(text, text)
        parser.CharacterDataHandler = parser.EndElementHandler = None

    def enter(local, attributes):
        nonlocal section, owner, wanted_get
        if local in sections:
            keep_image()
            section, owner, wanted_get = local, None, {}.get
        elif holders[local] == section:
            keep_image()
            if local == "Entry":
                owner = channels.setdefault(attributes.get("ChannelID", "").strip(), {})
            else:
                owner = plate if local == "Plate" else image
            wanted_get = fields[local].get

    def keep_image():
        if owner is image:
            for name, column in columns.items():
                column.append(image.get(name))
            image.clear()

    parser = _parser(path, INDEX_ROOT, "the index of a Harmony or Columbus measurement", root)
    _parse(path, parser)
    keep_image()
    return Index(plate, columns, channels)


def _parser(path, expected, what, start):
    """Expat parser that checks the root's name, then calls ``start`` for it and every other element."""
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def root(name, attributes):
        if name.rpartition(":")[2] != expected:
            raise ProfilingError(f"{path} is not {what}; point the plate's `images` at the export's folder")
        parser.StartElementHandler = start
        start(name, attributes)

    def refuse(*_):
        raise ProfilingError(f"{path} declares a document type, which {what} does not have; export it again")

    parser.StartElementHandler = root
    parser.StartDoctypeDeclHandler = refuse
    return parser


def _parse(path, parser):
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except ProfilingError:
        raise
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from None
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ProfilingError(
            f"{path}: no valid XML, or broken off, at line {error.lineno} ({reason}); copy it again from the instrument"
        ) from None
    except (LookupError, ValueError):
        raise ProfilingError(f"{path}: written in an unknown encoding; save it as UTF-8") from None
