"""Which cells have a profile: flags applied, plate map joined."""

import numpy as np
import pandas as pd

from profiling.cells.flags import BORDER
from profiling.tables import CELL_KEY, FIELD_KEY

WELL_KEY = ["Metadata_Plate", "Metadata_Well"]


def select_cells(cells, flags, cell_flags, wells):
    """Embedded cells of one plate that no flag excludes, with their plate map.

    Parameters
    ----------
    cells : pandas.DataFrame
        Cell table of the plate: the cell key and ``Embedded``.
    flags : pandas.DataFrame
        Flags table of the plate.
    cell_flags : pandas.DataFrame
        Cell_flags table of the plate.
    wells : pandas.DataFrame
        Platemaps table of the plate.

    Returns
    -------
    selected : pandas.DataFrame
        Cell key, plate-map columns and ``Flags``, sorted by the key.
    left_out : pandas.DataFrame
        Field key, ``Reason`` and the number of ``Cells``: embedded cells that a flag excludes, a row a field where
        the field is flagged and a row a plate where the cells are. Selected and left-out cells add up to the
        embedded ones. An excluded field that has no cells, such as a blank one, is a row with 0; lost ones are listed
        by the stage that lost them.
    """
    table = cells.merge(_field_flags(flags), how="left", on=FIELD_KEY, validate="many_to_one")
    table = table.merge(cell_flags, how="left", on=CELL_KEY, validate="one_to_one", suffixes=(None, "OfCell"))
    of_field, of_cell = table.pop("Excluding"), table.pop("ExcludedBy")
    chosen = table["Embedded"] & of_field.isna() & of_cell.isna()
    left = table["Embedded"] & ~chosen
    lost = table.loc[left, FIELD_KEY].astype("object").assign(Reason=of_field.fillna(_reason(of_cell))[left])
    lost.loc[of_field[left].isna(), FIELD_KEY[1:]] = None
    left_out = lost.groupby([*FIELD_KEY, "Reason"], dropna=False).size().rename("Cells").reset_index()
    left_out = pd.concat([left_out, _without_cells(flags, lost)], ignore_index=True)
    kept = table.pop("Kept").str.cat(table.pop("Flags"), sep="; ", na_rep="").str.strip("; ")
    selected = table[chosen].drop(columns="Embedded").assign(Flags=kept[chosen].where(kept[chosen] != ""))
    known = wells.drop(columns=["Imaged", "Mapped"])
    selected = selected.merge(known, how="left", on=WELL_KEY, validate="many_to_one")
    return selected.sort_values(CELL_KEY, ignore_index=True), left_out


def _reason(names):
    return pd.Series(np.where(names.eq(BORDER), "touches the border of the image", "flagged as " + names), names.index)


def _without_cells(flags, lost):
    """Excluded fields of which no cell was left out, without those whose images are lost."""
    excluded = _field_flags(flags).dropna(subset="Excluding").rename(columns={"Excluding": "Reason"})
    told = pd.concat([lost[FIELD_KEY], flags.loc[flags["Flags"].eq("lost"), FIELD_KEY]]).dropna()
    known = pd.MultiIndex.from_frame(excluded[FIELD_KEY]).isin(pd.MultiIndex.from_frame(told))
    return excluded.loc[~known, [*FIELD_KEY, "Reason"]].assign(Cells=0)


def _field_flags(flags):
    """One row a field: the flags that exclude it and those that are only noted, with their channels."""
    named = flags[flags["Flags"].notna()].copy()
    named["Flags"] = named["Metadata_Channel"] + " " + named["Flags"]
    columns = {}
    for column, rows in (("Excluding", named[named["Excluded"]]), ("Kept", named[~named["Excluded"]])):
        columns[column] = rows.groupby(FIELD_KEY, dropna=False)["Flags"].agg("; ".join)
    return pd.DataFrame(columns).astype("str").where(lambda t: t.notna()).reset_index()
