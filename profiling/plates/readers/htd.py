"""The plate description (``.HTD``) that MetaXpress exports beside the images of an ImageXpress.

Lines of comma-separated values, the first of them a quoted key: ``"HTSInfoFile", Version 1.0`` first, ``"EndFile"``
last. The vendor publishes no description. The keys were taken from exports and from the readers in
fmi-faim/faim-ipa and OME Bio-Formats (CellWorxReader).
"""

import re
from typing import NamedTuple

from profiling.errors import ProfilingError
from profiling.plates.wells import LAYOUTS, well_name

MAXIMUM_SIZE = 1 << 20  # bytes; that of a 1536-well plate has 20,000
_SELECTION = re.compile(r"(wells|site)s?selection(\d{1,4})")


class Description(NamedTuple):
    """What an export should hold.

    Attributes
    ----------
    wells : list of str
        Selected wells, ``A01`` …; empty if the file does not say.
    sites : int
        Sites of a well, which are numbered from 1.
    waves : dict of int to str
        Number of each wavelength that was collected → its name, which may be empty.
    times, steps : int
        Time points, and planes of a stack; at least 1.
    """

    wells: list
    sites: int
    waves: dict
    times: int
    steps: int


def read_htd(path):
    """Read an ``.HTD`` file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Description

    Raises
    ------
    ProfilingError
        If it cannot be read or contradicts itself.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MAXIMUM_SIZE + 1)
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error.strerror}); correct its rights or copy it") from None
    # The description typed by the operator has bytes that are no text in any encoding.
    text = raw.decode("cp1252", errors="replace")
    if len(raw) > MAXIMUM_SIZE or "HTSInfoFile" not in text[:100]:
        raise ProfilingError(
            f"{path}: is not a plate description of MetaXpress (HTSInfoFile); copy it again from the export, or remove "
            "it to read the images' names alone"
        )
    values, selected = {}, {"wells": {}, "site": {}}
    for line in text.splitlines():
        key, _, rest = line.partition(",")
        key = key.strip().strip('"').lower()
        if match := _SELECTION.fullmatch(key):
            selected[match[1]][int(match[2])] = [flag.strip().upper() == "TRUE" for flag in rest.split(",")]
        else:
            values.setdefault(key, rest.strip().strip('"').strip())
    number = _reader(path, values)
    return Description(
        wells=_wells(path, selected["wells"]),
        sites=max(1, sum(map(sum, selected["site"].values()))) if _is_true(values, "sites") else 1,
        waves=_waves(values, number),
        times=max(1, number("TimePoints", 1)),
        steps=max(1, number("ZSteps", 1)) if _is_true(values, "zseries") else 1,
    )


def _reader(path, values):
    """Function that reads a number by its key."""

    def number(key, default):
        text = values.get(key.lower())
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 4):
            raise ProfilingError(
                f"{path}: {key} is {text[:60]!r} where a number below 10,000 belongs; copy the file again from the "
                "export, or remove it to read the images' names alone"
            )
        return int(text)

    return number


def _is_true(values, key):
    return values.get(key, "").upper() == "TRUE"


def _wells(path, selected):
    rows, columns = LAYOUTS[1536]
    wells = [(row, column) for row, flags in selected.items() for column, flag in enumerate(flags, 1) if flag]
    if outside := [(row, column) for row, column in wells if not (1 <= row <= rows and column <= columns)]:
        raise ProfilingError(
            f"{path}: selects row {outside[0][0]}, column {outside[0][1]}, which no plate has; copy the file again "
            "from the export, or remove it to read the images' names alone"
        )
    return [well_name(row, column) for row, column in sorted(wells)]


def _waves(values, number):
    """Collected wavelengths; one if the images' names have none (``"Waves", FALSE``)."""
    count = max(1, number("NWavelengths", 1)) if _is_true(values, "waves") else 1
    waves = range(1, min(count, 99) + 1)
    return {wave: values.get(f"wavename{wave}", "") for wave in waves if number(f"WaveCollect{wave}", 1) > 0}
