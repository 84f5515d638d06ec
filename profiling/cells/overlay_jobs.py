"""Overlays of a plate for the report, and of any well that a person wants to look at."""

from pathlib import Path

import pandas as pd

from profiling.cells.jobs import read_labels
from profiling.cells.overlays import choose_fields, draw_overlay, encode_png
from profiling.config import find_plate, image_folder
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.images.fields import chunk_images, read_field, read_flatfields, split_fields
from profiling.kept_config import screen_config
from profiling.parallel import map_ahead
from profiling.plates.wells import normalise_well
from profiling.progress import log, track
from profiling.tables import FIELD_KEY, read_table, write_table

OUTCOME = [*FIELD_KEY, "Segmented", "CellCount", "SegmentationScore", "Reason"]


def overlays(images, folder, flatfields, fields, labels, channels, settings, out):
    """Write the table of overlays of a plate: corner wells, lowest scores, what could not be segmented.

    Parameters
    ----------
    images, folder, flatfields
        As in :func:`profiling.cells.jobs.segment`.
    fields : str or Path
        The plate's `fields` table.
    labels : list of str or Path
        Folders of label images, those of the plate's chunks.
    channels : list of str
        Channel of the nuclei and, if there is one, that of the cell bodies.
    settings : profiling.settings.Overlays
    out : str or Path
        Table `overlays`.
    """
    chosen = choose_fields(read_table(fields, "fields", OUTCOME), settings.worst_sites)
    to_draw = chosen.loc[chosen["Segmented"], FIELD_KEY]
    rows = chunk_images(images, set(to_draw["Metadata_Well"])).merge(to_draw, on=FIELD_KEY)
    drawn = draw_fields(rows, folder, read_flatfields(flatfields, channels), labels, settings.side)
    drawn = pd.DataFrame(drawn, columns=[*FIELD_KEY, "Picture", "Lost"])
    table = chosen.merge(drawn, how="left", on=FIELD_KEY)
    table["Reason"] = table["Reason"].astype("object").where(~table["Segmented"].astype(bool), table["Lost"])
    write_table(out, "overlays", table.drop(columns=["Segmented", "Lost"]), settings=settings.changed())
    log.info("%d of %d fields drawn", table["Picture"].notna().sum(), len(table))


def draw(results, plate, wells, sites, side, out):
    """Write overlays of chosen wells of a screen that has run, as PNG files.

    Folders, channels and chunks are those of the last start, which the workflow keeps beside its results.

    Parameters
    ----------
    results : str or Path
        The results folder, in the working directory of the screen.
    plate : str
    wells : list of str
        Written as people write them.
    sites : list of int or None
        Only these sites.
    side : int or None
        Longest side of a picture, pixels; None: full size.
    out : str or Path
        Folder to write ``{plate}_{well}_s{site}.png`` into, with ``_t{time}`` and ``_z{z}`` where they are not 0.

    Raises
    ------
    ProfilingError
        If the screen, the plate or a well is not there, `out` is a file, or nothing could be drawn.
    """
    results, out = Path(results), Path(out)
    if out.exists() and not out.is_dir():
        raise ProfilingError(f"{out} is a file; give --out a folder")
    config = screen_config(results)
    row = find_plate(config, plate)
    images = images_of(results / "images" / f"{plate}.parquet", row, wells, sites)
    channels = [config.segmentation.nuclei_channel or config.channels[0], config.segmentation.cells_channel]
    flats = read_flatfields(results / "illumination" / plate, [channel for channel in channels if channel])
    chunks = range(1, min(config.chunks_per_plate, row.layout) + 1)
    labels = [results / "labels" / plate / str(chunk) for chunk in chunks]
    count = 0
    for field in draw_fields(images, image_folder(config, plate, results), flats, labels, side):
        name = file_name(field)
        if field["Picture"] is None:
            log.warning("%s site %d: %s", field["Metadata_Well"], field["Metadata_Site"], field["Lost"])
            continue
        with whole_file(out / name) as temporary:
            temporary.write_bytes(field["Picture"])
        count += 1
    if not count:
        raise ProfilingError("no field could be drawn; the reasons stand above")
    log.info("%d pictures in %s", count, out)


