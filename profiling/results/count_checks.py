"""What has to agree between the tables of a screen: keys, counts, pieces and models."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.results.findings import Finding, again, start
from profiling.tables import CELL_KEY, FIELD_KEY, read_facts

IMAGE_KEY = [*FIELD_KEY, "Metadata_Channel"]
WELL = FIELD_KEY[:2]
MERGED = ("quality", "fields", "cells", "embeddings", "thumbnails")
"""Tables that are joined of the pieces of chunks."""


def check_pieces(results, name, plate, chunks, quick=False):
    """Findings where a plate's table is not its chunks' pieces put together.

    Parameters
    ----------
    results : Path
    name : str
        One of :data:`MERGED`.
    plate : str
    chunks : int
    quick : bool
        Compare numbers of rows alone, else every value, a well at a time.

    Yields
    ------
    Finding
    """
    file = f"{name}/{plate}.parquet"
    paths = [f"chunks/{plate}/{chunk}/{name}.parquet" for chunk in range(1, chunks + 1)]
    whole, pieces = pq.ParquetFile(results / file), [pq.ParquetFile(results / path) for path in paths]
    rows = sum(piece.metadata.num_rows for piece in pieces)
    if whole.metadata.num_rows != rows:
        yield Finding(
            file,
            f"has {whole.metadata.num_rows:,} rows, the pieces of its chunks have {rows:,}",
            again(file),
            "disagrees",
        )
        return
    if quick:
        return
    by_well = _row_groups(whole)
    for path, piece in zip(paths, pieces, strict=True):
        for group in range(piece.num_row_groups):
            part = piece.read_row_group(group)
            for well, there in _wells(part):
                here = by_well(well)
                if here is None or not _same(here, there):
                    yield Finding(file, f"differs from {path} in well {well}", again(file), "disagrees")
                    return


def _row_groups(parquet):
    """A function from a well to its rows."""
    places = {}
    grouped = parquet.num_row_groups > 1
    table = None if grouped else parquet.read()
    if grouped:
        for group in range(parquet.num_row_groups):
            first = parquet.read_row_group(group, columns=["Metadata_Well"]).slice(0, 1)
            places[first["Metadata_Well"][0].as_py()] = group
        return lambda well: parquet.read_row_group(places[well]) if well in places else None
    return lambda well: dict(_wells(table)).get(well) if well else None


def _wells(table):
    wells = table["Metadata_Well"].to_pandas()
    for well, rows in wells.groupby(wells).indices.items():
        yield well, table if len(rows) == table.num_rows else table.take(pa.array(rows))


def _same(one, other):
    if one.num_rows != other.num_rows or set(one.column_names) != set(other.column_names):
        return False
    return all(_same_values(one[name], other[name]) for name in one.column_names)


def _same_values(one, other):
    one, other = one.combine_chunks(), other.combine_chunks()
    if one.type != other.type:
        return False
    if pa.types.is_fixed_size_list(one.type):
        one, other = one.flatten(), other.flatten()
    if pa.types.is_floating(one.type):
        return np.array_equal(one.to_numpy(zero_copy_only=False), other.to_numpy(zero_copy_only=False), equal_nan=True)
    return one.equals(other)


def check_plate(results, plate, excluded=()):
    """Findings where the tables of one plate do not agree; those that are absent or broken are passed over.

    Parameters
    ----------
    results : Path
    plate : str
    excluded : sequence of str
        Wells that the plate table leaves out.

    Yields
    ------
    Finding
    """

    def read(name, columns):
        return _read(results, f"{name}/{plate}.parquet", columns)

    images, quality = read("images", IMAGE_KEY), read("quality", IMAGE_KEY)
    fields = read("fields", [*FIELD_KEY, "Segmented", "CellCount"])
    imaged = None if images is None else images[~images["Metadata_Well"].isin(excluded)]
    yield from _equal_keys("quality", plate, quality, "images", imaged, IMAGE_KEY)
    if imaged is not None:
        yield from _equal_keys("fields", plate, fields, "images", imaged[FIELD_KEY].drop_duplicates(), FIELD_KEY)
    yield from _equal_keys("flags", plate, read("flags", IMAGE_KEY), "quality", quality, IMAGE_KEY)
    yield from _equal_keys("overlays", plate, read("overlays", FIELD_KEY), "fields", fields, FIELD_KEY, inside=True)
    maps = read("platemaps", [*WELL, "Imaged"])
    if maps is not None and images is not None:
        mapped = maps.loc[maps["Imaged"], WELL]
        yield from _equal_keys("platemaps", plate, mapped, "images", images[WELL].drop_duplicates(), WELL)
    cells = read("cells", [*CELL_KEY, "Embedded"])
    if cells is not None and fields is not None:
        counted = cells.groupby(FIELD_KEY).size().rename("n").reset_index()
        both = fields.merge(counted, how="outer", on=FIELD_KEY).fillna({"n": 0, "CellCount": 0})
        if (wrong := both[both["n"].ne(both["CellCount"])]).size:
            first, counted = wrong.iloc[0], int(both["CellCount"].sum())
            yield _disagree(
                f"cells/{plate}.parquet",
                f"has {int(both['n'].sum()):,} cells, fields/{plate}.parquet counts {counted:,}; the first field that "
                f"differs is {first['Metadata_Well']} site {first['Metadata_Site']}",
            )
    if cells is None:
        return
    embedded = cells.loc[cells["Embedded"], CELL_KEY]
    embeddings = read("embeddings", CELL_KEY)
    yield from _equal_keys("embeddings", plate, embeddings, "cells that are embedded", embedded, CELL_KEY)
    yield from _equal_keys("thumbnails", plate, read("thumbnails", CELL_KEY), "embeddings", embedded, CELL_KEY, True)
    yield from _equal_keys("cell_flags", plate, read("cell_flags", CELL_KEY), "cells", cells[CELL_KEY], CELL_KEY, True)
    features, phenotypes = read("features", CELL_KEY), read("phenotypes", CELL_KEY)
    yield from _equal_keys("features", plate, features, "cells that are embedded", embedded, CELL_KEY, True)
    left_out = _read(results, f"chunks/{plate}/left_out.parquet", ["Cells"])
    if features is not None and left_out is not None:
        lost = int(left_out["Cells"].sum())
        if len(features) + lost != len(embedded):
            yield _disagree(
                f"features/{plate}.parquet",
                f"has {len(features):,} cells and {lost:,} are left out by flags, but {len(embedded):,} are embedded",
            )
    yield from _equal_keys("phenotypes", plate, phenotypes, "features", features, CELL_KEY)
    yield from _check_wells(results, plate, maps, fields, features)


def _check_wells(results, plate, maps, fields, features):
    """The well profiles of a plate against the tables that they count."""
    file = f"chunks/{plate}/wells.parquet"
    wells = _read(results, file, None)
    if wells is None:
        return
    screen = _read(results, "wells.parquet", None, [("Metadata_Plate", "=", plate)])
    if screen is not None:
        screen = screen.reset_index(drop=True).reindex(columns=wells.columns)
        if not screen.equals(wells):
            yield Finding("wells.parquet", f"differs from {file}", again("wells.parquet"), "disagrees")
    if maps is not None:
        yield from _equal_keys(
            "chunks", f"{plate}/wells", wells[WELL], "platemaps", maps.loc[maps["Imaged"], WELL], WELL
        )
    counts = []
    if fields is not None:
        of_fields = fields.groupby("Metadata_Well").agg(a=("CellCount", "sum"), b=("Segmented", "sum"))
        counts += [("Metadata_CellCount", of_fields["a"], "fields"), ("Metadata_Fields", of_fields["b"], "fields")]
    if features is not None:
        counts.append(("Metadata_ProfiledCells", features["Metadata_Well"].value_counts(), "features"))
    for column, counted, source in counts:
        expected = wells["Metadata_Well"].map(counted).fillna(0)
        if (wrong := wells[wells[column].ne(expected)]).size:
            well = wrong["Metadata_Well"].iloc[0]
            yield _disagree(
                file,
                f"{column} of well {well} is {wrong[column].iloc[0]}, {source}/{plate}.parquet has "
                f"{int(expected[wrong.index[0]])}",
            )


def check_labels(results, plate, chunk, wells):
    """Findings where a chunk's label images are not those of its segmented fields.

    Parameters
    ----------
    results : Path
    plate : str
    chunk : int
    wells : list of str
        Wells of the chunk.
    """
    import tifffile

    fields = _read(results, f"chunks/{plate}/{chunk}/fields.parquet", [*FIELD_KEY, "Segmented"])
    folder = f"labels/{plate}/{chunk}"
    if fields is None or not (results / folder).is_dir():
        return
    if strange := sorted(set(fields["Metadata_Well"]) - set(wells)):
        yield _disagree(f"chunks/{plate}/{chunk}/fields.parquet", f"holds well {strange[0]}, which is of another chunk")
    pages = (2 * fields[fields["Segmented"]].groupby("Metadata_Well").size()).to_dict()
    there = {path.stem for path in (results / folder).glob("*.tif")}
    for well in sorted(set(pages) ^ there):
        what = (
            f"has no label image of well {well}, which was segmented"
            if well in pages
            else f"has a well {well} too many"
        )
        yield Finding(folder, what, again(folder), "disagrees")
    for well in sorted(set(pages) & there):
        file = f"{folder}/{well}.tif"
        try:
            with tifffile.TiffFile(results / file) as tiff:
                found = len(tiff.pages)
                size, ends = tiff.filehandle.size, [_end(page) for page in tiff.pages]
        except (tifffile.TiffFileError, ValueError, IndexError, OSError) as error:
            yield Finding(file, f"is not a whole TIFF file ({error})", again(folder))
            continue
        if found != pages[well]:
            yield Finding(
                file, f"has {found} pages, its segmented fields need {pages[well]}", again(folder), "disagrees"
            )
        elif max(ends) > size:
            yield Finding(file, "is shorter than its own index says", again(folder))


def _end(page):
    return max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)


def check_failures(results, plates):
    """Findings where the failures table is not all that the stages lost."""
    from profiling.report.failures import gather
    from profiling.tables import read_table

    listed = _read(results, "failures.parquet", None)
    if listed is None:
        return
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel", "Stage", "Cells", "Reason"]
    for plate in plates:
        try:
            tables = {
                name: read_table(results / name / f"{plate}.parquet", name)
                for name in ("images", "quality", "fields", "platemaps")
            }
            # Embedded cells, nearly all, are no loss: they are never held together.
            lost = [
                group.to_pandas()
                for group in _groups(results / f"cells/{plate}.parquet", [*FIELD_KEY, "Embedded", "ExclusionReason"])
            ]
            cells = pd.concat([rows[~rows["Embedded"].astype(bool)] for rows in lost])
            pieces = [
                read_table(results / "chunks" / plate / f"{piece}.parquet", "failures").astype("object")
                for piece in ("unplaced", "left_out")
            ]
            lost = pd.concat([gather(**tables, cells=cells), *pieces])
        except (ValueError, OSError, KeyError, pa.ArrowException):
            continue
        here = listed[listed["Metadata_Plate"].eq(plate)]
        wanted, found = (_as_bag(rows[columns]) for rows in (lost, here))
        missing = wanted.sub(found, fill_value=0)
        few, many = int(missing.clip(lower=0).sum()), int(-missing.clip(upper=0).sum())
        if few or many:
            yield Finding(
                "failures.parquet",
                f"lacks {few} losses of plate {plate} that other tables have, and has {many} that none has",
                again("failures.parquet"),
                "disagrees",
            )


def _as_bag(rows):
    """Rows of any order as counts; numbers and nulls written the same whatever their type."""
    text = rows.apply(lambda column: column.map(lambda v: "" if pd.isna(v) else f"{v:g}" if _number(v) else str(v)))
    return text.value_counts()


def _number(value):
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def check_models(results, plates):
    """Findings where models do not fit each other or the tables that were made with them."""
    from profiling.phenotypes.assign import assign
    from profiling.phenotypes.basis import fingerprint
    from profiling.phenotypes.models import load_arrays
    from profiling.phenotypes.phenotype_jobs import component_matrix

    models = {}
    files = [f"models/{name}.npz" for name in ("reduction", "clusters", "map")]
    for file in [*files, *(f"models/scalers/{plate}.npz" for plate in plates)]:
        if not (results / file).exists():
            continue
        try:
            arrays = load_arrays(results / file)
        except Exception as error:  # zipfile, zlib, numpy and json each have their own
            yield Finding(file, f"is not a whole file of arrays ({error})", again(file))
            continue
        if file in files:
            models[Path(file).stem] = arrays
        elif str(arrays.get("plate")) != Path(file).stem:
            yield _disagree(file, f"is the fit of plate {arrays.get('plate')}")
    centres = models.get("clusters", {}).get("centres")
    components = models.get("reduction", {}).get("components")
    if centres is None or components is None:
        return
    if centres.shape[1] != len(components):
        yield _disagree(
            "models/clusters.npz", f"has {centres.shape[1]} components, models/reduction.npz has {len(components)}"
        )
        return
    used = {
        f"models/{name}.npz": str(models[name].get("reduction", "")) for name in ("clusters", "map") if name in models
    }
    used |= {file: _reduction_of(results, file) for plate in plates if (file := f"features/{plate}.parquet")}
    for file, said in used.items():
        if said and said != fingerprint(models["reduction"]):
            yield _disagree(file, "was made with other principal components than those of models/reduction.npz")
    for plate in plates:
        paths = [results / name / f"{plate}.parquet" for name in ("features", "phenotypes")]
        try:
            pairs = zip(
                _groups(paths[0]), _groups(paths[1], ["Metadata_Well", "Cluster", "ClusterDistance"]), strict=True
            )
            for features, phenotypes in pairs:
                x = component_matrix(features)
                if x.shape[1] != centres.shape[1]:
                    yield _disagree(
                        f"features/{plate}.parquet", f"has {x.shape[1]} components, the model has {centres.shape[1]}"
                    )
                    break
                distance = assign(x, centres)[1]
                given = phenotypes["ClusterDistance"].to_numpy()
                cluster = phenotypes["Cluster"].fill_null(0).to_numpy()
                valid = (cluster >= 1) & (cluster <= len(centres))
                # Of two centres at the same distance either is right.
                own = np.linalg.norm(x - centres[np.where(valid, cluster, 1) - 1], axis=1)
                scale = 1e-4 * (1 + distance)
                if not (valid & (abs(own - distance) <= scale) & (abs(given - distance) <= scale)).all():
                    well = phenotypes["Metadata_Well"][0].as_py()
                    yield _disagree(
                        f"phenotypes/{plate}.parquet",
                        f"the clusters of well {well} are not the nearest centres of models/clusters.npz to "
                        f"features/{plate}.parquet",
                    )
                    break
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue


def check_bases(results, plates, normalisation):
    """Findings where plates were scaled, or components fitted, on other features than the plates have now.

    Footers and small arrays alone are read; what does not record its basis, or cannot be read, is passed over.

    Parameters
    ----------
    results : Path
    plates : iterable of str
    normalisation : profiling.settings.Normalisation
        Of the configuration.

    Yields
    ------
    Finding
    """
    from profiling.phenotypes.basis import differences

    reduction = "models/reduction.npz"
    fitted = _basis_of_model(results / reduction)
    for plate in plates:
        scaler, embeddings = f"models/scalers/{plate}.npz", f"embeddings/{plate}.parquet"
        scaled = _basis_of_model(results / scaler)
        here = _basis_of_embeddings(results / embeddings, normalisation)
        for file, one, other, second in ((scaler, scaled, embeddings, here), (reduction, fitted, scaler, scaled)):
            if one and second and (told := differences(one, second)):
                what = f"was not fitted on what {other} is now: {'; '.join(told)}"
                yield Finding(file, what, start(file), "disagrees")


def _basis_of_model(path):
    """What a scaler or a reduction was fitted on; empty where that is not known."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return json.loads(str(arrays["basis"]) or "{}")
    except Exception:  # zipfile, zlib, numpy and json each have their own
        return {}


