"""Profiles of wells, the mean of their cells, and of treatments, the mean of their wells."""

import numpy as np
import pandas as pd

from profiling.phenotypes.normalise import require_finite
from profiling.settings import TESTED

WELL = ["Metadata_Plate", "Metadata_Well"]
WITHIN_WELL = ["Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_CellID"]
COUNTS = ["Metadata_Fields", "Metadata_CellCount", "Metadata_ProfiledCells"]
OF_TREATMENT = ["Metadata_Compound", "Metadata_Concentration", "Metadata_Unit", "Metadata_Role"]


def profile_columns(frame):
    """Return the names of a frame's principal components, PC_0001…"""
    return [c for c in frame.columns if c.startswith("PC_")]


def share_columns(frame):
    """Return the names of a frame's cluster shares, ClusterShare_01…"""
    return [c for c in frame.columns if c.startswith("ClusterShare_")]


def metadata_columns(frame):
    """Return the names of a frame's Metadata_ columns."""
    return [c for c in frame.columns if c.startswith("Metadata_")]


def well_profiles(cells, wells=None, k=None, minimum_cells=10, statistic="mean"):
    """Summarise the cells of every well.

    Parameters
    ----------
    cells : DataFrame, one row a cell
        Metadata_Plate, Metadata_Well, components PC_…, optionally Cluster (1..k). One plate at a time
        keeps memory small; the results can be concatenated.
    wells : DataFrame, one row a well, optional
        All wells that must have a row, with or without cells, and what is known of them: plate map,
        Metadata_CellCount of segmented cells. Its columns go before those of `cells`.
    k : int, optional
        Clusters; adds ClusterShare_01… and needs the column Cluster.
    minimum_cells : int
        Wells with fewer profiled cells are flagged FewCells.
    statistic : {"mean", "median"}

    Returns
    -------
    DataFrame, one row a well, sorted by plate and well
        Metadata columns (those of `cells` that are constant within wells; never site, time, plane or
        cell), Metadata_CellCount (given, else counted), Metadata_ProfiledCells, FewCells, PC_… float32,
        ClusterShare_… float32 that sum to 1. Profile and shares are NaN where there are no cells.

    Raises
    ------
    ValueError
        If a component is not finite (columns named), a cluster is null or outside 1..k, a well stands
        twice in `wells`, cells lie in wells that are not in it, or a well has two treatments.
    """
    components = profile_columns(cells)
    require_finite(cells[components].to_numpy(), components)
    group = cells.groupby(WELL, dropna=False, observed=True, sort=False)
    code = group.ngroup().to_numpy()
    number = group.ngroups
    first = np.full(number, -1)
    first[code[::-1]] = np.arange(len(code))[::-1]

    summary = _constant_metadata(cells, code, first)
    summary["Metadata_ProfiledCells"] = np.bincount(code, minlength=number)
    profile = group[components].agg(statistic).astype(np.float32).reset_index(drop=True)
    parts = [summary, profile] if k is None else [summary, profile, _shares(cells, code, number, k)]
    summary = pd.concat(parts, axis=1)
    if wells is not None:
        summary = _join_wells(wells, summary)
    profiled = summary["Metadata_ProfiledCells"].fillna(0).astype(np.int32)
    summary["Metadata_ProfiledCells"] = profiled
    if "Metadata_CellCount" not in summary:
        summary["Metadata_CellCount"] = profiled
    summary["FewCells"] = profiled < minimum_cells
    return _ordered(summary, WELL)


