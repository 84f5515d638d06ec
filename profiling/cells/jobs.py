"""The segmentation of one chunk: from images to label images and the cell table."""

import json
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from profiling.cells.engines import load_segmenter
from profiling.cells.measure import measure_cells
from profiling.cells.quality import FIELD_STATISTICS, measure_field
from profiling.files import whole_file
from profiling.images.fields import Field, chunk_images, read_field, read_flatfields, split_fields
from profiling.parallel import map_ahead
from profiling.progress import log, track
from profiling.settings import pixels
from profiling.tables import FIELD_KEY, table_writer, write_table


def segmenter_of(settings):
    """The segmentation engine of the settings, with lengths in pixels and areas from diameters."""

    def length(text):
        return None if text is None else pixels(text)

    def disc(text):
        return None if text is None else np.pi / 4 * pixels(text) ** 2

    return load_segmenter(
        settings.engine,
        nucleus_diameter=length(settings.nucleus_diameter),
        min_area=disc(settings.minimum_diameter),
        max_area=disc(settings.maximum_diameter),
        cells=settings.cells,
        ring=length(settings.ring),
        cell_threshold_correction=settings.cells_threshold_correction,
        regularisation=settings.regularisation,
        **{name: getattr(settings, name) for name in settings.ENGINE_SETTINGS[settings.engine]},
    )


def segment_field(field, segmenter, channels, nuclei_channel, cells_channel):
    """Segment and measure one field.

    Parameters
    ----------
    field : profiling.images.fields.Field
    segmenter : object
        From :func:`profiling.cells.load_segmenter`.
    channels : list of str
        Channels to measure; those the field lost give null.
    nuclei_channel, cells_channel : str, str or None

    Returns
    -------
    nuclei, cells : ndarray of uint32, shape (H, W), or None
        None where the field cannot be segmented.
    table : pandas.DataFrame
        Measurements of :func:`profiling.cells.measure_cells`, with the field key.
    statistics : dict
        Of the masks, from :func:`profiling.cells.quality.measure_field`; None where there are none.
    reason : str or None
        Why the field could not be segmented.
    """
    needed = [channel for channel in (nuclei_channel, cells_channel) if channel]
    if lost := [channel for channel in needed if channel not in field.channels]:
        reason = f"channel {lost[0]} is needed for segmentation: {field.lost.get(lost[0], 'it is not listed')}"
        nothing = np.zeros((1, 1), np.uint32)
        table = measure_cells(nothing, nothing, dict.fromkeys(channels)).assign(**field.key)
        return None, None, table, dict.fromkeys(FIELD_STATISTICS), reason
    image, step = field.channels[nuclei_channel], field.steps[nuclei_channel]
    nuclei = segmenter.segment(image, step)
    cells = segmenter.segment_cells(nuclei, field.channels.get(cells_channel), field.steps.get(cells_channel))
    table = measure_cells(nuclei, cells, {channel: field.channels.get(channel) for channel in channels})
    return nuclei, cells, table.assign(**field.key), measure_field(image, nuclei, table, step), None


