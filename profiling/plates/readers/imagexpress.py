"""Reader for what MetaXpress writes of a plate that an ImageXpress imaged.

Exports have a plate description (``.HTD``) and names such as ``TimePoint_1/ZStep_2/9987_B02_s1_w1.TIF``; the database
has none, and its names end in a GUID. Names without a site or a wavelength have one of it. Thumbnails
(``_thumb``) are left out. Positions are in each image's file only and are not read.

An export fills every ``ZStep`` folder with an image of every wavelength: ``ZStep_0`` has the projections, and what was
imaged in one plane, or only projected, is copied to all. Which it is, one file a wavelength tells.
"""

import re
from pathlib import PurePosixPath

import pandas as pd

from profiling.errors import ProfilingError
from profiling.plates.readers import as_images
from profiling.plates.readers.htd import read_htd
from profiling.plates.readers.metaseries import read_plane

SAMPLE = 2000  # images looked at to know names
ATTEMPTS = 3  # files opened at most to know what a wavelength's images are
MAXIMUM_IMAGES = 5_000_000

_GUID = r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}"
_NAME = re.compile(
    rf"(?:(?P<prefix>.*?)_)?(?P<well>[A-Z]{{1,2}}\d\d)(?P<site>_s\d{{1,5}})?(?P<wave>_w\d{{1,2}})?(?P<thumb>_thumb)?"
    rf"(?P<guid>_?\[?{_GUID}\]?)?(?P<suffix>\.(?:tiff?|png|jpe?g))",
    re.IGNORECASE | re.DOTALL,
)
_FOLDER = re.compile(
    r"(?P<root>.*?)(?:(?:^|/)TimePoint_(?P<time>\d{1,6}))?(?:(?:^|/)ZStep_(?P<step>\d{1,6}))?",
    re.IGNORECASE | re.DOTALL,
)
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
_FIELD = ["Well", "Site", "Time"]
_OUTSIDE = -1
"""Step of an image that lies in no ``ZStep`` folder."""


def detect(folder, files):
    """Whether there is a plate description, or most names have a GUID, a thumbnail or MetaXpress's folders."""
    descriptions = [file.path for file in files if file.path.lower().endswith(".htd")]
    if descriptions:
        try:
            with open(folder / descriptions[0], "rb") as file:
                return b"HTSInfoFile" in file.read(100)
        except OSError:
            return False
    paths = [file.path for file in files if file.path.lower().endswith(_SUFFIXES)][:SAMPLE]
    return bool(paths) and sum(map(_is_certain, paths)) >= len(paths) / 2


def _is_certain(path):
    head, _, name = path.rpartition("/")
    match, place = _NAME.fullmatch(name), _FOLDER.fullmatch(head)
    return bool(match) and any((match["guid"], match["thumb"], place["time"], place["step"]))


def read(folder, files, settings):
    """Images of the one export of the listing (see :mod:`profiling.plates.readers`).

    A channel is named as the plate description names the wavelength if all names differ, else ``w1`` …, as in the
    images' names. Images that the description promises and that are not there are rows with the path they would
    have; in a database, whose names cannot be foretold, one problem says how many they are.
    """
    names, problems = _parse(files)
    if names.empty:
        raise ProfilingError(
            f"{folder}: no image has a name as MetaXpress gives it (9987_B02_s1_w1.TIF); write a regular expression "
            "for the names in images.pattern"
        )
    description, root, prefix = _description(folder, files)
    names, other_roots = _choose(folder, names, "Root", root, "the folder of one")
    names, other_prefixes = _choose(folder, names, "Prefix", prefix, "a folder that has the images of one plate only")
    problems += [*other_roots, *other_prefixes]
    images = names[~names["Thumbnail"]]
    if images.empty:
        raise ProfilingError(f"{folder}: has nothing but thumbnails of MetaXpress; export the images too")
    images = pd.concat(
        [_planes(folder, rows, has_steps=names["Step"].max() >= 0) for _, rows in images.groupby("Wave")],
        ignore_index=True,
    )
    problems += _doubtful(images)
    if description is not None:
        lost, nameless = _lost(folder, images, description)
        problems += nameless
        images = pd.concat([images, lost], ignore_index=True)
    channels = {wave: f"w{wave}" for wave in images["Wave"].unique()}
    if description is not None and len({*description.waves.values()} - {""}) == len(description.waves):
        channels |= description.waves
    table = {
        "Metadata_Well": images["Well"],
        "Metadata_Site": images["Site"],
        "Metadata_Time": images["Time"],
        "Metadata_Z": images["Z"],
        "Metadata_Channel": images["Wave"].map(channels),
        **{name: images[name] for name in ("Path", "FileSize", "Modified", "Projection", "PixelSize")},
    }
    return as_images(table), problems


