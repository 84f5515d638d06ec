"""Reader for exports of Opera Phenix, Operetta and Sonata (Harmony), and of Columbus.

The index beside the images (``Index.idx.xml`` until Harmony 5, ``Index.xml`` from 6 on, Columbus'
``ImageIndex.ColumbusIDX.xml``) says everything: the names of the files are not read. An image that the index lists
and the folder lacks is a row all the same, so that an acquisition that was stopped, or a copy that was, shows.

- Site (``FieldID``), plane (``PlaneID``) and time (``TimepointID``, from 0 until Harmony 5, from 1 in Harmony 7
  and Columbus) are numbered as in the index.
- ``PositionX`` and ``PositionY`` are the field's middle from the well's middle, with the index's signs: x to the
  right and, as far as can be inferred (field 1 of a grid has negative x and positive y), y upwards, against the rows
  of the image.
- ``OrientationMatrix``, the instrument's alignment of camera and stage, is not applied. In the files seen it scales
  by 2 % or less, with the sign of y reversed. :func:`read_index` gives it where it is asked for.

Verified on files of Harmony 5 (Phenix). Unverified until such a file is at hand: Harmony 6 and 7, after the file of
Harmony 7 in the tests of pe2loaddata; Harmony 4, which public code reads by the elements of 5; and Columbus, whose
index has the same elements in another namespace and whose images may be pages of one file (``BufferNo``), after
Bio-Formats' ColumbusReader. Columbus writes one index a time point; each is an export of its own here.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.readers import as_images
from profiling.plates.readers.harmony_index import INDEX_ROOT, PAGE, read_index

INDEX_NAMES = ("index.idx.xml", "index.xml", "index.ref.xml", "imageindex.columbusidx.xml")
"""Names of indexes, in lower case; of several in a folder, the first of these is read."""
MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "nm": 1e-3}
NUMBERS = ("Row", "Col", "FieldID", "ChannelID", "PlaneID", "TimepointID", PAGE)
NEEDED = NUMBERS[:4]
DIGITS = 9  # of a number at most; tables hold int32
ELSEWHERE = re.compile(r"^/|^[A-Za-z]:|://|(?:^|/)\.\.(?:/|$)")
HEAD = 4096  # bytes of a file in which the root element stands


def detect(folder, files):
    """Whether there is an index of Harmony or Columbus."""
    return any(_is_index(Path(folder) / path) for path in _named_like_indexes(files)[:2])


def read(folder, files, settings):
    """Images of the export's index (see :mod:`profiling.plates.readers`).

    Raises
    ------
    ProfilingError
        If there is no index, more than one export, or the index cannot be read or lists no image.
    """
    found = _find_index(Path(folder), files)
    path = Path(folder) / found
    index = read_index(path)
    if not index.images["URL"]:
        raise ProfilingError(f"{path} lists no images: none were taken, or it was not exported whole; export it again")
    images, channels = pd.DataFrame(index.images, dtype="object"), index.channels
    numbers = {name: _by_text(images[name], _whole, -1, absent=-1 if name in NEEDED else 0) for name in NUMBERS}
    images = images.assign(
        **numbers,
        **{name: _by_text(images[name], _micrometres, np.nan, absent=np.nan) for name in ("PositionX", "PositionY")},
        PixelSize=_by_text(_of_channel(images, channels, "ImageResolutionX"), _size, np.nan, absent=np.nan),
        ChannelName=_of_channel(images, channels, "ChannelName"),
        URL=images["URL"].fillna("").str.replace("\\", "/", regex=False).str.removeprefix("./"),
    )
    images, unplaced = _placed(images, found)
    base = found.rpartition("/")[0]
    images = images.assign(Path=(base + "/" if base else "") + images["URL"])
    listed, absent = _listed(images["Path"], files)
    table = as_images(
        {
            "Metadata_Well": [
                f"r{row:02d}c{column:02d}" for row, column in zip(images["Row"], images["Col"], strict=True)
            ],
            "Metadata_Site": images["FieldID"],
            "Metadata_Time": images["TimepointID"],
            "Metadata_Z": images["PlaneID"],
            "Metadata_Channel": _channel_labels(images),
            "Path": listed["Path"],
            "Page": images[PAGE],
            "FileSize": listed["FileSize"],
            "Modified": listed["Modified"],
            "PositionX": images["PositionX"],
            "PositionY": images["PositionY"],
            "PixelSize": images["PixelSize"],
        }
    )
    return table, [*unplaced, *_odd_states(images["State"], listed["Path"]), *absent]


def _named_like_indexes(files):
    return [file.path for file in files if file.path.rpartition("/")[2].lower() in INDEX_NAMES]


def _is_index(path):
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return INDEX_ROOT.encode() in head.replace(b"\0", b"")  # also in UTF-16


def _find_index(folder, files):
    """The index's path below the plate's folder."""
    by_folder = {}
    for path in _named_like_indexes(files):
        if _is_index(folder / path):
            by_folder.setdefault(path.rpartition("/")[0], []).append(path)
    if not by_folder:
        raise ProfilingError(
            f"{folder} holds no index of Harmony (Index.idx.xml, Index.xml) or Columbus "
            "(ImageIndex.ColumbusIDX.xml); point the plate's `images` at the folder of the export"
        )
    if len(by_folder) > 1:
        shown = ", ".join(sorted(by_folder)[:3]) + (" ..." if len(by_folder) > 3 else "")
        raise ProfilingError(
            f"{folder} holds {len(by_folder)} exports ({shown}); point the plate's `images` at one of them"
        )
    (paths,) = by_folder.values()
    return min(paths, key=lambda path: INDEX_NAMES.index(path.rpartition("/")[2].lower()))


def _by_text(texts, number, invalid, absent):
    """Numbers of texts, each different text read once; ``invalid`` where ``number`` gives None."""
    codes, unique = pd.factorize(texts)
    values = [number(text) for text in unique]
    return np.array([*(invalid if value is None else value for value in values), absent])[codes]


def _whole(text):
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= DIGITS else None


def _micrometres(text):
    value, _, unit = text.partition(" ")
    try:
        length = float(value) * MICROMETRES[unit]
    except (ValueError, KeyError):
        return None
    return length if np.isfinite(length) else None


def _size(text):
    length = _micrometres(text)
    return length if length and length > 0 else None


def _of_channel(images, channels, element):
    """An element of each image, from its channel's entry in ``Maps`` where the image lacks it."""
    entries = {channel: entry[element] for channel, entry in channels.items() if element in entry}
    own = images[element]
    return own.where(own.notna(), images["ChannelID"].map(entries)) if entries else own


