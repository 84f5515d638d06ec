"""The last stage: what was lost, and the report."""

from pathlib import Path

import pandas as pd

from profiling.progress import log
from profiling.report.failures import gather
from profiling.tables import read_table, write_table

CELL_COLUMNS = [
    "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z", "Embedded", "ExclusionReason",
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
