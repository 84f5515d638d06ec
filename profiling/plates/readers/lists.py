"""Lists of images that a program or a person wrote: found in a plate's folder and read as text."""

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.plates.platemaps.sheets import decode, find_separator

TEXT = (".csv", ".tsv")
PARQUET = (".parquet", ".pq")
OPENED = 20  # files whose header is looked at
HEAD = 2**16  # bytes that hold a header
MOST_ROWS, BATCH = 5_000_000, 100_000  # of a Parquet file; rows read at once
LARGEST_CONTENT, ROW = 500_000_000, 16  # bytes of its texts, and of an empty one


def find_lists(folder, files, is_list):
    """Files of a plate's folder that are lists of images; those nearest to the folder are looked at.

    Parameters
    ----------
    folder : Path
    files : list of profiling.plates.listing.File
    is_list : callable
        ``is_list(columns) -> bool`` from the names of the columns.

    Returns
    -------
    list of str
        Paths below the folder.
    """
    tables = [file.path for file in files if file.path.lower().endswith(TEXT + PARQUET)]
    tables.sort(key=lambda path: (path.count("/"), "load_data" not in path.lower(), path))
    return [path for path in tables[:OPENED] if is_list(_columns(folder / path))]


def choose_list(folder, files, is_list, name, kind):
    """The one list of images of a folder.

    Parameters
    ----------
    folder, files, is_list
        As :func:`find_lists`.
    name : str or None
        The list, as `images.table` says.
    kind : str
        What it is, for messages.

    Returns
    -------
    str
        Path below the folder.

    Raises
    ------
    ProfilingError
        If it is not there, or there is none or more than one.
    """
    if name is not None:
        name = name.replace("\\", "/").removeprefix("./")
        if any(file.path == name for file in files):
            return name
    found = find_lists(folder, files, is_list)
    seen = f"there is {', '.join(found)}" if found else "there is none"
    if name is not None:
        raise ProfilingError(f"{folder}: has no file {name} (images.table); {seen}")
    if not found:
        raise ProfilingError(f"{folder}: has no {kind}; name the file in images.table, or choose another images.reader")
    if len(found) > 1:
        raise ProfilingError(f"{folder}: has more than one {kind} ({', '.join(found)}); name one in images.table")
    return found[0]


def read_list(path, is_wanted):
    """Some columns of a table, as text.

    Parameters
    ----------
    path : Path
        Parquet, or CSV or TSV of any separator and encoding.
    is_wanted : callable
        ``is_wanted(column) -> bool``

    Returns
    -------
    pandas.DataFrame
        Texts without surrounding blanks, empty where the table has none. The index is the number of the line in the
        file (of the row, from 1, in Parquet).

    Raises
    ------
    ProfilingError
        If it is no such table.
    """
    try:
        if path.suffix.lower() in PARQUET:
            table = _read_parquet(path, is_wanted)
        else:
            text = decode(path.read_bytes(), path)
            table = pd.read_csv(
                io.StringIO(text, newline=""),
                sep=find_separator(text),
                dtype=str,
                usecols=is_wanted,
                na_filter=False,
                index_col=False,
                skip_blank_lines=False,
            )
            table.index = range(2, len(table) + 2)
    except ProfilingError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ProfilingError(
            f"{path}: cannot be read as a table ({reason}); write it again as CSV or Parquet"
        ) from None
    for column in table:
        table[column] = table[column].astype("str").fillna("").str.strip()
    return table[table.ne("").any(axis=1)]


def read_numbers(texts, source, default, dtype="int32"):
    """Numbers of a column of texts.

    Parameters
    ----------
    texts : pandas.Series of str
        Named as the column; the index is the line. Decimals with a point or a comma.
    source : Path
        The table, for messages.
    default : int or float
        For empty texts.
    dtype : str
        An integer type refuses fractions.

    Returns
    -------
    pandas.Series

    Raises
    ------
    ProfilingError
        If one is no such number.
    """
    values = pd.to_numeric(texts.str.replace(",", ".", regex=False), errors="coerce").astype("float64")
    values = values.where(texts.ne(""), default)
    wrong = values.isna() & texts.ne("") | values.abs().gt(2**31 - 1)
    kind = "number"
    if dtype.startswith("int"):
        wrong |= values.mod(1).ne(0)
        kind = "whole number"
    if wrong.any():
        line = wrong.idxmax()
        raise ProfilingError(f"{source}, line {line}: {texts.name} {texts[line]!r} is not a {kind}; correct it")
    return values.astype(dtype)


def _read_parquet(path, is_wanted):
    """Columns of a Parquet file, whose texts are counted before they are written out: a few bytes can say gigabytes."""
    with pq.ParquetFile(path) as file:
        fields = [field for field in file.schema_arrow if is_wanted(field.name)]
        rows = file.metadata.num_rows
    names = [field.name for field in fields]
    for field in fields:
        if pa.types.is_nested(field.type) or pa.types.is_fixed_size_binary(field.type):
            raise ProfilingError(f"{path}: {field.name} holds {field.type}; write it as text or numbers")
        if names.count(field.name) > 1:
            raise ProfilingError(f"{path}: has more than one column {field.name}; leave one")
    if rows > MOST_ROWS:
        raise _too_large(path)
    chunks, size = {name: [] for name in names}, 0
    with pq.ParquetFile(path, read_dictionary=names) as file:
        for batch in file.iter_batches(BATCH, columns=names):
            size += sum(map(_size, batch.columns))
            if size > LARGEST_CONTENT:
                raise _too_large(path)
            for name in names:
                chunks[name].append(_as_text(batch[name]))
    table = pa.table({name: pa.chunked_array(parts, None if parts else pa.string()) for name, parts in chunks.items()})
    # A column of whole numbers that lacks one has become floats, whose texts end in ".0".
    table = table.to_pandas().convert_dtypes()
    table.index = range(1, len(table) + 1)
    return table


def _size(column):
    """Bytes of a column as text, about."""
    size = ROW * len(column)
    if pa.types.is_dictionary(column.type):
        return size + (pc.sum(pc.binary_length(column.dictionary).take(column.indices)).as_py() or 0)
    return size


def _as_text(column):
    return column.dictionary_decode().cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _too_large(path):
    return ProfilingError(f"{path}: too large for a list of images; write its rows of this plate alone, or as CSV")


def _columns(path):
    """Names of the columns of a table; none if it is no table."""
    try:
        if path.suffix.lower() in PARQUET:
            return pq.read_schema(path).names
        with open(path, "rb") as file:
            text = decode(file.read(HEAD), path)
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=find_separator(text)), [])
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        return []
