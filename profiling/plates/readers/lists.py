"""Lists of images that a program or a person wrote: found in a plate's folder and read as text."""

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from profiling.errors import ProfilingError
from profiling.plates.platemaps.sheets import decode, find_separator

TEXT = (".csv", ".tsv")
PARQUET = (".parquet", ".pq")
OPENED = 20  # files whose header is looked at
HEAD = 2**16  # bytes that hold a header


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
    with pq.ParquetFile(path) as file:
        names = dict.fromkeys(name for name in file.schema_arrow.names if is_wanted(name))
        table = file.read(list(names)).to_pandas(ignore_metadata=True)
    # A column of whole numbers that lacks one has become floats, whose texts end in ".0".
    table = table.loc[:, ~table.columns.duplicated()].convert_dtypes()
    table.index = range(1, len(table) + 1)
    return table


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
