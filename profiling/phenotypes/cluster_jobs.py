"""Clusters and map: what the workflow fits on a sample of the whole screen."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.phenotypes.clusters import fit_clusters, sweep_clusters
from profiling.phenotypes.map import fit_map
from profiling.phenotypes.models import save_arrays
from profiling.phenotypes.phenotype_jobs import component_matrix, key_types
from profiling.progress import log, track
from profiling.sampling import stratified_sample
from profiling.tables import CELL_KEY, read_facts, write_table

SWEEP_CELLS = 10_000
"""Cells of the sweep over k: its silhouettes and Rand indices change little beyond."""


def clusters(features_paths, settings, seed, out_model, out_table):
    """Fit k-means on a sample of all plates; report silhouette and stability across k."""
    keys, x = sample_features(features_paths, settings.sample)
    if len(x) < settings.k:
        raise ProfilingError(
            f"{len(x)} cells (or fields or tiles, see `unit`) cannot form {settings.k} clusters; lower clusters.k"
        )
    centres = fit_clusters(x, settings.k, seed, settings.n_init)
    save_arrays(out_model, centres=centres, reduction=reduction_of(features_paths))
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
    keys = {name: keys[name].to_numpy(dtype="U" if dtype == "str" else "i4") for name, dtype in key_types()}
    save_arrays(out, components=x, coordinates=coordinates, reduction=reduction_of(features_paths), **keys)
    log.info("%d cells on the map", len(x))


def reduction_of(paths):
    """Fingerprint of the reduction that features tables were made with; empty where they do not agree on one."""
    found = {read_facts(path)[0].get("reduction", "") for path in paths}
    return found.pop() if len(found) == 1 else ""


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
