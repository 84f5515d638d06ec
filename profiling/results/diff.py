"""How two results folders differ: configuration, code, weights, plates, rows and numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.files import hash_file
from profiling.kept_config import read_config
from profiling.phenotypes.models import load_arrays
from profiling.results.comparison import cluster_names, compare_tables, rand_index
from profiling.results.layout import describe_screen, list_jobs
from profiling.results.provenance import read_provenance, weights
from profiling.results.table_checks import facts_of
from profiling.schemas import TABLES

AFTER_CLUSTERS = ("wells", "treatments", "enrichment")
"""Tables whose clusters are compared under the second folder's names for them."""

MOST = 40


def compare_results(one, other):
    """Compare two results folders.

    Parameters
    ----------
    one, other : str or Path

    Returns
    -------
    dict
        config: DataFrame Key, Old, New. code: DataFrame What, Old, New. plates: two lists, of plates that only one has.
        missing: DataFrame File, Where. tables: DataFrame Table, Rows1, Rows2, Only1, Only2, Columns1, Columns2 (names
        of columns that only one has). numbers: DataFrame Table, Column, Rows, Differ, Largest, Spread, Relative
        (Largest / Spread), of columns that differ alone. clusters: Rand index, and dict of names or None. files:
        DataFrame File, What, of models, pictures and label images that differ. equal: bool.

    Raises
    ------
    ProfilingError
        If a folder has no configuration.
    """
    folders = [Path(one), Path(other)]
    configs = [read_config(folder) for folder in folders]
    screens = [describe_screen(config) for config in configs]
    shared = [plate for plate in screens[0].chunks if plate in screens[1].chunks]
    config = compare_configs(*configs)
    plates = [[p for p in a.chunks if p not in b.chunks] for a, b in (screens, screens[::-1])]
    tables, numbers, files, missing = [], [], [], []
    clusters = (np.nan, None)
    for name, spec in TABLES.items():
        per_plate = "{plate}" in spec.path
        paths = [spec.path.format(plate=plate) for plate in (shared if per_plate else [None])]
        found = None
        for path in paths:
            there = [(folder / path).is_file() for folder in folders]
            if there == [True, True]:
                renaming = clusters[1] if name in AFTER_CLUSTERS else None
                try:
                    found = compare_tables(name, *(folder / path for folder in folders), found, renaming)
                except (OSError, pa.ArrowException, KeyError) as error:
                    files.append((path, f"cannot be compared: {str(error).splitlines()[0]}"))
            elif any(there):
                missing.append((path, str(folders[0 if there[0] else 1])))
        if found is None:
            continue
        if name == "phenotypes":
            clusters = rand_index(found.clusters), cluster_names(found.clusters)
        if any(found.only) or any(found.only_columns):
            names = [", ".join(sorted(only)) for only in found.only_columns]
            tables.append((name, *found.rows, *found.only, *names))
        for column, told in found.columns.items():
            # Numbers of clusters have no distances; the Rand index tells of them.
            if told.differ and (name, column) != ("phenotypes", "Cluster"):
                relative = told.largest / told.spread if told.spread > 0 else np.nan
                numbers.append((name, column, told.rows, told.differ, told.largest, told.spread, relative))
    files += compare_files(*folders, *screens, shared)
    result = {
        "folders": [str(folder) for folder in folders],
        "config": config,
        "code": compare_code(*folders),
        "plates": plates,
        "missing": pd.DataFrame(missing, columns=["File", "Where"]),
        "tables": pd.DataFrame(tables, columns=["Table", "Rows1", "Rows2", "Only1", "Only2", "Columns1", "Columns2"]),
        "numbers": pd.DataFrame(
            numbers, columns=["Table", "Column", "Rows", "Differ", "Largest", "Spread", "Relative"]
        ),
        "clusters": clusters,
        "files": pd.DataFrame(files, columns=["File", "What"]),
    }
    renamed = not np.isnan(clusters[0]) and (clusters[1] is None or any(a != b for a, b in clusters[1].items()))
    frames = [result[name] for name in ("config", "code", "missing", "tables", "numbers", "files")]
    result["equal"] = not renamed and all(frame.empty for frame in frames) and not any(plates)
    return result


