"""Reader for instruments' own files of many planes (CZI, ND2, LIF) by bioio and its plugins, an optional extra.

A scene of a file is a field. Its well is in the name of the scene (``P2-A1`` of ZEN, ``A01_0003``, ``TileScan
1/A/1/R1`` of LAS X); where a scene has no such name, it is in the name of the file, by `images.pattern` or as in
``A01.nd2``. Sites are the scenes of a well in their order, from 1, or what the name of a file of a single scene says.
`Page` counts the planes of a file over scene, time, channel and z, z fastest. A channel goes by its name where the
names of the scene are unique, else by its number, from 0, as do times and planes. Stage positions are left out:
only some of the plugins know them.
"""

import re
from collections import Counter
from importlib import import_module
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.patterns import PATTERNS
from profiling.plates.readers import as_images
from profiling.plates.readers.ome_tiff import WELL_AND_SITE
from profiling.plates.readers.ome_xml import numbered_planes, usable_names

PLUGINS = {".czi": "bioio-czi", ".nd2": "bioio-nd2", ".lif": "bioio-lif"}
COPY_AGAIN = "copy it again from the instrument, or exclude its wells"
SCENES = (
    r"(?:.*-)?(?P<well>[A-Z]{1,2}\d{1,2})",
    r"(?P<well>[A-Z]{1,2}\d{1,2})[ _#.-]+[A-Za-z]*[ _#.-]?\d+",
    r"(?:.*/)?(?P<row>[A-Z]{1,2})/(?P<column>\d{1,2})(?:/.*)?",
)
"""Names of scenes that hold a well, matched whole."""
POSITION = r"[PS]\d+|XY\d+"
"""Names of scenes that look like a well, but number the positions."""


class Scene(NamedTuple):
    """A field of a file.

    Attributes
    ----------
    name : str
    planes : tuple of int
        Numbers of time points, channels and planes.
    channels : tuple of str
    pixel_size : float
        In x, um; NaN where it is not said.
    shape : tuple of int
        Height and width, pixels.
    """

    name: str
    planes: tuple
    channels: tuple
    pixel_size: float
    shape: tuple


def detect(folder, files):
    """Whether there is a file of one of the formats."""
    return any(file.path.lower().endswith(tuple(PLUGINS)) for file in files)


def read(folder, files, settings):
    """Images of files that bioio reads (see :mod:`profiling.plates.readers`)."""
    blocks, problems, sites = [], [], Counter()
    for file in files:
        if not file.path.lower().endswith(tuple(PLUGINS)):
            continue
        try:
            scenes = scenes_of(open_file(Path(folder) / file.path), Path(folder) / file.path)
        except MissingPluginError:
            raise
        except ProfilingError as error:
            reason = str(error).removeprefix(f"{Path(folder) / file.path}: ").rpartition("; ")[0]
            problems.append((file.path, reason, COPY_AGAIN))
            continue
        page = 0
        for scene, (well, site) in zip(scenes, _places(file.path, scenes, settings)):
            if well is None:
                reason = f"neither its name nor that of scene {scene.name[:80]!r} says a well"
                problems.append((file.path, reason, "rename it, or say in images.pattern how it is named"))
            else:
                sites[well] += 1
                blocks.append((file, scene, page, well, site or sites[well]))
            page += prod(scene.planes)
    if not blocks:
        reasons = "".join(f"\n  {path}: {reason}" for path, reason, _ in problems[:3])
        raise ProfilingError(f"{folder}: holds no file of {', '.join(PLUGINS)} that can be placed{reasons}")
    return _rows(blocks), problems


class MissingPluginError(ProfilingError):
    """The optional packages for a format are not installed."""


def open_file(path):
    """Open a file by the plugin of its suffix.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bioio.BioImage

    Raises
    ------
    MissingPluginError
        If bioio or the plugin is not installed.
    ProfilingError
        If the file cannot be read.
    """
    plugin = PLUGINS[path.suffix.lower()]
    try:
        image_class = import_module("bioio").BioImage
        reader = import_module(plugin.replace("-", "_")).Reader
    except ImportError as error:
        raise MissingPluginError(
            f"{path}: {path.suffix.lower()} files are read by bioio and {plugin}, which are not installed "
            f'({error}); install them: pip install "profiling[vendors]"'
        ) from None
    if not path.is_file():
        raise ProfilingError(f"{path}: no such file; check the plate's folder and the image table")
    return _guarded(path, lambda: image_class(path, reader=reader))


def scenes_of(image, path):
    """What the scenes of an opened file hold.

    Parameters
    ----------
    image : bioio.BioImage
    path : Path
        For messages.

    Returns
    -------
    list of Scene

    Raises
    ------
    ProfilingError
        If the metadata cannot be read.
    """

    def describe(index):
        image.set_scene(index)
        planes = int(image.dims.T), int(image.dims.C), int(image.dims.Z)
        names = [str(name) for name in image.channel_names or []]
        size = image.physical_pixel_sizes.X
        size = float(size) if size and np.isfinite(size) and size > 0 else np.nan
        shape = int(image.dims.Y), int(image.dims.X)
        return Scene(str(image.scenes[index]), planes, usable_names(names, planes[1]), size, shape)

    return _guarded(path, lambda: [describe(index) for index in range(len(image.scenes))])


def _guarded(path, action):
    """Result of an action of a plugin, which raises nearly anything on damaged files."""
    try:
        return action()
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ProfilingError(f"{path}: truncated or damaged ({reason}); {COPY_AGAIN}") from error


def _places(path, scenes, settings):
    """Well and site (None: by its order) of each scene; well None where no name says it."""
    wells = [None if settings.pattern else _well_of_scene(scene.name) for scene in scenes]
    if None not in wells:
        return [(well, None) for well in wells]
    pattern = PATTERNS.get(settings.pattern, settings.pattern) if settings.pattern else WELL_AND_SITE
    match = re.search(pattern, path)
    groups = match.groupdict() if match else {}
    well = groups.get("well")
    if well is None and groups.get("row") and groups.get("column"):
        well = _join(groups["row"], groups["column"])
    site = groups.get("site")
    site = int(site) if len(scenes) == 1 and site and site.isdecimal() and len(site) <= 9 else None
    return [(well, site)] * len(scenes)


def _well_of_scene(name):
    if re.fullmatch(POSITION, name):
        return None
    for pattern in SCENES:
        if match := re.fullmatch(pattern, name):
            groups = match.groupdict()
            return groups.get("well") or _join(groups["row"], groups["column"])
    return None


def _join(row, column):
    return f"r{row}c{column}" if row.isdecimal() else f"{row}{column}"


def _rows(blocks):
    """Table of the planes of all blocks."""
    numbered = {planes: numbered_planes(*planes) for planes in {scene.planes for _, scene, *_ in blocks}}
    tables = []
    for file, scene, page, well, site in blocks:
        time, channel, z, _, index = numbered[scene.planes].T
        tables.append(
            pd.DataFrame(
                {
                    "Metadata_Well": well,
                    "Metadata_Site": site,
                    "Metadata_Time": time,
                    "Metadata_Z": z,
                    "Metadata_Channel": np.array(scene.channels, dtype=object)[channel],
                    "Path": file.path,
                    "Page": page + index,
                    "FileSize": file.size,
                    "Modified": file.modified,
                    "PixelSize": scene.pixel_size,
                }
            )
        )
    return as_images(pd.concat(tables, ignore_index=True))
