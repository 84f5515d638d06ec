"""Figures of the report: each function draws one table on the axes given.

``python -m profiling.report.figures RESULTS OUT.png`` draws maps, cluster shares and typical cells.
"""

import io
import sys

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from profiling.report.drawing import (
    ACCENT,
    CONTROL,
    INK,
    MUTED,
    OTHER,
    QUIET,
    STYLE,
    cluster_colour,
    new_figure,
    plain,
)  # fmt: skip

MOST_ROWS = 40
"""Compounds in a figure; a screen may have thousands, its tables have all."""


def draw_cluster_map(axes, cells):
    """Draw the map coloured by cluster, each cluster's number at the median of its cells.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    cells : pandas.DataFrame
        Cluster, Map_1, Map_2.
    """
    _scatter(axes, cells, [cluster_colour(cluster) for cluster in cells["Cluster"]])
    for cluster, place in cells.groupby("Cluster")[["Map_1", "Map_2"]].median().iterrows():
        axes.text(
            *place, str(cluster), ha="center", va="center", fontsize=9, weight="bold", color=INK,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
        )  # fmt: skip


def draw_treatment_map(axes, cells, colours):
    """Draw the map coloured by compound, over negative controls and all others in grey.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    cells : pandas.DataFrame
        Metadata_Compound, Metadata_Role, Map_1, Map_2.
    colours : dict of str
        Compound → colour, as `compound_colours` gives it.
    """
    colour = np.array([colours.get(compound, OTHER) for compound in cells["Metadata_Compound"]], dtype=object)
    colour[cells["Metadata_Role"].eq("negative_control")] = CONTROL
    front = ~np.isin(colour, [CONTROL, OTHER])
    order = np.argsort(front, kind="stable")
    _scatter(axes, cells.iloc[order], colour[order].tolist())


def compound_colours(activity):
    """Colours of the compounds farthest from the controls, the others have none.

    Parameters
    ----------
    activity : pandas.DataFrame
        The activity table.

    Returns
    -------
    dict of str
        Compound → colour, by name.
    """
    farthest = activity.groupby("Metadata_Compound")["ControlDistance"].max().fillna(0).reset_index()
    ordered = farthest.sort_values(["ControlDistance", "Metadata_Compound"], ascending=[False, True])
    return dict(zip(sorted(ordered["Metadata_Compound"].head(len(MUTED))), MUTED, strict=False))


def _scatter(axes, cells, colours):
    size = float(np.clip(9_000 / max(len(cells), 1), 0.4, 6))
    axes.scatter(cells["Map_1"], cells["Map_2"], c=colours or None, s=size, linewidths=0, alpha=0.8, rasterized=True)
    axes.set(xticks=[], yticks=[], aspect="equal", xlabel="t-SNE 1", ylabel="t-SNE 2")


