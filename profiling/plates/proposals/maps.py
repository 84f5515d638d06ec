"""Plate maps that lie near the plates."""

import os
from pathlib import Path

from profiling.errors import ProfilingError
from profiling.plates.platemap import describe_platemap
from profiling.plates.platemaps.barcodes import barcode_maps
from profiling.settings import PlateMap

SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")
LARGEST = 5_000_000  # bytes; larger files are no plate maps
MOST = 50  # files that are tried


def candidate_files(folders):
    """Files that may be plate maps, directly in the folders.

    Parameters
    ----------
    folders : iterable of Path

    Returns
    -------
    list of Path
    """
    files = {}
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    name = entry.name.lower()
                    if name.endswith(SUFFIXES) and entry.is_file() and entry.stat().st_size <= LARGEST:
                        files.setdefault(os.path.realpath(entry.path), Path(entry.path))
        except OSError:
            continue
    return list(files.values())[:MOST]


def choose_map(plate, wells, layout, files):
    """The file that is most probably the map of a plate.

    Parameters
    ----------
    plate : str
        Name of the plate.
    wells : set of str
        Wells with images.
    layout : int
        Wells of the plate.
    files : list of Path

    Returns
    -------
    Path or None
        None where no file is a plate map of at least half of the wells. One that has the plate's name in its own is
        taken before others, then one with negative controls, then one with more of the wells.
    """
    best = None
    for path in files:
        try:
            table, _ = describe_platemap(path, plate, layout, PlateMap())
        except ProfilingError:
            continue
        share = len(wells & set(table["Metadata_Well"])) / len(wells)
        has_control = bool(table["Metadata_Role"].eq("negative_control").any())
        score = (plate.lower() in path.stem.lower(), has_control, share)
        if share >= 0.5 and (best is None or score > best[0]):
            best = score, path
    return best and best[1]


def choose_barcodes(plates, files):
    """The table of plates and their plate maps, as JUMP and LINCS have it, if one of the files is that.

    Parameters
    ----------
    plates : list of str
    files : list of Path

    Returns
    -------
    Path or None
        A table with at least half of the plates whose plate maps are there.
    """
    for path in files:
        try:
            maps = barcode_maps(path)
        except ProfilingError:
            continue
        if sum(plate in maps and maps[plate].is_file() for plate in plates) >= len(plates) / 2:
            return path
    return None
