"""Units of a chunk in the place of its cells: what the workflow runs where nothing is segmented."""

from pathlib import Path

from profiling.cells.units import check_tile, list_units
from profiling.progress import log
from profiling.settings import pixels
from profiling.tables import read_table, write_table


def units(images, wells, unit, settings, out_cells, out_fields, out_labels):
    """Write the tables `segmented` and `fields` of a chunk, whose units are fields or tiles.

    Parameters
    ----------
    images : str or Path
        Image table of the plate.
    wells : list of str
        Wells of the chunk.
    unit : {"field", "tile"}
    settings : profiling.settings.Tiles
    out_cells, out_fields : str or Path
    out_labels : str or Path
        Folder of label images; it stays empty.

    Raises
    ------
    ProfilingError
        If no field of the plate holds a tile.
    """
    table = read_table(images, "images")
    tile = None
    if unit == "tile":
        tile = round(pixels(settings.size))
        check_tile(table, tile)
    found, fields = list_units(table[table["Metadata_Well"].isin(wells)], tile)
    Path(out_labels).mkdir(parents=True, exist_ok=True)
    write_table(out_cells, "segmented", found, unit=unit, settings=settings.changed())
    write_table(out_fields, "fields", fields, unit=unit, settings=settings.changed())
    for row in fields[~fields["Segmented"]].itertuples():
        log.warning("%s site %d: %s", row.Metadata_Well, row.Metadata_Site, row.Reason)
    log.info("%d units (%s) in %d fields", len(found), unit, fields["Segmented"].sum())
