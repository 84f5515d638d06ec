"""Reader for the measurements of Yokogawa CellVoyager instruments (CV7000, CV8000).

``MeasurementData.mlf`` has a record for each image; ``MeasurementDetail.mrf`` and the setting file (``.mes``) give
the pixel sizes and the channels' names. Positions are in um from the well's middle, x to the right and y up, as
the instrument writes them.
"""

import re

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.readers import as_images
from profiling.plates.readers.bts import Setting, read_detail, read_records, read_setting
from profiling.plates.wells import LAYOUTS, well_name

INDEX = "measurementdata.mlf"
SUFFIXES = (".tif", ".png", ".jpg")
"""Exports may be converted while the records keep the names with ``.tif``."""

_IMAGE_NAME = re.compile(r"_T\d+F\d+L\d+A\d+Z\d+C\d+\.\w+$", re.IGNORECASE)
_OUTSIDE = re.compile(r"(?:^|/)\.\.(?:/|$)|^/|^\w:")


def detect(folder, files):
    """Whether there is a ``MeasurementData.mlf``."""
    return any(_is_index(file.path) for file in files)


def read(folder, files, settings):
    """Images of the one ``MeasurementData.mlf`` of the listing (see :mod:`profiling.plates.readers`).

    A channel is named after its target in the setting file if all targets differ (``DNA``, ``405``), else by its
    number (``C01``); one that several actions image within a timeline is as many channels (``A01C01``).
    """
    index = _index(folder, files)
    base = index[: -len(INDEX)]
    below = {file.path.lower(): file for file in files if file.path.startswith(base)}
    records, errors = read_records(folder / index)
    if records.empty:
        said = f" but {len(errors)} errors (the first: {errors[0][2][:200]})" if errors else ""
        raise ProfilingError(f"{folder / index}: records no image{said}; image the plate again, or leave it out")
    sizes, setting, problems = _settings(folder, base, below)
    records["Well"] = _wells(records["Row"], records["Column"])
    records, unplaced = _locate(records, base, below)
    problems += unplaced
    records["Projection"] = records["Processing"].ne("") | records["Action"].str.contains("MIP", case=False)
    records["Time"] = _times(records)
    records["Channel"] = _channels(records, setting.targets)
    records, unplaced = _one_projection(records)
    problems += [*unplaced, *_unnamed(records, below)]
    lost, unplaced = _lost_wells(records, errors)
    problems += [*unplaced, *_unmeasured(index, records, errors, setting.wells)]
    records = pd.concat([records, lost], ignore_index=True)
    images = {
        "Metadata_Well": records["Well"],
        "Metadata_Site": records["FieldIndex"],
        "Metadata_Time": records["Time"],
        "Metadata_Z": records["ZIndex"].where(~records["Projection"], 0),
        "Metadata_Channel": records["Channel"],
        "Path": records["Path"],
        "FileSize": records["FileSize"],
        "Modified": records["Modified"],
        "Projection": records["Projection"],
        "PositionX": records["X"],
        "PositionY": records["Y"],
        "PixelSize": records["Ch"].map(sizes),
    }
    return as_images(images), problems


def _is_index(path):
    return path.lower().rpartition("/")[2] == INDEX


def _index(folder, files):
    found = [file.path for file in files if _is_index(file.path)]
    if not found:
        raise ProfilingError(
            f"{folder}: has no MeasurementData.mlf; copy it from the instrument, or write a regular expression for the "
            "images' names in images.pattern"
        )
    if len(found) > 1:
        raise ProfilingError(
            f"{folder}: has {len(found)} measurements ({', '.join(found[:3])}); let the plate's `images` name the "
            "folder of one"
        )
    return found[0]


def _settings(folder, base, below):
    """Pixel sizes and setting, as far as their files are there, and the problems where they are not."""
    detail = below.get(f"{base}MeasurementDetail.mrf".lower())
    sizes, name = read_detail(folder / detail.path) if detail else ({}, None)
    setting = below.get(f"{base}{name}".lower()) if name else None
    if setting is not None:
        return sizes, read_setting(folder / setting.path), []
    absent = name or "the setting file (.mes)"
    reason = f"{absent} is not there, so channels have numbers (C01) for names"
    remedy = "copy it from the instrument if other plates have the names"
    return sizes, Setting({}, set()), [("", reason, remedy)]


def _wells(rows, columns):
    """Names of wells; those no plate has keep their numbers, for the error that names them."""
    last_row, last_column = LAYOUTS[1536]
    pairs, inverse = np.unique(np.stack([rows, columns]), axis=1, return_inverse=True)
    names = [
        well_name(row, column) if 1 <= row <= last_row and 1 <= column <= last_column else f"r{row:02d}c{column:02d}"
        for row, column in pairs.T.tolist()
    ]
    return np.array(names, dtype=object)[inverse.ravel()]


def _locate(records, base, below):
    """Path, size and time of each record's file; the names no file can have are left out and become problems."""
    names = records["File"].str.replace("\\", "/")
    bad = names.eq("") | names.str.contains(_OUTSIDE)
    problems = []
    if bad.any():
        first = names[bad].iloc[0]
        reason = f"{bad.sum()} image records name no file below the measurement's folder (the first: {first[:80]!r})"
        problems.append((f"{base}MeasurementData.mlf", reason, "copy the measurement again from the instrument"))
    records, names = records[~bad].drop(columns="File"), names[~bad]
    located = [_find(base + name, below) for name in names]
    records["Path"] = [path for path, _, _ in located]
    records["FileSize"] = [size for _, size, _ in located]
    records["Modified"] = [modified for _, _, modified in located]
    return records.drop_duplicates("Path", ignore_index=True), problems


