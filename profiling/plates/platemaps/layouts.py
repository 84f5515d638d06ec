"""From the cells of sheets to one row a well: long tables and grids, told apart by what they hold."""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.platemaps.columns import holds_wells, is_usual, key
from profiling.plates.platemaps.sheets import file_state, read_sheets
from profiling.plates.wells import LAYOUTS, well_name

MOST_TITLE_ROWS = 1_000
"""Rows in which the header of a long table is looked for."""

_COLUMN_NUMBER = re.compile(r"0*([1-9]\d?)(?:\.0+)?", re.ASCII)
_UNTITLED = {"", "row", "rows", "well", "wells", "col", "column", "columns", "rowcol", "rowcolumn"}
_NO_TITLE_SHEET = re.compile(r"(sheet|tabelle|feuil\w*|hoja|foglio|blad|ark|taul|plan)\s*\d*", re.IGNORECASE)


class PlateTable(NamedTuple):
    """A plate map before anything in it is understood.

    ``values``: a row a well (a row of the file, in a long table), every cell a stripped string, columns as in the
    file; ``rows``: same shape, the row of the file that each value stands in; ``sheets``: column → name of its sheet,
    None for a text file; ``grid``: whether it came from a grid, whose wells stand in column ``well``.
    """

    path: str
    values: pd.DataFrame
    rows: pd.DataFrame
    sheets: dict
    grid: bool

    def where(self, column=None, index=None):
        """File, sheet and row of a value, for messages."""
        sheets = {self.sheets[column]} if column in self.sheets else set(self.sheets.values()) - {None}
        sheet = sheets.pop() if len(sheets) == 1 else None
        text = self.path if sheet is None else f"{self.path}, sheet {sheet!r}"
        return text if index is None else f"{text}, row {self.rows.loc[index, column]}"

    def rows_text(self, column, indices):
        """Rows of the file of some values: `rows 3, 7, 9`, at most ten of them."""
        found = [str(self.rows.loc[index, column]) for index in indices[:10]]
        return f"row{'s' * (len(indices) > 1)} {', '.join(found)}{' …' if len(indices) > 10 else ''}"


def plate_table(path, plate, sheet=None, named=None):
    """Wells of a plate map, whatever its layout.

    Parameters
    ----------
    path : str or Path
        A file that :func:`read_sheets` reads.
    plate : str
        A sheet of this name is the plate's own.
    sheet : str, optional
        Name of the sheet to read. Left out: the plate's own, else the first that holds a plate map; all grids of a
        workbook belong together, a column each.
    named : dict of str to str, optional
        Our name → column, from the settings.

    Returns
    -------
    PlateTable
        Kept until the file changes, so that the plates of one file share it: do not change it.

    Raises
    ------
    ProfilingError
        If there is no such sheet, no plate map in the file, or a row or grid that cannot be told apart.
    """
    sheets = read_sheets(path)
    names = [one.name for one in sheets]
    if names != [None]:
        if sheet is not None and sheet not in names:
            raise ProfilingError(f"{path}: no sheet {sheet!r} (platemap.sheet); it has {', '.join(names)}")
        sheet = sheet or (plate if plate in names else None)
    else:
        sheet = None
    return _plate_table(str(path), file_state(path), sheet, tuple(sorted((named or {}).items())))


@lru_cache(maxsize=8)
def _plate_table(path, state, sheet, named):
    sheets = [one for one in read_sheets(path) if sheet is None or one.name == sheet]
    named = dict(named)
    for position, one in enumerate(sheets):
        header = find_header(one.rows, lambda names: holds_wells(names, named))
        if header is not None and not find_blocks(one.rows[: header + 2]):
            return long_table(path, one, header)
        if blocks := find_blocks(one.rows):
            grids = [(one, blocks)] + [(other, find_blocks(other.rows)) for other in sheets[position + 1 :]]
            return grid_table(path, grids, named)
    first = next((row for one in sheets for row in one.rows if sum(map(bool, row)) > 1), [])
    raise ProfilingError(
        f"{path}: no well column among {', '.join(filter(None, first[:30])) or 'its cells'}, and no grid with columns "
        "1, 2, 3 … and rows A, B, C …; name it in platemap.columns.well"
    )


