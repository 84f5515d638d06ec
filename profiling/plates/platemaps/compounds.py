"""The table of compounds that a plate map refers to by name, as in JUMP and LINCS."""

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.platemaps.columns import ALIASES, key
from profiling.plates.platemaps.layouts import find_table
from profiling.plates.platemaps.sheets import read_sheets

_NO_COMPOUND = ("", "NA", "N/A", "nan")


def join_compounds(values, compound_columns, path, where):
    """Wells with what a table of compounds says of theirs.

    Parameters
    ----------
    values : pandas.DataFrame
        Wells of a plate map, every cell a string.
    compound_columns : list of str
        Its columns that may name the compound, the best first.
    path : str or Path
        Table of compounds, a row each; JUMP's describes wells without a compound (DMSO) in a row named ``NA``.
    where : str
        File and sheet of the plate map, for messages.

    Returns
    -------
    values : pandas.DataFrame
        Same rows, with the columns of the table that the plate map does not have.
    unknown : list of str
        Compounds of the map that are not in the table.

    Raises
    ------
    ProfilingError
        If the two share no compound column, or a compound of the map stands in the table twice with different
        values.
    """
    table = _read_compounds(path)
    known = {key(name): name for name in table.columns}
    shared = next(((name, known[key(name)]) for name in compound_columns if key(name) in known), None)
    if shared is None:
        others = [name for name in values.columns if key(name) in known]
        if len(others) != 1:
            raise ProfilingError(
                f"{path}: no column to join it to {where} by; give the compound's column one name in both (the map has "
                f"{', '.join(values.columns)}; the table has {', '.join(table.columns)})"
            )
        shared = others[0], known[key(others[0])]
    own, their = shared
    names = values[own].where(~values[own].isin(_NO_COMPOUND), "")
    keys = table[their].where(~table[their].isin(_NO_COMPOUND), "")
    table = table[keys.isin(set(names))].drop_duplicates()
    keys = keys[table.index]
    if len(twice := keys[keys.duplicated(keep=False)]):
        rows = ", ".join(str(row) for row in twice.index[twice.eq(twice.iloc[0])][:10])
        raise ProfilingError(
            f"{path}: compound {twice.iloc[0]!r} stands twice with different values (rows {rows}); keep one row of it"
        )
    new = [name for name in table.columns if name != their and name not in values.columns]
    further = table[new].set_axis(keys, axis=0).reindex(names).set_axis(values.index, axis=0).fillna("")
    unknown = sorted(set(names) - set(keys) - {""})
    return pd.concat([values, further], axis=1), unknown


def _read_compounds(path):
    """The first sheet's table below the first row that names a compound column; its index is the row in the file."""
    aliases = set(ALIASES["compound"])
    for sheet in read_sheets(path):
        table = find_table(path, sheet, lambda names: any(key(name) in aliases for name in names))
        if table is not None:
            return table.values.set_axis(table.rows.iloc[:, 0], axis=0)
    raise ProfilingError(f"{path}: no compound column such as compound or broad_sample; name one so")