def _parse(files):
    """What the names say, a row an image or thumbnail, and one problem for all other names."""
    folders, rows, strange = {}, [], []
    for path, size, modified in files:
        if not path.lower().endswith(_SUFFIXES):
            continue
        head, _, name = path.rpartition("/")
        match = _NAME.fullmatch(name)
        if match is None:
            strange.append(path)
            continue
        if head not in folders:
            place = _FOLDER.fullmatch(head)
            step = _OUTSIDE if place["step"] is None else int(place["step"])
            folders[head] = place["root"], int(place["time"] or 0), step
        prefix, well, site, wave, thumb, guid, suffix = match.groups()
        wave_number, site_number = int(wave[2:]) if wave else 1, int(site[2:]) if site else 1
        rows.append(
            (*folders[head], prefix or "", well.upper(), site_number, wave_number, site is not None, wave is not None)
            + (thumb is not None, guid is not None, suffix, path, size, modified)
        )
    columns = ["Root", "Time", "Step", "Prefix", "Well", "Site", "Wave", "HasSite", "HasWave"]
    columns += ["Thumbnail", "HasGuid", "Suffix", "Path", "FileSize", "Modified"]
    problems = []
    if strange:
        reason = f"{len(strange)} images have no name as MetaXpress gives it (9987_B02_s1_w1.TIF)"
        problems = [(strange[0], reason, "rename them, or write a regular expression in images.pattern")]
    return pd.DataFrame(rows, columns=columns), problems


def _description(folder, files):
    """The export's description, folder and name; None, and empty, where there is none."""
    found = {}
    for path in (file.path for file in files if file.path.lower().endswith(".htd")):
        head, _, name = path.rpartition("/")
        # An export repeats the description in each of its folders.
        found.setdefault((_FOLDER.fullmatch(head)["root"], PurePosixPath(name).stem), []).append(path)
    if not found:
        return None, "", ""
    if len(found) > 1:
        shown = ", ".join(min(paths, key=len) for paths in list(found.values())[:3])
        raise ProfilingError(
            f"{folder}: has {len(found)} exports ({shown}); let the plate's `images` name the folder of one"
        )
    (root, name), paths = found.popitem()
    return read_htd(folder / min(paths, key=len)), root, name


def _choose(folder, names, column, preferred, remedy):
    """Rows of the one export or plate, and a problem for the rest; an error where it is not clear which is meant."""
    values = names[column].unique().tolist()
    if len(values) == 1:
        return names, []
    chosen = names[column].str.lower().eq(preferred.lower())
    if not preferred or not chosen.any():
        shown = ", ".join(repr(value) for value in values[:3])
        raise ProfilingError(
            f"{folder}: has the images of {len(values)} exports ({shown}); let the plate's `images` name {remedy}"
        )
    first, count = names.loc[~chosen, "Path"].iloc[0], (~chosen).sum()
    reason = f"{count} images do not belong to {preferred!r}, which the plate description (.HTD) describes"
    return names[chosen], [(first, reason, "move them to a folder of their own")]


def _planes(folder, rows, has_steps):
    """Rows of one wavelength with plane, projection and pixel size, and without the copies in other steps."""
    top = rows["Step"].max()
    plane = _sample(folder, rows[rows["Step"].eq(top)])
    size = plane.pixel_size if plane else float("nan")
    rows = rows.assign(Known=plane is not None, Stack=False, Z=0, Projection=False, PixelSize=size)
    rows = rows.sort_values("Step", kind="stable")
    if plane and plane.projection:
        return rows.assign(Projection=True).drop_duplicates(_FIELD)
    if plane and plane.step is not None and plane.step != top:
        if top == _OUTSIDE:
            return rows
        rows = rows.iloc[rows["Step"].ne(plane.step).argsort(kind="stable")]
        return rows.assign(Z=plane.step).drop_duplicates(_FIELD)
    below = rows["Step"].lt(1)
    if top >= 1 and below.any():
        bottom = _sample(folder, rows[below])
        if bottom and not bottom.projection and bottom.step is not None:
            rows, below = rows[~below], below[~below]
    rows = rows.assign(Stack=top >= 1, Z=rows["Step"].clip(lower=0), Projection=below & has_steps)
    return rows.drop_duplicates([*_FIELD, "Z", "Path"])