def _find(path, below):
    key = path.lower()
    if key in below:
        return below[key]
    stem = key.rpartition(".")[0]
    return next((below[stem + suffix] for suffix in SUFFIXES if stem + suffix in below), (path, 0, 0))


def _times(records):
    """Time points; where there are several timelines, counted from 1 within the timelines of each well.

    The instrument goes on counting from one timeline to the next, although each may image other wells: left as
    they are, half of the wells would seem to lack every time point of the other half.
    """
    if records["TimelineIndex"].eq(records["TimelineIndex"].max()).all():
        return records["TimePoint"]
    times = pd.Series(0, index=records.index)
    of_well = records.groupby("Well")["TimelineIndex"].agg(frozenset)
    pair = ["TimePoint", "TimelineIndex"]
    for timelines in of_well.unique():
        known = records.loc[records["TimelineIndex"].isin(timelines), pair].drop_duplicates().sort_values(pair)
        number = {key: position for position, key in enumerate(known.itertuples(index=False, name=None), 1)}
        here = records["Well"].map(of_well).eq(timelines)
        times[here] = [number[key] for key in records.loc[here, pair].itertuples(index=False, name=None)]
    return times


def _channels(records, targets):
    numbers = records["Ch"].unique().tolist()
    named = {targets.get(number) for number in numbers}
    by_target = None not in named and len(named) == len(numbers)
    names = records["Ch"].map({number: targets[number] if by_target else f"C{number:02d}" for number in numbers})
    actions = records.groupby(["TimelineIndex", "Ch", "Projection"])["ActionIndex"].nunique()
    shared = actions[actions > 1].index.get_level_values("Ch").unique()
    both = records.loc[records["Ch"].isin(shared), ["ActionIndex", "Ch"]]
    names[both.index] = [f"A{action:02d}C{number:02d}" for action, number in both.itertuples(index=False)]
    return names


def _one_projection(records):
    """Where the instrument projected a stack in several ways, the maximum is kept (or the first by name)."""
    kinds = records.loc[records["Projection"], ["Well", "FieldIndex", "Time", "Channel", "Processing"]]
    kinds = kinds.iloc[np.lexsort([kinds["Processing"], kinds["Processing"].str.lower().ne("maximum")])]
    kept = kinds.groupby(["Well", "FieldIndex", "Time", "Channel"])["Processing"].transform("first")
    surplus = kinds[kinds["Processing"].ne(kept)].sort_index()
    if surplus.empty:
        return records, []
    names = ", ".join(sorted(surplus["Processing"].unique()))
    reason = f"{len(surplus)} further projections ({names}) of stacks that have one already are left out"
    problem = records.loc[surplus.index[0], "Path"], reason, "remove the others if one of them is wanted instead"
    return records.drop(index=surplus.index), [problem]


def _unnamed(records, below):
    """One problem for all files that look like images and that no record names."""
    named = set(records["Path"])
    rest = [file.path for file in below.values() if file.path not in named and _IMAGE_NAME.search(file.path)]
    if not rest:
        return []
    reason = f"{len(rest)} images have no record in MeasurementData.mlf"
    return [(rest[0], reason, "copy MeasurementData.mlf again, or set images.pattern to read the names alone")]


def _lost_wells(records, errors):
    """Rows for the wells with errors and no image: those of the fullest well, with the names that theirs would have."""
    remedy = "image the well again, or exclude it"
    problems = [("", f"the instrument reports: {text[:200] or 'an error, no text'}", remedy) for _, _, text in errors]
    numbers = sorted({(row, column) for row, column, _ in errors if row is not None and column is not None})
    failed = set(_wells(*np.array(numbers, dtype=np.int32).T)) if numbers else set()
    lost = sorted(failed - set(records["Well"]))
    if not lost or records.empty:
        return records[:0], problems
    fullest = records["Well"].value_counts(sort=False).idxmax()
    template = records[records["Well"].eq(fullest) & records["Path"].str.contains(f"_{fullest}_", regex=False)]
    rows = [
        template.assign(
            Well=well,
            Path=[_replace_well(path, fullest, well) for path in template["Path"]],
            FileSize=0,
            Modified=0,
        )
        for well in lost
    ]
    return pd.concat(rows), problems


def _replace_well(path, old, new):
    head, _, tail = path.rpartition(f"_{old}_")
    return f"{head}_{new}_{tail}"


def _unmeasured(index, records, errors, selected):
    """One problem for all wells that the setting file selects and that have no record."""
    measured = set(zip(records["Row"].tolist(), records["Column"].tolist(), strict=True))
    rest = sorted(selected - measured - {(row, column) for row, column, _ in errors})
    if not rest:
        return []
    names = _wells(*np.array(rest, dtype=np.int32).T).tolist()
    shown = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
    reason = f"{len(names)} wells that the setting file selects have no record ({shown})"
    return [(index, reason, "if the measurement was stopped, image them again or exclude them")]
