"""What names, sizes and metadata tell about a plate's images, no file opened.

Every function takes tables and gives a list of level, what, where and remedy, as in
:class:`profiling.plates.checks.findings.Finding`.
"""

from profiling.plates.checks.findings import counted, listed, say_wells
from profiling.plates.planes import FIELD
from profiling.plates.wells import LAYOUTS, parse_well
from profiling.settings.images import FEWEST_FIELDS

FEW_OUTSIDE = 0.05  # share of a plate's wells; so few outside of it are misspelt rather than of a larger plate
SAME_SIZE = 0.5  # share of a channel's files of one size, from which on a smaller one is suspect
LOSSES = {
    "missing": ("there is no file for some expected images", "find them; the run goes on without them"),
    "absent": (
        "the export's metadata list images whose files are not there",
        "copy the plate again from the instrument; the run goes on without them",
    ),
    "empty": ("files of 0 bytes", "copy them again from the instrument; the run goes on without them"),
    "unreadable": (
        "images that cannot be opened",
        "copy them again from the instrument; the run goes on without them",
    ),
}
"""Status of a lost image → what it is and the remedy."""


def unplaced_files(problems, most=5):
    """Files that a reader could not place, by reason.

    Parameters
    ----------
    problems : list of tuple of str
        Path, reason and remedy.
    most : int
        Reasons that are told apart.
    """
    groups = {}
    for path, reason, remedy in problems:
        groups.setdefault((reason, remedy), []).append(path)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    said = [
        ("warning", reason, f"{counted(len(paths), 'file')}, such as {paths[0]}" if paths[0] else "", remedy)
        for (reason, remedy), paths in ordered[:most]
    ]
    if rest := ordered[most:]:
        paths = [path for _, more in rest for path in more]
        where = f"{counted(len(paths), 'file')}, such as {paths[0]}"
        said.append(("warning", "files that could not be placed, for further reasons", where, rest[0][0][1]))
    return said


def name_channels(found, names):
    """The images with the names of `images.channel_names`, if there are any, and the channels that have none."""
    if not names:
        return found, []
    known = found["Metadata_Channel"].isin(names)
    counts = found.loc[~known, "Metadata_Channel"].value_counts(sort=False)
    said = [
        ("note", f"channel {name!r} of the images is not in images.channel_names", counted(count, "image"), "")
        for name, count in counts.items()
    ]
    found = found[known]
    return found.assign(Metadata_Channel=found["Metadata_Channel"].map(names)), said


def other_channels(found, channels):
    """Channels of the images that the configuration leaves out."""
    counts = found.loc[~found["Metadata_Channel"].isin(channels), "Metadata_Channel"].value_counts(sort=False)
    return [
        (
            "note",
            f"channel {name} of the images is not in the configuration",
            counted(count, "image"),
            "add it to channels if it is wanted, or give it one of their names in images.channel_names",
        )
        for name, count in counts.items()
    ]


def absent_channels(found, channels):
    """Channels of the configuration that no image has."""
    known = found["Metadata_Channel"].unique().tolist()
    there = f"the images' channels are {listed(sorted(known), 12)}" if known else ""
    return [
        ("error", f"no image is of channel {name}", there, "correct channels or images.channel_names")
        for name in channels
        if name not in known
    ]


def outside_wells(texts, layout):
    """Wells that the plate does not have.

    Parameters
    ----------
    texts : iterable of str
        Wells as the images have them.
    layout : int
        Wells of the plate.
    """
    positions, illegible = {}, []
    for text in texts:
        try:
            positions[text] = parse_well(text)
        except ValueError:
            illegible.append(text)
    rows, columns = LAYOUTS[layout]
    outside = [text for text, (row, column) in positions.items() if row > rows or column > columns]
    said = []
    if illegible:
        where = f"{counted(len(illegible), 'name')}, such as {illegible[0]!r}"
        remedy = "write wells as A01, a1, A001 or r01c01, or correct images.pattern"
        said.append(("warning", "well names that cannot be read", where, remedy))
    if outside:
        needed = smallest_layout(positions.values())
        level = "warning" if len(outside) <= FEW_OUTSIDE * len(positions) else "error"
        what = f"wells of the images lie outside a {layout}-well plate"
        said.append((level, what, say_wells(outside), f"set the plate's layout to {needed}, or correct the names"))
    return said


def smallest_layout(positions):
    """Smallest plate on which all positions (row and column, from 1) lie."""
    return next(
        layout
        for layout, (rows, columns) in LAYOUTS.items()
        if all(row <= rows and column <= columns for row, column in positions)
    )


def loose_layout(wells, layout):
    """Whether the images reach just to the last row and column of a smaller plate."""
    positions = [parse_well(well) for well in wells]
    last = max(row for row, _ in positions), max(column for _, column in positions)
    smaller = smallest_layout(positions)
    if smaller == layout or last != LAYOUTS[smaller] or len(positions) < smaller / 2:
        return []
    remedy = f"set it to {smaller} if that is what it is, so that its jobs share the work evenly"
    return [("note", f"the layout is {layout}, and the wells are those of a {smaller}-well plate", "", remedy)]


