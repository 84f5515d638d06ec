"""What the headers of a plate's images tell, all of them or a sample."""

import numpy as np

from profiling.plates.checks.findings import counted, listed

SAMPLE = 3  # headers a plate and channel


def spread_sample(images, each=SAMPLE):
    """Rows of a few images a channel, spread over the plate: the first, the last and between them.

    Parameters
    ----------
    images : pandas.DataFrame
        Sorted by well.
    each : int
        Images a channel.
    """
    chosen = []
    for rows in images.groupby("Metadata_Channel").indices.values():
        chosen.extend(rows[np.unique(np.linspace(0, len(rows) - 1, each).round().astype(int))])
    return images.iloc[sorted(chosen)]


def odd_headers(images):
    """Sizes, types and pages of images that do not fit together.

    Parameters
    ----------
    images : pandas.DataFrame
        Expected images, with `Pages` of the file and `Width` where its header was read.
    """
    read = images[images["Width"].notna()]
    if read.empty:
        return []
    said = []
    sizes = read["Width"].astype(int).astype(str) + " x " + read["Height"].astype(int).astype(str)
    by_channel = {channel: set(values) for channel, values in sizes.groupby(read["Metadata_Channel"])}
    if not set.intersection(*by_channel.values()):
        where = listed([f"{min(values)} ({channel})" for channel, values in by_channel.items()], 6)
        what = "channels of different sizes: their fields cannot be put together, and lose all cells"
        return [("error", what, where, "export them alike, without binning, or leave a channel out of `channels`")]
    for values, what, remedy in (
        (
            sizes,
            "images of several sizes",
            "fields of a size that few have are lost to the flat field: export them alike",
        ),
        (read["Dtype"], "images of several types", "grey values of several cameras or exports do not compare"),
    ):
        counts = values.groupby([values, read["Metadata_Channel"]]).size()
        if len(counts.index.levels[0]) > 1:
            where = listed([f"{value} ({channel})" for value, channel in counts.index], 6)
            said.append(("warning", what, f"{where}; such as {_odd_one(read, values)}", remedy))
    return said


def unused_pages(images, found):
    """A warning where files have pages that nothing says the meaning of.

    Parameters
    ----------
    images : pandas.DataFrame
        Expected images with their headers.
    found : pandas.DataFrame
        All images of the reader, before planes were selected.
    """
    said = []
    several = images[images["Opened"] & images["Pages"].gt(1)]
    several = several[several["Path"].map(found["Path"].value_counts()).eq(1)]
    if len(several):
        what = f"files of {int(several['Pages'].max())} pages, of which only the first is used"
        where = f"such as {several['Path'].iloc[0]}"
        said.append(("warning", what, where, "say in images.pages what they are"))
    return said


def _odd_one(read, values):
    return read.loc[values.eq(values.value_counts().index[-1]), "Path"].iloc[0]


def unfit_settings(images, config):
    """Settings that the size or the type of the images contradicts."""
    read = images[images["Width"].notna()]
    if read.empty:
        return []
    said = []
    bits = max(_bits(name) for name in read["Dtype"].unique())
    if bits and config.quality.bit_depth > bits:
        what = f"quality.bit_depth is {config.quality.bit_depth}, and the images have {bits} bits"
        said.append(("warning", what, "", f"set it to {bits}, or saturated images are not noticed"))
    if config.unit == "field":
        return said
    section, key = ("embedding", "crop") if config.unit == "cell" else ("tiles", "size")
    side = float(config.resolved(section).get(key, getattr(getattr(config, section), key)).split()[0])
    usual = int(read[["Width", "Height"]].min(axis=1).median())
    if side > usual:
        what = f"{section}.{key} is {side:g} px, more than a side of the images ({usual} px)"
        said.append(("error", what, "", "make it smaller, or correct images.pixel_size"))
    return said


def _bits(dtype):
    """Bits of a type of whole numbers; 0 for floats, whose range is free."""
    kind = np.dtype(dtype)
    return 8 * kind.itemsize if kind.kind in "iu" else 0


def unreadable_channels(images):
    """Channels of which no header could be read.

    Parameters
    ----------
    images : pandas.DataFrame
        Images whose header was opened.

    Returns
    -------
    list of tuple of str
        Channel, number of images opened and why the first cannot be read.
    """
    return [
        (channel, counted(len(rows), "image"), rows["Reason"].iloc[0])
        for channel, rows in images.groupby("Metadata_Channel")
        if rows["Status"].eq("unreadable").all()
    ]
