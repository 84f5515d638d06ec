"""Which cells have a profile: flags applied, plate map joined."""

import pandas as pd

from profiling.cells.flags import flag_outliers
from profiling.tables import CELL_KEY, FIELD_KEY

WELL_KEY = ["Metadata_Plate", "Metadata_Well"]
BORDER, OUTLIER = "touches the border of the image", "outlier"


def select_cells(cells, flags, wells, settings, nuclei_channel):
    """Embedded cells of one plate that no flag excludes, with their plate map.

    Parameters
    ----------
    cells : pandas.DataFrame
        Cell table of the plate.
    flags : pandas.DataFrame
        Flags table of the plate.
    wells : pandas.DataFrame
        Platemaps table of the plate.
    settings : profiling.settings.Flags
    nuclei_channel : str

    Returns
    -------
    selected : pandas.DataFrame
        Cell key, plate-map columns and ``Flags``, sorted by the key.
    left_out : pandas.DataFrame
        Field key, ``Reason`` and the number of ``Cells``: embedded cells that a flag excludes, a row a field where
        the field is flagged and a row a plate where the cells are. Selected and left-out cells add up to the
        embedded ones.
    """
    outlier = flag_outliers(cells, nuclei_channel, settings.outlier_mads)
    border = cells["NucleusTouchesBorder" if settings.border == "nucleus" else "TouchesBorder"]
    table = cells[CELL_KEY].copy()
    table["Embedded"] = cells["Embedded"]
    table = table.merge(_field_flags(flags), how="left", on=FIELD_KEY, validate="many_to_one")
    excluded, kept = table.pop("Excluding"), table.pop("Kept")
    for name, mask, action in (
        (BORDER, border.to_numpy(), "keep" if settings.border == "keep" else "exclude"),
        (OUTLIER, outlier.to_numpy(), settings.outlier_cells),
    ):
        if action == "exclude":
            excluded = excluded.where(excluded.notna() | ~mask, name)
        else:
            kept = kept.where(~mask, (kept + "; ").fillna("") + name)
    embedded = table.pop("Embedded")
    table["Flags"] = kept
    chosen = embedded & excluded.isna()
    left = embedded & excluded.notna()
    lost = table.loc[left, FIELD_KEY].astype("object").assign(Reason=excluded[left])
    lost.loc[lost["Reason"].isin([BORDER, OUTLIER]), FIELD_KEY[1:]] = None
    left_out = lost.groupby([*FIELD_KEY, "Reason"], dropna=False).size().rename("Cells").reset_index()
    known = wells.drop(columns=["Imaged", "Mapped"])
    selected = table[chosen].merge(known, how="left", on=WELL_KEY, validate="many_to_one")
    return selected.sort_values(CELL_KEY, ignore_index=True), left_out


def _field_flags(flags):
    """One row a field: the flags that exclude it and those that are only noted, with their channels."""
    named = flags[flags["Flags"].notna()].copy()
    named["Flags"] = named["Metadata_Channel"] + " " + named["Flags"]
    columns = {}
    for column, rows in (("Excluding", named[named["Excluded"]]), ("Kept", named[~named["Excluded"]])):
        columns[column] = rows.groupby(FIELD_KEY, dropna=False)["Flags"].agg("; ".join)
    return pd.DataFrame(columns).astype("str").where(lambda t: t.notna()).reset_index()
