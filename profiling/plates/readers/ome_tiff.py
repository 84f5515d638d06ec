"""Reader for TIFF files that hold several planes and say so: OME-TIFF and ImageJ stacks.

Wells come from the OME-XML where it describes a plate, in a companion file or in the TIFF files; else from the
names of the files, by `images.pattern` (the channel may be left out of it), by a ready pattern or as in
``A01_s2.ome.tif``. Channels, z and times of the pages come from the OME-XML, from ImageJ's metadata, or, where a
file has neither, from `images.pages`.

A file that a document read before describes is not opened. All others are, each once, since files of one size can
hold different things. Sites are numbered from 1: the fields of a well as the plate lists them, or the images of a
file where its name gives no site. A channel goes by its name where the names of the image are unique, else by its
number, from 0, as do times and planes. Positions keep the stage's sign; those without a unit of length are left out.
"""

import posixpath
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from math import isnan, nan, prod
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from profiling.errors import ProfilingError
from profiling.plates.patterns import PATTERNS
from profiling.plates.readers import as_images
from profiling.plates.readers.ome_xml import (
    MAXIMUM_PLANES,
    MICROMETRES,
    OmeDocument,
    OmeImage,
    numbered_planes,
    read_ome_xml,
)

THREADS = 16
COMPANIONS = (".companion.ome", ".ome.xml")
TIFFS = (".tif", ".tiff", ".btf", ".tf2", ".tf8")
WELL_AND_SITE = (
    r"(?:^|[^A-Za-z0-9])(?P<well>[A-Za-z]{1,2}\d{1,2})"
    r"(?:[ _-]+(?:[sSfFpP]|[fF]ield|[sS]ite|[pP]os)?[ _-]?(?P<site>\d{1,5}))?\.[A-Za-z0-9]+$"
)
"""A name without channel: ``A01.tif``, ``P1_A01_s2.tif``, ``A1-03.tif``; ``.ome`` is taken out first."""
UNITS = {"micron": "um", "microns": "um", "\\u00B5m": "um"}  # as ImageJ writes them
DIMENSIONS = {"channel": "C", "z": "Z", "time": "T"}
COPY_AGAIN = "copy it again from the instrument, or exclude its well"


def detect(folder, files):
    """Whether there is a companion file or a TIFF that is an OME-TIFF by its name."""
    suffixes = (*COMPANIONS, *(f".ome{suffix}" for suffix in TIFFS))
    return any(file.path.lower().endswith(suffixes) for file in files)


def read(folder, files, settings):
    """Images of OME-TIFF files and other TIFF stacks (see :mod:`profiling.plates.readers`).

    A file whose metadata cannot be read has the planes of the usual one, so that its loss is seen.
    """
    documents, errors = _documents(Path(folder), files, settings)
    plates = {name: fields for document in documents.values() for name, fields in document.plates.items()}
    if len(plates) > 1:
        names = ", ".join(sorted(plates)[:3])
        raise ProfilingError(f"{folder}: its OME-XML describes {len(plates)} plates ({names}); give each its folder")
    if plates:
        blocks, problems = _by_plate(documents)
    else:
        blocks, problems = _by_name(documents, errors, settings)
        errors = {}
    problems += _unread(errors)
    if not blocks:
        reasons = "".join(f"\n  {path}: {reason}" for path, reason, _ in problems[:3])
        raise ProfilingError(f"{folder}: no TIFF file can be placed; say in images.pattern how they are named{reasons}")
    return _rows(blocks, files), problems


def _unread(errors):
    return [(path, reason, COPY_AGAIN) for path, reason in errors.items()]


def _documents(folder, files, settings):
    """Path of a document → what it says, and path of a TIFF file → why it says nothing."""
    listed = [file.path for file in files]
    known = {path.lower(): path for path in listed} | {path: path for path in listed}
    documents, errors, described = {}, {}, set()

    def keep(path, document):
        images = [_resolved(image, path, known) for image in document.images]
        named = {name for image in images for name in image.files}
        if path not in named and not path.lower().endswith(COMPANIONS):
            if len(named) != 1 or named & known.keys():
                raise ProfilingError(f"{path}: its OME-XML describes other files and not this one; {COPY_AGAIN}")
            images = [image._replace(files=(path,)) for image in images]  # it was renamed
            named = {path}
        documents[path] = document._replace(images=images)
        described.update(named)

    for path in listed:
        if path.lower().endswith(COMPANIONS):
            keep(path, read_ome_xml(folder / path))
    tiffs = [path for path in listed if path.lower().endswith(TIFFS)]
    with ThreadPoolExecutor(THREADS) as pool:
        # The first may describe all of them.
        for batch in (slice(1), slice(1, None)):
            batch = [path for path in tiffs[batch] if path not in described]
            for path, document in zip(batch, pool.map(lambda path: _describe(folder, path, settings), batch)):
                try:
                    if isinstance(document, ProfilingError):
                        raise document
                    if path not in described:
                        keep(path, document)
                except ProfilingError as error:
                    errors[path] = str(error).removeprefix(f"{path}: ").rpartition("; ")[0]
    return documents, {path: reason for path, reason in errors.items() if path not in described}