def treatment_profiles(wells):
    """Average the wells of every treatment, those flagged FewCells left out.

    A well whose role is neither tested nor control ("empty", "failed") is no replicate of those that are.

    Parameters
    ----------
    wells : DataFrame
        As `well_profiles` returns it, with Metadata_Treatment.

    Returns
    -------
    DataFrame, one row a treatment, sorted
        Metadata_Treatment (null for wells without one), compound, dose, unit and role, further plate-map
        columns that are constant within treatments, Metadata_Replicates (wells averaged), and over these
        wells the summed Metadata_CellCount and Metadata_ProfiledCells and the means of PC_… and
        ClusterShare_…, NaN where no well is left.
    """
    key = "Metadata_Treatment"
    replicate = wells["Metadata_Role"].isin([*TESTED, "negative_control"])
    wells = wells[replicate | ~replicate.groupby(wells[key], dropna=False).transform("any")]
    code, treatments = pd.factorize(wells[key], use_na_sentinel=False)
    first = np.full(len(treatments), -1)
    first[code[::-1]] = np.arange(len(code))[::-1]
    kept = [c for c in metadata_columns(wells) if c not in [*WELL, "Metadata_Batch", *COUNTS]]
    further = [c for c in kept if c not in OF_TREATMENT and _is_constant(wells[c], code, first)]
    summary = wells[[c for c in kept if c in [key, *OF_TREATMENT] or c in further]].iloc[first]
    summary = summary.reset_index(drop=True)

    enough = ~wells["FewCells"].to_numpy(bool)
    averaged = wells[enough].groupby(code[enough], sort=True)
    summary["Metadata_Replicates"] = np.bincount(code[enough], minlength=len(treatments)).astype(np.int32)
    for count in [c for c in COUNTS[1:] if c in wells]:
        summary[count] = averaged[count].sum().reindex(summary.index, fill_value=0).astype(np.int32)
    values = profile_columns(wells) + share_columns(wells)
    means = averaged[values].mean().reindex(summary.index).astype(np.float32)
    return _ordered(pd.concat([summary, means], axis=1), [key])


def _constant_metadata(cells, code, first):
    """Take the metadata of wells from their first cells; refuse wells with two treatments."""
    kept = list(WELL)
    for column in metadata_columns(cells):
        if column in [*WELL, *WITHIN_WELL, *COUNTS]:
            continue
        if _is_constant(cells[column], code, first):
            kept.append(column)
        elif column in ["Metadata_Treatment", *OF_TREATMENT]:
            values = pd.factorize(cells[column], use_na_sentinel=False)[0]
            odd = cells.iloc[np.flatnonzero(values != values[first][code])[0]]
            raise ValueError(f"{column} differs within well {odd[WELL[1]]} of plate {odd[WELL[0]]}")
    return cells[kept].iloc[first].reset_index(drop=True)


def _is_constant(column, code, first):
    values = pd.factorize(column, use_na_sentinel=False)[0]
    return bool((values == values[first][code]).all())


def _shares(cells, code, number, k):
    cluster = cells["Cluster"].to_numpy(dtype=np.float64, na_value=np.nan)
    if not ((cluster >= 1) & (cluster <= k)).all():
        raise ValueError(f"every cell needs a Cluster from 1 to {k}")
    counts = np.bincount(code * k + cluster.astype(np.int64) - 1, minlength=number * k).reshape(number, k)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return pd.DataFrame(shares.astype(np.float32), columns=[f"ClusterShare_{c:02d}" for c in range(1, k + 1)])


def _join_wells(wells, summary):
    """Give every listed well a row; what the list says goes before what the cells say."""
    twice = wells.duplicated(WELL)
    if twice.any():
        raise ValueError(f"wells stand twice in the list: {_named(wells[twice])}")
    unlisted = summary[WELL].merge(wells[WELL], on=WELL, how="left", indicator=True)["_merge"] == "left_only"
    if unlisted.any():
        raise ValueError(f"cells lie in wells that are not listed: {_named(summary[unlisted.to_numpy()])}")
    new = [c for c in summary.columns if c not in wells or c in WELL]
    return wells.reset_index(drop=True).merge(summary[new], on=WELL, how="left")


def _named(wells, most=8):
    names = [f"{plate} {well}" for plate, well in wells[WELL].itertuples(index=False)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _ordered(summary, key):
    """Sort rows by key; key first, then the other metadata, then the rest."""
    metadata = [c for c in metadata_columns(summary) if c not in key]
    counts = [c for c in metadata if c in [*COUNTS, "Metadata_Replicates"]]
    rest = [c for c in summary.columns if not c.startswith("Metadata_") and c != "FewCells"]
    flag = ["FewCells"] if "FewCells" in summary else []
    columns = [*key, *[c for c in metadata if c not in counts], *counts, *flag, *rest]
    return summary[columns].sort_values(key, kind="stable", ignore_index=True)
