"""Plates drawn as plates: a value a well, in rows and columns."""

import numpy as np
from matplotlib import rc_context
from matplotlib.patches import Rectangle

from profiling.plates.wells import LAYOUTS, parse_well, well_name
from profiling.report.drawing import STYLE, new_figure
from profiling.report.figures import plain

PANELS_A_ROW = 4
MOST_CLUSTERS = 6


def well_focus(quality, channel):
    """Median focus score over the fields of each well in one channel: Metadata_Plate, Metadata_Well, Focus."""
    of_channel = quality[quality["Metadata_Channel"].eq(channel)]
    focus = of_channel.groupby(["Metadata_Plate", "Metadata_Well"])["FocusScore"].median()
    return focus.rename("Focus").reset_index()


def varying_clusters(wells, most=MOST_CLUSTERS):
    """Share columns whose values vary most over the wells (standard deviation), in the order of the clusters."""
    shares = wells.loc[:, wells.columns.str.startswith("ClusterShare_")]
    return sorted(shares.std().fillna(0).sort_values(ascending=False, kind="stable").index[:most])


def grid(wells, column, layout):
    """Values of one plate's wells as an array (rows, columns), NaN where there is none."""
    values = np.full(LAYOUTS[layout], np.nan)
    for well, value in zip(wells["Metadata_Well"], wells[column].astype(float), strict=True):
        row, place = parse_well(well)
        values[row - 1, place - 1] = value
    return values


def draw_plate(axes, values, imaged, limits):
    """Draw a plate; wells without images are hatched, imaged wells without a value are grey.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    values : (rows, columns) float array
    imaged : (rows, columns) bool array
    limits : tuple of float
        Values of the palest and the darkest colour.

    Returns
    -------
    matplotlib.collections.QuadMesh
        For a colour bar.
    """
    rows, columns = values.shape
    line = 1.2 if columns <= 12 else 0.3
    axes.add_patch(Rectangle((0, 0), columns, rows, facecolor="#eceff2", edgecolor="none"))
    low, high = limits
    mesh = axes.pcolormesh(values, cmap="YlGnBu", vmin=low, vmax=high, edgecolors="white", linewidth=line)
    mesh.set_rasterized(rows * columns > 96)
    for row, column in np.argwhere(~imaged):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor="white", edgecolor="#9aa5b1", hatch="////", lw=0.3))
    step = 1 if columns <= 12 else 2 if columns <= 24 else 4
    axes.set_xticks(np.arange(0, columns, step) + 0.5, range(1, columns + 1, step))
    axes.set_yticks(np.arange(0, rows, step) + 0.5, [well_name(r + 1, 1)[:-2] for r in range(0, rows, step)])
    axes.tick_params(length=0, labelsize=7, pad=2, labeltop=True, labelbottom=False)
    axes.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal")
    axes.spines[:].set_visible(False)
    return mesh


@rc_context(STYLE)
def plate_figure(wells, quantities, layout):
    """Draw all quantities of one plate, each with its colour bar.

    Parameters
    ----------
    wells : pandas.DataFrame
        Imaged wells of the plate: Metadata_Well and a column a quantity.
    quantities : list of (column, title, (low, high))
        The limits are shared by all plates of the screen.
    layout : int
        Wells of the plate.

    Returns
    -------
    matplotlib.figure.Figure
    """
    number = -(-len(quantities) // PANELS_A_ROW)
    rows, columns = LAYOUTS[layout]
    figure = new_figure(11, number * (0.75 + 2.2 * rows / columns))
    panels = figure.subplots(number, PANELS_A_ROW, squeeze=False).ravel()
    imaged = np.isfinite(grid(wells.assign(Imaged=1.0), "Imaged", layout))
    for axes, (column, title, limits) in zip(panels, quantities, strict=False):
        mesh = draw_plate(axes, grid(wells, column, layout), imaged, limits)
        axes.set_title(plain(title), pad=4)
        bar = figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.55, aspect=22, pad=0.03)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=0)
        bar.ax.locator_params(nbins=4)
    for axes in panels[len(quantities) :]:
        axes.set_visible(False)
    return figure


def screen_quantities(wells, clusters):
    """What is drawn of every plate, with colour limits over the screen.

    Parameters
    ----------
    wells : pandas.DataFrame
        All wells: Metadata_CellCount, Focus and the share columns.
    clusters : list of str
        Share columns to draw.

    Returns
    -------
    list of (column, title, (low, high))
    """
    named = [("Metadata_CellCount", "cells"), ("Focus", "focus, median of fields")]
    named += [(column, f"share of cluster {int(column.rsplit('_', 1)[1])}") for column in clusters]
    return [(column, title, _limits(wells[column], zero=column != "Focus")) for column, title in named]


def _limits(values, zero):
    values = values.astype(float).dropna()
    if values.empty:
        return 0.0, 1.0
    low, high = 0.0 if zero else values.min(), values.max()
    return (low, high) if high > low else (low - 0.5, low + 0.5)
