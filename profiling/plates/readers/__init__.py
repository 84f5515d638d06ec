"""Readers of image folders: one module an instrument or naming scheme.

A reader is a module with two functions, which read names and metadata and never pixels:

``detect(folder, files) -> bool``
    Whether the listing looks like what this reader reads. Quick: opens a file or two at most.
``read(folder, files, settings) -> (images, problems)``
    ``images`` is a DataFrame with one row an image and the columns of :data:`COLUMNS` that the reader knows;
    ``problems`` is a list of ``(path, reason, remedy)`` for what could not be placed.

Here, ``folder`` is the plate's image folder (Path), ``files`` is its listing (:mod:`profiling.plates.listing`) and
``settings`` is :class:`profiling.settings.Images`. Metadata that cannot be read are a ``ProfilingError`` that
names the file and the remedy. Modules are imported when they are used.
"""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.listing import list_files, unwritable
from profiling.plates.pages import expand_pages
from profiling.settings import READERS

COLUMNS = {
    "Metadata_Well": "str",
    "Metadata_Site": "int32",
    "Metadata_Time": "int32",
    "Metadata_Z": "int32",
    "Metadata_Channel": "str",
    "Path": "str",
    "Page": "int32",
    "FileSize": "int64",
    "Modified": "int64",
    "Projection": "bool",
    "PositionX": "float64",
    "PositionY": "float64",
    "PixelSize": "float64",
}
"""Columns of the images that a reader finds.

`Metadata_Well` is as written (``A1``, ``r01c01``). Sites, times and planes are numbered as the instrument numbers
them; 0 where it does not. `Metadata_Channel` is the instrument's name or number of the channel, which
`images.channel_names` translates. `Path` is relative to the plate's folder, with forward slashes; `Page` is the
plane of the file, from 0. `Projection` marks a projection that the instrument made of a stack. Positions are those
of the field's middle in um, in the instrument's own frame (the stage or the well); `PixelSize` is um a pixel. The
last four may be left out."""

HEADER_THREADS = 16

DEFAULTS = {"Metadata_Site": 1, "Metadata_Time": 0, "Metadata_Z": 0, "Page": 0, "Projection": False}


def read_folder(folder, settings, reader=None, read_header=None, sample=None):
    """Images of a plate's folder.

    Parameters
    ----------
    folder : Path
        The plate's image folder.
    settings : profiling.settings.Images
        Reader and its settings.
    reader : str, optional
        Of this plate, instead of the one in the settings.
    read_header : callable, optional
        As :func:`profiling.images.read.read_header`; it counts pages and is needed where `images.pages` says what
        they are.
    sample : int, optional
        Files whose pages are counted, the others being taken to have as many; all by default.

    Returns
    -------
    images : pandas.DataFrame
        Columns of :data:`COLUMNS`; channels have their names.
    problems : list of tuple of str
        Path, reason and remedy of each image file that could not be placed.
    name : str
        The reader that read it.

    Raises
    ------
    ProfilingError
        If the folder cannot be listed, no reader knows it, or its metadata cannot be read.
    """
    files, misnamed = unwritable(list_files(folder))
    name = reader or settings.reader
    if name == "auto":
        name = detect(folder, files, settings)
    images, problems = _reader(name).read(folder, files, settings)
    images = images.assign(**{column: value for column, value in DEFAULTS.items() if column not in images})
    if name == "pattern" and settings.pages is not None:
        images = expand_pages(images, settings.pages, _page_counts(folder, images, read_header, sample))
    images, unnamed = _name_channels(images.reindex(columns=list(COLUMNS)), settings.channel_names)
    return images, [*misnamed, *problems, *unnamed], name


def detect(folder, files, settings):
    """Name of the reader for a folder: of the pattern or list that the settings name, else the first that knows it.

    Raises
    ------
    ProfilingError
        If none knows it.
    """
    if settings.pattern is not None:
        return "pattern"
    asked = READERS[1:]
    if settings.table is not None:
        asked, files = ("load_data", "table"), [file for file in files if file.path == settings.table]
    for name in asked:
        if _reader(name).detect(folder, files):
            return name
    if settings.table is not None:
        raise ProfilingError(
            f"{folder / settings.table}: absent, or no list of images (images.table); it needs the columns well, "
            "channel and path, or FileName_<channel> as CellProfiler's LoadData has them"
        )
    shown = ", ".join(file.path for file in files[:3]) or "none"
    raise ProfilingError(
        f"{folder}: no reader knows these files ({len(files)}, the first: {shown}); write a regular expression for "
        f"their names in images.pattern, or name one of the readers {', '.join(READERS[1:])} in images.reader"
    )


def _page_counts(folder, images, read_header, sample):
    """Function that gives the pages of a file; 0 where its header is not or cannot be read."""

    def count(path):
        try:
            return read_header(folder / path).get("pages", 1)
        except ValueError:
            return 0

    paths = images["Path"].unique()
    paths = paths if sample is None else paths[:: len(paths) // sample + 1]
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        counts = dict(zip(paths, pool.map(count, paths), strict=True))
    return lambda path: counts.get(path, 0)


def _reader(name):
    return import_module(f"profiling.plates.readers.{name}")


def _name_channels(images, names):
    """Translate the channels; where some have a name, the others are left out, and each is said once."""
    if not names:
        return images, []
    known = images["Metadata_Channel"].isin(names)
    left_out = images[~known].groupby("Metadata_Channel")["Path"].agg(["first", "size"])
    problems = [
        (first, f"channel {channel!r} is not in images.channel_names ({count} images)", "add it there if it is wanted")
        for channel, first, count in left_out.itertuples()
    ]
    images = images[known]
    return images.assign(Metadata_Channel=images["Metadata_Channel"].map(names).astype("str")), problems


def as_images(rows):
    """Table of images from a list of dicts or a dict of columns, with the columns' types."""
    table = pd.DataFrame(rows)
    return table.astype({column: kind for column, kind in COLUMNS.items() if column in table})
