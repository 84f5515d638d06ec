"""Reader for the list of images that CellProfiler's LoadData module reads: one row a field, columns a channel.

As its documentation says, ``Image_FileName_DNA`` (or ``FileName_DNA``) names the file of channel DNA and
``Image_PathName_DNA`` its folder, or ``URL_DNA`` both; ``Frame_DNA`` is the plane of the file, from 0, and
``Series_DNA`` the image of a file that holds several. Wells, sites and the like stand in columns ``Metadata_…``, whose
names are a habit: those of pe2loaddata and of the JUMP and BBBC sets are known. Columns of labels
(``Image_ObjectsFileName_…``) and of illumination functions (``.npy``) are not images.
"""

import re

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.readers import as_images
from profiling.plates.readers.lists import choose_list, find_lists, read_list, read_numbers
from profiling.plates.readers.paths import locate

METADATA = {
    "Plate": ("Plate", "PlateID", "Barcode"),
    "Well": ("Well", "WellID", "WellName"),
    "Row": ("Row", "WellRow"),
    "Column": ("Col", "Column", "WellColumn"),
    "Site": ("Site", "SiteID", "FieldID", "Field", "FOV"),
    "Time": ("TimepointID", "TimePoint", "Timepoint", "Time", "T"),
    "Z": ("PlaneID", "ZPlane", "Plane", "ZStep", "Z"),
}
"""What is known of a field → names of the column after ``Metadata_``, the first that is there is taken.

A CSV of pe2loaddata has positions and the size of a pixel in metres, and others in other units: they are not read."""

_IMAGE = re.compile(r"(?:Image_)?(FileName|PathName|URL|Series|Frame)_(.+)")
_METADATA = re.compile(r"(?:Image_)?Metadata_(.+)")
_NO_IMAGES = (".npy", ".npz", ".mat")


def detect(folder, files):
    """Whether a CSV of the folder has a column ``FileName_…`` or ``URL_…``; of several, :func:`read` asks for one."""
    return bool(find_lists(folder, files, _is_list))


def read(folder, files, settings):
    """Images that the list names (see :mod:`profiling.plates.readers`).

    Of a list of several plates, the rows of the plate that the folder, or the nearest one above it, is named after.
    Where a list has no column of sites, the rows of a well are its sites 1, 2, …, in their order.
    """
    source = folder / choose_list(folder, files, _is_list, settings.table, "CSV of CellProfiler's LoadData")
    table = read_list(source, lambda name: bool(_IMAGE.fullmatch(name) or _METADATA.fullmatch(name)))
    channels = list(dict.fromkeys(match[2] for name in table if (match := _IMAGE.fullmatch(name))))
    known = _metadata(table.columns, channels)
    if "Plate" in known:
        table = rows_of_plate(table, known["Plate"], folder, source)
    fields = _fields(table, known, source)
    rows, problems = [], []
    for channel in channels:
        paths, page = _paths(table, channel, source)
        if paths is None or paths.str.lower().str.endswith(_NO_IMAGES).any():
            continue
        empty = paths.eq("")
        if empty.any():
            lines = f"line {empty.idxmax()}" + (f" and {empty.sum() - 1} more" if empty.sum() > 1 else "")
            problems.append((source.name, f"{lines}: no file of channel {channel}", "name it if there is one"))
        rows.append(fields.assign(Metadata_Channel=channel, Path=paths, Page=page)[~empty])
    if not rows or table.empty:
        raise ProfilingError(f"{source}: has no images; it needs a column FileName_… or URL_… for each channel")
    images = pd.concat(rows)
    images[["Path", "FileSize", "Modified"]] = locate(images["Path"], folder, files, source, settings.outside)
    return as_images(images.reset_index(drop=True)), problems


def rows_of_plate(table, column, folder, source):
    """Rows of the plate that a folder is named after, if the table has several plates.

    Raises
    ------
    ProfilingError
        If no folder of the path has the name of a plate.
    """
    plates = [plate for plate in table[column].unique() if plate]
    if len(plates) < 2:
        return table
    for name in reversed(folder.absolute().parts):
        if name in plates:
            return table[table[column].eq(name)]
    shown = ", ".join(plates[:5]) + (", …" if len(plates) > 5 else "")
    raise ProfilingError(
        f"{source}: lists {len(plates)} plates ({shown}) and {folder} is named after none of them; name the plate's "
        "folder so, or give it a list of its own"
    )


def joined_wells(rows, columns):
    """Names of wells from their rows (letters or numbers) and columns, each a Series of texts."""
    return rows.where(~rows.str.isdecimal(), "r" + rows + "c") + columns


def _is_list(columns):
    return any(match[1] in ("FileName", "URL") for name in columns if (match := _IMAGE.fullmatch(name)))


def _metadata(columns, channels):
    """Column of each thing in METADATA that the table has; BBBC021 repeats them for every channel."""
    names = {match[1]: name for name in reversed(columns) if (match := _METADATA.fullmatch(name))}
    repeated = {name.removesuffix(f"_{channel}"): column for name, column in names.items() for channel in channels}
    names = repeated | names
    return {
        what: next(names[alias] for alias in aliases if alias in names)
        for what, aliases in METADATA.items()
        if any(alias in names for alias in aliases)
    }


def _fields(table, known, source):
    """Well, site, time and plane of every row."""
    if "Well" in known:
        wells = table[known["Well"]]
    elif {"Row", "Column"} <= known.keys():
        wells = joined_wells(table[known["Row"]], table[known["Column"]])
    else:
        raise ProfilingError(f"{source}: has no column Metadata_Well (or Metadata_Row and Metadata_Col); add it")
    if wells.eq("").any():
        raise ProfilingError(f"{source}, line {wells.eq('').idxmax()}: has no well; complete it")
    fields = pd.DataFrame({"Metadata_Well": wells}, index=table.index)
    for what, default in (("Site", 1), ("Time", 0), ("Z", 0)):
        if what in known:
            fields[f"Metadata_{what}"] = read_numbers(table[known[what]], source, default)
    if "Site" not in known:
        others = [name for name in fields if name != "Metadata_Site"]
        fields["Metadata_Site"] = fields.groupby(others).cumcount() + 1
    return fields


def _paths(table, channel, source):
    """Path and page of a channel's files; None if the list has no files of it."""

    def column(what):
        names = [name for name in (f"Image_{what}_{channel}", f"{what}_{channel}") if name in table]
        return table[names[0]] if names else None

    names, folders, urls = column("FileName"), column("PathName"), column("URL")
    if names is None and urls is None:
        return None, None
    paths = names if names is not None else urls.where(urls.ne(""), "")
    if names is not None and folders is not None:
        paths = names.where(names.eq("") | folders.eq(""), folders + "/" + names)
    if names is not None and urls is not None:
        paths = paths.where(names.ne(""), urls)
    series, frame = column("Series"), column("Frame")
    if series is not None:
        number = read_numbers(series, source, 0)
        if number.ne(0).any():
            raise ProfilingError(
                f"{source}, line {number.ne(0).idxmax()}: {series.name} is not 0, and a list can name only a file's "
                "first image; let images.reader be `ome_tiff` or `bioio`, or split the files"
            )
    page = 0 if frame is None else read_numbers(frame, source, 0)
    return paths, page
