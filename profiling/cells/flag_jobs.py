"""Flags of cells: what the workflow runs a plate."""

import pyarrow.parquet as pq

from profiling.cells.flags import flag_cells, measured_columns
from profiling.progress import log
from profiling.tables import CELL_KEY, read_table, write_table


def flag(cells, nuclei_channel, settings, out):
    """Write the cell_flags table of a plate from its cell table; fields and tiles, not measured, have no flags."""
    measured = measured_columns(nuclei_channel)
    table = read_table(cells, "cells", CELL_KEY)
    if set(measured) <= set(pq.read_schema(cells).names):
        flags = flag_cells(read_table(cells, "cells", [*CELL_KEY, *measured]), nuclei_channel, settings)
    else:
        flags = table.head(0).assign(Flags="", ExcludedBy="")
    write_table(out, "cell_flags", flags, settings=settings.changed())
    for names, count in flags["Flags"].value_counts().items():
        log.info("%d of %d cells: %s", count, len(table), names)
