"""Sheets as text, whatever wrote them: separator, encoding and workbook format are detected."""

import csv
import io
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from profiling.errors import ProfilingError
from profiling.plates.platemaps.workbook import read_workbook

SEPARATORS = (",", ";", "\t", "|")
LARGEST_FILE = 64_000_000
"""Bytes; a map of 1,000,000 wells is smaller."""
SAMPLE = 65_536
"""Characters that the separator is told from."""


class Sheet(NamedTuple):
    """Cells of one sheet; ``rows[0]`` is row 1 of the file. ``name`` is None for a text file."""

    name: str | None
    rows: list[list[str]]


def read_sheets(path):
    """Sheets of a table that a person or a machine wrote.

    Parameters
    ----------
    path : str or Path
        Text with comma, semicolon, tab or bar as separator, in UTF-8, UTF-16 or Windows-1252 (Latin-1), with or
        without a byte-order mark and with any line ends; or an Excel workbook (.xlsx). Told from the content,
        never from the suffix. A file that did not change is parsed once a process.

    Returns
    -------
    tuple of Sheet
        One for a text file.

    Raises
    ------
    ProfilingError
        If the file is absent, larger than 64 MB, or neither such text nor a sound workbook.
    """
    stat = file_state(path)
    return _read_sheets(str(path), *stat)


def file_state(path):
    """Time of change (ns) and size (bytes) of a file, which say whether it must be read again."""
    try:
        stat = Path(path).stat()
        regular = Path(path).is_file()
    except (OSError, ValueError) as error:
        raise ProfilingError(f"{path}: cannot be read ({error}); correct its path or its permissions") from None
    if not regular:
        raise ProfilingError(f"{path}: is not a file; name the file that holds the table")
    if stat.st_size > LARGEST_FILE:
        raise ProfilingError(
            f"{path}: {stat.st_size / 1e6:.0f} MB is too large for a plate map; give a CSV file of the wells alone"
        )
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=8)
def _read_sheets(path, changed, size):
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error}); correct its path or its permissions") from None
    if data.startswith(b"PK\x03\x04"):
        return tuple(Sheet(name, rows) for name, rows in read_workbook(data, path))
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise ProfilingError(f"{path}: an old (.xls) or protected Excel workbook; save it as plain .xlsx or CSV")
    return (Sheet(None, split_cells(decode(data, path), path)),)


def decode(data, path):
    """Text of a file's bytes: by its byte-order mark, else UTF-16 by its zeros, else UTF-8, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in data:
        head = data[:SAMPLE]
        encoding = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8-sig":
            raise _not_text(path) from None
        # Windows-1252 leaves five bytes undefined; Latin-1 has a character for every byte.
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\0" in text:
        raise _not_text(path)
    return text


def _not_text(path):
    return ProfilingError(f"{path}: neither a text table (CSV, TSV) nor an Excel workbook (.xlsx); save it as one")


def split_cells(text, path):
    """Rows of cells of delimited text, stripped; an empty line is a row without cells."""
    separator = find_separator(text)
    rows = []
    try:
        for row in _records(text, separator, strict=True):
            rows.append([cell.strip() for cell in row])
    except csv.Error as error:
        raise ProfilingError(
            f"{path}, row {len(rows) + 1}: quotation marks do not match or a cell is too long ({error}); correct it"
        ) from None
    if rows and rows[0] and rows[0][0].lower().startswith("sep="):
        rows[0] = []
    return rows


def find_separator(text):
    """The separator that splits the most rows into the same number of cells, above one."""
    sample = text[:SAMPLE]
    first = sample.partition("\n")[0].strip()
    if first.lower().startswith("sep=") and len(first) == 5 and first[4] in SEPARATORS:
        return first[4]
    if first.lower() == "sep=":  # the tab is stripped with the line's end
        return "\t"
    scores = {}
    for separator in SEPARATORS:
        widths = Counter()
        try:
            for row in _records(sample, separator, strict=False):
                if row and not row[0].startswith("#"):
                    widths[len(row)] += 1
        except csv.Error:
            continue
        # Weighted by width: decimal commas and commas in titles also split rows, but into fewer cells.
        scores[separator] = max(((width - 1) * count for width, count in widths.items()), default=0)
    return max(scores, key=scores.get, default=",")


def _records(text, separator, strict):
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=strict)
