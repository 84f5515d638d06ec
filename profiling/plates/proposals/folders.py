"""Which folders are plates."""

import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.checks.images import twins
from profiling.plates.readers import read_folder
from profiling.plates.wells import parse_well, well_name

DEEPEST = 4  # folders below the one that is named
PLAIN_NAMES = ("images", "image", "tif", "tiff", "tiffs", "data", "raw", "export")
"""Names of folders that say nothing about the plate; that of the folder above is taken."""
OTHER_NAMES = ("truth", "labels", "masks", "results", "overlays")
"""Names of folders that hold what was made of images, where a folder above holds several plates."""


class FoundPlate(NamedTuple):
    """A folder that a reader knows as one plate.

    Attributes
    ----------
    name : str
        A name for the plate, from the folder's.
    folder : Path
    reader : str
    images : pandas.DataFrame
        Columns of :data:`profiling.plates.readers.COLUMNS`, of images whose well can be read; wells as ``A01``.
    """

    name: str
    folder: Path
    reader: str
    images: pd.DataFrame


def find_plates(folder, settings):
    """Find the plates in a folder: the folder itself, or else whichever folders below it a reader knows.

    A folder in which two images have the same well, site and channel holds several plates; its folders are then
    looked at one by one.

    Parameters
    ----------
    folder : str or Path
    settings : profiling.settings.Images
        How folders are read.

    Returns
    -------
    plates : list of FoundPlate
        Sorted by folder, with names that differ.
    left_out : list of str
        Why folders beside them are no plates; an empty folder is not told.

    Raises
    ------
    ProfilingError
        If there is none; the message says why the folder is not one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ProfilingError(f"there is no folder {str(folder)!r}; name the one that holds the plates")
    found, reasons = [], []
    _find(folder, settings, DEEPEST, found, reasons)
    if not found:
        raise ProfilingError(reasons[0][1])
    names = _names([folder for folder, _, _ in found])
    left_out = [reason for place, reason in reasons if not any(place in plate.parents for plate, _, _ in found)]
    return [FoundPlate(name, *one) for name, one in zip(names, found, strict=True)], left_out


def _find(folder, settings, deeper, found, reasons):
    try:
        images, _, reader = read_folder(folder, settings)
        images = _with_wells(images)
        if images.empty:
            raise ProfilingError(f"{folder}: no image has the name of a well; say where it stands in images.pattern")
        if doubled := [where for _, what, where, _ in twins(images[~images["Projection"]])]:
            raise ProfilingError(
                f"{folder}: holds several plates, or files that are the same image ({doubled[0]}); name a folder with "
                "one plate, or with a folder a plate"
            )
        found.append(_innermost(folder, reader, images))
    except ProfilingError as error:
        before = len(found), len(reasons)
        below = _folders(folder) if deeper else []
        for one in below:
            _find(one, settings, deeper - 1, found, reasons)
        if len(found) == before[0]:
            # One reason for folders within each other: that of the outermost.
            reasons[before[1] :] = [(folder, str(error))]


def _innermost(folder, reader, images):
    """Where all images lie in one folder further down, and nothing but their names counts, that folder."""
    common = os.path.commonpath([os.path.dirname(path) for path in images["Path"]]) if reader == "pattern" else ""
    if not common:
        return folder, reader, images
    return folder / common, reader, images.assign(Path=images["Path"].str.removeprefix(common + "/"))


def _folders(folder):
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if not name.startswith(".") and name.lower() not in OTHER_NAMES]


def _with_wells(images):
    wells = {}
    for text in images["Metadata_Well"].unique():
        try:
            wells[text] = well_name(*parse_well(text))
        except ValueError:
            continue
    images = images[images["Metadata_Well"].isin(wells)]
    return images.assign(Metadata_Well=images["Metadata_Well"].map(wells))


def _names(folders):
    """Names for plates: each folder's, with that of the folder above where two would be the same."""
    folders = [folder.resolve() for folder in folders]
    folders = [folder.parent if folder.name.lower() in PLAIN_NAMES else folder for folder in folders]
    names = [clean_name(folder.name) or "plate" for folder in folders]
    names = [
        clean_name(f"{folder.parent.name}-{name}") if names.count(name) > 1 else name
        for name, folder in zip(names, folders, strict=True)
    ]
    return unique_names(names)


def clean_name(text):
    """A text with only the characters that names of plates and channels may have; may be empty."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text.replace("µ", "u").replace("μ", "u")).strip("-.")


def unique_names(names):
    """The names, numbered from the second on where one occurs again."""
    taken = []
    for name in names:
        number, new = 2, name
        while new in taken:
            number, new = number + 1, f"{name}-{number}"
        taken.append(new)
    return taken
