"""One table on its own: its schema, its order, its row groups and the values that cannot be."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profiling.results.findings import Finding, again, start
from profiling.schemas import VERSION
from profiling.tables import SPECS

NEVER_NULL = {
    "images": ["Status"],
    "quality": ["Status"],
    "limits": ["Low", "High", "DarkOffset", "FlatFieldFields", "LimitFields"],
    "platemaps": ["Metadata_Batch", "Imaged", "Mapped"],
    "segmented": ["BoundingBoxMinimumX", "BoundingBoxMaximumX", "BoundingBoxMinimumY", "BoundingBoxMaximumY"],
    "cells": ["BoundingBoxMinimumX", "BoundingBoxMaximumX", "BoundingBoxMinimumY", "BoundingBoxMaximumY", "Embedded"],
    "fields": ["Segmented", "CellCount"],
    "overlays": ["Chosen"],
    "thumbnails": ["Thumbnail"],
    "flags": ["Excluded"],
    "cell_flags": ["Flags"],
    "phenotypes": ["Cluster", "ClusterDistance"],
    "wells": ["Metadata_Fields", "Metadata_CellCount", "Metadata_ProfiledCells", "FewCells"],
    "failures": ["Metadata_Plate", "Stage", "Reason", "Remedy"],
}
"""Columns, beside the keys, that have a value in every row. Components and embeddings are told by their names."""

SHARES = ("PValue", "QValue", "AttainablePValue", "SaturatedFraction", "BorderShare", "NucleusCoverage", "Share",
          "ControlShare", "SegmentationScore")  # fmt: skip
"""Columns that lie between 0 and 1."""

REASONS = {
    "images": ("Status", "Reason"), "quality": ("Status", "Reason"), "fields": ("Segmented", "Reason"),
    "cells": ("Embedded", "ExclusionReason"),
}  # fmt: skip
"""Table → what says that all is well, and the reason that is there exactly where it does not."""


def open_table(results, file):
    """A Parquet file of the results and nothing, or nothing and the finding that says why it cannot be read."""
    try:
        return pq.ParquetFile(Path(results) / file), None
    except FileNotFoundError:
        return None, Finding(file, "there is no such file", start(file), "unfinished")
    except (pa.ArrowInvalid, OSError) as error:
        said = str(error).splitlines()[0]
        return None, Finding(file, f"is not a whole Parquet file ({said})", again(file))


def facts_of(parquet):
    """What :func:`profiling.tables.describe` wrote into a file; empty where it is absent or no JSON."""
    try:
        facts = json.loads((parquet.schema_arrow.metadata or {})[b"profiling"])
    except (KeyError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def check_footer(parquet, file, name, plate=None):
    """Findings about a table from its footer alone.

    Parameters
    ----------
    parquet : pyarrow.parquet.ParquetFile
    file : str
        Its path below the results folder.
    name : str
        A key of :data:`profiling.tables.SPECS`.
    plate : str, optional
        The only plate that it may hold.

    Yields
    ------
    Finding
    """
    spec, schema = SPECS[name], parquet.schema_arrow
    facts = facts_of(parquet)
    if not facts:
        yield Finding(file, "was not written by this package: it does not say how it was made", again(file))
    elif facts.get("schema_version") != VERSION:
        said = facts.get("schema_version")
        yield Finding(file, f"has version {said} of the tables' schema, this package writes {VERSION}", again(file))
    fixed = {column.name: column.type for column in spec.columns if not column.pattern}
    if missing := [column for column in fixed if column not in schema.names]:
        yield Finding(file, f"lacks the columns {', '.join(missing)} of the {name} table", again(file))
    patterns = [(re.compile(column.pattern), column.type) for column in spec.columns if column.pattern]
    for field in schema:
        kinds = [kind for pattern, kind in patterns if pattern.fullmatch(field.name)]
        if field.name in fixed:
            kinds = [fixed[field.name]]
        if not kinds:
            yield Finding(file, f"has a column {field.name}, which the {name} table has not", again(file))
        elif kinds[0] is not None and field.type not in (kinds[0], pa.large_string() if kinds[0] == pa.string() else 0):
            yield Finding(file, f"column {field.name} is {field.type}, not {kinds[0]}", again(file))
    if any(column not in schema.names for column in spec.key):
        return
    groups = [group_bounds(parquet.metadata, number) for number in range(parquet.num_row_groups)]
    if plate and any(bounds.get("Metadata_Plate", (plate, plate)) != (plate, plate) for bounds in groups):
        other = next(b["Metadata_Plate"] for b in groups if b.get("Metadata_Plate", (plate, plate)) != (plate, plate))
        yield Finding(file, f"holds rows of plate {other[0] if other[0] != plate else other[1]}", again(file))
    if spec.group_by_well:
        wells = [bounds.get("Metadata_Well") for bounds in groups]
        if any(well is not None and well[0] != well[1] for well in wells):
            yield Finding(file, "has a row group with more than one well", again(file))
        elif len(set(wells)) < len(wells) and None not in wells:
            yield Finding(file, "has a well in more than one row group", again(file))


def group_bounds(footer, group):
    """Smallest and largest plate and well of a row group, from its statistics; without those it has none for."""
    part, bounds = footer.row_group(group), {}
    for number in range(footer.num_columns):
        name = footer.schema.column(number).name
        if name in ("Metadata_Plate", "Metadata_Well"):
            statistics = part.column(number).statistics
            if statistics is not None and statistics.has_min_max:
                bounds[name] = (statistics.min, statistics.max)
        if len(bounds) == 2 or number > 8:
            break
    return bounds


def check_rows(parquet, file, name):
    """Findings about the rows of a table: keys, order and values. Reads one row group at a time.

    Yields
    ------
    Finding
    """
    spec, last = SPECS[name], None
    seen = set()
    for number in range(parquet.num_row_groups):
        try:
            rows = parquet.read_row_group(number)
        except (pa.ArrowException, OSError) as error:
            yield Finding(file, f"row group {number} cannot be read ({str(error).splitlines()[0]})", again(file))
            continue
        found = list(_wrong_values(rows, name))
        if name != "failures" and rows.num_rows:
            keys = rows.select(spec.key)
            found += _wrong_keys(keys)
            ends = [tuple(keys.slice(place, 1).to_pylist()[0].values()) for place in (0, rows.num_rows - 1)]
            if last is not None and None not in (*last, *ends[0]):
                if ends[0] == last:
                    found.append(f"the key {_key(spec.key, last)} stands twice")
                elif ends[0] < last:
                    found.append(f"its rows are not sorted by key: {_key(spec.key, ends[0])} comes too late")
            last = ends[1]
        for what in found:
            if what not in seen:
                seen.add(what)
                yield Finding(file, what, again(file))


def _wrong_keys(keys):
    if missing := [name for name in keys.column_names if keys[name].null_count]:
        return [f"{keys[missing[0]].null_count} rows have no {missing[0]}"]
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names]).to_numpy()
    counts = keys.group_by(keys.column_names).aggregate([([], "count_all")])
    if counts.num_rows < keys.num_rows:
        twice = counts.filter(pc.greater(counts["count_all"], 1)).select(keys.column_names).slice(0, 1).to_pylist()[0]
        return [
            f"{keys.num_rows - counts.num_rows} keys stand more than once, the first is {_key(twice, twice.values())}"
        ]
    wrong = np.flatnonzero(order != np.arange(len(order)))
    if len(wrong):
        row = keys.slice(int(wrong[0]), 1).to_pylist()[0]
        return [f"its rows are not sorted by key, from {_key(row, row.values())} on"]
    return []


def _key(names, values):
    return ", ".join(f"{name.removeprefix('Metadata_')} {value}" for name, value in zip(names, values, strict=True))


def _wrong_values(rows, name):
    for field in rows.schema:
        values = rows[field.name]
        needed = field.name in NEVER_NULL.get(name, ()) or field.name.startswith("Embedding_")
        if (needed or (field.name.startswith("PC_") and name == "features")) and values.null_count:
            yield f"{values.null_count} rows have no {field.name}"
        if pa.types.is_fixed_size_list(field.type):
            numbers = values.combine_chunks().flatten().to_numpy(zero_copy_only=False)
            # Half floats have no functions in Arrow.
            wrong = numbers.size - np.isfinite(numbers).sum()
            if wrong:
                yield f"{field.name} has {wrong} numbers that are not finite"
        elif pa.types.is_floating(field.type):
            numbers = values.to_numpy()
            bad = np.isinf(numbers)
            if needed or (field.name.startswith("PC_") and name == "features"):
                bad |= np.isnan(numbers)
            if bad.any():
                yield f"{field.name} has {bad.sum()} numbers that are not finite"
            elif (field.name in SHARES or field.name.startswith("ClusterShare_")) and numbers.size:
                with np.errstate(invalid="ignore"):
                    outside = ((numbers < -1e-6) | (numbers > 1 + 1e-6)).sum()
                if outside:
                    yield f"{field.name} has {outside} numbers outside 0 to 1"
    well, reason = REASONS.get(name, (None, None))
    if well and {well, reason} <= set(rows.column_names):
        ok = pc.equal(rows[well], "ok") if well == "Status" else rows[well]
        wrong = pc.sum(pc.equal(ok, pc.is_valid(rows[reason]))).as_py()
        if wrong:
            yield f"{wrong} rows have a {reason} although all is well ({well}), or none although it is not"
    if "Metadata_CellID" in rows.column_names and (pc.min(rows["Metadata_CellID"]).as_py() or 1) < 1:
        yield "Metadata_CellID is below 1"
    if name == "wells" and "ClusterShare_01" in rows.column_names:
        shares = rows.select([c for c in rows.column_names if c.startswith("ClusterShare_")]).to_pandas().to_numpy()
        sums = shares[rows["Metadata_ProfiledCells"].to_numpy() > 0].sum(axis=1)
        if wrong := (~np.isclose(sums, 1, atol=1e-4)).sum():
            yield f"the cluster shares of {wrong} wells do not add up to 1"
