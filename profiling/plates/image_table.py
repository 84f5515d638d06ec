"""The image table of a plate: one row a field and channel, also where the image is lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.planes import IMAGE, select_planes
from profiling.plates.readers import HEADER_THREADS, read_folder
from profiling.plates.wells import normalise_well

HEADER_BATCH = 64  # one task a file would take longer than many a header
FIELD = ["Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z"]


def index_plate(plate, folder, layout, channels, settings, read_header, reader=None):
    """List the images of a plate and what is missing among them.

    A field is expected in every imaged well if at least half of the imaged wells have it, and every expected
    field in every channel; what is expected and absent becomes a row with the status ``missing``. Where
    `images.z` makes one image of a stack, the rows are the planes, and a plane is expected in every stack of a
    channel if at least half of them have it.

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
    reader : str, optional
        Reader of this plate.

    Returns
    -------
    images : pandas.DataFrame
        The images table, sorted by its key.
    problems : pandas.DataFrame
        Columns ``Metadata_Plate``, ``Reason``, ``Remedy``: files that could not be placed.

    Raises
    ------
    ProfilingError
        If the folder holds no image that fits, two files are the same well, site and channel, or a stack is found
        and `images.z` does not say what becomes of it.
    """
    folder = Path(folder)
    found, problems, name = read_folder(folder, settings, reader, read_header)
    found, outside = place(found, layout, channels)
    problems = pd.DataFrame([*problems, *outside], columns=["Path", "Reason", "Remedy"])
    if found.empty:
        said = "images.pattern" if name == "pattern" else f"reader {name}, images.channel_names"
        examples = "".join(f"\n  {path}: {reason}" for path, reason, _ in problems.head(3).to_numpy())
        raise ProfilingError(
            f"plate {plate}: no image in {folder} fits {said} and channels ({', '.join(channels)}); "
            f"correct them in the configuration{examples}"
        )
    _refuse_repeats(plate, found)
    uses = found["Path"].value_counts()
    try:
        found = select_planes(found, settings.z, settings.time)
    except ProfilingError as error:
        raise ProfilingError(f"plate {plate}: {error}") from None
    _refuse_twins(plate, found)
    expected = expected_planes if settings.makes_images else expected_fields
    table = expected(found, channels).merge(found, how="left", on=[*FIELD, "Metadata_Channel"])
    headers = read_headers(folder, table["Path"], read_header)
    pages = headers.pop("Pages").astype("float64")
    table = pd.concat([table, headers], axis=1)
    several = [
        (path, f"{count:.0f} pages, of which only the first is used", "say in images.pages what they are")
        for path, count in zip(table["Path"], pages, strict=True)
        if count > 1 and uses[path] == 1
    ]
    problems = pd.concat([problems, pd.DataFrame(several, columns=problems.columns)], ignore_index=True)
    table.insert(0, "Metadata_Plate", plate)
    table[["Planes", "Plane"]] = 1, None
    for column in ("Page", "Width", "Height", "FileSize", "Modified", "Planes", "Plane"):
        table[column] = table[column].astype("Int64")
    order = ["Metadata_Plate", *FIELD, "Metadata_Channel"]
    reasons = problems["Reason"].where(problems["Path"].eq(""), problems["Path"] + ": " + problems["Reason"])
    problems = pd.DataFrame({"Metadata_Plate": plate, "Reason": reasons, "Remedy": problems["Remedy"]})
    return table.sort_values(order, ignore_index=True), problems


def place(found, layout, channels):
    """Canonical wells of the images found; files of unknown wells or channels become problems.

    Parameters
    ----------
    found : pandas.DataFrame
        As from :func:`profiling.plates.readers.read_folder`.
    layout : int
        Wells of the plate.
    channels : list of str
        Channels of the screen.

    Returns
    -------
    found : pandas.DataFrame
        The images of known wells and channels.
    problems : list of tuple of str
        Path, reason and remedy of each of the others.
    """
    wells, reasons = {}, {}
    for text in found["Metadata_Well"].unique():
        try:
            wells[text] = normalise_well(text, layout)
        except ValueError as error:
            reasons[text] = str(error)
    wrong_channel = ~found["Metadata_Channel"].isin(channels)
    wrong_well = ~wrong_channel & ~found["Metadata_Well"].isin(wells)
    problems = [
        (path, f"channel {channel!r} is not one of channels ({', '.join(channels)})",
         "add it to channels, or map it in images.channel_names")
        for path, channel in found.loc[wrong_channel, ["Path", "Metadata_Channel"]].to_numpy()
    ]  # fmt: skip
    problems += [
        (path, reasons[well], "correct the name or the plate's layout")
        for path, well in found.loc[wrong_well, ["Path", "Metadata_Well"]].to_numpy()
    ]
    found = found[~wrong_channel & ~wrong_well]
    return found.assign(Metadata_Well=found["Metadata_Well"].map(wells).astype("str")), problems


def _refuse_twins(plate, found):
    twins = found[found.duplicated([*FIELD, "Metadata_Channel"], keep=False)]
    if len(twins):
        first = twins.sort_values([*FIELD, "Metadata_Channel"]).head(2)
        well, site, channel = first.iloc[0][["Metadata_Well", "Metadata_Site", "Metadata_Channel"]]
        raise ProfilingError(
            f"plate {plate}: {' and '.join(first['Path'])} are both well {well}, site {site}, channel {channel}; "
            "remove one, or write an images.pattern that tells them apart (site, time, z)"
        )


def _refuse_repeats(plate, found):
    repeated = found[found.duplicated(["Path", "Page"], keep=False)].sort_values(["Path", "Page"])
    if len(repeated):
        (well, site, channel), (other_well, other_site, other_channel) = repeated.head(2)[
            ["Metadata_Well", "Metadata_Site", "Metadata_Channel"]
        ].to_numpy()
        raise ProfilingError(
            f"plate {plate}: {repeated['Path'].iloc[0]} stands for well {well}, site {site}, channel {channel} and for "
            f"well {other_well}, site {other_site}, channel {other_channel}; correct the list of images"
        )


def expected_fields(found, channels):
    """All field keys × channels: fields that exist, and those that half of the wells have."""
    fields = _usual(found[FIELD].drop_duplicates(), ["Metadata_Well"])
    return fields.merge(pd.DataFrame({"Metadata_Channel": channels}), how="cross")


def expected_planes(found, channels):
    """Planes of every stack: those that exist, and those that half of the channel's stacks have.

    A channel without any image of a field has one row, plane 0.
    """
    fields = _usual(found[FIELD[:3]].drop_duplicates(), ["Metadata_Well"])
    stacks = fields.merge(pd.DataFrame({"Metadata_Channel": channels}), how="cross")
    planes = [
        _usual(rows[[*IMAGE, "Metadata_Z"]].drop_duplicates(), IMAGE) for _, rows in found.groupby("Metadata_Channel")
    ]
    table = stacks.merge(pd.concat(planes), how="left", on=IMAGE)
    return table.assign(Metadata_Z=table["Metadata_Z"].fillna(0).astype("int32"))


def _usual(rows, owner):
    """The rows, and for every owner (a well, a stack) those that at least half of the owners have."""
    rest = [column for column in rows.columns if column not in owner]
    owners = rows[owner].drop_duplicates()
    counts = rows.groupby(rest).size()
    usual = counts[counts >= len(owners) / 2].index.to_frame(index=False)
    return pd.concat([rows, owners.merge(usual, how="cross")]).drop_duplicates()


def read_headers(folder, paths, read_header):
    """Headers of files, each read once.

    Parameters
    ----------
    folder : Path
        The plate's image folder.
    paths : pandas.Series of str
        Files below it; null where there is none.
    read_header : callable
        As in :func:`index_plate`.

    Returns
    -------
    pandas.DataFrame
        ``Width``, ``Height``, ``Dtype``, ``Pages``, ``Status`` (``ok``, ``missing``, ``unreadable``) and ``Reason``,
        a row a path, numbered from 0.
    """

    def read(path):
        try:
            header = read_header(folder / path)
        except ValueError as error:
            return None, None, None, None, "unreadable", str(error)
        return header["width"], header["height"], header["dtype"], header.get("pages", 1), "ok", None

    files = paths.dropna().unique()
    batches = [files[start : start + HEADER_BATCH] for start in range(0, len(files), HEADER_BATCH)]
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        rows = [row for batch in pool.map(lambda batch: list(map(read, batch)), batches) for row in batch]
    known = dict(zip(files, rows, strict=True))
    missing = None, None, None, None, "missing", "no file of this field and channel"
    rows = [known[path] if isinstance(path, str) else missing for path in paths]
    return pd.DataFrame(rows, columns=["Width", "Height", "Dtype", "Pages", "Status", "Reason"])