def twins(found):
    """Files that are the same well, site, time point, plane and channel, and images that are the same pixels."""
    said = []
    key = [*FIELD, "Metadata_Z", "Metadata_Channel"]
    same = found[found.duplicated(key, keep=False)].sort_values([*key, "Path"])
    if len(same):
        first, other = same.iloc[0], same.iloc[1]
        where = (
            f"{counted(len(same), 'file')}, such as {first.Path} and {other.Path} "
            f"({first.Metadata_Well}, site {first.Metadata_Site}, {first.Metadata_Channel})"
        )
        remedy = "remove one of each, or let images.pattern tell them apart (site, time, z)"
        said.append(("error", "several files are the same well, site and channel", where, remedy))
    shared = found[found.duplicated(["Path", "Page"], keep=False)]
    shared = shared[~shared.duplicated([*key, "Path"], keep=False)]
    if len(shared):
        names = shared["Metadata_Channel"].unique()
        where = f"{counted(shared['Path'].nunique(), 'file')}, such as {shared['Path'].iloc[0]} ({listed(names)})"
        said.append(("error", "several images are the same pixels of one file", where, "correct the list of images"))
    return said


def lost_images(images, channels, max_failed, whole_channels=(), deep=True):
    """Images that are known to be lost, and whether they are too many.

    Parameters
    ----------
    images : pandas.DataFrame
        Expected images with their `Status`.
    channels : list of str
        Channels of the screen.
    max_failed : float
        Share of a plate's images that may be lost.
    whole_channels : collection of str
        Channels that are told apart, since no image is of them.
    deep : bool
        Whether all images were opened.
    """
    lost = images[images["Status"].ne("ok")]
    said = []
    if len(lost) / max(len(images), 1) > max_failed:
        remedy = "find or copy them, exclude wells, or raise max_failed_images; else the plate stops"
        where = f"{len(lost):,} of {len(images):,}"
        said.append(("error", "more images are lost than max_failed_images allows", where, remedy))
    for status, (what, remedy) in LOSSES.items():
        some = lost[lost["Status"].eq(status) & ~lost["Metadata_Channel"].isin(whole_channels)]
        if len(some):
            where = f"{counted(len(some), 'image')}: {_by_channel(some, channels, whole_channels)}"
            if status == "unreadable":
                where += f"; {some['Reason'].iloc[0].split(';')[0]}"
                remedy += "" if deep else "; --deep opens all images and finds the others"
            said.append(("warning", what, where, remedy))
    return said


def _by_channel(some, channels, whole_channels):
    """``all channels in B03; DNA in C04-C06``."""
    names = [name for name in channels if name not in whole_channels]
    of_well = some.groupby("Metadata_Well")["Metadata_Channel"].agg(frozenset)
    wells = {}
    for well, lost in of_well.items():
        wells.setdefault(lost, []).append(well)
    parts = []
    for lost, of_these in sorted(wells.items(), key=lambda item: -len(item[1]))[:5]:
        said = "all channels" if len(lost) == len(names) > 1 else listed(sorted(lost, key=names.index))
        parts.append(f"{said} in {say_wells(of_these)}")
    more = sum(len(of_these) for _, of_these in sorted(wells.items(), key=lambda item: -len(item[1]))[5:])
    return "; ".join(parts) + (f" and {counted(more, 'more well')}" if more else "")


def short_files(images):
    """Files smaller than most others of their channel, which are probably cut short.

    Parameters
    ----------
    images : pandas.DataFrame
        Images whose files are there.

    Returns
    -------
    pandas.DataFrame
        The rows of such files; none where sizes vary, as they do with compression.
    """
    sizes = images["FileSize"].groupby(images["Metadata_Channel"])
    usual = sizes.transform(lambda size: size.mode().iloc[0] if len(size) else 0)
    share = images["FileSize"].eq(usual).groupby(images["Metadata_Channel"]).transform("mean")
    return images[share.ge(SAME_SIZE) & images["FileSize"].lt(usual)]


def pixel_sizes(found, settings):
    """Pixel sizes of the export's metadata against ``images.pixel_size``."""
    sizes = sorted(found["PixelSize"].dropna().round(4).unique().tolist())
    if not sizes:
        return []
    there = f"{listed([f'{size:g}' for size in sizes])} um"
    if len(sizes) > 1:
        remedy = "fields of several magnifications cannot be measured together; give them plates of their own"
        return [("warning", "the export's metadata have several pixel sizes", there, remedy)]
    if settings.pixel_size is None:
        remedy = "set images.pixel_size to it to give lengths in um"
        return [("note", f"the export's metadata say {there} a pixel", "", remedy)]
    if abs(settings.pixel_size / sizes[0] - 1) > 0.01:
        what = f"images.pixel_size is {settings.pixel_size:g} um, and the export's metadata say {there}"
        return [("warning", what, "", "correct the one that is wrong: all lengths in um depend on it")]
    return []


def several_fields(found, settings):
    """Time points and planes that each become a field of their own."""
    said = []
    for column, key, noun in (("Metadata_Time", "time", "time points"), ("Metadata_Z", "z", "planes")):
        count = found[column].nunique()
        if count > 1 and getattr(settings, key) == "all":
            what = f"{count} {noun} a field, each a field of its own"
            remedy = f"name one in images.{key} unless a well's profile shall be the mean over all of them"
            said.append(("note", what, "", remedy))
    return said


def few_fields(images, illumination):
    """Whether there are enough fields for a flat field."""
    fields = len(images[[*FIELD, "Metadata_Z"]].drop_duplicates())
    if not illumination.correct or fields >= illumination.minimum_fields:
        return []
    what = f"fewer than {illumination.minimum_fields} fields, so that no flat field is fitted"
    lower = "; lower illumination.minimum_fields if you know better" if fields >= FEWEST_FIELDS else ""
    remedy = f"images are used uncorrected{lower}"
    return [("note", what, counted(fields, "field"), remedy)]
