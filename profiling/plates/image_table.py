"""The image table of a plate: one row a field and channel, also where the image is lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.readers import COLUMNS, read_folder
from profiling.plates.wells import normalise_well

FIELD = ["Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z"]
HEADER_THREADS = 16


def index_plate(plate, folder, layout, channels, settings, read_header):
    """List the images of a plate and what is missing among them.

    A field is expected in every imaged well if at least half of the imaged wells have it, and every expected
    field in every channel; what is expected and absent becomes a row with the status ``missing``.

    Parameters
    ----------
    plate : str
        Name of the plate.
    folder : str or Path
        Its image folder.
    layout : int
        Wells of the plate.
    channels : list of str
        Channels of the screen.
    settings : profiling.settings.Images
        Reader and its settings.
    read_header : callable
        ``read_header(path) -> dict`` with width, height, dtype and pages; its ``ValueError`` marks the image
        as unreadable.

    Returns
    -------
    images : pandas.DataFrame
        The images table, sorted by its key.
    problems : pandas.DataFrame
        Columns ``Metadata_Well``, ``Reason``, ``Remedy``: files that could not be placed.

    Raises
    ------
    ProfilingError
        If the folder holds no image that fits, or two files are the same well, site and channel.
    """
    folder = Path(folder)
    found, problems = read_folder(folder, settings)
    found = found.reindex(columns=list(COLUMNS))
    found, outside = _place(found, layout, channels)
    problems = pd.DataFrame([*problems, *outside], columns=["Path", "Reason", "Remedy"])
    if found.empty:
        examples = "".join(f"\n  {path}: {reason}" for path, reason, _ in problems.head(3).to_numpy())
        raise ProfilingError(
            f"plate {plate}: no image in {folder} fits images.pattern and channels ({', '.join(channels)}); "
            f"correct them in the configuration{examples}"
        )
    _refuse_twins(plate, found)
    table = _expected(found, channels).merge(found, how="left", on=[*FIELD, "Metadata_Channel"])
    headers = _headers(folder, table["Path"], read_header)
    pages = headers.pop("Pages")
    table = pd.concat([table, headers], axis=1)
    several = [
        (path, f"{count:.0f} pages, of which only the first is used", "write one file a page")
        for path, count in zip(table["Path"], pages, strict=True)
        if count > 1
    ]
    problems = pd.concat([problems, pd.DataFrame(several, columns=problems.columns)], ignore_index=True)
    table.insert(0, "Metadata_Plate", plate)
    for column in ("Page", "Width", "Height", "FileSize", "Modified"):
        table[column] = table[column].astype("Int64")
    order = ["Metadata_Plate", *FIELD, "Metadata_Channel"]
    reasons = problems["Reason"].where(problems["Path"].eq(""), problems["Path"] + ": " + problems["Reason"])
    problems = pd.DataFrame({"Metadata_Plate": plate, "Reason": reasons, "Remedy": problems["Remedy"]})
    return table.sort_values(order, ignore_index=True), problems


def _place(found, layout, channels):
    """Canonical wells; files of unknown wells or channels become problems."""
    wells, problems, keep = [], [], []
    for well, channel, path in zip(found["Metadata_Well"], found["Metadata_Channel"], found["Path"], strict=True):
        if channel not in channels:
            reason = f"channel {channel!r} is not one of channels ({', '.join(channels)})"
            problems.append((path, reason, "add it to channels, or map it in images.channel_names"))
            keep.append(False)
            continue
        try:
            wells.append(normalise_well(well, layout))
            keep.append(True)
        except ValueError as error:
            problems.append((path, str(error), "correct the name or the plate's layout"))
            keep.append(False)
    return found[keep].assign(Metadata_Well=wells), problems


def _refuse_twins(plate, found):
    twins = found[found.duplicated([*FIELD, "Metadata_Channel"], keep=False)]
    if len(twins):
        first = twins.sort_values([*FIELD, "Metadata_Channel"]).head(2)
        well, site, channel = first.iloc[0][["Metadata_Well", "Metadata_Site", "Metadata_Channel"]]
        raise ProfilingError(
            f"plate {plate}: {' and '.join(first['Path'])} are both well {well}, site {site}, channel {channel}; "
            "remove one, or let images.pattern tell them apart (site, time, z)"
        )


def _expected(found, channels):
    """All field keys × channels: fields that exist, and those that half of the wells have."""
    fields = found[FIELD].drop_duplicates()
    wells = fields["Metadata_Well"].unique()
    places = fields.groupby(FIELD[1:]).size()
    usual = places[places >= len(wells) / 2].index.to_frame(index=False)
    expected = pd.DataFrame({"Metadata_Well": wells}).merge(usual, how="cross")
    fields = pd.concat([fields, expected]).drop_duplicates()
    return fields.merge(pd.DataFrame({"Metadata_Channel": channels}), how="cross")


def _headers(folder, paths, read_header):
    def read(path):
        if not isinstance(path, str):
            return None, None, None, None, "missing", "no file of this field and channel"
        try:
            header = read_header(folder / path)
        except ValueError as error:
            return None, None, None, None, "unreadable", str(error)
        return header["width"], header["height"], header["dtype"], header.get("pages", 1), "ok", None

    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        rows = list(pool.map(read, paths))
    return pd.DataFrame(rows, columns=["Width", "Height", "Dtype", "Pages", "Status", "Reason"])