def _placed(images, index):
    """The images that have a place and a file of the export, and a problem for each reason why others have not."""
    reasons = [(images[name].lt(0), f"{name} is missing or no whole number") for name in NUMBERS]
    reasons += [
        (images["URL"].eq(""), "the index names no file, as where the instrument took no image"),
        (images["URL"].str.contains(ELSEWHERE), "the index names a file outside the export"),
    ]
    left, problems = pd.Series(True, index=images.index), []
    for wrong, reason in reasons:
        wrong = wrong & left
        if wrong.any():
            first = images.loc[wrong, ["Row", "Col", "FieldID"]].iloc[0]
            row, column, site = first.where(first.ge(0), "unknown")
            first = f"{wrong.sum()} images, the first of row {row}, column {column}, site {site}"
            problems.append((index, f"{reason} ({first})", "if these images exist, export the measurement again"))
            left &= ~wrong
    return images[left].reset_index(drop=True), problems


def _channel_labels(images):
    """Names of the channels if each number has one name that no other has, else the numbers."""
    pairs = images[["ChannelID", "ChannelName"]].drop_duplicates()
    numbers = images["ChannelID"].astype("str")
    named = pairs["ChannelName"].notna().all() and pairs["ChannelName"].ne("").all()
    one_to_one = pairs["ChannelID"].is_unique and pairs["ChannelName"].is_unique
    return images["ChannelName"] if named and one_to_one else numbers


def _odd_states(states, paths):
    """A problem for each state of images other than Ok; they stay in the table."""
    odd = states[states.notna() & states.ne("") & states.ne("Ok")]
    reason = "the instrument marks it {!r}, not Ok ({} images)"
    return [
        (paths[rows[0]], reason.format(state[:40], len(rows)), "look at these images")
        for state, rows in odd.groupby(odd).groups.items()
    ]


def _listed(paths, files):
    """Path as it is listed, size and time of each image, 0 where it is absent; and what to say of those."""
    known = {file.path: file for file in files}
    found = [known.get(path) for path in paths]
    if None in found:
        in_lower_case = {file.path.lower(): file for file in files}
        found = [file or in_lower_case.get(path.lower()) for file, path in zip(found, paths, strict=True)]
    absent = [path for file, path in zip(found, paths, strict=True) if file is None]
    rows = [file or (path, 0, 0) for file, path in zip(found, paths, strict=True)]
    table = pd.DataFrame(rows, columns=["Path", "FileSize", "Modified"], index=paths.index)
    if not absent:
        return table, []
    reason = f"{len(absent)} of the {len(paths)} images that the index lists are not in the folder, this the first"
    remedy = "copy the rest of the export; if the acquisition was stopped there is no more, and they stay unreadable"
    return table, [(absent[0], reason, remedy)]
