"""Check of one plate: its folder, what the reader makes of it, a few headers, and its plate map."""

import os
from typing import NamedTuple

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.files import why_absent
from profiling.plates.checks import controls, headers, images
from profiling.plates.checks.findings import Finding
from profiling.plates.image_table import expected_fields, expected_planes, place, read_headers
from profiling.plates.planes import FIELD, select_planes
from profiling.plates.platemap import describe_platemap, join_platemap
from profiling.plates.readers import COLUMNS, read_folder

MOST_SUSPECTS = 200  # suspect files of a plate whose header is read beside the sample
FOLDER_READERS = ("ome_zarr",)  # their images are folders, whose size a listing does not have
KEY = [*FIELD, "Metadata_Z", "Metadata_Channel"]


class PlateCheck(NamedTuple):
    """What was found on one plate.

    Attributes
    ----------
    plate : str
    layout : int
        Wells of the plate.
    facts : dict
        Numbers and lists of texts; see :func:`_facts`. Empty where the folder could not be read.
    findings : list of Finding
    images : pandas.DataFrame
        ``Metadata_Well``, ``Metadata_Channel`` and ``Status`` (``ok``, or how the image is lost) of every expected
        image of the wells that are not left out.
    wells : pandas.DataFrame
        The platemaps table of the plate.
    """

    plate: str
    layout: int
    facts: dict
    findings: list
    images: pd.DataFrame
    wells: pd.DataFrame


def check_plate(plate, config, root, read_header, deep=False, inner=None):
    """Check a plate without decoding a pixel.

    Parameters
    ----------
    plate : profiling.config.Plate
    config : profiling.config.Config
    root : Path
        Where the paths of the plate table start.
    read_header : callable
        As in :func:`profiling.plates.image_table.index_plate`.
    deep : bool
        Whether every header is read instead of a sample.
    inner : dict of str, optional
        Other plates' folders below this plate's folder, relative to it, and the plates' names.

    Returns
    -------
    PlateCheck
    """
    try:
        reader, found, table, said = _check_images(plate, config, root / plate.images, read_header, deep, inner or {})
    except ProfilingError as error:
        reader, found, table, said = None, None, _nothing(), [("error", str(error), "", "")]
    wells, about_map = _check_map(plate, config, root, table["Metadata_Well"].unique())
    findings = [Finding(level, plate.plate, *rest) for level, *rest in [*said, *about_map]]
    facts = _facts(reader, found, table, wells, config.channels) if len(table) else {}
    return PlateCheck(plate.plate, plate.layout, facts, findings, table[[*KEY[:1], *KEY[-1:], "Status"]], wells)


def _kept(table, keep):
    """Rows of the table; the table itself where all are kept, since copies are most of the time of a check."""
    return table if keep.all() else table[keep]


def _nothing():
    return pd.DataFrame({**{column: pd.Series(dtype=kind) for column, kind in COLUMNS.items()}, "Status": []})


def _check_images(plate, config, folder, read_header, deep, inner):
    if not os.path.isdir(folder):
        why = why_absent(folder)
        raise ProfilingError(f"there is no image folder {str(folder)!r}{why}; correct the plate table or `root`")
    settings = config.images
    # Names are given here and not by the reader, which would list channels that are left out on purpose as problems.
    as_written = settings.model_copy(update={"channel_names": {}})
    sample = None if deep else headers.SAMPLE
    found, problems, reader = read_folder(folder, as_written, plate.reader, read_header, sample)
    said = images.unplaced_files(problems)
    found, unnamed = images.name_channels(found, settings.channel_names)
    said += unnamed
    said += images.other_channels(found, config.channels)
    said += images.absent_channels(found, config.channels)
    found = _kept(found, found["Metadata_Channel"].isin(config.channels))
    said += images.outside_wells(found["Metadata_Well"].unique(), plate.layout)
    found, _ = place(found, plate.layout, config.channels)
    found = _kept(found, ~found["Metadata_Well"].isin(plate.exclude))
    if found.empty:
        said.append(("error", "no image of any well is left", "", "correct images.pattern, channels, or layout"))
        return reader, found, _nothing(), said
    said += images.loose_layout(found["Metadata_Well"].unique(), plate.layout)
    said += _nested(found["Path"], inner)
    try:
        chosen = select_planes(found, settings.z, settings.time)
    except ProfilingError as error:
        said.append(("error", str(error), "", ""))
        chosen = found[~found["Projection"]] if not found["Projection"].all() else found
    said += images.twins(chosen) + images.several_fields(chosen, settings) + images.pixel_sizes(chosen, settings)
    table = _expected(chosen, config, reader)
    table = _with_headers(table, folder, read_header, deep)
    told = set(config.channels) - set(chosen["Metadata_Channel"])
    for channel, count, reason in headers.unreadable_channels(table[table["Opened"]]):
        what = f"no image of channel {channel} that was opened can be read"
        said.append(("error", what, f"{count}; {reason}", "copy the plate again, or export it in another format"))
        told.add(channel)
    said += headers.odd_headers(table) + headers.unused_pages(table, found)
    said += headers.unfit_settings(table, config)
    said += images.lost_images(table, config.channels, config.max_failed_images, told, deep)
    said += images.few_fields(table, config.illumination)
    return reader, found, table, said


