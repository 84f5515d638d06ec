"""Plate maps: what was in each well."""

import re
from pathlib import Path

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.wells import normalise_well

NAMES = {
    "well": ("well", "metadata_well", "well_position", "well_id", "wellid"),
    "plate": ("plate", "metadata_plate", "plate_id", "barcode", "assay_plate_barcode"),
    "compound": (
        "compound",
        "metadata_compound",
        "compound_name",
        "broad_sample",
        "treatment",
        "perturbation",
    ),
    "concentration": ("concentration", "metadata_concentration", "dose", "conc", "mmoles_per_liter"),
    "unit": ("unit", "metadata_unit", "units", "dose_unit", "concentration_unit"),
    "role": ("role", "metadata_role", "control_type", "pert_type", "type"),
}
"""Usual column names of plate maps, in lower case; the first that a file has is taken."""
ROLE_NAMES = {
    "negative_control": ("negative_control", "negcon", "negative", "neg", "dmso", "vehicle", "control"),
    "positive_control": ("positive_control", "poscon", "positive", "pos"),
    "treatment": ("treatment", "trt", "sample", "compound", "test", "test_compound"),
    "empty": ("empty", "blank", "none"),
}


def read_platemap(path, plate, layout, settings):
    """Plate map of one plate, a row a well.

    Parameters
    ----------
    path : str or Path
        CSV, or TSV by its suffix; a file with a plate column may hold the maps of many plates.
    plate : str
        Rows of this plate are taken where the file has a plate column.
    layout : int
        Wells of the plate.
    settings : profiling.settings.PlateMap
        Names of columns, roles, and further columns to keep.

    Returns
    -------
    pandas.DataFrame
        ``Metadata_Well``, ``Metadata_Compound``, ``Metadata_Concentration``, ``Metadata_Unit``,
        ``Metadata_Role``, ``Metadata_Treatment`` and the columns kept, sorted by well.

    Raises
    ------
    ProfilingError
        If the file has no well or compound column, lacks a column named in the settings, has no row of the
        plate, a well twice, a well outside the plate or a dose that is no number; the message names the file,
        the row and the remedy.
    """
    path = Path(path)
    separator = "\t" if path.suffix in (".tsv", ".txt") else ","
    try:
        table = pd.read_csv(path, sep=separator, dtype="str", encoding="utf-8-sig", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ProfilingError(f"{path}: not a plate map in CSV or TSV ({error})") from None
    table.index += 2  # the row in the file, for messages
    columns = _columns(path, table, settings)
    if "plate" in columns:
        rows = table[table[columns["plate"]].str.strip().eq(plate)]
        if rows.empty:
            raise ProfilingError(
                f"{path}: no row of plate {plate} (plates there: {', '.join(table[columns['plate']].unique()[:5])}); "
                "correct the plate's name or its plate map"
            )
        table = rows
    wells = [_well(path, row, text, layout) for row, text in table[columns["well"]].items()]
    table = table.assign(Metadata_Well=wells)
    twice = table[table["Metadata_Well"].duplicated(keep=False)]
    if len(twice):
        well = twice["Metadata_Well"].iloc[0]
        lines = ", ".join(map(str, twice.index[twice["Metadata_Well"].eq(well)]))
        raise ProfilingError(f"{path}: well {well} stands twice (rows {lines}); keep one row a well")
    out = pd.DataFrame({"Metadata_Well": table["Metadata_Well"]})
    out["Metadata_Compound"] = _text(table, columns.get("compound"))
    out["Metadata_Concentration"] = _doses(path, table, columns.get("concentration"))
    out["Metadata_Unit"] = _text(table, columns.get("unit"))
    out["Metadata_Role"] = _roles(path, table, columns, out["Metadata_Compound"], settings)
    out["Metadata_Treatment"] = treatment_names(out)
    for column in settings.keep:
        out[kept_name(column)] = _text(table, column)
    return out.sort_values("Metadata_Well", ignore_index=True)


def _columns(path, table, settings):
    lower = {column.strip().lower(): column for column in table.columns}
    columns = {}
    for name, usual in NAMES.items():
        if named := settings.columns.get(name):
            if named not in table.columns:
                raise ProfilingError(f"{path}: no column {named!r} (platemap.columns.{name}); it has {_list(table)}")
            columns[name] = named
        elif found := next((lower[text] for text in usual if text in lower), None):
            columns[name] = found
    for name in ("well", "compound"):
        if name not in columns:
            raise ProfilingError(f"{path}: no {name} column among {_list(table)}; name it in platemap.columns.{name}")
    if absent := [column for column in settings.keep if column not in table.columns]:
        raise ProfilingError(f"{path}: no column {absent[0]!r} (platemap.keep); it has {_list(table)}")
    return columns


def _list(table):
    return ", ".join(table.columns)


def _text(table, column):
    if column is None:
        return pd.Series(None, index=table.index, dtype="str")
    text = table[column].str.strip()
    return text.where(text.ne("") & text.str.lower().ne("nan"))


def _well(path, row, text, layout):
    try:
        return normalise_well(text, layout)
    except ValueError as error:
        raise ProfilingError(f"{path}, row {row}: {error}") from None


def _doses(path, table, column):
    text = _text(table, column)
    doses = pd.to_numeric(text, errors="coerce")
    if len(wrong := table.index[doses.isna() & text.notna()]):
        raise ProfilingError(f"{path}, row {wrong[0]}: {column} {text[wrong[0]]!r} is not a number; correct it")
    return doses.astype("float64")


def _roles(path, table, columns, compounds, settings):
    """Role of each well: by the settings, by the role column, else `treatment` where there is a compound."""
    known = {alias: role for role, aliases in ROLE_NAMES.items() for alias in aliases}
    written = _text(table, columns.get("role"))
    roles = []
    for compound, role in zip(compounds, written, strict=True):
        named = settings.roles.get(compound) or settings.roles.get(role)
        if named:
            roles.append(named)
        elif isinstance(role, str):
            roles.append(known.get(role.lower().replace(" ", "_").replace("-", "_"), role))
        elif isinstance(compound, str):
            roles.append("negative_control" if compound.lower() in ("dmso", "vehicle") else "treatment")
        else:
            roles.append("empty")
    return pd.Series(roles, index=table.index, dtype="str")


def kept_name(column):
    """Name of a further column of the plate map in the results: `MOA class` becomes `Metadata_MOA_class`."""
    return "Metadata_" + re.sub(r"\W+", "_", column)


def treatment_names(wells):
    """Name of each well's treatment: ``compound@dose unit``, or the compound where there is no dose above 0."""
    names = []
    for compound, dose, unit in zip(
        wells["Metadata_Compound"], wells["Metadata_Concentration"], wells["Metadata_Unit"], strict=True
    ):
        if not isinstance(compound, str):
            names.append(None)
        elif pd.isna(dose) or dose == 0:
            names.append(compound)
        else:
            names.append(f"{compound}@{dose:g}{unit if isinstance(unit, str) else ''}")
    return pd.Series(names, index=wells.index, dtype="str")


def join_platemap(plate, batch, imaged_wells, platemap, keep=()):
    """Wells of the images with their plate map, from the images' side, and what does not match.

    Parameters
    ----------
    plate, batch : str
        Name of the plate and its batch.
    imaged_wells : iterable of str
        Wells with images.
    platemap : pandas.DataFrame or None
        Result of :func:`read_platemap`.
    keep : list of str
        Further columns that the table has, null where there is no plate map.

    Returns
    -------
    wells : pandas.DataFrame
        The platemaps table: all wells of the images or the map, with ``Imaged`` and ``Mapped``.
    problems : pandas.DataFrame
        ``Metadata_Plate``, ``Metadata_Well``, ``Reason``, ``Remedy`` of each well that stands on one side only;
        none where the plate has no plate map.
    """
    imaged = pd.DataFrame({"Metadata_Well": sorted(set(imaged_wells)), "Imaged": True})
    has_map = platemap is not None
    if not has_map:
        platemap = pd.DataFrame({"Metadata_Well": pd.Series(dtype="str")})
        for column in ("Compound", "Unit", "Role", "Treatment", *keep):
            platemap[kept_name(column)] = pd.Series(dtype="str")
        platemap["Metadata_Concentration"] = pd.Series(dtype="float64")
    wells = imaged.merge(platemap.assign(Mapped=True), how="outer", on="Metadata_Well")
    for column in ("Imaged", "Mapped"):
        wells[column] = wells[column].eq(True).fillna(False).astype(bool)
    wells.insert(0, "Metadata_Plate", plate)
    wells["Metadata_Batch"] = batch or plate
    unmapped = ~wells["Mapped"] if has_map else [False] * len(wells)
    only_images = wells.loc[unmapped, ["Metadata_Plate", "Metadata_Well"]].assign(
        Reason="the well has images but no row in the plate map", Remedy="add it to the plate map"
    )
    only_map = wells.loc[~wells["Imaged"], ["Metadata_Plate", "Metadata_Well"]].assign(
        Reason="the well stands in the plate map but has no images",
        Remedy="find its images, or correct the plate map",
    )
    problems = pd.concat([only_images, only_map], ignore_index=True)
    return wells.sort_values("Metadata_Well", ignore_index=True), problems
