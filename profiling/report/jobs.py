"""The last stage: what was lost, and the report."""

import json
from pathlib import Path

import pandas as pd

from profiling.files import whole_file
from profiling.progress import log
from profiling.report.failures import gather
from profiling.tables import read_table, write_table

CELL_COLUMNS = [
    "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z",
    "Embedded", "ExclusionReason",
]  # fmt: skip


def failures(results, plates, out):
    """Write the failures table of a screen."""
    parts = []
    for plate in plates:
        tables = {
            name: read_table(Path(results) / name / f"{plate}.parquet", name, CELL_COLUMNS if name == "cells" else None)
            for name in ("images", "quality", "fields", "cells", "platemaps")
        }
        parts.append(gather(**tables))
        for piece in ("unplaced", "left_out"):
            parts.append(read_table(Path(results) / "chunks" / plate / f"{piece}.parquet", "failures").astype("object"))
    table = pd.concat(parts, ignore_index=True).convert_dtypes()
    write_table(out, "failures", table)
    log.info("%d losses: %s", len(table), table["Stage"].value_counts().to_dict())


def report(results, plates, config, logs, settings, out):
    """Write the HTML report, one file that opens without a network.

    Parameters
    ----------
    results : str or Path
        The results folder; what is absent there is absent from the report.
    plates : list of str
    config : str or Path
        The configuration as JSON, defaults included.
    logs : str or Path
        Folder of logs and benchmarks.
    settings : profiling.settings.Report
    out : str or Path
        The HTML file.
    """
    from profiling.report.page import render
    from profiling.report.screen import read_screen

    screen = read_screen(results, plates, settings.cells_per_cluster)
    text = render(screen, results, plates, json.loads(Path(config).read_text()), logs, settings)
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    log.info("report: %.1f MB", len(text.encode()) / 1e6)