def compare_configs(one, other):
    """Keys of two configurations that differ: DataFrame Key, Old, New; a plate is told by its name."""
    flat = [_flatten({**config, "plates": {row["plate"]: row for row in config["plates"]}}) for config in (one, other)]
    rows = []
    for key in dict.fromkeys([*flat[0], *flat[1]]):
        old, new = (values.get(key, "absent") for values in flat)
        if old != new:
            rows.append((key, old, new))
    return pd.DataFrame(rows, columns=["Key", "Old", "New"], dtype="object")


def _flatten(values, before=""):
    flat = {}
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def compare_code(one, other):
    """Versions, commit and weights of two folders that differ: DataFrame What, Old, New.

    The commit and the versions of other packages are known where both have a ``provenance.json``; versions of stages
    and the hashes of weights stand in the tables.
    """
    records = [_origins(Path(folder)) for folder in (one, other)]
    rows = [
        (what, *(record.get(what, "not recorded") for record in records))
        for what in dict.fromkeys([*records[0], *records[1]])
        if records[0].get(what) != records[1].get(what)
    ]
    return pd.DataFrame(rows, columns=["What", "Old", "New"], dtype="object")


def _origins(folder):
    origins = {}
    for name, spec in TABLES.items():
        first = next(iter(sorted(folder.glob(spec.path.replace("{plate}", "*")))), None)
        if first is None:
            continue
        try:
            with pq.ParquetFile(first) as file:
                facts = facts_of(file)
        except (OSError, pa.ArrowInvalid):
            continue
        origins[f"version of the stage of {name}"] = (facts.get("settings") or {}).get("version")
        for key in ("package_version", "schema_version"):
            origins.setdefault(key.replace("_", " "), facts.get(key))
    recorded = weights(folder)
    for key, value in (recorded["embedding"] or {}).items():
        origins[f"backbone {key}"] = value
    record = read_provenance(folder / "provenance.json")
    if record:
        code = record["recorded_by"]["code"]
        origins["commit"] = code["commit"]
        origins["uncommitted changes"] = ", ".join(code["uncommitted"] or [])
        origins |= {f"version of {name}": value for name, value in record["recorded_by"]["packages"].items()}
        origins["weights of the segmentation"] = (record["weights"]["segmentation"] or {}).get("sha256")
    return origins


def compare_files(one, other, first, second, plates):
    """Files beside the tables that differ: models by their arrays, flat fields and label images by their bytes.

    Returns
    -------
    list of (str, str)
        File and in which way; flat fields, and label images, of a plate together.
    """
    outputs = {output for screen in (first, second) for job in list_jobs(screen) for output in job.outputs}
    found = []
    for output in sorted(outputs):
        paths = [folder / output for folder in (one, other)]
        if not all(path.is_file() for path in paths) or output.startswith("chunks/"):
            continue
        if output.endswith(".npz"):
            told = _compare_arrays(*paths)
        elif output.endswith((".xml", ".bin")):
            told = "" if hash_file(paths[0]) == hash_file(paths[1]) else "other content"
        else:
            continue
        if told:
            found.append((output, told))
    for plate in plates:
        for images in (f"labels/{plate}/*/*.tif", f"illumination/{plate}/*.tif"):
            there = [{path.name: path for path in folder.glob(images)} for folder in (one, other)]
            both = there[0].keys() & there[1].keys()
            wrong = sum(hash_file(there[0][name]) != hash_file(there[1][name]) for name in both)
            only = [len(a.keys() - b.keys()) for a, b in (there, there[::-1])]
            if wrong or any(only):
                told = f"{wrong} of {len(both)} images differ, {only[0]} and {only[1]} are in one folder only"
                found.append((images.split("/*")[0], told))
    return found


