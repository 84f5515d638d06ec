"""Which column of a plate map is what, by the names that labs and instruments use."""

import re

from profiling.errors import ProfilingError
from profiling.plates.platemaps.units import unit_of_name

NAMES = {
    "well": (
        "well", "well position", "well id", "well name", "well label", "well coordinate", "wells", "pert well",
        "assay well", "destination well", "dest well",
    ),
    "plate_well": ("plate well", "plate well id", "plate and well"),
    "row": ("row", "well row", "row letter", "row name", "plate row"),
    "column": ("column", "col", "well column", "well col", "column number", "column name", "plate column"),
    "plate": (
        "plate", "plate id", "plate name", "barcode", "plate barcode", "assay plate barcode", "assay plate",
        "assay plate name", "destination plate barcode", "destination plate name",
    ),
    "compound": (
        "compound", "compound name", "broad sample", "treatment", "perturbation", "compound id", "drug", "drug name",
        "reagent", "substance", "molecule", "pert iname", "pert name", "pert id", "jcp2022", "sirna", "gene symbol",
        "gene", "sample", "sample name", "sample id", "content",
    ),
    "concentration": (
        "concentration", "dose", "conc", "final concentration", "final conc", "compound concentration",
        "drug concentration", "pert dose", "mmoles per liter", "mg per ml",
    ),
    "unit": (
        "unit", "units", "dose unit", "dose units", "concentration unit", "concentration units", "conc unit",
        "conc units", "pert dose unit",
    ),
    "role": (
        "role", "control type", "pert type", "type", "well type", "well role", "sample type", "content type", "content",
    ),
}  # fmt: skip
"""Usual names of columns, the first that a file has is taken; case, spaces, punctuation and `Metadata` do not count."""

ALIASES = {our: tuple(re.sub(r"[\W_]", "", name) for name in names) for our, names in NAMES.items()}


def key(name):
    """What a column's name is compared by: `Metadata_Well Name` becomes `wellname`."""
    text = re.sub(r"[\W_]", "", name.lower())
    return re.sub(r"^(image)?metadata(?=.)", "", text)


def recognise(names, named, where, needed=("well", "compound")):
    """Columns of a plate map.

    Parameters
    ----------
    names : list of str
        Names of the columns.
    named : dict of str to str
        Our name → column, from the settings; an empty name says that there is no such column.
    where : str
        File and sheet, for messages.
    needed : tuple of str
        What must be there; a well may also be given by row and column, or together with its plate.

    Returns
    -------
    dict of str to list of str
        Our name → its columns, the best first; only those found.

    Raises
    ------
    ProfilingError
        If a column named in the settings, or a needed one, is absent.
    """
    columns, taken = {}, set()
    for our in NAMES:
        if our in named:
            found = [named[our]] if named[our] else []
            if found and found[0] not in names:
                raise ProfilingError(f"{where}: no column {found[0]!r} (platemap.columns.{our}); it has {_list(names)}")
        else:
            found = [name for name in _usual(our, names) if name not in taken]
        if found:
            columns[our] = found
            taken.add(found[0])
    for our in needed:
        if our not in columns and not (our == "well" and gives_wells(columns)):
            raise ProfilingError(f"{where}: no {our} column among {_list(names)}; name it in platemap.columns.{our}")
    return columns


def gives_wells(columns):
    """Whether the recognised columns say which well a row is."""
    return "well" in columns or "plate_well" in columns or {"row", "column"} <= set(columns)


def holds_wells(names, named):
    """Whether these cells are the header of a table with one row a well."""
    if named.get("well"):
        return named["well"] in names
    columns = {}
    for our in ("well", "plate_well", "row", "column"):
        if (named[our] in names) if named.get(our) else (our not in named and any(_usual(our, names))):
            columns[our] = True
    return gives_wells(columns)


def is_usual(name):
    """Whether a name is that of any column known here."""
    return any(_usual(our, [name]) for our in NAMES)


def _usual(our, names):
    """Columns that have a usual name, the most usual first."""
    ranks = {alias: rank for rank, alias in enumerate(ALIASES[our])}
    found = []
    for name in names:
        rank = ranks.get(key(name))
        if rank is None and our == "concentration":
            base, unit = unit_of_name(name)
            rank = ranks.get(key(base)) if unit else None
        if rank is not None:
            found.append((rank, name))
    return [name for _, name in sorted(found, key=lambda entry: entry[0])]


def _list(names):
    return ", ".join(names[:30]) + (" …" if len(names) > 30 else "")