def _resolved(image, document, known):
    """The image with the paths of its files below the plate's folder, as they are listed."""
    files = []
    for name in image.files:
        path = document
        if name is not None:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(document), name.replace("\\", "/")))
            if path.startswith(("../", "/")) or path in (".", "..") or not path.isprintable():
                raise ProfilingError(
                    f"{document}: its OME-XML names {name[:80]!r}, outside the plate's folder; move it in"
                )
        files.append(known.get(path) or known.get(path.lower(), path))
    return image._replace(files=tuple(files))


def _describe(folder, path, settings):
    """What a TIFF file says of its pages, as a document; the error if it cannot be read."""
    try:
        with tifffile.TiffFile(folder / path) as tiff:
            if not tiff.is_ome:
                return OmeDocument([_stack(tiff, settings)], {}, None)
            document = read_ome_xml(path, tiff.ome_metadata)
    except ProfilingError as error:
        return error
    except MemoryError:
        raise
    except Exception as error:  # tifffile raises nearly anything on damaged files
        return ProfilingError(f"{path}: cannot be read as TIFF ({error}); {COPY_AGAIN}")
    if document.metadata_file is None:
        return document
    name = document.metadata_file[:80]
    return ProfilingError(f"{path}: its metadata are in {name!r}, which does not describe it; {COPY_AGAIN}")


def _stack(tiff, settings):
    """An ImageJ stack or plain pages as an image."""
    sizes, size, count = {"C": 1, "Z": 1, "T": 1}, nan, 1
    if tiff.is_imagej:
        facts = tiff.imagej_metadata or {}
        sizes = {"C": facts.get("channels", 1), "Z": facts.get("slices", 1), "T": facts.get("frames", 1)}
        size, count = _imagej_pixel_size(tiff, facts.get("unit")), facts.get("images", 1)
    elif settings.pages is not None:
        count = sum(not page.is_reduced for page in tiff.pages)
    if list(sizes.values()) == [1, 1, 1]:
        sizes[DIMENSIONS[settings.pages or "z"]] = count
    if not all(isinstance(count, int) and 0 < count < MAXIMUM_PLANES for count in sizes.values()):
        raise ValueError(f"channels, planes and times are {list(sizes.values())}")
    if prod(sizes.values()) > MAXIMUM_PLANES:
        raise ValueError(f"{prod(sizes.values())} planes")
    planes = numbered_planes(sizes["T"], sizes["C"], sizes["Z"], "CZT")
    return OmeImage("", "", tuple(map(str, range(sizes["C"]))), size, (nan, nan), (None,), planes)


def _imagej_pixel_size(tiff, unit):
    """Pixel size in um from the resolution, which ImageJ counts in pixels a unit."""
    resolution = tiff.pages.first.tags.get("XResolution")
    if resolution is None or not isinstance(unit, str) or not resolution.value[0]:
        return nan
    return resolution.value[1] / resolution.value[0] * MICROMETRES.get(UNITS.get(unit, unit), nan)


def _by_plate(documents):
    """Blocks of rows of the fields that the plate lists."""
    images = {(path, image.id): image for path, document in documents.items() for image in document.images}
    sites, blocks, without = {}, {}, {}
    for path, document in documents.items():
        for fields in document.plates.values():
            if all(field.index is not None for field in fields):
                fields = sorted(fields, key=lambda field: field.index)
            for field in fields:
                numbers = sites.setdefault((field.row, field.column), {})
                site = numbers.setdefault(field.id or len(numbers), len(numbers) + 1)
                image = images.pop((path, field.image), None)
                if image is None:
                    without.setdefault((field.row, field.column, site), (path, field.image))
                    continue
                if (field.row, field.column, site) in blocks:  # the files count their fields anew
                    site = numbers[path, field.image] = len(numbers) + 1
                if isnan(image.position[0]):
                    image = image._replace(position=field.position)
                well = f"r{field.row + 1}c{field.column + 1}"
                blocks[field.row, field.column, site] = (well, site, image, image.planes, {})
    problems = []
    if lost := [name for place, name in without.items() if place not in blocks]:
        path, name = lost[0]
        problems.append((path, f"{len(lost)} fields of the plate have no image ({name} the first)", COPY_AGAIN))
    if images:
        path, name = next(iter(images))
        problems.append((path, f"{len(images)} images lie in no well ({name} the first)", "add them to the plate"))
    return list(blocks.values()), problems