def _basis_of_embeddings(path, normalisation):
    from profiling.phenotypes.basis import basis_of

    try:
        return json.loads(basis_of(path, normalisation) or "{}")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return {}


def _reduction_of(results, file):
    """Fingerprint of the reduction that a features table records; none where it is absent or cannot be read."""
    try:
        return read_facts(results / file)[0].get("reduction")
    except (OSError, ValueError, pa.ArrowException):
        return None


def check_illumination(results, plate, channels):
    """Findings where flat fields cannot be read, or the limits table has other facts of them."""
    from profiling.images.illumination import read_flatfield

    if not (results / "illumination" / plate).is_dir():
        return
    limits = _read(results, f"limits/{plate}.parquet", None)
    for channel in channels:
        file = f"illumination/{plate}/{channel}.tif"
        if not (results / file).exists():
            yield Finding(file, "there is no such file", again(f"illumination/{plate}"))
            continue
        try:
            flat, dark, fields, _ = read_flatfield(results / file)
        except Exception as error:  # tifffile, its codecs and json each have their own
            yield Finding(file, f"is not a whole flat field ({error})", again(f"illumination/{plate}"))
            continue
        if not (np.isfinite(flat).all() and (flat > 0).all()):
            yield Finding(file, "has pixels that are not positive numbers", again(f"illumination/{plate}"))
        if limits is None:
            continue
        row = limits[limits["Metadata_Channel"].eq(channel)]
        if len(row) != 1:
            yield _disagree(f"limits/{plate}.parquet", f"has {len(row)} rows of channel {channel}, one is needed")
        elif not np.isclose(row["DarkOffset"].iloc[0], dark) or row["FlatFieldFields"].iloc[0] != fields:
            yield _disagree(f"limits/{plate}.parquet", f"was made with another flat field of {channel} than {file}")


def _equal_keys(name, plate, rows, other, expected, key, inside=False):
    """Findings where the keys of a table are not (or are not among) those that it must have."""
    if rows is None or expected is None or (rows.empty and expected.empty):
        return
    both = rows[key].merge(expected[key].drop_duplicates(), how="outer", on=key, indicator=True)
    for side, text in (("left_only", "that {} has not"), ("right_only", "too few of {}")):
        if inside and side == "right_only":
            continue
        wrong = both[both["_merge"].eq(side)]
        if len(wrong):
            first = ", ".join(f"{k.removeprefix('Metadata_')} {v}" for k, v in wrong.iloc[0][key].items())
            yield _disagree(
                f"{name}/{plate}.parquet", f"has {len(wrong):,} rows {text.format(other)}; the first is {first}"
            )


def _disagree(file, what):
    return Finding(file, what, again(file), "disagrees")


def _read(results, file, columns, filters=None):
    """Columns of a table; None where it is absent, cannot be read or has not all of them (others find that)."""
    try:
        return pq.read_table(results / file, columns=columns, filters=filters, partitioning=None).to_pandas()
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None


def _groups(path, columns=None):
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)
