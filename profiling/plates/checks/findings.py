"""What a check has to say, one finding at a time, and wells said in few words."""

from itertools import groupby
from typing import NamedTuple

from profiling.plates.wells import parse_well, well_name

LEVELS = ("error", "warning", "note")
"""`error`: the run would stop, lose a plate or give wrong numbers. `warning`: images or wells are lost, or something
is probably not as meant. `note`: good to know."""


class Finding(NamedTuple):
    """One thing that was found.

    Attributes
    ----------
    level : str
        One of :data:`LEVELS`.
    plate : str
        Empty where it concerns the whole screen.
    what : str
        The same words on every plate that has it, so that plates can be told together.
    where : str
        Wells, files and counts on this plate; may be empty.
    remedy : str
        What to do; empty where `what` says it.
    """

    level: str
    plate: str
    what: str
    where: str
    remedy: str


class Folded(NamedTuple):
    """The same finding of several plates: their names, and where it is on the first of them."""

    level: str
    plates: list[str]
    what: str
    where: str
    remedy: str


def fold(findings):
    """Put the plates of the same finding together, errors first; else in the order given.

    Parameters
    ----------
    findings : iterable of Finding

    Returns
    -------
    list of Folded
    """
    folded = {}
    for level, plate, what, where, remedy in findings:
        one = folded.setdefault((level, what, remedy), Folded(level, [], what, where, remedy))
        one.plates.append(plate)
    return sorted(folded.values(), key=lambda one: LEVELS.index(one.level))


def counted(number, noun):
    """``1 file``, ``2 files``, ``12,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names, most=5):
    """Names with commas, the first few where there are many."""
    names = list(map(str, names))
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def say_wells(wells, most=6):
    """Wells as blocks: ``A01-D03`` is three columns of four rows.

    Parameters
    ----------
    wells : iterable of str
        Well names in any order, repeated or not.
    most : int
        Blocks that are written out.

    Returns
    -------
    str
    """
    runs = []
    for row, of_row in groupby(sorted({parse_well(well) for well in wells}), key=lambda position: position[0]):
        columns = [column for _, column in of_row]
        for _, run in groupby(enumerate(columns), key=lambda pair: pair[1] - pair[0]):
            run = [column for _, column in run]
            runs.append((run[0], run[-1], row))
    blocks = []
    for (first, last), rows in _by_columns(runs):
        for _, run in groupby(enumerate(rows), key=lambda pair: pair[1] - pair[0]):
            run = [row for _, row in run]
            blocks.append((run[0], first, run[-1], last))
    names = []
    for top, left, bottom, right in sorted(blocks):
        one, other = well_name(top, left), well_name(bottom, right)
        names.append(one if one == other else f"{one}-{other}")
    return listed(names, most)


def _by_columns(runs):
    rows = {}
    for first, last, row in runs:
        rows.setdefault((first, last), []).append(row)
    return rows.items()
