"""Plate maps: what was in each well."""

import re

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.platemaps.columns import key, recognise
from profiling.plates.platemaps.compounds import join_compounds
from profiling.plates.platemaps.layouts import plate_table
from profiling.plates.platemaps.roles import assign_roles
from profiling.plates.platemaps.units import MOLAR, comma_is_decimal, convert, known_unit, parse_dose, unit_of_name
from profiling.plates.wells import normalise_well
from profiling.progress import log
from profiling.settings import TESTED

_NO_DOSE = {"", "na", "n/a", "nan", "none", "null", "nd", "n.d.", "-", "–", "—"}
_SOLVENT = ("solvent", "vehicle", "diluent")
_PLATE_WELL = re.compile(r"^(.{1,200}?)[_:\s-]{1,9}([A-Za-z]{1,2}\d{1,3})")
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}-[A-Z][a-z]{2}(-\d\d(\d\d)?)?|[A-Z][a-z]{2}-\d{1,2}")


def read_platemap(path, plate, layout, settings, compounds=None):
    """Plate map of one plate, a row a well; what is odd but usable is a warning in the log.

    Same parameters and errors as :func:`describe_platemap`, of which it is the first result.
    """
    wells, notes = describe_platemap(path, plate, layout, settings, compounds)
    for note in notes:
        log.warning("%s", note)
    return wells


def describe_platemap(path, plate, layout, settings, compounds=None):
    """Plate map of one plate, and what is odd in it but usable.

    Parameters
    ----------
    path : str or Path
        Delimited text or .xlsx workbook, as :func:`profiling.plates.platemaps.sheets.read_sheets` reads it: a table
        with one row a well, or grids. A file with a plate column may hold the maps of many plates; it is parsed once
        a process.
    plate : str
        Rows of this plate are taken where the file has a plate column.
    layout : int
        Wells of the plate.
    settings : profiling.settings.PlateMap
        Names of columns, roles, the unit, and further columns to keep.
    compounds : str or Path, optional
        Table of compounds to join: ``settings.compounds`` below the screen's root.

    Returns
    -------
    wells : pandas.DataFrame
        ``Metadata_Well``, ``Metadata_Compound``, ``Metadata_Concentration`` (float64), ``Metadata_Unit``,
        ``Metadata_Role``, ``Metadata_Treatment`` and the columns kept, sorted by well.
    notes : list of str
        One sentence each: rows that repeat another, compounds that the table of compounds does not have.

    Raises
    ------
    ProfilingError
        If the file is no plate map, has no well or compound column, lacks a column named in the settings, has no row
        of the plate, a well twice, a well outside the plate, or doses that are no numbers or in several units; the
        message names the file, the sheet, the row and the remedy.
    """
    named = settings.columns
    table = plate_table(path, plate, settings.sheet, named)
    where = table.where()
    placed = {our: name for our, name in named.items() if our in ("well", "row", "column", "plate")}
    columns = recognise(list(table.values.columns), placed, where, needed=("well",))
    values, wells = _rows_of_plate(table, columns, plate, layout)
    values, wells, notes = _once(table, values, wells)
    if compounds is not None:
        candidates = recognise(list(values.columns), {}, where, needed=()).get("compound", [])
        if named.get("compound") in values.columns:
            candidates = [named["compound"], *candidates]
        values, unknown = join_compounds(values, candidates, compounds, where)
        if unknown:
            notes.append(
                f"{where}: {len(unknown)} compounds of plate {plate} are not in {compounds}: {', '.join(unknown)}"
            )
    columns = recognise(list(values.columns), named, where)
    if absent := [column for column in settings.keep if column not in values.columns]:
        raise ProfilingError(f"{where}: no column {absent[0]!r} (platemap.keep); it has {', '.join(values.columns)}")

    out = pd.DataFrame({"Metadata_Well": wells})
    out["Metadata_Compound"] = _compounds(table, values, columns["compound"][0])
    roles = assign_roles(values, columns, out["Metadata_Compound"], settings, where)
    controls = roles.eq("negative_control") & out["Metadata_Compound"].isna()
    if solvent := next((name for name in values.columns if key(name) in _SOLVENT), None):
        # JUMP and LINCS leave the compound of DMSO wells empty and name the solvent of every well.
        out["Metadata_Compound"] = out["Metadata_Compound"].mask(controls, _text(values[solvent]))
    doses, units = _doses(table, values, columns, settings)
    tested = roles.isin(TESTED) & doses.gt(0)
    notes += _check_units(table, columns, out["Metadata_Compound"][tested], doses[tested], units[tested])
    out["Metadata_Concentration"], out["Metadata_Unit"], out["Metadata_Role"] = doses, units, roles
    out["Metadata_Treatment"] = treatment_names(out)
    for column in settings.keep:
        out[kept_name(column)] = _text(values[column])
    if table.grid:
        # Grids show the whole plate: a well that is blank in all of them is not in the map, unless a rule names it.
        out = out[values.drop(columns="well").ne("").any(axis=1) | roles.ne("empty")]
    return out.sort_values("Metadata_Well", ignore_index=True), notes


