"""One image of every stack: what the workflow runs a chunk where `images.z` asks for it."""

from functools import partial
from pathlib import Path

import pandas as pd
import tifffile

from profiling.files import whole_file
from profiling.images.fields import chunk_images
from profiling.images.read import ImageError, read_image
from profiling.images.stacks import maximum_projection, sharpest_plane
from profiling.parallel import map_ahead
from profiling.progress import log, track
from profiling.tables import write_table

FIELD = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time"]


def make_images(planes, folder, wells, settings, focus_channel, out, out_folder, threads=1):
    """Write one image a field and channel of a chunk, and their image table.

    Parameters
    ----------
    planes : str or Path
        Table of the plate's planes: the images table with a row a plane.
    folder : str or Path
        The plate's image folder.
    wells : list of str
        Wells of the chunk.
    settings : profiling.settings.Images
        `z`, ``maximum`` or ``focus``.
    focus_channel : str
        Channel that chooses the plane of a field.
    out, out_folder : Path
        Image table of the chunk, and the folder for its images. Paths in the table start from the folder above
        `out_folder`'s parent, the plate's folder of chunks.
    threads : int
        Fields at a time.
    """
    rows = chunk_images(planes, wells)
    fields = [field for _, field in rows.groupby(FIELD, sort=True)]
    out_folder.mkdir(parents=True, exist_ok=True)
    work = partial(_make_field, folder=Path(folder), z=settings.z, focus_channel=focus_channel, out_folder=out_folder)
    done = track(map_ahead(work, fields, threads), len(fields), "fields")
    made = [row for field in done for row in field]
    for row in made:
        if row["Status"] == "unreadable":
            log.warning("%s, site %s, %s: %s", row["Metadata_Well"], row["Metadata_Site"], row["Metadata_Channel"],
                        row["Reason"])  # fmt: skip
    table = pd.DataFrame(made, columns=rows.columns)
    numbers = ["Page", "Width", "Height", "FileSize", "Modified", "Planes", "Plane"]
    write_table(out, "images", table.astype(dict.fromkeys(numbers, "Int64")), settings=settings.changed())


def _make_field(rows, folder, z, focus_channel, out_folder):
    """The rows of the images made of a field's stacks."""
    stacks = {channel: stack.sort_values("Metadata_Z") for channel, stack in rows.groupby("Metadata_Channel")}
    chosen = None
    if z == "focus":
        reference = stacks[focus_channel]
        position = sharpest_plane(_try_read(folder, row) for row in reference.itertuples())
        chosen = None if position is None else int(reference["Metadata_Z"].iloc[position])
    made = []
    for channel, stack in stacks.items():
        first = stack.iloc[0]
        row = first.to_dict() | {"Metadata_Z": 0, "Planes": len(stack), "Plane": None}
        try:
            if z == "focus":
                row["Plane"], image = _plane(folder, stack, chosen, focus_channel)
            else:
                image = maximum_projection(_read(folder, plane) for plane in stack.itertuples())
        except ValueError as error:
            absent = stack["Status"].eq("missing").all()
            row |= dict.fromkeys(("Path", "Page", "Width", "Height", "Dtype", "FileSize", "Modified"))
            row["Status"] = "missing" if absent else "unreadable"
            row["Reason"] = first["Reason"] if absent else str(error)
            made.append(row)
            continue
        name = f"{row['Metadata_Well']}_s{row['Metadata_Site']}_t{row['Metadata_Time']}_{channel}.tif"
        path = out_folder / name
        with whole_file(path) as temporary:
            tifffile.imwrite(temporary, image, compression="zstd", predictor=image.dtype.kind in "ui", metadata=None)
        made.append(row | {
            "Path": f"{out_folder.parent.name}/{out_folder.name}/{name}",
            "Page": 0,
            "Width": image.shape[1],
            "Height": image.shape[0],
            "Dtype": image.dtype.name,
            "FileSize": path.stat().st_size,
            "Modified": int(stack["Modified"].max()),  # not when it was made: the same planes give the same table
            "Status": "ok",
            "Reason": None,
        })  # fmt: skip
    return made


def _plane(folder, stack, number, focus_channel):
    """Number and pixels of a channel's plane; a channel with a single plane has that one."""
    if number is None and len(stack) > 1:
        raise ImageError(f"no plane of {focus_channel}, which chooses the plane, can be read")
    rows = stack if len(stack) == 1 else stack[stack["Metadata_Z"].eq(number)]
    if rows.empty:
        raise ImageError(f"there is no plane {number}, which {focus_channel} chose")
    row = next(rows.itertuples())
    return row.Metadata_Z, _read(folder, row)


def _read(folder, row):
    if row.Status != "ok":
        raise ImageError(f"plane {row.Metadata_Z}: {row.Reason}")
    return read_image(folder / row.Path, int(row.Page))


def _try_read(folder, row):
    try:
        return _read(folder, row)
    except ImageError:
        return None
