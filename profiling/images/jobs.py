"""Quality, illumination and intensity limits: what the workflow runs a chunk and a plate."""

from pathlib import Path

import numpy as np
import pandas as pd

from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.images.fields import chunk_images, read_flatfields
from profiling.images.flags import flag_images
from profiling.images.illumination import (
    correct,
    fit_illumination,
    intensity_limits,
    read_flatfield,
    write_flatfield,
)
from profiling.images.quality import measure_quality, quality_columns
from profiling.images.read import ImageError, read_image
from profiling.parallel import map_ahead
from profiling.progress import log, track
from profiling.tables import FIELD_KEY, read_table, write_table

KEY = [*FIELD_KEY, "Metadata_Channel"]


def quality(images, folder, wells, settings, out, threads=1):
    """Measure the raw images of a chunk; one that cannot be read is a row with its reason."""
    rows = chunk_images(images, wells)

    def work(row):
        measured = dict.fromkeys(name for name, _, _ in quality_columns())
        status, reason = row.Status, row.Reason
        if status == "ok":
            try:
                measured = measure_quality(read_image(Path(folder) / row.Path, int(row.Page)), settings.bit_depth)
            except ImageError as error:
                status, reason = "unreadable", str(error)
                log.warning("%s", error)
        return {**{name: getattr(row, name) for name in KEY}, **measured, "Status": status, "Reason": reason}

    done = list(track(map_ahead(work, rows.itertuples(), threads), len(rows), "images"))
    table = pd.DataFrame(done, columns=[*KEY, *(name for name, _, _ in quality_columns()), "Status", "Reason"])
    write_table(out, "quality", table, settings=settings.changed())


def usable(quality, max_failed, out):
    """Write how many images of a plate failed.

    Raises
    ------
    ProfilingError
        If their share is larger than `max_failed`.
    """
    table = read_table(quality, "quality", ["Metadata_Plate", "Status", "Reason"])
    failed = table[table["Status"].ne("ok")]
    said = f"{len(failed)} of {len(table)} images failed"
    if len(failed) / max(len(table), 1) > max_failed:
        reasons = failed["Reason"].value_counts()[:5]
        examples = "".join(f"\n  {reason} ({count} images)" for reason, count in reasons.items())
        raise ProfilingError(
            f"plate {table['Metadata_Plate'].iloc[0]}: {said}, more than max_failed_images ({max_failed:g}) allows. "
            "Repair them and run `profiling rescan`, exclude their wells or the plate in the plate table, or raise "
            f"max_failed_images.{examples}"
        )
    with whole_file(out) as temporary:
        temporary.write_text(f"{said}\n")
    log.info("%s", said)


def flag(quality, fields, nuclei_channel, settings, out):
    """Write the flags table of a plate from its quality and fields tables."""
    fields = read_table(fields, "fields", [*FIELD_KEY, "CellCount", "SegmentationScore"])
    flags = flag_images(read_table(quality, "quality"), fields, nuclei_channel, settings)
    write_table(out, "flags", flags, settings=settings.changed())
    for name, count in flags["Flags"].value_counts().items():
        log.info("%d images: %s", count, name)


def illumination(images, folder, channels, settings, out, threads=1):
    """Fit and write the flat field and dark offset of each channel of a plate."""
    table = read_table(images, "images")
    for channel in channels:
        rows = _spread(table, channel, settings.maximum_fields)
        fields = _readable(rows, folder, channel, threads)
        minimum = settings.minimum_fields if settings.correct else np.inf
        fitted = fit_illumination(fields, dark=settings.dark, minimum_fields=minimum)
        reason = fitted.reason if settings.correct else "illumination.correct is off"
        write_flatfield(Path(out) / f"{channel}.tif", fitted.flat, fitted.dark, fitted.fields_used, reason)
        log.info("%s: %d fields, dark offset %.1f%s", channel, fitted.fields_used, fitted.dark,
                 f"; {reason}" if reason else "")  # fmt: skip


def limits(images, folder, flatfields, channels, settings, out, threads=1):
    """Write the intensity limits of each channel of a plate, with what is known of its illumination."""
    table = read_table(images, "images")
    plate = table["Metadata_Plate"].iloc[0]
    flats = read_flatfields(flatfields, channels)
    records = []
    for channel in channels:
        flat, dark = flats[channel]
        rows = _spread(table, channel, settings.maximum_fields)
        raw = [0]

        def corrected(rows=rows, channel=channel, flat=flat, dark=dark, raw=raw):
            for image in _readable(rows, folder, channel, threads):
                if image.shape == flat.shape:
                    raw[0] += 1
                    yield correct(image, flat, dark)

        low, high = intensity_limits(corrected(), settings.low, settings.high)
        _, _, fields_used, reason = read_flatfield(Path(flatfields) / f"{channel}.tif")
        records.append(
            {
                "Metadata_Plate": plate,
                "Metadata_Channel": channel,
                "Low": low,
                "High": high,
                "DarkOffset": dark,
                "FlatFieldFields": fields_used,
                "LimitFields": raw[0],
                "Reason": reason or None,
            }
        )
        log.info("%s: %.1f to %.1f over %d fields", channel, low, high, raw[0])
    write_table(out, "limits", pd.DataFrame(records).astype({"Reason": "str"}), settings=settings.changed())


def _spread(table, channel, count):
    """At most `count` images of a channel, evenly over the plate."""
    rows = table[table["Metadata_Channel"].eq(channel) & table["Status"].eq("ok")]
    if len(rows) <= count:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, count).round().astype(int)]


def _readable(rows, folder, channel, threads):
    """The raw images that can be read, one at a time."""

    def read(row):
        try:
            return read_image(Path(folder) / row.Path, int(row.Page))
        except ImageError:
            return None

    images = track(map_ahead(read, rows.itertuples(), threads), len(rows), f"{channel} images")
    return (image for image in images if image is not None)