def _rows_of_plate(table, columns, plate, layout):
    """Rows of the plate, and the well of each in canonical form."""
    values = table.values
    plates = None
    if "well" in columns:
        wells = values[columns["well"][0]]
    elif "plate_well" in columns:
        column = columns["plate_well"][0]
        split = values[column].str.extract(_PLATE_WELL)
        if len(wrong := split.index[split[1].isna()]):
            text = values.loc[wrong[0], column]
            raise ProfilingError(
                f"{table.where(column, wrong[0])}: {column} {text!r} is not a plate and a well, as P1_A01"
            )
        plates, wells = split[0], split[1]
    else:
        row, column = (values[columns[our][0]].str.strip("\"' ") for our in ("row", "column"))
        column = column.str.replace(r"\.0+$", "", regex=True)
        letters = row.str.replace(r"\.0+$", "", regex=True).str.replace(r"^(\d+)$", r"r\1c", regex=True)
        wells = letters + column
    if "plate" in columns and values[columns["plate"][0]].ne("").any():
        plates = values[columns["plate"][0]]
    if plates is not None:
        chosen = plates.str.strip("\"' ").eq(plate)
        if not chosen.any():
            raise ProfilingError(_no_plate(table.where(), plate, plates[plates.ne("")].unique()))
        values, wells = values[chosen], wells[chosen]
    names = {text: _well(table, columns, index, text, layout) for index, text in wells.drop_duplicates().items()}
    return values, wells.map(names)


def _no_plate(where, plate, plates):
    message = f"{where}: no row of plate {plate} (plates there: {', '.join(plates[:5])}"
    message += ", …); " if len(plates) > 5 else "); "
    if like := next((text for text in plates if _same_number(text, plate)), None):
        return f"{message}a spreadsheet turned {plate} into {like}: format the column as text and write it again"
    return f"{message}correct the plate's name or its plate map"


def _same_number(one, other):
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _well(table, columns, index, text, layout):
    try:
        return normalise_well(text.strip("\"' "), layout)
    except ValueError as error:
        column = next(columns[our][0] for our in ("well", "plate_well", "row") if our in columns)
        if table.grid:
            # The well's row in the file is that of any of its grids.
            column = next(name for name in table.values.columns if table.rows.loc[index, name])
        raise ProfilingError(f"{table.where(column, index)}: {error}") from None


def _once(table, values, wells):
    """One row a well: rows that repeat another are left out and noted, rows that contradict are an error."""
    first = values.columns[0]
    if len(repeated := wells.index[values.assign(_=wells).duplicated()]):
        note = f"{table.where()}: {table.rows_text(first, list(repeated))} repeat another row; one of each is used"
        values, wells, notes = values.drop(index=repeated), wells.drop(index=repeated), [note]
    else:
        notes = []
    twice = wells[wells.duplicated(keep=False)]
    if len(twice):
        well = twice.iloc[0]
        rows = table.rows_text(first, list(twice.index[twice.eq(well)]))
        raise ProfilingError(f"{table.where()}: well {well} stands twice ({rows}); keep one row a well")
    return values, wells, notes