def draw_activity(axes, activity):
    """Draw the distance of every dose from the negative controls, a row a compound; filled where active.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    activity : pandas.DataFrame
        The activity table; the compounds farthest from the controls are drawn.
    """
    farthest = activity.groupby("Metadata_Compound")["ControlDistance"].max().sort_values(kind="stable")
    farthest = farthest.tail(MOST_ROWS)
    rows = {compound: row for row, compound in enumerate(farthest.index)}
    for compound, doses in activity[activity["Metadata_Compound"].isin(rows)].groupby("Metadata_Compound"):
        doses = doses.sort_values("Metadata_Concentration")
        row = [rows[compound]] * len(doses)
        sizes = np.linspace(22, 90, len(doses)) if len(doses) > 1 else [55]
        faces = [INK if active else "white" for active in doses["Active"]]
        axes.plot(doses["ControlDistance"], row, color=QUIET, linewidth=1, zorder=1)
        axes.scatter(doses["ControlDistance"], row, s=sizes, c=faces, edgecolors=INK, linewidths=0.9, zorder=2)
    axes.set_yticks(range(len(rows)), [plain(compound) for compound in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("distance from negative controls (standard deviations of control wells)")
    axes.grid(axis="x", color=QUIET, linewidth=0.5)
    axes.tick_params(axis="y", length=0)


def composition(wells, enrichment):
    """Mean share of every cluster in the wells of every compound, those with few cells left out.

    Parameters
    ----------
    wells, enrichment : pandas.DataFrame
        The tables of these names.

    Returns
    -------
    pandas.DataFrame, shape (compounds, clusters)
        Index: compound, negative controls first; columns: cluster. At most `MOST_ROWS` compounds, those with
        the smallest q-values.
    """
    shares = {int(column.rsplit("_", 1)[1]): column for column in wells if column.startswith("ClusterShare_")}
    used = wells[~wells["FewCells"].astype(bool)].assign(
        Control=wells["Metadata_Role"].eq("negative_control"),
        Compound=wells["Metadata_Compound"].fillna("not in the plate map"),
    )
    table = used.groupby(["Control", "Compound"])[list(shares.values())].mean()
    table.columns = list(shares)
    rank = enrichment.groupby("Metadata_Compound")["QValue"].min()
    order = table.index.to_frame(index=False)
    order["q"] = order["Compound"].map(rank).fillna(2)
    kept = order.sort_values(["Control", "q", "Compound"], ascending=[False, True, True]).head(MOST_ROWS)
    kept = kept.sort_values(["Control", "Compound"], ascending=[False, True])
    return table.loc[pd.MultiIndex.from_frame(kept[["Control", "Compound"]])].droplevel("Control")


def draw_composition(axes, shares, enrichment, alpha):
    """Draw cluster shares as a heat map in percent; boxed where they differ from the controls.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    shares : pandas.DataFrame
        From `composition`.
    enrichment : pandas.DataFrame
        The enrichment table.
    alpha : float
        q-values up to this are boxed: full line where the share is larger, dashed where it is smaller.
    """
    values = shares.to_numpy()
    top = max(np.nanmax(values, initial=0.0), 0.01)
    axes.pcolormesh(values, cmap="Blues", vmin=0, vmax=1.3 * top, edgecolors="white", linewidth=1.5)
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.005:
            colour = "white" if value > 0.75 * top else INK
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{100 * value:.0f}",
                ha="center",
                va="center",
                color=colour,
                fontsize=8,
            )
    places = {compound: row for row, compound in enumerate(shares.index)}
    found = enrichment[enrichment["QValue"].le(alpha) & enrichment["Metadata_Compound"].isin(places)]
    for test in found.itertuples():
        corner = list(shares.columns).index(test.Cluster) + 0.06, places[test.Metadata_Compound] + 0.08
        line = "-" if test.Log2Enrichment > 0 else (0, (2, 1.5))
        axes.add_patch(Rectangle(corner, 0.88, 0.84, fill=False, edgecolor=ACCENT, linewidth=1.4, linestyle=line))
    axes.set_xticks(np.arange(values.shape[1]) + 0.5, shares.columns)
    axes.set_yticks(np.arange(values.shape[0]) + 0.5, [plain(name) for name in shares.index])
    axes.set(xlabel="cluster")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_sweep(axes, clusters, k, column, label):
    """Draw a column of the clusters table over k: dots are seeds, the line their mean, dashed the k used."""
    axes.scatter(clusters["K"], clusters[column], s=10, color=CONTROL, zorder=2)
    mean = clusters.groupby("K")[column].mean()
    axes.plot(mean.index, mean, color=INK, linewidth=1.2, marker="o", markersize=3, zorder=3)
    axes.axvline(k, color=ACCENT, linewidth=1, linestyle="--", zorder=1)
    axes.set(xlabel="number of clusters k", title=label)
    axes.set_ylim(0, 1.02 if column != "Silhouette" else None)
    axes.grid(axis="y", color=QUIET, linewidth=0.5)


def draw_variance(axes, variance):
    """Draw Jackson's ratio (dot) over the central 95 % of its null (bar with the median)."""
    for row, test in enumerate(variance.itertuples()):
        axes.barh(row, test.NullHigh - test.NullLow, left=test.NullLow, height=0.34, color=QUIET)
        axes.plot([test.NullMedian] * 2, [row - 0.17, row + 0.17], color=OTHER, linewidth=1.2)
        axes.plot(test.Ratio, row, "o", color=ACCENT, markersize=7)
    axes.set_yticks(range(len(variance)), [plain(variant) for variant in variance["Variant"]])
    axes.set_ylim(len(variance) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("variance within replicates / variance between treatments")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=QUIET, linewidth=0.5)


def draw_cells(axes, gallery, count=3):
    """Draw the cells nearest to the centre of each cluster, a column a cluster.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    gallery : pandas.DataFrame
        Cluster, ClusterDistance, Thumbnail (WebP bytes), from :func:`profiling.report.screen.read_screen`.
    count : int
        Cells a cluster.
    """
    last = int(gallery["Cluster"].max()) if len(gallery) else 1
    for cluster, cells in gallery.groupby("Cluster"):
        for row, thumbnail in enumerate(cells.nsmallest(count, "ClusterDistance")["Thumbnail"]):
            picture = np.asarray(Image.open(io.BytesIO(thumbnail), formats=("WEBP",)))
            axes.imshow(picture, extent=(cluster - 0.98, cluster - 0.02, row + 0.98, row + 0.02))
    axes.set_xticks(np.arange(last) + 0.5, range(1, last + 1))
    axes.set(xlim=(0, last), ylim=(count, 0), yticks=[], xlabel="cluster", anchor="N")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@rc_context(STYLE)
def overview(screen, alpha=0.05):
    """One picture of a screen: maps by cluster and by treatment, cluster shares, typical cells.

    Parameters
    ----------
    screen : dict of pandas.DataFrame
        From :func:`profiling.report.screen.read_screen`.
    alpha : float
        q-values up to this are boxed.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(13, 8)
    panels = figure.subplot_mosaic(
        [["clusters", "shares"], ["clusters", "shares"], ["treatments", "shares"], ["treatments", "cells"]],
        width_ratios=[1, 2],
        height_ratios=[1, 1, 0.6, 1.4],
    )
    colours = compound_colours(screen["activity"])
    draw_cluster_map(panels["clusters"], screen["map"])
    draw_treatment_map(panels["treatments"], screen["map"], colours)
    colours = {plain(name): colour for name, colour in colours.items()} | {"negative controls": CONTROL}
    handles = [Line2D([], [], marker="o", linestyle="", color=c, label=name) for name, c in colours.items()]
    panels["treatments"].legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3, handletextpad=0.1
    )
    draw_composition(panels["shares"], composition(screen["wells"], screen["enrichment"]), screen["enrichment"], alpha)
    draw_cells(panels["cells"], screen["gallery"])
    titles = {"clusters": "cells by cluster", "treatments": "cells by treatment"}
    titles |= {"shares": "cluster shares of compounds, %", "cells": "typical cells of each cluster"}
    for name, title in titles.items():
        panels[name].set_title(title, weight="bold")
    return figure


def main(results, out):
    """Write the overview of a screen to an image file."""
    from profiling.report.screen import read_screen
    from profiling.report.summary import screen_plates

    overview(read_screen(results, screen_plates(results), 3)).savefig(out, dpi=110, facecolor="white")


if __name__ == "__main__":
    main(*sys.argv[1:])