def _compare_arrays(one, other):
    try:
        arrays = [load_arrays(path) for path in (one, other)]
    except Exception as error:  # zipfile, zlib and numpy each have their own
        return f"cannot be compared: {error}"
    told, shapes = [], []
    for name in sorted(arrays[0].keys() | arrays[1].keys()):
        a, b = (values.get(name) for values in arrays)
        if a is None or b is None:
            told.append(f"{name} is in one of them only")
        elif a.shape != b.shape:
            shapes.append(f"{name} {a.shape} and {b.shape}")
        elif a.dtype.kind in "fiu" and b.dtype.kind in "fiu":
            if not np.array_equal(a, b, equal_nan=True):
                a, b = a.astype(np.float64), b.astype(np.float64)
                apart, spread = np.nanmax(np.abs(a - b), initial=0), np.nanstd(a)
                told.append(f"{name} differs by up to {apart:.3g}, spread {spread:.3g}")
        elif not np.array_equal(a, b):
            told.append(f"{name} differs")
    if shapes:
        told.append(f"{len(shapes)} arrays have other shapes, such as {shapes[0]}")
    return "; ".join(told)


def diff_lines(result):
    """The comparison in words, as lines of text."""
    lines = [f"1: {result['folders'][0]}", f"2: {result['folders'][1]}"]
    if result["equal"]:
        return [*lines, "They are equal: configuration, code, plates, rows and every number."]
    sections = (
        ("Configuration", [f"{r.Key}: {_short(r.Old)} → {_short(r.New)}" for r in result["config"].itertuples()]),
        ("Code and weights", [f"{r.What}: {_short(r.Old)} → {_short(r.New)}" for r in result["code"].itertuples()]),
        ("Plates", [f"only in {n}: {', '.join(p[:10])}{' …' if len(p) > 10 else ''} ({len(p)} plates)"
                    for n, p in enumerate(result["plates"], 1) if p]),
        ("Files that only one has", [f"{r.File}: in {r.Where}" for r in result["missing"].itertuples()]),
        ("Rows", [line for row in result["tables"].itertuples() for line in _rows(row)]),
        ("Clusters", _clusters(*result["clusters"])),
        ("Other files", [f"{r.File}: {r.What}" for r in result["files"].itertuples()]),
    )  # fmt: skip
    for title, told in sections:
        if told:
            lines += ["", title, *(f"  {line}" for line in told[:MOST])]
            lines += [f"  and {len(told) - MOST} more"] if len(told) > MOST else []
    numbers = result["numbers"]
    if len(numbers):
        lines += [
            "",
            "Values, over the rows that both have (largest: largest difference; spread: standard deviation in 1)",
        ]
        lines.append(f"  {'table':<12}{'column':<46}{'rows differ':>20}{'largest':>11}{'spread':>11}{'ratio':>9}")
        ordered = numbers.sort_values(["Table", "Relative"], ascending=[True, False], kind="stable")
        order = numbers["Table"].drop_duplicates().tolist()
        for table in order:
            rows = ordered[ordered["Table"].eq(table)]
            for row in rows.head(8).itertuples():
                numeric = not np.isnan(row.Largest)
                figures = (
                    [_figure(row.Largest), _figure(row.Spread), _figure(row.Relative)] if numeric else ["", "", ""]
                )
                share = f"{row.Differ:,} of {row.Rows:,}"
                lines.append(
                    f"  {table:<12}{row.Column[:45]:<46}{share:>20}{figures[0]:>11}{figures[1]:>11}{figures[2]:>9}"
                )
            if len(rows) > 8:
                lines.append(f"  {table:<12}and {len(rows) - 8} more columns, none of them with a larger ratio")
    return lines


def _rows(row):
    if row.Rows1 != row.Rows2 or row.Only1 or row.Only2:
        yield f"{row.Table}: {row.Rows1:,} → {row.Rows2:,}; {row.Only1:,} only in 1, {row.Only2:,} only in 2"
    for number, names in ((1, row.Columns1), (2, row.Columns2)):
        if names:
            yield f"{row.Table}: columns only in {number}: {_short(names)}"


def _clusters(index, names):
    if np.isnan(index):
        return []
    if names is None:
        return [f"other clusters: adjusted Rand index {index:.3f} (1: the same up to their numbers)"]
    moved = [f"{new} was {old}" for new, old in sorted(names.items()) if new != old]
    if not moved:
        return []
    return [
        f"the same clusters by other numbers: {', '.join(moved)}; shares and enrichment are compared by the old ones"
    ]


def _figure(value):
    return "" if np.isnan(value) else f"{value:.3g}"


def _short(value, most=60):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
