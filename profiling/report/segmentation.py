"""The segmentation of the plates as the report shows it: statistics, cells flagged by name, overlays."""

from matplotlib.colors import to_hex

from profiling.cells.overlays import OUTLINE_COLOURS, WORST
from profiling.report.drawing import data_uri
from profiling.report.screen import read_or_empty, table_files
from profiling.report.sections import count, decimals, grid, number, percent, text
from profiling.schemas import TABLES
from profiling.tables import FIELD_KEY

OUTLINES = {name: to_hex([value / 255 for value in rgb]) for name, rgb in OUTLINE_COLOURS.items()}
"""Colours of the outlines, as the page writes them."""

MOST_BYTES = 15_000_000
"""Bytes of overlays in the report; a page grows by a third more."""

MOST_LOST = 8
"""Fields without a picture that are listed a plate; the table of losses has all."""

FLAGGED = {c.name: c.name.removeprefix("Flagged") for c in TABLES["wells"].columns if c.name.startswith("Flagged")}


def segmentation_grid(fields, flags):
    """Statistics of the masks, a row a plate."""
    segmented = fields["Segmented"].astype(bool)
    summed = fields.assign(Ok=segmented, Counted=fields["CellCount"].where(segmented)).groupby("Metadata_Plate").agg(
        Fields=("Segmented", "size"),
        Segmented=("Ok", "sum"),
        CellCount=("CellCount", "sum"),
        Typical=("Counted", "median"),
        NucleusAreaMedian=("NucleusAreaMedian", "median"),
        NucleusCoverage=("NucleusCoverage", "median"),
        BorderShare=("BorderShare", "median"),
        Mean=("SegmentationScore", "mean"),
        Lowest=("SegmentationScore", "min"),
    )  # fmt: skip
    columns = {
        "Metadata_Plate": ("Plate", text),
        "Fields": ("Fields", count),
        "Segmented": ("Segmented", count),
        "CellCount": ("Cells", count),
        "Typical": ("Cells a field", number),
        "NucleusAreaMedian": ("Nucleus area, px²", number),
        "NucleusCoverage": ("Covered by nuclei", percent),
        "BorderShare": ("Nuclei at the border", percent),
        "Mean": ("Mean score", decimals),
        "Lowest": ("Lowest score", decimals),
        "Flagged": ("Fields flagged", count),
    }
    flagged = flagged_fields(flags).groupby("Metadata_Plate").size().rename("Flagged")
    return grid(summed.join(flagged).fillna({"Flagged": 0}).reset_index(), columns)


def flagged_fields(flags):
    """Rows of the flags table whose flags include `segmentation`."""
    names = flags["Flags"].astype("object").fillna("").astype("str").str.split("; ")
    return flags[names.map(lambda found: "segmentation" in found).astype(bool)]


def flagged_grid(wells):
    """Cells flagged by name, a row a plate."""
    counted = wells.groupby("Metadata_Plate")[["Metadata_CellCount", *FLAGGED]].sum().reset_index()
    columns = {"Metadata_Plate": ("Plate", text), "Metadata_CellCount": ("Cells", count)}
    return grid(counted, columns | {name: (heading, count) for name, heading in FLAGGED.items()})


def read_overlays(results, fields):
    """Overlays of the plates with the lowest mean scores, as many plates as `MOST_BYTES` hold and one at least.

    Parameters
    ----------
    results : str or Path
    fields : pandas.DataFrame
        The `fields` tables of all plates.

    Returns
    -------
    pandas.DataFrame
        The `overlays` table of these plates, in the order of the plates' names.
    """
    order = fields.groupby("Metadata_Plate")["SegmentationScore"].mean().sort_values(kind="stable").index
    shown, left = [], MOST_BYTES
    for plate in order:
        [path] = table_files(results, "overlays", [plate])
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if shown and size > left:
            break
        shown.append(plate)
        left -= size
    return read_or_empty(results, "overlays", sorted(shown))


def channels_drawn(config):
    """Channels in the overlays: that of the nuclei, and that of the cell bodies where there is one."""
    settings = config["segmentation"]
    return [name for name in (settings["nuclei_channel"] or config["channels"][0], settings["cells_channel"]) if name]


def overlay_plates(overlays, flags):
    """Pictures of each plate, the lowest scores first, and what there is no picture of.

    Parameters
    ----------
    overlays : pandas.DataFrame
        From `read_overlays`.
    flags : pandas.DataFrame
        The `flags` tables of all plates.

    Returns
    -------
    list of dict
        plate, pictures (uri, place, facts), lost (place, reason) and more (fields without a picture that are not
        listed).
    """
    flagged = flagged_fields(flags)[FIELD_KEY].drop_duplicates().assign(Flagged=True)
    overlays = overlays.merge(flagged, how="left", on=FIELD_KEY)
    plates = []
    for plate, rows in overlays.groupby("Metadata_Plate"):
        worst = rows["Chosen"].str.split("; ").map(lambda chosen: WORST in chosen).astype(bool)
        rows = rows.assign(Rank=rows["SegmentationScore"].where(worst)).sort_values("Rank", kind="stable")
        drawn = rows["Picture"].notna()
        lost = [{"place": _place(row), "reason": text(row.Reason)} for row in rows[~drawn].itertuples()]
        pictures = [
            {"uri": data_uri(row.Picture, "image/png"), "place": _place(row), "facts": _facts(row)}
            for row in rows[drawn].itertuples()
        ]
        more = max(0, len(lost) - MOST_LOST)
        plates.append({"plate": plate, "pictures": pictures, "lost": lost[:MOST_LOST], "more": more})
    return plates


def _place(field):
    later = [f"{name} {value}" for name, value in (("time", field.Metadata_Time), ("plane", field.Metadata_Z)) if value]
    return ", ".join([f"{field.Metadata_Well} site {field.Metadata_Site}", *later])


def _facts(field):
    cells = f"{field.CellCount:,} cell{'' if field.CellCount == 1 else 's'}"
    facts = [cells, f"score {decimals(field.SegmentationScore)}", field.Chosen.replace("; ", ", ")]
    return " · ".join(facts + (["flagged"] if field.Flagged is True else []))
