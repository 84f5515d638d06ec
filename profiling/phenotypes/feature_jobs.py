"""Normalisation, reduction and the features table: what the workflow runs a plate and a screen."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.phenotypes.basis import basis_of, differences, fingerprint
from profiling.phenotypes.models import load_arrays, save_arrays
from profiling.phenotypes.normalise import dropped_features, fit_scaler, usable_features, zscore
from profiling.phenotypes.reduce import Moments, Reduction, fit_pca, moments, pool_moments, transform, whiten
from profiling.phenotypes.selection import select_cells
from profiling.progress import log
from profiling.sampling import stratified_sample
from profiling.tables import (
    CELL_KEY,
    embedding_columns,
    embedding_matrix,
    read_table,
    read_wells,
    table_writer,
    write_table,
)

ROWS_A_COMPONENT = 10
"""Whitening as many components as there are rows puts all rows at the same distance from each other."""

NOT_NORMALISED = (
    "look at the fields that are left out and at the limits in `flags`, check the roles in its plate map, lower "
    "normalisation.minimum_cells or minimum_wells, or set its reference to all"
)


def scale(embeddings, cells, flags, cell_flags, platemap, settings, out):
    """Fit the robust z-score of a plate and the moments of its scaled embeddings, as arrays in one .npz.

    A plate with fewer reference wells of enough cells than the settings ask for gets a reason in the place of a fit: it
    has no features, and the other plates go on.
    """
    selected, left_out = _select(cells, flags, cell_flags, platemap)
    plate = read_table(platemap, "platemaps", ["Metadata_Plate"])["Metadata_Plate"].iloc[0]
    reference = selected
    if settings.reference == "negative_control":
        reference = selected[selected["Metadata_Role"].eq("negative_control")]
    count = int((reference["Metadata_Well"].value_counts() >= settings.minimum_cells).sum())
    limit = settings.cells_per_well
    sample = _embeddings_of(embeddings, _at_most(selected, limit))
    if count < settings.minimum_wells:
        reason = (
            f"{count} reference wells ({settings.reference}) have {settings.minimum_cells} cells or more that no flag "
            f"excludes, {settings.minimum_wells} are needed{_most_left_out(left_out)}"
        )
        log.warning("plate %s is left out: %s", plate, reason)
        nothing = np.full(sample.shape[1], np.nan)
        save_arrays(out, plate=plate, reason=reason, median=nothing, mad=nothing, clip=settings.clip, n=0)
        return
    median, mad = fit_scaler(_embeddings_of(embeddings, _at_most(reference, limit)))
    usable = usable_features(mad)
    scaled = np.zeros(sample.shape, dtype=np.float32)
    scaled[:, usable] = zscore(sample[:, usable], median[usable], mad[usable], settings.clip)
    cells_seen, mean, cov = moments(scaled)
    save_arrays(
        out, plate=plate, reason="", names=_feature_names(embeddings), basis=basis_of(embeddings, settings),
        median=median, mad=mad, clip=settings.clip, n=cells_seen, mean=mean, cov=cov.astype(np.float32),
    )  # fmt: skip
    log.info("plate %s: %d reference wells, %d cells in the fit", plate, count, cells_seen)


def reduce(scalers, settings, out):
    """Fit the principal components over all plates, each with the same weight, and list what is dropped."""
    fits = {path: _without_moments(path) for path in scalers}
    unfit = [f"plate {fit['plate']}: {fit['reason']}" for fit in fits.values() if str(fit["reason"])]
    scalers = [path for path, fit in fits.items() if not str(fit["reason"])]
    if not scalers:
        raise ProfilingError(
            "no plate can be normalised; look at the fields that are left out and at the limits in `flags`, check the "
            "roles in the plate maps, lower normalisation.minimum_cells or minimum_wells, or set "
            "normalisation.reference to all\n" + "\n".join(unfit)
        )
    mads = np.stack([fits[path]["mad"] for path in scalers])
    usable = usable_features(mads)
    plates = [str(fits[path]["plate"]) for path in scalers]
    for row in dropped_features(mads, fits[scalers[0]]["names"], plates).itertuples():
        log.warning("plate %s: %s: %s, dropped for the whole screen", row.Metadata_Plate, row.Feature, row.Reason)
    if not usable.any():
        raise ProfilingError("no feature has spread on all plates; look at the quality of the reference wells")

    def parts():
        for path in scalers:
            arrays = load_arrays(path)
            cov = arrays["cov"][np.ix_(usable, usable)].astype(np.float64)
            yield Moments(int(arrays["n"]), arrays["mean"][usable], cov)

    pooled = pool_moments(parts())
    reduction = fit_pca(pooled.mean, pooled.cov, settings.components)
    rows = sum(int(fits[path]["n"]) for path in scalers)
    if len(reduction.components) > (most := max(2, rows // ROWS_A_COMPONENT)):
        log.warning("%d components, a tenth of the %d cells (or fields or tiles) in the fit", most, rows)
        reduction = Reduction(reduction.mean, *(values[:most] for values in reduction[1:]))
    if settings.whiten:
        reduction = whiten(reduction)
    bases = {str(fits[path].get("basis", "")) for path in scalers}
    save_arrays(
        out, usable=usable, plates=np.array(plates), names=fits[scalers[0]]["names"],
        basis=bases.pop() if len(bases) == 1 else "", **reduction._asdict(),
    )  # fmt: skip
    share = reduction.variance_ratio.sum()
    log.info("%d of %d features, %d components, %.1f %% of the variance", usable.sum(), len(usable),
             len(reduction.components), 100 * share)  # fmt: skip


def features(embeddings, cells, flags, cell_flags, platemap, scaler, reduction, out, out_left):
    """Write the features table of a plate, well by well, and what is left out: cells by flags, features without spread.

    Where the reduction is of another screen, a feature of it may have no spread on this plate: its z-score is 0.
    """
    selected, left_out = _select(cells, flags, cell_flags, platemap)
    scaler, fitted = load_arrays(scaler), load_arrays(reduction)
    _require_fit(scaler, fitted, _feature_names(embeddings), reduction)
    kept = fitted["usable"]
    scaled = kept & usable_features(scaler["mad"])
    reduction = Reduction(*(fitted[name] for name in Reduction._fields))
    names = [f"PC_{i:04d}" for i in range(1, len(reduction.components) + 1)]

    def rows(frame, x):
        z = np.zeros((len(x), kept.sum()), dtype=np.float32)
        z[:, scaled[kept]] = zscore(
            x[:, scaled], scaler["median"][scaled], scaler["mad"][scaled], float(scaler["clip"])
        )
        components = pd.DataFrame(transform(z, reduction), columns=names, index=frame.index)
        return pd.concat([frame, components], axis=1)

    empty = pd.concat([selected.head(0), pd.DataFrame(columns=names, dtype="float32")], axis=1)
    left_out["Remedy"] = "change the limits in `flags`, or set their action to keep"
    reason, plate = str(scaler["reason"]), str(scaler["plate"])
    if reason or not scaled.any():
        reason = reason or "no feature of the models has spread in its reference wells"
        left_out = pd.concat([left_out, _of_plate(plate, f"not normalised: {reason}", NOT_NORMALISED, len(selected))])
        selected = selected.head(0)
    elif (kept & ~scaled).any():
        flat = scaler["names"][kept & ~scaled]
        reason = (
            f"{len(flat)} of the {kept.sum()} features of the models have no spread in its reference wells, and are 0 "
            f"for all its cells: {', '.join(flat[:3])}{' …' if len(flat) > 3 else ''}"
        )
        log.warning("plate %s: %s", plate, reason)
        left_out = pd.concat([left_out, _of_plate(plate, reason, "look at the quality of its reference wells")])
    if not reason:
        for channel in flat_channels(scaler["names"], ~kept & ~usable_features(scaler["mad"])):
            told = f"channel {channel} has no spread in its reference wells: no plate's profiles have its features"
            remedy = "look at the channel on this plate, or exclude the plate"
            left_out = pd.concat([left_out, _of_plate(plate, told, remedy)])
    with table_writer(out, "features", empty, reduction=fingerprint(fitted)) as append:
        for frame, x in _wells_of(embeddings, selected):
            append(rows(frame, x))
    write_table(out_left, "failures", left_out.assign(Metadata_Channel=None, Stage="features"))
    log.info("%d cells, %d left out by flags", len(selected), left_out["Cells"].sum())


def flat_channels(names, flat):
    """Channels of which most features are flat; the odd one may be so on every plate, as a network's dead ones are.

    Parameters
    ----------
    names : (features,) array of str
        As `Embedding_DNA[0]`.
    flat : (features,) bool

    Returns
    -------
    list of str
    """
    channels = pd.Series(names).str.extract(r"^Embedding_(.*)\[")[0]
    shares = pd.Series(flat).groupby(channels).mean()
    return shares.index[shares > 0.5].tolist()


def _most_left_out(left_out):
    """What excludes most of a plate's fields, to be added to a sentence; nothing where none is excluded."""
    fields = left_out.loc[left_out["Metadata_Site"].notna(), "Reason"].value_counts()
    return f"; {fields.iloc[0]} of its fields are left out for: {fields.index[0]}" if len(fields) else ""