def _by_name(documents, errors, settings):
    """Blocks of rows of files whose names say the well."""
    usual = Counter(
        (image.planes[:, [0, 1, 2, 4]].tobytes(), image.channels)
        for document in documents.values()
        for image in document.images
        if len(image.files) == 1
    ).most_common(1)
    stand_in = None
    if usual:
        planes, channels = usual[0][0]
        planes = np.insert(np.frombuffer(planes, np.int64).reshape(-1, 4), 3, 0, axis=1)
        stand_in = OmeImage("", "", channels, nan, (nan, nan), (None,), planes)
    held = {}
    for document in documents.values():
        for image in document.images:
            for index, path in enumerate(image.files):
                planes = image.planes[image.planes[:, 3] == index]
                if len(planes):
                    held.setdefault(path, []).append((image, planes))
    unread = {path: [(stand_in._replace(files=(path,)), stand_in.planes)] for path in errors if stand_in}
    problems = [] if stand_in else _unread(errors)
    pattern = _pattern([*held, *unread], settings)
    blocks = []
    for path, images in sorted((held | unread).items()):
        match = pattern.search(path) or pattern.search(_plain(path))
        groups = {name: text for name, text in match.groupdict().items() if text} if match else {}
        found, problem = _named(path, groups, images)
        blocks += found
        problems += problem
    return blocks, problems


def _pattern(paths, settings):
    """The pattern of the settings, else the ready one that fits most names."""
    if settings.pattern is not None:
        return re.compile(PATTERNS.get(settings.pattern, settings.pattern))
    candidates = [re.compile(text) for text in (*PATTERNS.values(), WELL_AND_SITE)]
    names = [_plain(path) for path in paths[:: len(paths) // 1000 + 1]]
    return max(candidates, key=lambda pattern: sum(bool(pattern.search(name)) for name in names))


def _plain(path):
    return re.sub(r"\.ome(?=\.[^.]+$)", "", path, flags=re.IGNORECASE)


def _named(path, groups, images):
    """Blocks of rows of one file by its name, or what is wrong with it."""
    well = groups.get("well")
    if well is None and {"row", "column"} <= groups.keys():
        row, column = groups["row"], groups["column"]
        well = f"r{row}c{column}" if row.isdecimal() else f"{row}{column}"
    numbers = {name: _number(groups[name]) for name in ("site", "time", "z") if name in groups}
    if well is None or None in numbers.values():
        return [], [
            (path, "the name says no well, or no number", "rename it, or say in images.pattern how it is named")
        ]
    dimensions = {"time": 0, "channel": 1, "z": 2}
    twice = [
        name
        for name in dimensions
        if name in groups and any(np.ptp(planes[:, dimensions[name]]) for _, planes in images)
    ]
    if "site" in groups and len(images) > 1:
        twice.append("site")
    if twice:
        return [], [(path, f"both its name and its pages say the {twice[0]}", "leave the group out of images.pattern")]
    given = {name: groups[name] if name == "channel" else numbers[name] for name in dimensions if name in groups}
    return [
        (well, numbers.get("site", order), image, planes, given)
        for order, (image, planes) in enumerate(images, start=1)
    ], []


def _number(text):
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _rows(blocks, files):
    """Table of the planes of all blocks."""
    facts = {file.path: (file.size, file.modified) for file in files}
    columns = {
        name: [] for name in ("Metadata_Time", "Metadata_Channel", "Metadata_Z", "Page", "Path", "FileSize", "Modified")
    }
    for _, _, image, planes, given in blocks:
        paths = np.array(image.files, dtype=object)[planes[:, 3]]
        sizes = np.array([facts.get(path, (0, 0)) for path in image.files], dtype=np.int64)[planes[:, 3]]
        channels = np.array(image.channels, dtype=object)[planes[:, 1]]
        columns["Metadata_Time"].append(np.full_like(planes[:, 0], given["time"]) if "time" in given else planes[:, 0])
        columns["Metadata_Channel"].append(
            np.full(len(planes), given["channel"], dtype=object) if "channel" in given else channels
        )
        columns["Metadata_Z"].append(np.full_like(planes[:, 2], given["z"]) if "z" in given else planes[:, 2])
        columns["Page"].append(planes[:, 4])
        columns["Path"].append(paths)
        columns["FileSize"].append(sizes[:, 0])
        columns["Modified"].append(sizes[:, 1])
    counts = [len(planes) for _, _, _, planes, _ in blocks]
    rows = pd.DataFrame(
        [(well, site, *image.position, image.pixel_size) for well, site, image, _, _ in blocks],
        columns=["Metadata_Well", "Metadata_Site", "PositionX", "PositionY", "PixelSize"],
    )
    rows = rows.loc[rows.index.repeat(counts)].reset_index(drop=True)
    return as_images(rows.assign(**{name: np.concatenate(parts) for name, parts in columns.items()}))
