"""Plates drawn as plates: a square a well, coloured by a value; the template draws what is described here."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from profiling.plates.wells import LAYOUTS, infer_layout, parse_well, plate_wells, well_name
from profiling.report.summary import SEGMENTED

MOST_CLUSTERS = 5
MOST_PLATES, MOST_WELLS = 24, 5_000
COLOURS = [to_hex(colour) for colour in colormaps["YlGnBu"](np.linspace(0.08, 1, 64))]


def draw_plates(wells, quality, fields, failures, config, plates):
    """Describe cell count, focus, segmentation score and cluster shares of every plate.

    Parameters
    ----------
    wells, quality, fields, failures : pandas.DataFrame
        The tables of these names.
    config : dict
        The configuration, defaults included.
    plates : list of str

    Returns
    -------
    list of dict
        plate and panels (see `panel`), in the order of the plates. Where there are more than `MOST_PLATES`,
        or more wells than `MOST_WELLS`, the plates with the most losses.
    """
    channel = config["segmentation"]["nuclei_channel"] or config["channels"][0]
    focus = well_focus(quality, channel)
    wells = wells.merge(focus, how="left", on=["Metadata_Plate", "Metadata_Well"])
    wells = wells.merge(well_scores(fields), how="left", on=["Metadata_Plate", "Metadata_Well"])
    scales = [("Metadata_CellCount", SEGMENTED[config["unit"]], 0.0), ("Focus", f"focus of {channel}", None)]
    scales += [(name, f"share of cluster {int(name.rsplit('_', 1)[1])}", 0.0) for name in varying_clusters(wells)]
    scales = [(column, title, limits(wells[column], low)) for column, title, low in scales]
    if config["unit"] == "cell":  # fields and tiles have no masks to score
        # A score means the same on every screen, so that its colours do too.
        scales.insert(2, ("Score", "segmentation score", (0.0, 1.0)))
    layouts = {row["plate"]: row["layout"] for row in config["plates"]}
    by_plate = dict(tuple(wells.groupby("Metadata_Plate")))
    losses = failures["Metadata_Plate"].value_counts()
    left, chosen = MOST_WELLS, {}
    for plate in sorted(by_plate, key=lambda plate: -losses.get(plate, 0))[:MOST_PLATES]:
        layout = layouts.get(plate) or infer_layout(by_plate[plate]["Metadata_Well"])
        if layout <= left or not chosen:
            chosen[plate] = layout
            left -= layout
    return [
        {
            "plate": plate,
            "panels": [panel(by_plate[plate], column, title, limit, chosen[plate]) for column, title, limit in scales],
        }
        for plate in plates
        if plate in chosen
    ]


def well_focus(quality, channel):
    """Median focus over the fields of each well in one channel: Metadata_Plate, Metadata_Well, Focus."""
    of_channel = quality[quality["Metadata_Channel"].eq(channel)]
    focus = of_channel.groupby(["Metadata_Plate", "Metadata_Well"])["FocusScore"].median()
    return focus.rename("Focus").reset_index()


def well_scores(fields):
    """Mean segmentation score over the fields of each well: Metadata_Plate, Metadata_Well, Score."""
    return fields.groupby(["Metadata_Plate", "Metadata_Well"])["SegmentationScore"].mean().rename("Score").reset_index()


def varying_clusters(wells, most=MOST_CLUSTERS):
    """Share columns that vary most over the wells (standard deviation), in the order of the clusters."""
    shares = wells.loc[:, wells.columns.str.startswith("ClusterShare_")]
    return sorted(shares.std().fillna(0).sort_values(ascending=False, kind="stable").index[:most])


def limits(values, low=None):
    """Values of the palest and the darkest colour: the extremes, or from `low` on."""
    values = values.astype(float).dropna()
    if values.empty:
        return 0.0, 1.0
    low, high = values.min() if low is None else low, values.max()
    return (low, high) if high > low else (low, low + 1.0)


def panel(wells, column, title, limit, layout):
    """Describe one plate and one quantity.

    Parameters
    ----------
    wells : pandas.DataFrame
        Imaged wells of the plate: Metadata_Well, Metadata_Treatment and the column.
    column, title : str
    limit : tuple of float
        From `limits`, the same for all plates.
    layout : int
        Wells of the plate.

    Returns
    -------
    dict
        title, low and high (texts), size (columns, rows), text (its height in wells), rows and columns (names
        at the margins, with their places) and wells (x, y, colour or None where the well has no images, text
        to show on pointing).
    """
    low, high = limit
    known = dict(zip(wells["Metadata_Well"], zip(wells[column], wells["Metadata_Treatment"]), strict=True))
    squares = []
    for name in plate_wells(layout):
        row, place = parse_well(name)
        if name not in known:
            squares.append((place - 1, row - 1, None, f"{name}: no images"))
            continue
        value, treatment = known[name]
        shade = 0 if pd.isna(value) else round((value - low) / (high - low) * (len(COLOURS) - 1))
        colour = "#eceff2" if pd.isna(value) else COLOURS[min(max(shade, 0), len(COLOURS) - 1)]
        written = "no value" if pd.isna(value) else f"{value:.4g}"
        told = name if pd.isna(treatment) else f"{name} {treatment}"
        squares.append((place - 1, row - 1, colour, f"{told}: {written}"))
    rows, columns = LAYOUTS[layout]
    step = 1 if columns <= 12 else 2 if columns <= 24 else 4
    return {
        "title": title,
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
        "size": (columns, rows),
        "text": 0.055 * columns,
        "rows": [(row, well_name(row + 1, 1)[:-2]) for row in range(0, rows, step)],
        "columns": [(column, column + 1) for column in range(0, columns, step)],
        "wells": squares,
    }


def gradient():
    """Colours of the scale from pale to dark, for a colour bar."""
    return ", ".join(COLOURS[::9])