def _nested(paths, inner):
    return [
        (
            "error",
            f"its images are those of plate {name} too",
            "" if below == "." else f"in {below}",
            "give each plate a folder of its own",
        )
        for below, name in inner.items()
        if below == "." or paths.str.startswith(below + "/").any()
    ]


def _expected(chosen, config, reader):
    """Expected images, sorted by well, with `Status` as far as listing and metadata tell."""
    expected = expected_planes if config.images.makes_images else expected_fields
    chosen = chosen.drop_duplicates(KEY)
    table = expected(chosen, config.channels).merge(chosen, how="left", on=KEY)
    table = table.sort_values(KEY[0], kind="stable", ignore_index=True)
    nothing_there = table["FileSize"].eq(0)
    unlisted = nothing_there & table["Modified"].eq(0) & ~table["Path"].fillna("").str.match(r"\.\./|/|[A-Za-z]+:")
    empty = nothing_there & table["Modified"].gt(0) & (reader not in FOLDER_READERS)
    table["Status"] = np.select([table["Path"].isna(), unlisted, empty], ["missing", "absent", "empty"], "ok")
    return table


def _with_headers(table, folder, read_header, deep):
    """Add `Width`, `Height`, `Dtype`, `Pages`, `Opened` and the images that turn out to be unreadable."""
    there = table[table["Status"].eq("ok")]
    rows = there.index
    if not deep:
        rows = headers.spread_sample(there).index.union(images.short_files(there).index[:MOST_SUSPECTS])
    read = read_headers(folder, table.loc[rows, "Path"], read_header).set_index(rows)
    read = read.astype({"Width": "float64", "Height": "float64", "Pages": "float64", "Reason": "str"})
    read["Reason"] = read["Reason"].str.replace(f"{folder}/", "", regex=False)
    beyond = read["Pages"].le(table.loc[rows, "Page"])
    read = read.assign(
        Status=read["Status"].mask(beyond, "unreadable"),
        Reason=read["Reason"].mask(beyond, "the file has no such page"),
    )
    read = read.reindex(table.index)
    status = read.pop("Status").fillna(table["Status"])
    return table.assign(**read, Status=status, Opened=table.index.isin(rows))


def _check_map(plate, config, root, imaged):
    """The platemaps table of the plate, and what is wrong with it."""
    said, platemap = [], None
    if plate.platemap:
        path = root / plate.platemap
        try:
            if not os.path.isfile(path):
                why = why_absent(path)
                raise ProfilingError(f"there is no plate map {str(path)!r}{why}; correct the plate table or `root`")
            compounds = root / config.platemap.compounds if config.platemap.compounds else None
            platemap, notes = describe_platemap(path, plate.plate, plate.layout, config.platemap, compounds)
            said += [("warning", note, "", "") for note in notes]
        except ProfilingError as error:
            said.append(("error", str(error), "", ""))
    if platemap is None and not len(imaged):
        return pd.DataFrame(columns=["Metadata_Well", "Metadata_Role", "Imaged", "Mapped"]), said
    keep = () if platemap is None else config.platemap.keep
    # Where nothing is known of the images, the map is judged as if all of its wells had some.
    these = imaged if len(imaged) else platemap["Metadata_Well"]
    wells, _ = join_platemap(plate.plate, plate.batch, these, platemap, keep)
    wells = wells[~wells["Metadata_Well"].isin(plate.exclude)]
    if platemap is not None:
        said += controls.one_sided_wells(wells) + controls.unknown_roles(wells)
    if platemap is not None or not plate.platemap:
        said += controls.few_controls(wells, config.normalisation, platemap is not None)
    return wells, said


def _facts(reader, found, table, wells, channels):
    """What the plate holds; lists of sizes and types are those of the headers that were read."""
    sites = table.groupby("Metadata_Well")["Metadata_Site"].nunique()
    opened = table[table["Width"].notna()]
    sizes = opened["Width"].astype(int).astype(str) + "x" + opened["Height"].astype(int).astype(str)
    there = table.loc[~table["Status"].isin(["missing", "absent"]), "Metadata_Channel"].value_counts()
    roles = wells.loc[wells["Imaged"], "Metadata_Role"].value_counts()
    return {
        "reader": reader,
        "wells": len(sites),
        "sites": int(sites.mode().iloc[-1]),
        "times": found["Metadata_Time"].nunique(),
        "planes": int(found.loc[~found["Projection"], "Metadata_Z"].nunique()) or 1,
        "channels": {name: int(there.get(name, 0)) for name in channels},
        "images": len(table),
        "lost": int(table["Status"].ne("ok").sum()),
        "opened": int(table["Opened"].sum()),
        "sizes": sorted(sizes.unique()),
        "dtypes": sorted(opened["Dtype"].unique()),
        "pixel_sizes": sorted(found["PixelSize"].dropna().round(4).unique().tolist()),
        "roles": {str(role): int(count) for role, count in roles.items()},
    }
