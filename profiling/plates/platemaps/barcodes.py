"""Which plate has which plate map: the table of barcodes of JUMP and LINCS."""

from pathlib import Path

from profiling.errors import ProfilingError
from profiling.plates.platemaps.columns import ALIASES, key
from profiling.plates.platemaps.layouts import find_table
from profiling.plates.platemaps.sheets import read_sheets

SUFFIXES = ("", ".txt", ".tsv", ".csv", ".xlsx")
MAP_NAMES = ("platemapname", "platemap", "platemapfile", "map", "mapname", "layout", "layoutname", "layoutfile")
PLATE_NAMES = ("assayplatebarcode", *(name for name in ALIASES["plate"] if name != "assayplatebarcode"))


def barcode_maps(path):
    """Plate maps by plate.

    Parameters
    ----------
    path : str or Path
        Table with the columns ``Assay_Plate_Barcode`` and ``Plate_Map_Name`` (or other usual names of a plate and its
        map), as the Cell Painting Gallery describes it. A map NAME is the file ``platemap/NAME.txt`` beside the table,
        or NAME as .tsv, .csv or .xlsx, there or in the table's own folder.

    Returns
    -------
    dict of str to pathlib.Path
        Plate → its map; ``platemap/NAME.txt`` where there is no such file (yet).

    Raises
    ------
    ProfilingError
        If the table cannot be read, a column is absent, a plate has two maps, or a name is not that of a file.
    """
    folder = Path(path).parent
    tables = (find_table(path, sheet, _is_header) for sheet in read_sheets(path))
    table = next((found for found in tables if found is not None), None)
    if table is None:
        raise ProfilingError(f"{path}: no columns Assay_Plate_Barcode and Plate_Map_Name; name two columns so")
    plates = table.values[_column(table.values.columns, PLATE_NAMES)]
    names = table.values[_column(table.values.columns, MAP_NAMES)]
    files = {below: _files(folder / below) for below in ("platemap", "")}
    maps, rows = {}, {}
    for plate, name, row in zip(plates, names, table.rows.iloc[:, 0], strict=True):
        if not plate or not name:
            continue
        if "/" in name or "\\" in name:
            raise ProfilingError(f"{path}, row {row}: {name!r} is not the name of a plate map; leave the folder out")
        found = next(
            (
                folder / below / (name + suffix)
                for below in files
                for suffix in SUFFIXES
                if name + suffix in files[below]
            ),
            folder / "platemap" / f"{name}.txt",
        )
        if maps.setdefault(plate, found) != found:
            raise ProfilingError(f"{path}: plate {plate} has two plate maps (rows {rows[plate]}, {row}); keep one")
        rows.setdefault(plate, row)
    return maps


def _is_header(names):
    return _column(names, PLATE_NAMES) is not None and _column(names, MAP_NAMES) is not None


def _column(names, usual):
    known = {key(name): name for name in reversed(list(names))}
    return next((known[name] for name in usual if name in known), None)


def _files(folder):
    # One listing instead of a look for each name: folders may lie on a network.
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError:
        return set()