def images_of(path, plate, wells, sites):
    """Rows of a plate's image table that belong to these wells and sites.

    Parameters
    ----------
    path : str or Path
        The image table.
    plate : profiling.config.Plate
    wells : list of str
        Written as people write them.
    sites : list of int or None
        Only these sites.

    Raises
    ------
    ProfilingError
        If a well lies outside the plate or has no images, or there is no such site.
    """
    try:
        wells = [normalise_well(well, plate.layout) for well in wells]
    except ValueError as error:
        raise ProfilingError(str(error)) from None
    images = chunk_images(path, wells)
    if absent := sorted(set(wells) - set(images["Metadata_Well"])):
        raise ProfilingError(f"plate {plate.plate} has no images of {', '.join(absent)}")
    if sites:
        if absent := sorted(set(sites) - set(images["Metadata_Site"])):
            raise ProfilingError(f"these wells have no site {', '.join(map(str, absent))}")
        images = images[images["Metadata_Site"].isin(sites)]
    return images


def file_name(key):
    """Name of the PNG file of a field."""
    plate, well, site, time, z = (key[name] for name in FIELD_KEY)
    later = "".join(f"_{letter}{value}" for letter, value in (("t", time), ("z", z)) if value)
    return f"{plate}_{well}_s{site}{later}.png"


def draw_fields(images, folder, flatfields, labels, side):
    """Draw fields one after the other; what cannot be drawn is told, never raised.

    Parameters
    ----------
    images : pandas.DataFrame
        Rows of the image table.
    folder : str or Path
        Image folder of the plate.
    flatfields : dict
        From :func:`profiling.images.fields.read_flatfields`: the channel of the nuclei, and that of the cell bodies.
    labels : list of str or Path
        Folders that hold one TIFF a well.
    side : int or None
        Longest side of a picture, pixels.

    Yields
    ------
    dict
        Field key, Picture (PNG bytes) and Lost (the reason); one of the two is None.
    """

    def work(rows):
        field = read_field(rows, folder, flatfields)
        picture, lost = draw_field(field, labels, side, *flatfields)
        return {**field.key, "Picture": picture, "Lost": lost}

    fields = split_fields(images)
    return track(map_ahead(work, fields, 1), len(fields), "fields")


def draw_field(field, labels, side, nuclei_channel, cells_channel=None):
    """Draw one field: PNG bytes and None, or None and the reason.

    A lost channel of the cell bodies does not prevent the picture: the outlines are there without it.
    """
    well, site = field.key["Metadata_Well"], field.key["Metadata_Site"]
    image = field.channels.get(nuclei_channel)
    if image is None:
        return None, f"channel {nuclei_channel} is lost: {field.lost.get(nuclei_channel, 'it is not listed')}"
    path = next((path for folder in labels if (path := Path(folder) / f"{well}.tif").is_file()), None)
    if path is None:
        return None, f"there is no label image of well {well}: the field was not segmented"
    try:
        place = {"time": field.key["Metadata_Time"], "z": field.key["Metadata_Z"]}
        nuclei, cells = (read_labels(path, site, compartment, **place) for compartment in ("Nuclei", "Cells"))
    except KeyError as error:
        return None, error.args[0]
    except (OSError, ValueError, RuntimeError) as error:
        return None, f"{path} cannot be read ({error}); remove its folder and run the workflow again"
    if nuclei.shape != image.shape:
        return None, f"the image is not the one that {path} was made from: their sizes differ; run the workflow again"
    return encode_png(draw_overlay(image, nuclei, cells, field.channels.get(cells_channel), side)), None
