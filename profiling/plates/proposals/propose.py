"""What to write into a first configuration."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from profiling.errors import ProfilingError
from profiling.plates.checks.images import smallest_layout
from profiling.plates.chunks import propose_chunks
from profiling.plates.planes import FIELD, select_planes
from profiling.plates.proposals.channels import channel_names, nuclei_channel
from profiling.plates.proposals.folders import PLAIN_NAMES
from profiling.plates.proposals.maps import candidate_files, choose_barcodes, choose_map
from profiling.plates.wells import LAYOUTS, infer_layout, parse_well


class Proposal(NamedTuple):
    """A first configuration.

    Attributes
    ----------
    root : str
        Folder that the paths of the plate table start from.
    rows : list of dict
        Rows of the plate table.
    barcodes : str or None
        Table of plates and their plate maps, below the root.
    reader : str
        Of most plates; the others have it in their row.
    channels : dict of str
        The reader's name → ours, the nuclei first.
    nuclei_by_name : bool
        Whether a name told which channel is that of the nuclei.
    some_plates : list of str
        Channels that at most half of the plates have and that are left out, by the reader's name.
    z : str or None
        What becomes of stacks; None where there are none.
    times : int
        Time points.
    pixel_size : float or None
        um a pixel as the export says.
    dtypes : list of str
        Types of the images whose header was read.
    chunks : int
        Jobs that share the pixel work of a plate.
    """

    root: str
    rows: list
    barcodes: str | None
    reader: str
    channels: dict
    nuclei_by_name: bool
    some_plates: list
    z: str | None
    times: int
    pixel_size: float | None
    dtypes: list
    chunks: int


def propose(folder, plates, read_header):
    """Propose a configuration.

    Parameters
    ----------
    folder : str or Path
        The folder that was looked at, which becomes the root; the one above it where a plate map lies there.
    plates : list of FoundPlate
        As :func:`profiling.plates.proposals.folders.find_plates` gives them.
    read_header : callable
        As in :func:`profiling.plates.image_table.index_plate`.

    Returns
    -------
    Proposal
    """
    given, folder = Path(folder).absolute(), Path(folder).resolve()
    # Plates that are linked into the folder keep their place in it.
    plates = [plate._replace(folder=folder / os.path.relpath(plate.folder.absolute(), given)) for plate in plates]
    readers = [plate.reader for plate in plates]
    reader = max(readers, key=readers.count)
    instrument, some_plates = _channels(plates)
    names = channel_names(instrument)
    nuclei = nuclei_channel(list(names.values()))
    ordered = sorted(names.items(), key=lambda pair: pair[1] != nuclei)
    layout = _layout({well for plate in plates for well in plate.images["Metadata_Well"].unique()})
    images = max(_images(plate.images) for plate in plates)
    sizes = {size for plate in plates for size in plate.images["PixelSize"].dropna().round(4).unique()}
    shared = candidate_files(_near(folder, plates))
    barcodes = choose_barcodes([plate.name for plate in plates], shared)
    maps = [barcodes] if barcodes else _maps(folder, plates, layout, shared)
    root = folder if all(path is None or path.is_relative_to(folder) for path in maps) else folder.parent
    return Proposal(
        str(root), _rows(root, plates, reader, layout, [None] * len(plates) if barcodes else maps),
        _below(barcodes, root) if barcodes else None, reader, dict(ordered), nuclei is not None, some_plates,
        _stacks(plates), max(plate.images["Metadata_Time"].nunique() for plate in plates),
        float(sizes.pop()) if len(sizes) == 1 else None, _dtypes(plates, read_header),
        propose_chunks(images, layout),
    )  # fmt: skip


def _channels(plates):
    """Channels of most plates, in the order of their first image, and the others; all where plates share none."""
    counts = {}
    for plate in plates:
        for name in plate.images["Metadata_Channel"].unique():
            counts[name] = counts.get(name, 0) + 1
    usual = [name for name, count in counts.items() if count > len(plates) / 2] or list(counts)
    return usual, [name for name in counts if name not in usual]


def _layout(wells):
    """The smallest of 96, 384 and 1536 wells that holds all; a smaller plate only where it is full."""
    positions = [parse_well(well) for well in wells]
    smallest = smallest_layout(positions)
    rows, columns = LAYOUTS[smallest]
    return smallest if len(set(positions)) == rows * columns else infer_layout(wells)


def _images(images):
    return len(images[[*FIELD, "Metadata_Channel"]].drop_duplicates())


def _stacks(plates):
    """The instrument's own projections where every stack has one, else our maximum; None without stacks."""
    for z in (None, "projection"):
        try:
            for plate in plates:
                chosen = select_planes(plate.images, z)
                if z and _images(chosen) < _images(plate.images):
                    raise ProfilingError("some stacks have no projection")
            return z
        except ProfilingError:
            continue
    return "maximum"


def _dtypes(plates, read_header, most=5):
    """Types of the images of a few plates, one header each."""
    dtypes = set()
    for plate in plates[:: len(plates) // most + 1]:
        try:
            dtypes.add(read_header(plate.folder / plate.images["Path"].iloc[0])["dtype"])
        except ValueError:
            continue
    return sorted(dtypes)


def _near(folder, plates):
    """The folder, those in it that are no plates, and the one above where the folder is a plate or named plainly."""
    inside = {plate.folder.resolve() for plate in plates}
    near = [folder, *(entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.resolve() not in inside)]
    return [*near, folder.parent] if folder in inside or folder.name.lower() in PLAIN_NAMES else near


def _maps(folder, plates, layout, shared):
    """Plate map of each plate, None where none was found."""
    maps = []
    for plate in plates:
        own = candidate_files([plate.folder, plate.folder / "Images"]) if plate.folder.resolve() != folder else []
        maps.append(choose_map(plate.name, set(plate.images["Metadata_Well"]), layout, [*own, *shared]))
    return maps


def _rows(root, plates, reader, layout, maps):
    return [
        {
            "plate": plate.name,
            "images": _below(plate.folder, root),
            "reader": plate.reader if plate.reader != reader else "",
            "layout": layout,
            "platemap": _below(platemap, root) if platemap else "",
            "batch": "",
            "exclude": "",
        }
        for plate, platemap in zip(plates, maps, strict=True)
    ]


def _below(path, folder):
    below = os.path.relpath(path, folder).replace(os.sep, "/")
    if re.search(r"[\r\n\ud800-\udfff]", below):
        raise ProfilingError(f"{below!r}: has a line break in its name, or bytes that are not UTF-8; rename it")
    return below
