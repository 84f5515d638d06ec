"""From embeddings to features and phenotypes: what the workflow runs a plate and a screen."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.images.flags import flag_images
from profiling.phenotypes.clusters import assign, fit_clusters, sweep_clusters
from profiling.phenotypes.map import fit_map, place
from profiling.phenotypes.models import load_arrays, save_arrays
from profiling.phenotypes.normalise import fit_scaler, usable_features, zscore
from profiling.phenotypes.reduce import Moments, Reduction, fit_pca, moments, pool_moments, transform
from profiling.phenotypes.selection import select_cells
from profiling.progress import log, track
from profiling.sampling import stratified_sample
from profiling.schemas import CELL, PLATEMAP
from profiling.tables import (
    CELL_KEY,
    embedding_columns,
    embedding_matrix,
    read_table,
    read_wells,
    table_writer,
    write_table,
)

SWEEP_CELLS = 10_000
"""Cells of the sweep over k: its silhouettes and Rand indices change little beyond."""


def flag(quality, settings, out):
    """Write the flags table of a plate from its quality table."""
    flags = flag_images(read_table(quality, "quality"), settings)
    write_table(out, "flags", flags, settings=settings.changed())
    for name, count in flags["Flags"].value_counts().items():
        log.info("%d images: %s", count, name)


def scale(embeddings, cells, flags, platemap, nuclei_channel, flag_settings, settings, out):
    """Fit the robust z-score of a plate and the moments of its scaled embeddings, as arrays in one .npz.

    Raises
    ------
    ProfilingError
        If the plate has fewer reference wells with cells than the settings ask for.
    """
    selected, _ = _select(cells, flags, platemap, nuclei_channel, flag_settings)
    plate = read_table(platemap, "platemaps", ["Metadata_Plate"])["Metadata_Plate"].iloc[0]
    reference = selected
    if settings.reference == "negative_control":
        reference = selected[selected["Metadata_Role"].eq("negative_control")]
    count = reference["Metadata_Well"].nunique()
    if count < settings.minimum_wells:
        raise ProfilingError(
            f"plate {plate}: {count} reference wells ({settings.reference}) have cells that no flag excludes, "
            f"{settings.minimum_wells} are needed; check the roles in its plate map, lower "
            "normalisation.minimum_wells, set normalisation.reference to all, or exclude the plate"
        )
    limit = settings.cells_per_well
    median, mad = fit_scaler(_embeddings_of(embeddings, _at_most(reference, limit)))
    usable = usable_features(mad)
    sample = _embeddings_of(embeddings, _at_most(selected, limit))
    scaled = np.zeros(sample.shape, dtype=np.float32)
    scaled[:, usable] = zscore(sample[:, usable], median[usable], mad[usable], settings.clip)
    cells_seen, mean, cov = moments(scaled)
    save_arrays(
        out, plate=plate, median=median, mad=mad, clip=settings.clip,
        n=cells_seen, mean=mean, cov=cov.astype(np.float32),
    )  # fmt: skip
    log.info("plate %s: %d reference wells, %d cells in the fit", plate, count, cells_seen)


def reduce(scalers, settings, out):
    """Fit the principal components over all plates, each with the same weight, and list what is dropped."""
    mads = np.stack([load_arrays(path)["mad"] for path in scalers])
    usable = usable_features(mads)
    plates = [str(load_arrays(path)["plate"]) for path in scalers]
    for plate, mad in zip(plates, mads, strict=True):
        if lost := int((~usable_features(mad)).sum()):
            log.warning(
                "plate %s: %d features have no spread and are dropped for the whole screen", plate, lost
            )
    if not usable.any():
        raise ProfilingError(
            "no feature has spread on all plates; look at the quality of the reference wells"
        )

    def parts():
        for path in scalers:
            arrays = load_arrays(path)
            cov = arrays["cov"][np.ix_(usable, usable)].astype(np.float64)
            yield Moments(int(arrays["n"]), arrays["mean"][usable], cov)

    pooled = pool_moments(parts())
    reduction = fit_pca(pooled.mean, pooled.cov, settings.components)
    save_arrays(out, usable=usable, plates=np.array(plates), **reduction._asdict())
    share = reduction.variance_ratio.sum()
    log.info("%d of %d features, %d components, %.1f %% of the variance", usable.sum(), len(usable),
             len(reduction.components), 100 * share)  # fmt: skip


def features(
    embeddings, cells, flags, platemap, scaler, reduction, nuclei_channel, flag_settings, out, out_left
):
    """Write the features table of a plate, well by well, and the cells that flags leave out."""
    selected, left_out = _select(cells, flags, platemap, nuclei_channel, flag_settings)
    scaler, fitted = load_arrays(scaler), load_arrays(reduction)
    usable = fitted["usable"]
    reduction = Reduction(*(fitted[name] for name in Reduction._fields))
    names = [f"PC_{i:04d}" for i in range(1, len(reduction.components) + 1)]

    def rows(frame, x):
        z = zscore(x[:, usable], scaler["median"][usable], scaler["mad"][usable], float(scaler["clip"]))
        components = pd.DataFrame(transform(z, reduction), columns=names, index=frame.index)
        return pd.concat([frame, components], axis=1)

    empty = rows(selected.head(0), np.zeros((0, len(usable)), dtype=np.float32))
    with table_writer(out, "features", empty, settings=flag_settings.changed()) as append:
        for frame, x in _wells_of(embeddings, selected):
            append(rows(frame, x))
    left_out = left_out.assign(
        Metadata_Channel=None,
        Metadata_Time=None,
        Metadata_Z=None,
        Stage="features",
        Remedy="change the limits in `flags`, or set its action to keep",
    )
    write_table(out_left, "failures", left_out)
    log.info("%d cells, %d left out by flags", len(selected), left_out["Cells"].sum())


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


def _select(cells, flags, platemap, nuclei_channel, settings):
    measured = ["Nuclei_AreaShape_Area", f"Nuclei_Intensity_MeanIntensity_{nuclei_channel}"]
    cells = read_table(cells, "cells", [*CELL_KEY, "TouchesBorder", "Embedded", *measured])
    return select_cells(
        cells, read_table(flags, "flags"), read_table(platemap, "platemaps"), settings, nuclei_channel
    )


def _at_most(selected, count):
    """At most `count` cells of every well, those that come first in the sample of the well."""
    parts = [rows.iloc[stratified_sample(rows, count)] for _, rows in selected.groupby("Metadata_Well")]
    return pd.concat(parts) if parts else selected


def _wells_of(embeddings, selected):
    """Well by well, the selected cells and their embeddings, in the order of the cell key."""
    by_well = dict(tuple(selected.groupby("Metadata_Well")))
    for table in read_wells(embeddings):
        well = table["Metadata_Well"][0].as_py()
        if well not in by_well:
            continue
        rows = by_well[well]
        keys = table.select(CELL_KEY).to_pandas().assign(row=np.arange(table.num_rows))
        rows = rows.merge(keys, how="inner", on=CELL_KEY, validate="one_to_one").sort_values(CELL_KEY)
        if len(rows) != len(by_well[well]):
            raise ProfilingError(
                f"{embeddings}: well {well} lacks cells of the cell table; run the embedding again"
            )
        yield rows.drop(columns="row"), embedding_matrix(table.take(pa.array(rows["row"])))


def _embeddings_of(embeddings, selected):
    parts = [x for _, x in _wells_of(embeddings, selected)]
    if parts:
        return np.concatenate(parts)
    schema = pq.read_schema(embeddings)
    width = sum(schema.field(name).type.list_size for name in embedding_columns(schema))
    return np.zeros((0, width), dtype=np.float32)


def _key_types():
    return [(name, "str" if name in ("Metadata_Plate", "Metadata_Well") else "int32") for name in CELL_KEY]
