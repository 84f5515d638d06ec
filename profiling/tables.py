"""Typed reading and atomic writing of the tables in :mod:`profiling.schemas`."""

import json
import re
from contextlib import contextmanager
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.schemas import CELL, FIELD, PIECES, TABLES, VERSION

FIELD_KEY = [column.name for column in FIELD]
CELL_KEY = [column.name for column in CELL]


SPECS = TABLES | PIECES


class TableError(ProfilingError):
    """A table that does not fit its schema; the message names the file or table and the column."""


def as_table(name, frame):
    """Rows in the column order and types of a table's schema.

    Parameters
    ----------
    name : str
        A key of :data:`profiling.schemas.TABLES`.
    frame : pandas.DataFrame or pyarrow.Table
        All fixed columns and any that match a pattern, in any order.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    TableError
        If a column is missing, unknown, of another type, or if a key of a row is null.
    """
    if isinstance(frame, pd.DataFrame):
        frame = pa.Table.from_pandas(frame, preserve_index=False)
    spec = SPECS[name]
    given = set(frame.column_names)
    fixed = {column.name: column.type for column in spec.columns if not column.pattern}
    if missing := [column for column in fixed if column not in given]:
        raise TableError(f"table {name}: columns {', '.join(missing)} are missing")
    patterns = [(re.compile(c.pattern), c.type) for c in spec.columns if c.pattern]
    types = dict(fixed)
    for column in frame.column_names:
        if column not in types:
            match = next((kind for pattern, kind in patterns if pattern.fullmatch(column)), "unknown")
            if match == "unknown":
                raise TableError(f"table {name}: column {column} is not in the schema")
            types[column] = match or frame.schema.field(column).type
    arrays = []
    for column, kind in types.items():
        values = frame[column]
        try:
            arrays.append(values if values.type == kind else values.cast(kind))
        except pa.ArrowInvalid as error:
            raise TableError(f"table {name}: column {column} is not {kind}: {error}") from None
    if name != "failures":
        for column in spec.key:
            if frame[column].null_count:
                raise TableError(f"table {name}: {frame[column].null_count} rows have no {column}")
    return pa.Table.from_arrays(arrays, names=list(types))


def describe(settings=None, **facts):
    """File metadata: schema version, package version, settings and whatever else is given."""
    content = {
        "schema_version": VERSION,
        "package_version": version("profiling"),
        "settings": settings,
        **facts,
    }
    return {"profiling": json.dumps({k: v for k, v in content.items() if v is not None}, sort_keys=True)}


@contextmanager
def table_writer(path, name, like, **facts):
    """Write a table in pieces, one row group a piece; the file appears when the block ends without error.

    Parameters
    ----------
    path : str or Path
        The Parquet file.
    name : str
        A key of :data:`profiling.schemas.TABLES`.
    like : pandas.DataFrame, pyarrow.Table or pyarrow.Schema
        Rows, or no rows, with the columns that all pieces have.
    **facts
        For the file's metadata (see :func:`describe`).

    Yields
    ------
    callable
        Takes the next rows (DataFrame or pyarrow.Table), sorted by the table's key.
    """
    if not isinstance(like, pa.Schema):
        like = as_table(name, like).schema
    schema = like.with_metadata(describe(**facts))
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:

        def append(rows):
            rows = as_table(name, rows)
            if rows.num_rows:
                writer.write_table(rows.replace_schema_metadata(schema.metadata), row_group_size=rows.num_rows)

        yield append


def write_table(path, name, frame, **facts):
    """Write a table whole, sorted by its key; a row group a well where the schema says so.

    Raises
    ------
    TableError
        If the rows do not fit the schema or a key stands twice.
    """
    table = as_table(name, frame)
    spec = SPECS[name]
    table = table.sort_by([(column, "ascending") for column in spec.key])
    if name != "failures":
        check_unique(name, table)
    with table_writer(path, name, table.schema, **facts) as append:
        if spec.group_by_well and table.num_rows:
            changes = np.flatnonzero(_well_changes(table)) + 1
            for start, end in zip([0, *changes], [*changes, table.num_rows], strict=True):
                append(table.slice(start, end - start))
        else:
            append(table)


def _well_changes(table):
    plate = table["Metadata_Plate"].combine_chunks()
    well = table["Metadata_Well"].combine_chunks()
    changed = pc.or_(pc.not_equal(plate[1:], plate[:-1]), pc.not_equal(well[1:], well[:-1]))
    return changed.to_numpy(zero_copy_only=False)


def check_unique(name, table):
    """Raise TableError naming the first key that stands twice."""
    key = list(SPECS[name].key)
    counts = table.select(key).group_by(key).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if twice.num_rows:
        row = twice.slice(0, 1).to_pylist()[0]
        raise TableError(f"table {name}: {twice.num_rows} keys stand twice, the first is {row}")


