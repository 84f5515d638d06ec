"""Clusters, map and the phenotypes table: what the workflow runs a plate and a screen."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.phenotypes.clusters import assign, fit_clusters, sweep_clusters
from profiling.phenotypes.map import fit_map, place
from profiling.phenotypes.models import load_arrays, save_arrays
from profiling.progress import log, track
from profiling.sampling import stratified_sample
from profiling.schemas import CELL, PLATEMAP
from profiling.tables import CELL_KEY, read_wells, table_writer, write_table

SWEEP_CELLS = 10_000
"""Cells of the sweep over k: its silhouettes and Rand indices change little beyond."""


def clusters(features_paths, settings, seed, out_model, out_table):
    """Fit k-means on a sample of all plates; report silhouette and stability across k."""
    keys, x = sample_features(features_paths, settings.sample)
    if len(x) < settings.k:
        raise ProfilingError(f"{len(x)} cells cannot form {settings.k} clusters; lower clusters.k")
    save_arrays(out_model, centres=fit_clusters(x, settings.k, seed, settings.n_init))
    ks = sorted({k for k in [*settings.sweep, settings.k] if k < len(x)})
    seeds = range(seed, seed + settings.sweep_seeds)
    part = stratified_sample(keys, SWEEP_CELLS)
    controls = keys["Metadata_Role"].eq("negative_control").to_numpy()
    table = sweep_clusters(
        x[part], keys["Metadata_Plate"].to_numpy()[part], ks, seeds, settings.n_init, controls=controls[part]
    )
    write_table(out_table, "clusters", table, settings=settings.changed(), seed=seed)
    log.info("%d clusters on %d cells", settings.k, len(x))


def map_cells(features_paths, settings, seed, out):
    """Fit the t-SNE map on a sample of all plates; keys, components and coordinates go to one .npz."""
    keys, x = sample_features(features_paths, settings.sample)
    coordinates = fit_map(x, settings.perplexity, seed, settings.threads, settings.iterations)
    keys = {name: keys[name].to_numpy(dtype="U" if dtype == "str" else "i4") for name, dtype in _key_types()}
    save_arrays(out, components=x, coordinates=coordinates, **keys)
    log.info("%d cells on the map", len(x))


def phenotypes(features_path, clusters_model, map_model, settings, seed, out):
    """Write cluster and map coordinates of a plate's cells."""
    centres = load_arrays(clusters_model)["centres"]
    fitted = load_arrays(map_model)
    coordinates = pd.DataFrame({name: fitted[name] for name, _ in _key_types()})
    coordinates[["Map_1", "Map_2"]] = fitted["coordinates"]
    if settings.place_all:
        coordinates = pd.concat([coordinates, _placed(features_path, coordinates, fitted, settings, seed)])
    fixed = [column.name for column in (*CELL, *PLATEMAP)]

    def rows(table):
        frame = table.select(fixed).to_pandas()
        frame["Cluster"], frame["ClusterDistance"] = assign(component_matrix(table), centres)
        return frame.merge(coordinates, how="left", on=CELL_KEY, validate="one_to_one")

    empty = rows(pq.read_schema(features_path).empty_table())
    with table_writer(out, "phenotypes", empty, settings=settings.changed(), seed=seed) as append:
        for table in read_wells(features_path):
            append(rows(table))


def _placed(features_path, known, fitted, settings, seed):
    """Map coordinates of the plate's cells that are not in the map's sample."""
    table = pq.read_table(features_path, partitioning=None)
    keys = table.select(CELL_KEY).to_pandas()
    new = keys.merge(known, how="left", on=CELL_KEY)["Map_1"].isna().to_numpy()
    x = component_matrix(table)[new]
    placed = place(x, fitted["components"], fitted["coordinates"], seed=seed, threads=settings.threads)
    return keys[new].assign(Map_1=placed[:, 0], Map_2=placed[:, 1])


def sample_features(paths, size):
    """A sample of the cells of all plates, the same number a plate and within it spread over the wells.

    Parameters
    ----------
    paths : list of str or Path
        Features tables.
    size : int
        Cells at most.

    Returns
    -------
    keys : pandas.DataFrame
        Cell key and role.
    components : ndarray of float32, shape (cells, components)
    """
    keys, parts = [], []
    for path in track(paths, len(paths), "plates"):
        table = pq.read_table(path, partitioning=None)
        frame = table.select([*CELL_KEY, "Metadata_Role"]).to_pandas()
        chosen = stratified_sample(frame, max(1, size // len(paths)))
        keys.append(frame.iloc[chosen])
        parts.append(component_matrix(table.take(pa.array(chosen))))
    return pd.concat(keys, ignore_index=True), np.concatenate(parts)


def component_matrix(table):
    """Components of a features table as float32, shape (cells, components)."""
    names = [name for name in table.column_names if name.startswith("PC_")]
    if not table.num_rows:
        return np.zeros((0, len(names)), dtype=np.float32)
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False)


def _key_types():
    return [(name, "str" if name in ("Metadata_Plate", "Metadata_Well") else "int32") for name in CELL_KEY]