def _select(cells, flags, cell_flags, platemap):
    cells = read_table(cells, "cells", [*CELL_KEY, "Embedded"])
    cell_flags = read_table(cell_flags, "cell_flags")
    return select_cells(cells, read_table(flags, "flags"), cell_flags, read_table(platemap, "platemaps"))


def _without_moments(path):
    """A plate's fit without its covariance: those of all plates would not fit in memory."""
    return {name: array for name, array in load_arrays(path).items() if name not in ("mean", "cov")}


def _feature_names(embeddings):
    """Names of the features in the order of the matrix, as `Embedding_DNA[0]`."""
    schema = pq.read_schema(embeddings)
    return [f"{name}[{i}]" for name in embedding_columns(schema) for i in range(schema.field(name).type.list_size)]


def _of_plate(plate, reason, remedy, cells=None):
    """A row of what is lost for a plate as a whole."""
    row = {"Metadata_Plate": plate, "Metadata_Well": None, "Metadata_Site": None, "Metadata_Time": None}
    row |= {"Metadata_Z": None, "Reason": reason, "Cells": cells, "Remedy": remedy}
    return pd.DataFrame([row], dtype="object")


def _require_fit(scaler, fitted, names, path):
    """Raise where a plate's features are not those that the components were fitted on."""
    bases = [str(model.get("basis", "")) for model in (fitted, scaler)]
    told = differences(*map(json.loads, bases)) if all(bases) else []
    if not told and "names" in fitted and fitted["names"].tolist() != names:
        told = [f"{len(fitted['names'])} features in the models, {len(names)} others in this screen"]
    if told:
        raise ProfilingError(
            f"{path} does not fit plate {scaler['plate']}:\n" + "\n".join(told) + "\nembed and normalise the plate as "
            "the models' screen was, or take other `models`"
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
            raise ProfilingError(f"{embeddings}: well {well} lacks cells of the cell table; run the embedding again")
        yield rows.drop(columns="row"), embedding_matrix(table.take(pa.array(rows["row"])))


def _embeddings_of(embeddings, selected):
    parts = [x for _, x in _wells_of(embeddings, selected)]
    if parts:
        return np.concatenate(parts)
    schema = pq.read_schema(embeddings)
    width = sum(schema.field(name).type.list_size for name in embedding_columns(schema))
    return np.zeros((0, width), dtype=np.float32)