def read_table(path, name, columns=None):
    """Read a table of the results.

    Parameters
    ----------
    path : str, Path or list of them
        The Parquet file or files.
    name : str
        A key of :data:`profiling.schemas.TABLES`; its fixed columns must be there.
    columns : list of str, optional
        Only these.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    TableError
        If a file is absent, no Parquet, or lacks a column of the schema.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    return pa.concat_tables([_read(p, name, columns) for p in paths], promote_options="default").to_pandas()


def _read(path, name, columns):
    try:
        schema = pq.read_schema(path)
        fixed = [column.name for column in SPECS[name].columns if not column.pattern]
        if missing := [column for column in columns or fixed if column not in schema.names]:
            raise TableError(f"{path}: no column {', '.join(missing)}; is it the {name} table?")
        return pq.ParquetFile(path).read(columns=columns)
    except FileNotFoundError:
        raise TableError(f"{path}: there is no such file") from None
    except pa.ArrowInvalid as error:
        raise TableError(
            f"{path}: not a Parquet file ({error}); run snakemake with `--forcerun {path}`, which makes it again"
        ) from None


def read_wells(path, columns=None):
    """Rows of a table well by well, for tables with a row group a well.

    Yields
    ------
    pyarrow.Table
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)


def read_facts(path):
    """What :func:`describe` wrote into a table's file (a dict, empty where it is absent), and the file's schema."""
    schema = pq.read_schema(path)
    return json.loads((schema.metadata or {}).get(b"profiling", b"{}")), schema


def merge_tables(paths, out, name):
    """Join the pieces of chunks to one table sorted by well, a row group at a time.

    Parameters
    ----------
    paths : list of str or Path
        Tables with a row group a well, or of any grouping where a piece holds one plate's rows in order.
    out : str or Path
        The joined table. Its file metadata is that of the first piece.
    name : str
        A key of :data:`profiling.schemas.TABLES`.
    """
    # Opened one at a time: a screen has more plates than a process may have open files.
    facts, schema = read_facts(paths[0])
    if not SPECS[name].group_by_well:
        tables = [_read(path, name, None) for path in paths]
        write_table(out, name, pa.concat_tables(tables, promote_options="default"), **facts)
        return
    groups, found = [], False
    for path in paths:
        with pq.ParquetFile(path) as file:
            schema, found = (file.schema_arrow, True) if file.metadata.num_rows and not found else (schema, found)
            for group in range(file.num_row_groups):
                first = file.read_row_group(group, columns=["Metadata_Plate", "Metadata_Well"]).slice(0, 1)
                groups.append((*first.to_pylist()[0].values(), path, group))
    with table_writer(out, name, schema.remove_metadata(), **facts) as append:
        for path, ours in groupby(sorted(groups, key=lambda item: item[:2]), key=lambda item: item[2]):
            with pq.ParquetFile(path) as file:
                for *_, group in ours:
                    append(file.read_row_group(group))


def embedding_matrix(table, channels=None):
    """Embeddings as a matrix.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of an embeddings table.
    channels : list of str, optional
        Channels in the order wanted. Default: as in the table.

    Returns
    -------
    ndarray of float32, shape (cells, channels × features)
    """
    names = [f"Embedding_{c}" for c in channels] if channels else embedding_columns(table.schema)
    parts = [table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in names]
    widths = [table.schema.field(name).type.list_size for name in names]
    return np.hstack([p.reshape(-1, w).astype(np.float32) for p, w in zip(parts, widths, strict=True)])


def embedding_columns(schema):
    """Names of the embedding columns of a schema, in order."""
    return [name for name in schema.names if name.startswith("Embedding_")]


def embedding_arrays(features, dtype):
    """A matrix (cells, features) as a fixed-size list column of the dtype given; TableError where it is too narrow."""
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(features, dtype=dtype)
    if not np.isfinite(values).all():
        remedy = (
            "set embedding.dtype to float32" if np.isfinite(features).all() else "take another network or precision"
        )
        raise TableError(
            f"the network gives features up to {np.abs(features).max():.3g}, not finite as {dtype}; {remedy}"
        )
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), features.shape[1])


def _plate_files(results, name, plates):
    folder = Path(results) / name
    if plates is not None:
        return [folder / f"{plate}.parquet" for plate in plates]
    if not (files := sorted(folder.glob("*.parquet"))):
        raise TableError(f"{folder}: there are no {name}; is it the results folder of a screen?")
    return files


def read_cells(results, plates=None, columns=None):
    """The cell tables of a screen.

    Parameters
    ----------
    results : str or Path
        The results folder.
    plates : list of str, optional
        Only these plates.
    columns : list of str, optional
        Only these columns.

    Returns
    -------
    pandas.DataFrame
    """
    return read_table(_plate_files(results, "cells", plates), "cells", columns)


def read_embeddings(results, plates=None, channels=None):
    """The embeddings of a screen.

    Parameters
    ----------
    results : str or Path
        The results folder.
    plates, channels : list of str, optional
        Only these.

    Returns
    -------
    keys : pandas.DataFrame
        Cell keys, one row a cell.
    embeddings : ndarray of float32, shape (cells, channels × features)

    Raises
    ------
    TableError
        If there is no such table, or no such channel in it.
    """
    columns = [*CELL_KEY, *(f"Embedding_{channel}" for channel in channels)] if channels else None
    table = pa.concat_tables(
        [_read(path, "embeddings", columns) for path in _plate_files(results, "embeddings", plates)]
    )
    return table.select(CELL_KEY).to_pandas(), embedding_matrix(table, channels)