def find_header(rows, is_header):
    """Index of the first row whose names make it a header, or None; what stands above are titles and comments."""
    for index, row in enumerate(rows[:MOST_TITLE_ROWS]):
        names = _names(row)
        if sum(map(bool, names)) > 1 and is_header(names):
            return index
    return None


def find_table(path, sheet, is_header):
    """Table below the first row that `is_header` (list of str → bool) takes, or None; see :func:`long_table`."""
    header = find_header(sheet.rows, is_header)
    return None if header is None else long_table(path, sheet, header)


def long_table(path, sheet, header):
    """Table of a sheet with one row a well.

    Rows without any content are left out. A row with more cells than the header is an error in a text file, where a
    separator inside a value shifts what follows it; in a workbook, what stands beside the table is not of it.
    """
    names = _names(sheet.rows[header])
    width = len(names)
    filled = [column for column, name in enumerate(names) if name]
    kept, numbers = [], []
    for index, row in enumerate(sheet.rows[header + 1 :], start=header + 1):
        if sheet.name is None and len(row) > width and any(row[width:]):
            raise ProfilingError(
                f"{path}, row {index + 1}: {len(row)} cells where the header has {width}; put values that hold the "
                "separator into quotation marks"
            )
        cells = row + [""] * (width - len(row))
        if any(cells[column] for column in filled) and not _is_comment(cells):
            kept.append([cells[column] for column in filled])
            numbers.append(index + 1)
    columns = _unique([names[column] for column in filled])
    values = pd.DataFrame(kept, columns=columns, index=range(len(kept)), dtype="str")
    numbers = np.repeat(np.array(numbers, dtype=np.int64)[:, None], len(columns), axis=1)
    rows = pd.DataFrame(numbers, columns=columns, index=values.index)
    return PlateTable(path, values, rows, dict.fromkeys(columns, sheet.name), grid=False)


def _is_comment(cells):
    return cells[0].startswith("#") and not any(cells[1:])


def _names(row):
    names = [" ".join(cell.split()) for cell in row]
    if names:
        names[0] = names[0].lstrip("#").strip()
    while names and not names[-1]:
        names.pop()
    return names


def _unique(names):
    """Names with a number behind those that stand again: `dose`, `dose.1`."""
    seen, out = set(), []
    for name in names:
        unique, number = name, 0
        while unique in seen:
            number += 1
            unique = f"{name}.{number}"
        seen.add(unique)
        out.append(unique)
    return out


class Block(NamedTuple):
    """One grid: its header's row, the column of its row letters, columns and rows of the plate, its title."""

    header: int
    left: int
    columns: range
    letters: list[tuple[int, int]]
    title: str


def find_blocks(rows):
    """Grids in a sheet: a row of numbers 1, 2, 3 … with the letters A, B, C … below its left end.

    Parameters
    ----------
    rows : list of list of str

    Returns
    -------
    list of Block
        From top to bottom and left to right. A grid may start at any row and column of the plate; its title stands in
        its corner, or above it with at most one empty row between.
    """
    blocks = []
    for header, row in enumerate(rows[:-1]):
        below = rows[header + 1]
        left = 0
        while left + 2 < len(row):
            numbers = _run(row, left + 1)
            if len(numbers) < 2 or left >= len(below) or _row_number(below[left]) is None:
                left += 1
                continue
            if any(_covers(block, header, left) for block in blocks):
                left += 1
                continue
            letters, last = [], 0
            for index in range(header + 1, len(rows)):
                number = _row_number(rows[index][left]) if left < len(rows[index]) else None
                if number is None or number <= last:
                    break
                letters.append((index, number))
                last = number
            title = _title(rows, header, left, len(numbers), blocks)
            blocks.append(Block(header, left, numbers, letters, title))
            left += 1 + len(numbers)
    return blocks


