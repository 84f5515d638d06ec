"""Measurement files of Yokogawa CellVoyager instruments: XML of the "BTS" schema, streamed.

The vendor publishes no description. The elements were taken from files of a CV8000 and from two open readers of
them: OME Bio-Formats (CV7000Reader) and fmi-faim/faim-ipa.
"""

from functools import cache
from typing import NamedTuple
from xml.parsers import expat

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError

BLOCK = 1 << 20  # bytes read at a time
INTEGERS = {
    "Row": None,
    "Column": None,
    "FieldIndex": None,
    "Ch": None,
    "TimePoint": 0,
    "ZIndex": 0,
    "TimelineIndex": 1,
    "ActionIndex": 1,
}
"""Numbers of an image's record, with what they are where the record lacks them (None: it may not)."""


class Setting(NamedTuple):
    """What a setting file (``.mes``) says.

    Attributes
    ----------
    targets : dict of int to str
        Number of a channel → what it images (``DNA``, or the laser's ``405``).
    wells : set of tuple of int
        Row and column, counted from 1, of each well that is to be measured.
    """

    targets: dict
    wells: set


def read_records(path):
    """Records of ``MeasurementData.mlf``: one an image, and one an error.

    Parameters
    ----------
    path : Path

    Returns
    -------
    images : pandas.DataFrame
        The integers of :data:`INTEGERS` (int32), ``X`` and ``Y`` (float64, um, NaN where not a number), ``Action``,
        ``Processing`` (``Maximum`` …, empty but for projections) and ``File`` (str).
    errors : list of tuple
        Row, column (int, or None) and text of each record that is not an image.

    Raises
    ------
    ProfilingError
        If it cannot be read, or an image's record lacks a number.
    """
    columns = {name: [] for name in (*INTEGERS, "X", "Y", "Action", "ZImageProcessing")}
    texts, errors, kept = [], [], {}
    for _, attributes, text in _elements(path, "MeasurementData", {"MeasurementRecord"}):
        if attributes.get("Type", "IMG") != "IMG":
            errors.append((_integer(attributes.get("Row")), _integer(attributes.get("Column")), text))
            continue
        texts.append(text)
        for name, column in columns.items():
            value = attributes.get(name)
            column.append(kept.setdefault(value, value))  # a plate has few different values: keep each once
    table = {name: _integers(columns[name], name, default, path) for name, default in INTEGERS.items()}
    table |= {name: _floats(columns[name]) for name in ("X", "Y")}
    table["Action"] = ["" if value is None else value for value in columns["Action"]]
    table["Processing"] = ["" if value is None else value for value in columns["ZImageProcessing"]]
    return pd.DataFrame({**table, "File": pd.Series(texts, dtype="str")}), errors


def read_detail(path):
    """Pixel sizes and the setting file's name, from ``MeasurementDetail.mrf``.

    Returns
    -------
    sizes : dict of int to float
        Number of a channel → um a pixel.
    setting : str or None
        Name of the setting file.
    """
    sizes, setting = {}, None
    for name, attributes, _ in _elements(path, "MeasurementDetail", {"MeasurementDetail", "MeasurementChannel"}):
        if name == "MeasurementDetail":
            setting = attributes.get("MeasurementSettingFileName")
            continue
        channel, size = _integer(attributes.get("Ch")), _float(attributes.get("HorizontalPixelDimension"))
        if channel is not None and size > 0:
            sizes.setdefault(channel, size)
    return sizes, setting


def read_setting(path):
    """Targets of the channels and selected wells, from the setting file (``.mes``).

    Returns
    -------
    Setting
    """
    targets, wells, sequence = {}, set(), set()
    for name, attributes, text in _elements(path, "MeasurementSetting", {"Channel", "TargetWell", "WellSequence"}):
        if name == "Channel":
            channel, target = _integer(attributes.get("Ch")), attributes.get("Target", "").strip()
            if channel is not None and target:
                targets.setdefault(channel, target)
        elif name == "TargetWell":
            well = _integer(attributes.get("Row")), _integer(attributes.get("Column"))
            if text.lower() == "true" and None not in well:
                sequence.add(well)
        else:
            wells |= sequence if attributes.get("IsSelected", "true").lower() == "true" else set()
            sequence = set()
    return Setting(targets, wells)


def _elements(path, root, names):
    """Name, attributes and text of each element of the names given, as it ends; nothing else is kept.

    A document type declaration is refused: it is the door to external and self-multiplying entities, and the
    instrument writes none.
    """
    seen_root, open_elements, found = [], [], []
    local = cache(lambda tag: tag.rpartition(" ")[2])

    def start(tag, attributes):
        name = local(tag)
        if not seen_root:
            if name != root:
                raise ProfilingError(f"{path}: holds <{name[:60]}> and not <{root}>; copy it again from the instrument")
            seen_root.append(name)
        if name in names:
            open_elements.append((name, {local(key): value for key, value in attributes.items()}, []))

    def data(text):
        if open_elements:
            open_elements[-1][2].append(text)

    def end(tag):
        if open_elements and local(tag) == open_elements[-1][0]:
            name, attributes, texts = open_elements.pop()
            found.append((name, attributes, "".join(texts).strip()))

    def refuse(*_):
        raise ProfilingError(f"{path}: has a document type declaration, which no instrument writes; copy it again")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = refuse
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                parser.Parse(block, False)
                yield from found
                found.clear()
            parser.Parse(b"", True)
            yield from found
    except ProfilingError:
        raise
    except OSError as error:
        raise ProfilingError(f"{path}: cannot be read ({error.strerror}); correct its rights or copy it") from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise ProfilingError(
            f"{path}: is damaged or cut short ({error}); copy it again from the instrument, or write a regular "
            "expression for the images' names in images.pattern"
        ) from None


def _integers(values, name, default, path):
    """Values as int32; an error where one is no number of at most nine digits, or lacks and has no default."""
    numbers = {value: default if value is None else _integer(value) for value in set(values)}
    for value, number in numbers.items():
        if number is None:
            raise ProfilingError(
                f"{path}: image record {values.index(value) + 1} has {name}="
                f"{'nothing' if value is None else repr(value[:60])} where a number belongs; copy the file again "
                "from the instrument"
            )
    return np.fromiter((numbers[value] for value in values), dtype=np.int32, count=len(values))


def _floats(values):
    numbers = {value: _float(value) for value in set(values)}
    return np.fromiter((numbers[value] for value in values), dtype=np.float64, count=len(values))


def _integer(text):
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _float(text):
    try:
        number = float(text or "nan")
    except ValueError:
        return float("nan")
    return number if np.isfinite(number) else float("nan")