def _text(texts):
    return texts.where(texts.ne("") & texts.str.lower().ne("nan"))


def _compounds(table, values, column):
    names = _text(values[column])
    dates = names.index[names.str.fullmatch(_DATE).fillna(False).astype(bool)]
    if len(dates):
        raise ProfilingError(
            f"{table.where(column, dates[0])}: {column} {names[dates[0]]!r} is a date, into which a spreadsheet turns "
            "names such as MAR1; format the column as text and write the names again"
        )
    return names


def _doses(table, values, columns, settings):
    """Dose and unit of each well; molar ones in the unit asked for."""
    target = settings.concentration_unit
    unit_column = next(iter(columns.get("unit", ())), None)
    units = _text(values[unit_column]) if unit_column else pd.Series(None, index=values.index, dtype="str")
    units = units.map(lambda text: known_unit(text) or text, na_action="ignore").astype("str")
    column = next(iter(columns.get("concentration", ())), None)
    if column is None:
        return pd.Series(float("nan"), index=values.index, dtype="float64"), units
    texts = values[column]
    # `columns: {unit: ""}` says that the unit in the name is wrong, as in maps that give the stock's concentration.
    unit_of_header = None if settings.columns.get("unit") == "" else unit_of_name(column)[1]
    comma = comma_is_decimal(set(texts))
    parsed, doses, out = {}, [], []
    for index, text, unit in zip(values.index, texts, units, strict=True):
        if text not in parsed:
            try:
                parsed[text] = (float("nan"), None) if text.lower() in _NO_DOSE else parse_dose(text, comma)
            except ValueError as error:
                raise ProfilingError(f"{table.where(column, index)}: {column} {text!r} {error}; correct it") from None
        dose, unit_of_cell = parsed[text]
        unit = unit if isinstance(unit, str) else None
        beside = unit or unit_of_header
        if unit_of_cell and beside and unit_of_cell != beside:
            raise ProfilingError(
                f"{table.where(column, index)}: {column} {text!r} is in {unit_of_cell}, but its column is in {beside}; "
                "keep one unit"
            )
        if dose == dose:  # not missing
            unit = unit_of_cell or beside
            dose, unit = convert(dose, unit, target)
        doses.append(dose)
        out.append(unit)
    units = pd.Series(out, index=values.index, dtype="str")
    doses = pd.Series(doses, index=values.index, dtype="float64")
    if target and units.isna().all():
        units = units.mask(doses.notna(), target)
    return doses, units


def _check_units(table, columns, compounds, doses, units):
    """Raise where doses of one compound are not comparable; a note where compounds differ in their molar unit."""
    if not len(doses):
        return []
    column = columns["concentration"][0]
    where = table.where(column)
    without = units.isna()
    if without.any() and not without.all():
        rows = table.rows_text(column, list(units.index[without]))
        raise ProfilingError(
            f"{where}: {column} has no unit in {rows}, but {units.dropna().iloc[0]} elsewhere; add the unit"
        )
    several = units.groupby(compounds).nunique().gt(1)
    if several.any():
        compound = several.index[several][0]
        own = units[compounds.eq(compound)]
        rows = table.rows_text(column, list(own.index))
        remedy = "set platemap.concentration_unit to convert them" if own.isin(MOLAR).all() else "give them in one unit"
        raise ProfilingError(f"{where}: {compound} has doses in {' and '.join(own.unique())} ({rows}); {remedy}")
    molar = units[units.isin(MOLAR)].unique()
    if len(molar) > 1:
        note = f"{where}: doses of some compounds are in {molar[0]}, of others in {' and '.join(molar[1:])}; "
        return [f"{note}platemap.concentration_unit converts them to one"]
    return []


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
    imaged = pd.DataFrame({"Metadata_Well": pd.Series(sorted(set(imaged_wells)), dtype="str"), "Imaged": True})
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
