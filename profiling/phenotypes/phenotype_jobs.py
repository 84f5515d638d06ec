"""The phenotypes table: clusters and map coordinates of a plate's cells, from fitted models."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from profiling.phenotypes.assign import assign
from profiling.phenotypes.models import load_arrays
from profiling.sampling import stratified_sample
from profiling.schemas import CELL, PLATEMAP
from profiling.tables import CELL_KEY, read_wells, table_writer

SAME = 1e-3
"""Difference of a component, near unit variance, up to which a cell of the same key is the same cell."""


def phenotypes(features_path, clusters_model, map_model, settings, seed, out, frozen=False):
    """Write cluster and map coordinates of a plate's cells.

    With frozen models, whose map has not seen the plate, a sample of its cells is placed on the map, or all of them.
    """
    centres = load_arrays(clusters_model)["centres"]
    fitted = load_arrays(map_model)
    coordinates = pd.DataFrame({name: fitted[name] for name, _ in key_types()})
    coordinates[["Map_1", "Map_2"]] = fitted["coordinates"]
    if frozen:
        coordinates = _same_cells(features_path, coordinates, fitted["components"])
    if frozen or settings.place_all:
        most = None if settings.place_all else settings.placed_per_plate
        coordinates = pd.concat([coordinates, _placed(features_path, coordinates, fitted, settings, seed, most)])
    fixed = [column.name for column in (*CELL, *PLATEMAP)]

    def rows(table):
        frame = table.select(fixed).to_pandas()
        frame["Cluster"], frame["ClusterDistance"] = assign(component_matrix(table), centres)
        return frame.merge(coordinates, how="left", on=CELL_KEY, validate="one_to_one")

    empty = rows(pq.read_schema(features_path).empty_table())
    with table_writer(out, "phenotypes", empty, settings=settings.changed(), seed=seed) as append:
        for table in read_wells(features_path):
            append(rows(table))


def _same_cells(features_path, coordinates, components):
    """The cells of the map that this plate has: another screen's plate may have the same name, and other cells."""
    table = pq.read_table(features_path, partitioning=None)
    keys = table.select(CELL_KEY).to_pandas().assign(here=np.arange(table.num_rows))
    both = keys.merge(coordinates.assign(there=np.arange(len(coordinates))), on=CELL_KEY, validate="one_to_one")
    x, sample = component_matrix(table)[both["here"]], components[both["there"]]
    same = np.isclose(x, sample, rtol=SAME, atol=SAME).all(axis=1)
    return coordinates.iloc[both["there"][same]]


def _placed(features_path, known, fitted, settings, seed, most=None):
    """Map coordinates of the plate's cells that are not in the map's sample, or of a sample of `most` cells."""
    from profiling.phenotypes.map import place

    table = pq.read_table(features_path, partitioning=None)
    keys = table.select(CELL_KEY).to_pandas()
    new = keys.merge(known, how="left", on=CELL_KEY)["Map_1"].isna().to_numpy()
    if most is not None:
        new = new & np.isin(np.arange(len(keys)), stratified_sample(keys, most))
    x = component_matrix(table)[new]
    placed = place(x, fitted["components"], fitted["coordinates"], seed=seed, threads=settings.threads)
    return keys[new].assign(Map_1=placed[:, 0], Map_2=placed[:, 1])


def component_matrix(table):
    """Components of a features table as float32, shape (cells, components)."""
    names = [name for name in table.column_names if name.startswith("PC_")]
    if not table.num_rows:
        return np.zeros((0, len(names)), dtype=np.float32)
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)


def key_types():
    """Columns of the cell key with their types as arrays."""
    return [(name, "str" if name in ("Metadata_Plate", "Metadata_Well") else "int32") for name in CELL_KEY]