def _covers(block, row, column):
    """Whether a cell is one of a grid: numbers in it are no header."""
    return block.header < row <= block.letters[-1][0] and block.left <= column <= block.left + len(block.columns)


def _run(row, start):
    """Consecutive column numbers from a position of a row on."""
    first = _column_number(row[start])
    if first is None:
        return range(0)
    end = start + 1
    while end < len(row) and _column_number(row[end]) == first + end - start:
        end += 1
    return range(first, first + end - start)


def _column_number(text):
    match = _COLUMN_NUMBER.fullmatch(text)
    return int(match[1]) if match and int(match[1]) <= LAYOUTS[1536][1] else None


def _row_number(text):
    if not re.fullmatch(r"[A-Za-z]{1,2}", text):
        return None
    upper = text.upper()
    number = ord(upper[-1]) - 64 + (26 * (ord(upper[0]) - 64) if len(upper) == 2 else 0)
    return number if number <= LAYOUTS[1536][0] else None


def _title(rows, header, left, width, blocks):
    corner = rows[header][left]
    if key(corner) not in _UNTITLED:
        return corner.rstrip(": ")
    for above in range(header - 1, max(header - 3, -1), -1):
        if any(block.header <= above <= block.letters[-1][0] for block in blocks):
            break
        cells = [cell for cell in rows[above][left : left + 1 + width] if cell]
        if cells:
            return cells[0].lstrip("# ").rstrip(": ")
    return ""


def grid_table(path, grids, named):
    """Table of the grids of a file.

    Parameters
    ----------
    path : str
        For messages.
    grids : list of tuple
        Sheets and their blocks.
    named : dict of str to str
        Our name → column, from the settings.

    Returns
    -------
    PlateTable
        All wells of the grids; a grid without a title is named by its sheet, and the only grid of a file is the
        compound.

    Raises
    ------
    ProfilingError
        If a grid has no name beside others, or a well stands twice in grids of one name.
    """
    columns, sheets = {}, {}
    several = sum(len(blocks) for _, blocks in grids) > 1
    for sheet, blocks in grids:
        named_sheet = sheet.name is not None and not _NO_TITLE_SHEET.fullmatch(sheet.name)
        for block in blocks:
            title = " ".join(block.title.split()) or (sheet.name if named_sheet else "")
            if not several and title not in named.values() and not is_usual(title):
                title = named.get("compound") or "compound"
            if not title:
                raise ProfilingError(
                    f"{_place(path, sheet)}, row {block.header + 1}: the grid has no title; write what it holds into "
                    "the cell above it, such as compound or concentration"
                )
            wells = columns.setdefault(title, {})
            sheets.setdefault(title, sheet.name)
            for index, letter in block.letters:
                cells = sheet.rows[index]
                for offset, number in enumerate(block.columns, start=block.left + 1):
                    well = (letter, number)
                    if well in wells:
                        raise ProfilingError(
                            f"{_place(path, sheet)}, row {index + 1}: well {well_name(*well)} stands twice in the "
                            f"grids {title!r} (also row {wells[well][1]}); give each grid its own title"
                        )
                    wells[well] = (cells[offset] if offset < len(cells) else "", index + 1)
    wells = sorted({well for values in columns.values() for well in values})
    nothing = ("", 0)
    values = {"well": [well_name(*well) for well in wells]}
    rows = {"well": [max(known.get(well, nothing)[1] for known in columns.values()) for well in wells]}
    for title, known in columns.items():
        if title == "well":
            continue
        values[title] = [known.get(well, nothing)[0] for well in wells]
        rows[title] = [known.get(well, nothing)[1] for well in wells]
    values = pd.DataFrame(values, dtype="str")
    return PlateTable(path, values, pd.DataFrame(rows, index=values.index), {"well": None, **sheets}, grid=True)


def _place(path, sheet):
    return path if sheet.name is None else f"{path}, sheet {sheet.name!r}"