def segment(images, folder, flatfields, wells, channels, settings, out_cells, out_fields, out_labels, threads=1):
    """Segment the wells of a chunk and write its cell table, field table and label images.

    Parameters
    ----------
    images : str or Path
        Image table of the plate.
    folder : str or Path
        Image folder of the plate.
    flatfields : str or Path
        Folder of the plate's flat fields.
    wells : list of str
        Wells of the chunk.
    channels : list of str
        Channels of the screen.
    settings : profiling.settings.Segmentation
    out_cells, out_fields : str or Path
        Tables `segmented` and `fields`.
    out_labels : str or Path
        Folder of one TIFF a well, two pages a field (nuclei, cells).
    threads : int
        Fields at a time.
    """
    segmenter = segmenter_of(settings)
    nuclei_channel = settings.nuclei_channel or channels[0]
    cells_channel = None if settings.cells == "ring" else settings.cells_channel
    # The nuclei decide the field's size where channels differ in theirs.
    flats = read_flatfields(flatfields, sorted(channels, key=lambda channel: channel != nuclei_channel))
    rows = chunk_images(images, wells)
    fields = split_fields(rows)
    Path(out_labels).mkdir(parents=True, exist_ok=True)

    def work(rows):
        field = read_field(rows, folder, flats)
        try:
            return field.key, *segment_field(field, segmenter, channels, nuclei_channel, cells_channel)
        except Exception as error:
            place = f"{field.key['Metadata_Well']} site {field.key['Metadata_Site']}"
            error.add_note(f"This happened in well {place}; with the well in `exclude` the plate goes on without it.")
            raise

    _, _, empty, *_ = segment_field(Field(dict.fromkeys(FIELD_KEY), {}, {}), segmenter, channels, nuclei_channel, None)
    results = track(map_ahead(work, fields, threads), len(fields), "fields")
    outcomes = []
    with table_writer(out_cells, "segmented", empty, settings=settings.changed()) as append:
        for well, found in groupby(results, key=lambda result: result[0]["Metadata_Well"]):
            tables = []
            # Each page is compressed as it comes: those of a well would be as large as all the rest.
            write_labels(Path(out_labels) / f"{well}.tif", _collect(found, tables, outcomes))
            if tables:
                append(pd.concat(tables))
    columns = [*FIELD_KEY, "Segmented", "CellCount", *FIELD_STATISTICS, "Reason"]
    outcomes = pd.DataFrame(outcomes, columns=columns)
    write_table(out_fields, "fields", outcomes, settings=settings.changed())
    log.info("%d cells in %d fields", outcomes["CellCount"].sum(), outcomes["Segmented"].sum())


def _collect(results, tables, outcomes):
    """The label images of the fields that have any; measurements and outcomes of all are added to the lists."""
    for key, nuclei, cells, table, statistics, reason in results:
        if len(table):
            tables.append(table)
        if reason:
            log.warning("%s site %d: %s", key["Metadata_Well"], key["Metadata_Site"], reason)
        outcome = {"Segmented": reason is None, "CellCount": len(table), **statistics, "Reason": reason}
        outcomes.append({**key, **outcome})
        if nuclei is not None:
            yield key, nuclei, cells


def write_labels(path, pages):
    """Write the label images of a well: uint32, deflate, two pages a field, each described by JSON.

    Parameters
    ----------
    path : str or Path
        Nothing is written without pages.
    pages : iterable of (dict, ndarray, ndarray)
        Field key, nuclei and cells.
    """
    pages = iter(pages)
    first = next(pages, None)
    if first is None:
        return
    with whole_file(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=False) as file:
        for key, nuclei, cells in chain([first], pages):
            for compartment, labels in (("Nuclei", nuclei), ("Cells", cells)):
                facts = {name.removeprefix("Metadata_"): value for name, value in key.items()}
                file.write(
                    labels.astype(np.uint32, copy=False),
                    compression="deflate",
                    predictor=True,
                    contiguous=False,
                    metadata=None,
                    photometric="minisblack",
                    description=json.dumps({**facts, "Compartment": compartment}),
                )


def read_labels(path, site, compartment="Cells", time=0, z=0):
    """Label image of one field and compartment.

    Parameters
    ----------
    path : str or Path
        ``results/labels/{plate}/{chunk}/{well}.tif``
    site, time, z : int
        Field key in the well.
    compartment : {"Nuclei", "Cells"}

    Returns
    -------
    ndarray of uint32, shape (H, W)

    Raises
    ------
    KeyError
        If the file has no such page.
    """
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            facts = json.loads(page.description)
            if (facts["Site"], facts["Time"], facts["Z"], facts["Compartment"]) == (
                site,
                time,
                z,
                compartment,
            ):
                return page.asarray()
    raise KeyError(f"{path} has no page of site {site}, {compartment}")
