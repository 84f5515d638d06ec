"""The tables of a screen as the report needs them; memory does not grow with the number of cells."""

from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.sampling import stratified_sample
from profiling.schemas import TABLES
from profiling.tables import CELL_KEY, TableError, read_table

MAP_CELLS = 50_000
"""Points drawn on the map; more would only overprint."""

SCREEN_TABLES = ("wells", "enrichment", "activity", "variance", "clusters", "failures")
PLATE_TABLES = ("quality", "flags", "limits", "fields")


def read_screen(results, plates, cells_per_cluster):
    """Read everything the report shows, from the tables of the results.

    Parameters
    ----------
    results : str or Path
        The results folder.
    plates : list of str
    cells_per_cluster : int
        Thumbnails a cluster.

    Returns
    -------
    dict of pandas.DataFrame
        The tables `wells` (without components), `enrichment`, `activity`, `variance`, `clusters`,
        `failures`, `quality`, `flags`, `limits` and `fields`, each without rows where its files are absent; `map`
        (cells with coordinates: CELL_KEY, Metadata_Compound, Metadata_Role, Cluster, Map_1, Map_2); `sizes`
        (Metadata_Plate, Cluster, Cells); `gallery` (CELL_KEY, Metadata_Compound, Cluster, ClusterDistance,
        Thumbnail), ordered by cluster and distance.
    """
    screen = {name: read_or_empty(results, name) for name in SCREEN_TABLES}
    screen["wells"] = screen["wells"].loc[:, lambda table: ~table.columns.str.startswith("PC_")]
    screen |= {name: read_or_empty(results, name, plates) for name in PLATE_TABLES}
    parts = [_read_plate(results, plate, cells_per_cluster, max(1, MAP_CELLS // len(plates))) for plate in plates]
    mapped, sizes, gallery = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    gallery = _nearest(gallery, cells_per_cluster)
    return screen | {"map": mapped, "sizes": sizes, "gallery": _with_thumbnails(results, gallery)}


def read_or_empty(results, name, plates=(), columns=None):
    """A table of the screen, or of the plates named; no rows where its files are absent.

    Parameters
    ----------
    results : str or Path
    name : str
        A key of :data:`profiling.schemas.TABLES`.
    plates : sequence of str
        For tables with a file a plate.
    columns : list of str, optional
        Only these.

    Returns
    -------
    pandas.DataFrame
    """
    paths = table_files(results, name, plates)
    while paths := [path for path in paths if path.exists()]:
        try:
            return read_table(paths, name, columns)
        except TableError:
            # A job that runs again has removed its output in between.
            if all(path.exists() for path in paths):
                raise
    fixed = [(column.name, column.type) for column in TABLES[name].columns if not column.pattern]
    empty = pa.schema([field for field in fixed if columns is None or field[0] in columns])
    return empty.empty_table().to_pandas()


def table_files(results, name, plates=()):
    """Paths of a table's files, whether they exist or not."""
    pattern = TABLES[name].path
    names = [pattern.format(plate=plate) for plate in plates] if "{plate}" in pattern else [pattern]
    return [Path(results) / name for name in names]


def count_rows(results, name, plates):
    """Rows of a table over the plates, from the file metadata alone."""
    rows = 0
    for path in table_files(results, name, plates):
        with suppress(FileNotFoundError):
            rows += pq.read_metadata(path).num_rows
    return rows


def _read_plate(results, plate, cells_per_cluster, map_cells):
    columns = [
        *CELL_KEY,
        "Metadata_Compound",
        "Metadata_Role",
        "Cluster",
        "ClusterDistance",
        "Map_1",
        "Map_2",
    ]
    cells = read_or_empty(results, "phenotypes", [plate], columns)
    mapped = cells[cells["Map_1"].notna()]
    mapped = mapped.iloc[stratified_sample(mapped, map_cells)]
    sizes = cells.groupby(["Metadata_Plate", "Cluster"]).size().rename("Cells").reset_index()
    sampled = read_or_empty(results, "thumbnails", [plate], CELL_KEY)
    gallery = sampled.merge(cells.drop(columns=["Map_1", "Map_2"]), on=CELL_KEY, validate="one_to_one")
    return mapped.drop(columns="ClusterDistance"), sizes, _nearest(gallery, cells_per_cluster)


def _nearest(cells, count):
    """The cells nearest to the centre of each cluster."""
    ordered = cells.sort_values(["Cluster", "ClusterDistance", *CELL_KEY], ignore_index=True)
    return ordered.groupby("Cluster").head(count)


def _with_thumbnails(results, cells):
    parts = [cells.head(0).assign(Thumbnail=None)]
    for plate, rows in cells.groupby("Metadata_Plate"):
        pictures = read_or_empty(results, "thumbnails", [plate], [*CELL_KEY, "Thumbnail"])
        parts.append(rows.merge(pictures, how="left", on=CELL_KEY, validate="one_to_one"))
    return pd.concat(parts).sort_values(["Cluster", "ClusterDistance", *CELL_KEY], ignore_index=True)
