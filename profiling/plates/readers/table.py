"""Reader for a table of images of anybody's making: CSV, TSV or Parquet, one row an image.

Its columns are known by many names (:data:`ALIASES`), in any case, with or without ``Metadata_``, blanks and signs:
``Metadata_Well``, ``well`` and ``Well Name`` are the same.
"""

import re

from profiling.errors import ProfilingError
from profiling.plates.readers import as_images
from profiling.plates.readers.lists import choose_list, find_lists, read_list, read_numbers
from profiling.plates.readers.load_data import joined_wells, rows_of_plate
from profiling.plates.readers.paths import locate

ALIASES = {
    "Plate": ("plate", "plateid", "platename", "barcode"),
    "Well": ("well", "wellname", "wellid", "wellposition"),
    "Row": ("row", "wellrow"),
    "Column": ("column", "col", "wellcolumn", "wellcol"),
    "Channel": ("channel", "channelname", "stain", "dye", "wavelength", "channelid"),
    "Path": ("path", "filepath", "imagepath", "file", "filename", "imagefile", "image", "uri", "url"),
    "Folder": ("folder", "pathname", "directory", "imagefolder"),
    "Site": ("site", "siteid", "field", "fieldid", "fov", "fieldofview"),
    "Time": ("time", "timepoint", "timepointid", "t"),
    "Z": ("z", "plane", "planeid", "zplane", "zstep", "zslice"),
    "Page": ("page", "frame"),
    "PositionX": ("positionx", "positionxum", "stagex", "x"),
    "PositionY": ("positiony", "positionyum", "stagey", "y"),
    "PixelSize": ("pixelsize", "pixelsizeum", "physicalsizex"),
}
"""What a table says of an image → names of its column, in small letters without signs; the first that is there is
taken. Positions and the size of a pixel are in um, pages are counted from 0."""


def detect(folder, files):
    """Whether a table of the folder has the columns that are needed; of several, :func:`read` asks for one."""
    return bool(find_lists(folder, files, _is_table))


def read(folder, files, settings):
    """Images of the table (see :mod:`profiling.plates.readers`).

    A column of folders, if there is one, is put before the names of the files. Of a table of several plates, the rows
    of the plate that the folder, or the nearest one above it, is named after.
    """
    source = folder / choose_list(folder, files, _is_table, settings.table, "table of images")
    table = read_list(source, lambda name: _plain(name) in _KNOWN)
    known = _known(table.columns)
    if not _is_table(table.columns):
        raise ProfilingError(
            f"{source}: needs the columns well (or row and column), channel and path; it has "
            f"{', '.join(table.columns) or 'none of them'}"
        )
    if "Plate" in known:
        table = rows_of_plate(table, known["Plate"], folder, source)
    table = table[list(known.values())].set_axis(list(known), axis=1)
    if "Well" not in table:
        table["Well"] = joined_wells(table["Row"], table["Column"])
    if "Folder" in table:
        table["Path"] = table["Path"].where(
            table["Folder"].eq("") | table["Path"].eq(""), table["Folder"] + "/" + table["Path"]
        )
    for what in ("Well", "Channel", "Path"):
        if table[what].eq("").any():
            raise ProfilingError(f"{source}, line {table[what].eq('').idxmax()}: has no {what.lower()}; complete it")
    images = {"Metadata_Well": table["Well"], "Metadata_Channel": table["Channel"]}
    for what, default in (("Site", 1), ("Time", 0), ("Z", 0)):
        if what in table:
            images[f"Metadata_{what}"] = read_numbers(table[what], source, default)
    if "Page" in table:
        images["Page"] = read_numbers(table["Page"], source, 0)
    for what in ("PositionX", "PositionY", "PixelSize"):
        if what in table:
            images[what] = read_numbers(table[what], source, float("nan"), "float64")
    images |= dict(locate(table["Path"], folder, files, source, settings.outside))
    return as_images(images).reset_index(drop=True), []


_KNOWN = {alias for aliases in ALIASES.values() for alias in aliases}


def _plain(name):
    return re.sub(r"[\W_]+", "", name.lower()).removeprefix("metadata")


def _known(columns):
    """Column of each thing in ALIASES that a table has."""
    names = {_plain(name): name for name in reversed(columns)}
    return {
        what: next(names[alias] for alias in aliases if alias in names)
        for what, aliases in ALIASES.items()
        if any(alias in names for alias in aliases)
    }


def _is_table(columns):
    known = _known(columns).keys()
    return {"Channel", "Path"} <= known and ("Well" in known or {"Row", "Column"} <= known)
