"""The table of plates that a person or a program writes: read as text, its paths kept below their root."""

import csv
import os
import re
from pathlib import Path

from profiling.errors import ConfigError, ProfilingError
from profiling.files import why_absent
from profiling.plates.platemaps.sheets import decode


def read_plates(path):
    """Rows of a plate table, every value a string.

    Parameters
    ----------
    path : str or Path
        Text in UTF-8, UTF-16 or Windows-1252 with tabs, commas or semicolons between the cells, told from the header.
        Empty lines and lines that begin with ``#`` are passed over. Paths keep the blanks around them.

    Returns
    -------
    list of dict of str

    Raises
    ------
    ConfigError
        If the file is absent, is no such table or has no rows.
    """
    return list(read_rows(Path(path))[1].values())


def read_rows(path):
    """Line of the header, and line → row; see :func:`read_plates`."""
    lines = _table_lines(path)
    if not lines:
        raise ConfigError(f"plates: {str(path)!r} has no rows; write one row a plate there")
    start = next(iter(lines))
    header = lines.pop(start)
    separator = max("\t,;", key=lambda one: _header_score(_cells(header, one, path, start, strict=False)))
    columns = [name.strip() for name in _cells(header, separator, path, start)]
    if missing := [name for name in ("plate", "images") if name not in columns]:
        raise ConfigError(
            f"{path}, line {start}: the header has no column {' and no column '.join(missing)}; it reads {header!r}. "
            "Separate the columns with tabs (or commas or semicolons), not with blanks"
        )
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise ConfigError(f"{path}, line {start}: the column {', '.join(twice)} is there twice; remove one")
    rows, owners = {}, {}
    for line, text in lines.items():
        cells = _cells(text, separator, path, line)
        if not any(cell.strip() for cell in cells):
            continue
        surplus = [cell for name, cell in zip(columns, cells, strict=False) if not name] + cells[len(columns) :]
        if surplus := [cell.strip() for cell in surplus if cell.strip()]:
            raise ConfigError(
                f"{path}, line {line}: has more cells than the header has columns ({', '.join(surplus)[:50]!r}); "
                "remove them, or put quotation marks around a cell that has the separator in it"
            )
        cells += [""] * (len(columns) - len(cells))
        row = {name: _cell(name, cell) for name, cell in zip(columns, cells, strict=False) if name}
        if row["plate"] in owners:
            first = owners[row["plate"]]
            raise ConfigError(
                f"{path}, line {line}: plate {row['plate']!r} is in line {first}, too; rename or remove one"
            )
        if row["plate"]:
            owners[row["plate"]] = line
        rows[line] = row
    if not rows:
        raise ConfigError(f"plates: {str(path)!r} has no rows; write one row a plate there")
    return start, rows


def _table_lines(path):
    """Number → text of the lines of a plate table that are neither empty nor a remark."""
    if not os.path.isfile(path):
        raise ConfigError(f"plates: there is no file {str(path)!r}{why_absent(path)}; write one row a plate there")
    remedy = "save the plate table as tab-separated text in UTF-8"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); correct its permissions") from None
    # Half of the bytes of a header in UTF-16 are zeros; it begins with a mark where other text has fewer.
    if not data.startswith((b"\xff\xfe", b"\xfe\xff", b"PK\x03\x04")) and 0 < data.count(0) < len(data) / 4:
        line = len(re.findall(rb"\r\n|\r|\n", data[: data.index(0)])) + 1
        raise ConfigError(f"{path}, line {line}: has a NUL character; {remedy}")
    try:
        text = decode(data, path).removeprefix("\ufeff")
    except ProfilingError:
        raise ConfigError(f"{path}: is not text; {remedy}") from None
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    return {number: line for number, line in lines if line.strip() and not line.lstrip().startswith("#")}


def _cells(text, separator, path, line, strict=True):
    """Cells of one line, so that an opened quotation mark cannot swallow those that follow."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=strict))
    except csv.Error:
        raise ConfigError(
            f"{path}, line {line}: a cell is too long, or its quotation marks do not match; close or double them, and "
            "have no line break in a cell"
        ) from None


def _header_score(cells):
    return len({"plate", "images"} & {cell.strip() for cell in cells}), len(cells)


def _cell(name, text):
    """A cell without blanks around it; names of files and folders may have them."""
    return text if name in ("images", "platemap") and text.strip() else text.strip()


def paths_outside(rows, places, root):
    """What is wrong with the paths of a plate table that leave the folder from which they start.

    Links are followed wherever they lead: who may write into the folder made them.

    Parameters
    ----------
    rows : list of dict of str
        Rows of the table.
    places : list of str
        Where each row stands, for messages.
    root : str or Path
        The folder.

    Returns
    -------
    list of str
        A message for each path with ``..`` in it, and for each absolute one that is not below the folder.
    """
    bases = os.path.abspath(root), os.path.realpath(root)
    return [
        f"{place}: {column}: {path!r} leaves `root` ({bases[0]}); link it there, make `root` a folder above it, or set "
        "`outside: true` where the table is trusted"
        for row, place in zip(rows, places, strict=True)
        for column in ("images", "platemap")
        if (path := row.get(column)) and not any(_is_below(path, base) for base in bases)
    ]


def _is_below(path, base):
    inside = os.path.commonpath([base, os.path.join(base, path)]) == base
    return inside and os.pardir not in path.split(os.sep)