def _sample(folder, rows):
    """What one of the files says: the first, the middle or the last that says anything."""
    paths = rows["Path"].tolist()
    for path in dict.fromkeys((paths[0], paths[len(paths) // 2], paths[-1])):
        if plane := read_plane(folder / path):
            return plane
    return None


def _doubtful(images):
    """A problem for the wavelengths whose planes may be copies, because no file says what they are."""
    doubtful = images[images["Stack"] & ~images["Known"] & images["Z"].gt(1)].drop_duplicates("Wave")
    if doubtful.empty:
        return []
    waves = ", ".join(f"w{wave}" for wave in doubtful["Wave"])
    reason = f"no file of {waves} says whether these are planes or copies of one image; they are taken as planes"
    return [(doubtful["Path"].iloc[0], reason, "export the images again, with the tags that MetaXpress writes")]


def _lost(folder, images, description):
    """Rows for the images that the description promises and that are not there, and a problem if they have no name."""
    first = images.iloc[0]
    sites = sorted(images["Site"].unique().tolist())
    if images["HasSite"].any() and sites[-1] <= description.sites:
        sites = list(range(1, description.sites + 1))
    times = sorted(images["Time"].unique().tolist())
    if 0 not in times:
        times = sorted({*times, *range(1, description.times + 1)})
    waves = description.waves if images["HasWave"].any() else {1: ""}
    wells = sorted({*description.wells, *images["Well"]})
    planes = [plane for wave in waves for plane in _promised_planes(images, wave, description.steps)]
    if len(wells) * len(sites) * len(times) * len(planes) > MAXIMUM_IMAGES:
        raise ProfilingError(
            f"{folder}: the plate description (.HTD) promises {len(wells)} wells of {len(sites)} sites, {len(times)} "
            f"time points and {len(planes)} images each, which cannot be; copy it again from the export, or remove it"
        )
    key = [*_FIELD, "Wave", "Z", "Projection"]
    fields = pd.MultiIndex.from_product([wells, sites, times], names=_FIELD).to_frame(index=False)
    promised = fields.merge(pd.DataFrame(planes, columns=["Wave", "Z", "Projection", "Step"]), how="cross")
    lost = promised.merge(images[key], how="left", on=key, indicator=True)
    lost = lost[lost.pop("_merge").eq("left_only")]
    if lost.empty:
        return lost, []
    if images["HasGuid"].any():
        reason = f"{len(lost)} images that the plate description (.HTD) promises are not there"
        return lost[:0], [("", reason, "copy them from the database, or exclude their wells")]
    base = f"{first['Root']}/" if first["Root"] else ""
    stem = f"{first['Prefix']}_" if first["Prefix"] else ""
    has_site, has_wave = images["HasSite"].any(), images["HasWave"].any()
    paths = [
        f"{base}{f'TimePoint_{time}/' if time else ''}{f'ZStep_{step}/' if step >= 0 else ''}"
        f"{stem}{well}{f'_s{site}' if has_site else ''}{f'_w{wave}' if has_wave else ''}{first['Suffix']}"
        for well, site, time, wave, step in lost[[*_FIELD, "Wave", "Step"]].itertuples(index=False)
    ]
    return lost.assign(Path=paths, FileSize=0, Modified=0, PixelSize=float("nan")), []


def _promised_planes(images, wave, steps):
    """Wavelength, plane, projection and step of each image of a field: what other fields have, and whole stacks."""
    rows = images[images["Wave"].eq(wave)]
    if rows.empty:
        step = 1 if images["Step"].max() >= 0 else _OUTSIDE
        return [(wave, max(step, 0), False, step)]
    found = rows.groupby(["Z", "Projection"])["Step"].min()
    planes = {(wave, z, projection): step for (z, projection), step in found.items()}
    if rows["Stack"].any():
        planes = {(wave, z, False): z for z in range(1, steps + 1)} | planes
    return [(*plane, step) for plane, step in planes.items()]
