"""Reader for any folder whose file names follow one pattern."""

import re
from collections import defaultdict
from itertools import count

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.patterns import PATTERNS
from profiling.plates.readers import as_images

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".c01", ".dib")
NUMBERS = {"site": 1, "time": 0, "z": 0}
"""Groups that count, with what they are where the pattern lacks them."""
SAMPLE = 200  # names that tell which ready pattern fits
BATCH = 512  # names matched before their groups become columns: few enough not to set off the garbage collector

_ELAPSED = re.compile(r"(\d+)d(\d\d)h(\d\d)m")


def detect(folder, files):
    """Whether most images of the folder fit one of the ready patterns."""
    return _ready_pattern(_images(files)) is not None


def read(folder, files, settings):
    """Images whose path matches ``settings.pattern`` (see :mod:`profiling.plates.readers`).

    Image files that do not match are problems: a typing error in a name must not lose a well in silence. Thumbnails
    (``_thumb``) are passed over. A time such as ``03d06h40m`` is counted in minutes. Where ``settings.pages`` is
    ``channel`` and the pattern has no such group, the channel is an empty text
    (:func:`profiling.plates.pages.expand_pages` gives it).
    """
    files = _images(files)
    name = settings.pattern or _ready_pattern(files)
    if name is None:
        raise ProfilingError(f"{folder}: no ready pattern fits the names of its images; write one in images.pattern")
    matched, groups = match_names([file.path for file in files], re.compile(PATTERNS.get(name, name)))
    problems = _problems(files, ~matched, "the name does not match images.pattern", "rename it, or widen the pattern")
    columns, flaws = _columns(groups, settings.pages)
    files = files if matched.all() else [file for file, good in zip(files, matched, strict=True) if good]
    sound = np.ones(len(files), bool)
    for wrong, reason, remedy in flaws:
        problems += _problems(files, sound & wrong, reason, remedy)
        sound &= ~wrong
    paths, sizes, times = zip(*files, strict=True) if files else ((), (), ())
    images = pd.DataFrame(
        {
            **columns,
            "Path": pd.array(paths, dtype="str"),
            "FileSize": np.array(sizes, "int64"),
            "Modified": np.array(times, "int64"),
        }
    )
    return as_images(images if sound.all() else images[sound]), problems


def match_names(names, expression):
    """Named groups of many names.

    Parameters
    ----------
    names : list of str
    expression : re.Pattern

    Returns
    -------
    matched : ndarray of bool
        Whether the expression is found in a name.
    groups : dict
        Of each named group, the text in every name that matched, as ``(codes, texts)``: ``texts[codes[i]]``. The
        texts are few where names are many. None: the group took no part.
    """
    numbers = list(expression.groupindex.values())
    texts = [defaultdict(count().__next__) for _ in numbers]
    codes = [[np.empty(0, np.int32)] for _ in numbers]
    matched = np.zeros(len(names), bool)
    for start in range(0, len(names), BATCH):
        found = [expression.search(name) for name in names[start : start + BATCH]]
        matched[start : start + BATCH] = [match is not None for match in found]
        # Group 0 comes along so that the match has a tuple also where the expression has one group.
        rows = [match.group(0, *numbers) for match in found if match]
        for column, known, parts in zip([*zip(*rows, strict=True)][1:], texts, codes, strict=False):
            parts.append(np.fromiter(map(known.__getitem__, column), np.int32, len(column)))
    columns = zip(expression.groupindex, codes, texts, strict=True)
    return matched, {group: (np.concatenate(parts), list(known)) for group, parts, known in columns}


def _columns(groups, pages):
    """Columns of the images from the groups, and where they cannot be: (rows, reason, remedy)."""
    columns, flaws = {}, []
    well, is_well = _wells(groups)
    columns["Metadata_Well"] = well
    flaws.append((~is_well, "the name has no well", "rename it, or correct images.pattern"))
    for group, default in NUMBERS.items():
        if group in groups:
            codes, texts = groups[group]
            values = [_number(text, default) for text in texts]
            columns[f"Metadata_{group.capitalize()}"] = np.array([value or 0 for value in values], np.int32)[codes]
            is_number = np.array([value is not None for value in values], bool)[codes]
            flaws.append((~is_number, "site, time or z is not a number", "narrow images.pattern"))
    if "channel" in groups:
        codes, texts = groups["channel"]
        columns["Metadata_Channel"] = _text(codes, [text or "" for text in texts])
        lacks_channel = np.array([not text for text in texts], bool)[codes]
        if pages != "channel":
            flaws.append((lacks_channel, "the name has no channel", "rename it, or correct images.pattern"))
    else:
        columns["Metadata_Channel"] = ""
    return columns, flaws


def _wells(groups):
    """Wells as text, and which are there; rows and columns given apart are joined."""
    if "well" in groups:
        codes, texts = groups["well"]
    else:
        (rows, row_texts), (columns, column_texts) = groups["row"], groups["column"]
        pairs, codes = np.unique(rows.astype(np.int64) * len(column_texts) + columns, return_inverse=True)
        parts = [(row_texts[pair // len(column_texts)], column_texts[pair % len(column_texts)]) for pair in pairs]
        texts = [_join(*part) if all(part) else None for part in parts]
    return _text(codes, [text or "" for text in texts]), np.array([bool(text) for text in texts], bool)[codes]


def _join(row, column):
    return f"r{row}c{column}" if row.isdecimal() else f"{row}{column}"


def _text(codes, texts):
    """One text a row. Texts that occur twice are allowed, unlike in a categorical."""
    return pd.Series(texts, dtype="str").take(codes).array


def _number(text, default):
    """Value of a number's text, None if it is none or too large for a table."""
    if not text:
        return default
    if match := _ELAPSED.fullmatch(text):
        days, hours, minutes = map(int, match.groups())
        value = (24 * days + hours) * 60 + minutes
    else:
        try:
            value = int(text)
        except ValueError:
            return None
    return value if abs(value) < 2**31 else None


def _problems(files, wrong, reason, remedy):
    return [(files[row].path, reason, remedy) for row in np.flatnonzero(wrong)]


def _images(files):
    paths = ((file, file.path.lower()) for file in files)
    return [file for file, path in paths if path.endswith(SUFFIXES) and "_thumb" not in path]


def _ready_pattern(images):
    """The ready pattern that fits most images, if it fits at least half of them; told from some of them."""
    names = [file.path for file in images[:: len(images) // SAMPLE + 1]]
    fitting = {name: sum(bool(re.search(text, path)) for path in names) for name, text in PATTERNS.items()}
    best = max(fitting, key=fitting.get)
    return best if names and fitting[best] >= len(names) / 2 else None
