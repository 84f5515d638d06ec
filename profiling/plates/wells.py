"""Well names, plate layouts and the deal of a plate's wells to chunks."""

import re

LAYOUTS = {
    6: (2, 3),
    12: (3, 4),
    24: (4, 6),
    48: (6, 8),
    96: (8, 12),
    384: (16, 24),
    1536: (32, 48),
}
"""Rows and columns of the plates that are sold, by their number of wells."""

_LETTERS = re.compile(r"([A-Za-z]{1,2})[\W_]?0*([1-9]\d{0,2})")
_NUMBERS = re.compile(r"[rR]0*([1-9]\d?)[\W_]?[cC]0*([1-9]\d?)")


def well_name(row, column):
    """Name of a well from its position.

    Parameters
    ----------
    row, column : int
        Counted from 1.

    Returns
    -------
    str
        ``A01`` … ``Z48``, then ``AA01`` … ``AF48``.
    """
    return f"{row_letters(row)}{column:02d}"


def row_letters(row):
    """Letters of a row (``A`` … ``AF``) from its number, counted from 1, or from what already are letters."""
    text = str(row)
    if not text.isdecimal():
        return text
    number = int(text)
    return chr(64 + number) if number <= 26 else "A" + chr(64 + number - 26)


def parse_well(text):
    """Row and column of a well however an instrument or a person wrote it.

    Parameters
    ----------
    text : str
        ``A1``, ``a01``, ``A001``, ``A-01``, ``r01c01`` or ``AA24``.

    Returns
    -------
    tuple of int
        Row and column, counted from 1.

    Raises
    ------
    ValueError
        If the text is no well name or lies outside a 1536-well plate.
    """
    text = str(text).strip()
    if match := _NUMBERS.fullmatch(text):
        row, column = int(match[1]), int(match[2])
    elif match := _LETTERS.fullmatch(text):
        letters = match[1].upper()
        row = ord(letters[-1]) - 64 + (26 * (ord(letters[0]) - 64) if len(letters) == 2 else 0)
        column = int(match[2])
    else:
        raise ValueError(f"{text!r} is not a well name; write it as A01, a1, A001 or r01c01")
    rows, columns = LAYOUTS[1536]
    if row > rows or column > columns:
        raise ValueError(f"well {text!r} lies outside a 1536-well plate (AF48 is its last well)")
    return row, column


def normalise_well(text, layout=None):
    """Canonical name (``A01``) of a well, checked against the plate's layout.

    Raises
    ------
    ValueError
        If the text is no well name or the well lies outside the layout.
    """
    row, column = parse_well(text)
    if layout is not None:
        rows, columns = LAYOUTS[layout]
        if row > rows or column > columns:
            raise ValueError(
                f"well {text!r} lies outside a {layout}-well plate (last well {well_name(rows, columns)}); "
                "correct the well or the plate's layout"
            )
    return well_name(row, column)


def plate_wells(layout):
    """All wells of a layout, row by row.

    Parameters
    ----------
    layout : int
        Number of wells, a key of :data:`LAYOUTS`.

    Returns
    -------
    list of str
    """
    rows, columns = LAYOUTS[layout]
    return [well_name(r, c) for r in range(1, rows + 1) for c in range(1, columns + 1)]


def infer_layout(wells):
    """Smallest of the 96-, 384- and 1536-well layouts that holds all the wells given."""
    positions = [parse_well(well) for well in wells]
    for layout in (96, 384, 1536):
        rows, columns = LAYOUTS[layout]
        if all(row <= rows and column <= columns for row, column in positions):
            return layout
    raise AssertionError("parse_well refuses wells outside a 1536-well plate")


def chunk_wells(layout, chunk, chunks, exclude=()):
    """Wells of one chunk, dealt in turn so that every chunk sees the whole plate.

    Parameters
    ----------
    layout : int
        Number of wells of the plate.
    chunk : int
        Counted from 1.
    chunks : int
        Chunks a plate.
    exclude : iterable of str
        Wells to leave out, as the plate table says.

    Returns
    -------
    list of str
    """
    if not 1 <= chunk <= chunks:
        raise ValueError(f"chunk {chunk} does not exist: the plate has chunks 1 to {chunks}")
    left_out = set(exclude)
    return [well for well in plate_wells(layout)[chunk - 1 :: chunks] if well not in left_out]
