"""The tables of the report, from numbers to what stands on the page."""

import pandas as pd

from profiling.report.drawing import cluster_colour, data_uri
from profiling.report.summary import LOSING_STAGES, in_order

MOST_ROWS = 200
"""Rows of a table on the page; the Parquet tables have all."""

QUALITY_FLAGS = ("blank", "out of focus", "saturated", "duplicate")


def text(value):
    """A value as text, a dash where it is null."""
    return "–" if pd.isna(value) else str(value)


def count(value):
    """A whole number with thousands separated, a dash where it is null."""
    return "–" if pd.isna(value) else f"{int(value):,}"


def number(value):
    """A number to three significant digits, a dash where it is null."""
    if pd.isna(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def decimals(value):
    """A number to two decimals, so that a column can be compared by eye."""
    return "–" if pd.isna(value) else f"{value:,.2f}"


def percent(value):
    """A share in percent, a dash where it is null."""
    return "–" if pd.isna(value) else f"{100 * value:.0f} %"


def p_value(value):
    """A p-value: four decimals, or two significant digits where it is smaller than 0.0001."""
    if pd.isna(value):
        return "–"
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"


def yes(value):
    """`yes` or nothing."""
    return "yes" if pd.notna(value) and value else ""


NUMERIC = (count, number, decimals, percent, p_value)


def grid(frame, columns, most=MOST_ROWS):
    """A table for the page.

    Parameters
    ----------
    frame : pandas.DataFrame
    columns : dict of str to (str, callable)
        Column → heading and how a value is written.
    most : int
        Rows shown.

    Returns
    -------
    dict
        head (list of (heading, is a number)), rows (lists of (text, is a number)), more (rows left out).
    """
    shown = frame.head(most)
    written = [[(write(value), write in NUMERIC) for value in shown[name]] for name, (_, write) in columns.items()]
    return {
        "head": [(heading, write in NUMERIC) for heading, write in columns.values()],
        "rows": [list(row) for row in zip(*written, strict=True)],
        "more": max(0, len(frame) - most),
    }


def activity_grid(activity):
    """Treatments, those farthest from the negative controls first."""
    ordered = activity.sort_values(
        ["ControlDistance", "Metadata_Treatment"], ascending=[False, True], na_position="last"
    )
    columns = {
        "Metadata_Compound": ("Compound", text),
        "Metadata_Concentration": ("Dose", number),
        "Metadata_Unit": ("Unit", text),
        "Replicates": ("Wells", count),
        "ControlWells": ("Control wells", count),
        "ControlDistance": ("Distance", decimals),
        "ReplicateVariance": ("Replicate variance", decimals),
        "PValue": ("p", p_value),
        "QValue": ("q", p_value),
        "AttainablePValue": ("Smallest attainable p", p_value),
        "Active": ("Active", yes),
    }
    return grid(ordered, columns)


def quality_grid(quality, flags):
    """What became of the images, a row a plate and channel."""
    key = ["Metadata_Plate", "Metadata_Channel"]
    images = quality.assign(**{name: quality["Status"].eq(name) for name in ("ok", "missing", "unreadable")})
    summed = images.groupby(key).agg(
        Images=("Status", "size"),
        Ok=("ok", "sum"),
        Missing=("missing", "sum"),
        Unreadable=("unreadable", "sum"),
        Focus=("FocusScore", "median"),
        Background=("Background", "median"),
        Noise=("Noise", "median"),
    )
    names = flags["Flags"].astype("object").fillna("").astype("str")
    flagged = flags[key].assign(**{name: names.str.split("; ").map(lambda x, n=name: n in x) for name in QUALITY_FLAGS})
    flagged["Excluded"] = flags["Excluded"].astype(bool)
    counted = flagged.groupby(key).sum()
    columns = {
        "Metadata_Plate": ("Plate", text),
        "Metadata_Channel": ("Channel", text),
        "Images": ("Images", count),
        "Ok": ("Read", count),
        "Missing": ("Missing", count),
        "Unreadable": ("Unreadable", count),
        **{name: (name.capitalize(), count) for name in QUALITY_FLAGS},
        "Excluded": ("Left out", count),
        "Focus": ("Focus", number),
        "Background": ("Background", number),
        "Noise": ("Noise", number),
    }
    return grid(summed.join(counted, how="left").reset_index(), columns)


def illumination_grid(limits):
    """Flat field and intensity limits, a row a plate and channel."""
    columns = {
        "Metadata_Plate": ("Plate", text),
        "Metadata_Channel": ("Channel", text),
        "DarkOffset": ("Dark offset", number),
        "FlatFieldFields": ("Fields in the flat field", count),
        "Low": ("Becomes 0", number),
        "High": ("Becomes 1", number),
        "Reason": ("Note", text),
    }
    return grid(limits, columns)


def sweep_grid(clusters):
    """Means over the seeds, a row a number of clusters."""
    means = clusters.groupby("K")[["Silhouette", "Stability", "Inertia", "PlateAssociation"]].mean().reset_index()
    columns = {
        "K": ("k", count),
        "Silhouette": ("Silhouette", decimals),
        "Stability": ("Stability", decimals),
        "PlateAssociation": ("Association with plates", decimals),
        "Inertia": ("Mean squared distance", number),
    }
    return grid(means, columns)


def variance_grid(variance):
    """Jackson's check, a row a variant."""
    interval = [f"{number(low)} to {number(high)}" for low, high in variance[["NullLow", "NullHigh"]].to_numpy()]
    columns = {
        "Variant": ("Replicates compared", text),
        "Ratio": ("Ratio", number),
        "NullMedian": ("Null, median", number),
        "Null": ("Null, 95 %", text),
        "PValue": ("p", p_value),
        "AttainablePValue": ("Smallest attainable p", p_value),
        "Treatments": ("Treatments", count),
        "Wells": ("Wells", count),
        "Permutations": ("Permutations", count),
    }
    return grid(variance.assign(Null=interval), columns)


def failures_grid(failures, unit="cell"):
    """Everything that was lost, in the order of the workflow."""
    columns = {
        "Stage": ("Stage", text),
        "Metadata_Plate": ("Plate", text),
        "Metadata_Well": ("Well", text),
        "Metadata_Site": ("Site", count),
        "Metadata_Channel": ("Channel", text),
        "Cells": (f"{unit.capitalize()}s", count),
        "Reason": ("Reason", text),
        "Remedy": ("Remedy", text),
    }
    return grid(in_order(failures, LOSING_STAGES), columns)


def cluster_cards(sizes, gallery, enrichment, alpha, unit="cell", most_compounds=3):
    """Size, enriched compounds and typical cells of every cluster.

    Parameters
    ----------
    sizes, gallery, enrichment : pandas.DataFrame
        As :func:`profiling.report.screen.read_screen` gives them.
    alpha : float
        Compounds with a q-value up to this are named.
    unit : {"cell", "field", "tile"}
    most_compounds : int

    Returns
    -------
    list of dict
        number, colour, cells, share (percent), compounds (name, share, control, q), nearest (the
        smallest q of a positive enrichment), pictures (uri, title).
    """
    cells = sizes.groupby("Cluster")["Cells"].sum()
    cards = []
    for cluster, size in cells.items():
        found = enrichment[enrichment["Cluster"].eq(cluster) & enrichment["Log2Enrichment"].gt(0)]
        found = found.sort_values(["QValue", "Log2Enrichment", "Metadata_Compound"], ascending=[True, False, True])
        named = found[found["QValue"].le(alpha)].head(most_compounds)
        compounds = [
            {
                "name": row.Metadata_Compound,
                "share": f"{100 * row.Share:.0f}",
                "control": f"{100 * row.ControlShare:.0f}",
                "q": p_value(row.QValue),
            }
            for row in named.itertuples()
        ]
        pictures = [
            {"uri": data_uri(row.Thumbnail, "image/webp"), "title": _title(row, unit)}
            for row in gallery[gallery["Cluster"].eq(cluster)].itertuples()
        ]
        card = {"number": int(cluster), "colour": cluster_colour(cluster), "cells": count(size)}
        card |= {"share": f"{100 * size / cells.sum():.1f}", "compounds": compounds, "pictures": pictures}
        cards.append(card | {"nearest": p_value(found["QValue"].min())})
    return cards


def _title(cell, unit):
    place = f"{cell.Metadata_Plate} {cell.Metadata_Well}, site {cell.Metadata_Site}"
    if unit != "field":  # a site is a field
        place += f", {unit} {cell.Metadata_CellID}"
    return f"{text(cell.Metadata_Compound)} · {place} · {cell.ClusterDistance:.1f} from the centre"
