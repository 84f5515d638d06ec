"""Flags of cells: what the workflow runs a plate."""

from profiling.cells.flags import flag_cells, measured_columns
from profiling.progress import log
from profiling.tables import CELL_KEY, read_table, write_table


def flag(cells, nuclei_channel, settings, out):
    """Write the cell_flags table of a plate from its cell table."""
    table = read_table(cells, "cells", [*CELL_KEY, *measured_columns(nuclei_channel)])
    flags = flag_cells(table, nuclei_channel, settings)
    write_table(out, "cell_flags", flags, settings=settings.changed())
    for names, count in flags["Flags"].value_counts().items():
        log.info("%d of %d cells: %s", count, len(table), names)
