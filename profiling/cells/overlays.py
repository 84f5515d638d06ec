"""Pictures to judge masks by: fields in grey with the outlines of nuclei and cells, and which fields to look at."""

import io

import cv2
import numpy as np
from PIL import Image

from profiling.images.illumination import scale
from profiling.images.quality import noise_sigma
from profiling.plates.wells import parse_well
from profiling.tables import FIELD_KEY

OUTLINE_COLOURS = {"nuclei": (255, 176, 0), "cells": (86, 180, 233)}
"""Amber (IBM's palette) and sky blue (Okabe and Ito): distinct for colour-blind readers and from every grey."""

GREYS = 30  # few enough that noise compresses well, more than an eye tells apart in a noisy picture
BRIGHTEST = 215  # grey value, so that outlines stand out on bright nuclei
NUCLEI_WEIGHT, CELLS_WEIGHT = 0.75, 0.4  # of the channels in the grey picture
GAMMA = 0.6  # lifts dim objects, which are those that are missed
PERCENTILES = 2, 99.8
LEAST_RANGE = 25  # noise deviations from black to white at least: an empty field stays dark
CORNER, WORST, UNSEGMENTED = "corner well", "lowest score", "not segmented"


def choose_fields(fields, worst_sites):
    """The fields of a plate to look at: its corner wells, its lowest scores and what could not be segmented.

    Parameters
    ----------
    fields : pandas.DataFrame
        The plate's `fields` table.
    worst_sites : int
        Fields with the lowest SegmentationScore, ties in the order of the field key.

    Returns
    -------
    pandas.DataFrame
        These rows in the order of the key, with the reasons in the column `Chosen`, joined by ``; ``. Of a
        corner well it is the first field.
    """
    fields = fields.sort_values(FIELD_KEY, ignore_index=True)
    first = fields.drop_duplicates("Metadata_Well")
    worst = fields["SegmentationScore"].dropna().sort_values(kind="stable").index[:worst_sites]
    reasons = {
        CORNER: first.index[first["Metadata_Well"].isin(corner_wells(first["Metadata_Well"]))],
        WORST: worst,
        UNSEGMENTED: fields.index[~fields["Segmented"].astype(bool)],
    }
    chosen = {}
    for reason, rows in reasons.items():
        for row in rows:
            chosen.setdefault(row, []).append(reason)
    rows = fields.loc[sorted(chosen)]
    return rows.assign(Chosen=["; ".join(chosen[row]) for row in rows.index]).reset_index(drop=True)


def corner_wells(wells):
    """The wells nearest to the corners of the plate (rows plus columns away), each once, in the order of the corners.

    Parameters
    ----------
    wells : iterable of str
        Imaged wells, as `A01`. The margin of the plate may not be among them.

    Returns
    -------
    list of str
    """
    places = sorted((parse_well(well), well) for well in wells)
    corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    found = [min(places, key=lambda place, c=c: c[0] * place[0][0] + c[1] * place[0][1])[1] for c in corners if places]
    return list(dict.fromkeys(found))


def draw_overlay(image, nuclei, cells, body=None, side=None):
    """Draw a field in grey with the outlines of its nuclei and cells.

    The picture is reduced first and outlined then, so that outlines stay one pixel wide.

    Parameters
    ----------
    image : (H, W) float32
        Channel of the nuclei. Its contrast is stretched, whatever that of other fields is.
    nuclei, cells : (H, W) uint32
        Labels.
    body : (H, W) float32, optional
        Channel of the cell bodies, added in a darker grey.
    side : int, optional
        Longest side of the picture, pixels; larger fields are reduced.

    Returns
    -------
    (h, w) uint8
        Indices into `palette`.
    """
    grey = stretch(shrink(image, side))
    if body is not None:
        grey = np.minimum(NUCLEI_WEIGHT * grey + CELLS_WEIGHT * stretch(shrink(body, side)), 1)
    picture = np.minimum(grey * GREYS, GREYS - 1).astype(np.uint8)
    picture[outlines(shrink_labels(cells, picture.shape))] = GREYS + 1
    picture[outlines(shrink_labels(nuclei, picture.shape))] = GREYS
    return picture


def palette():
    """Colours of the pictures: (GREYS + 2, 3) uint8, the outlines of nuclei and cells last."""
    greys = np.linspace(0, BRIGHTEST, GREYS).round()
    return np.vstack([np.repeat(greys[:, None], 3, axis=1), *OUTLINE_COLOURS.values()]).astype(np.uint8)


def encode_png(picture):
    """PNG bytes of a picture from `draw_overlay`; the same picture gives the same bytes."""
    coded = Image.fromarray(picture)
    coded.putpalette(palette().tobytes())
    file = io.BytesIO()
    coded.save(file, "PNG")
    return file.getvalue()


def stretch(image):
    """Intensities of a field in [0, 1], dim ones lifted; noise alone stays dark.

    Parameters
    ----------
    image : (H, W) float32

    Returns
    -------
    (H, W) float32
    """
    low, high = np.percentile(image, PERCENTILES)
    high = max(high, low + LEAST_RANGE * noise_sigma(image))
    return scale(image, low, high if high > low else low + 1) ** np.float32(GAMMA)


def shrink(image, side=None):
    """Image reduced by area to a longest side of `side` pixels; as it is where that is no smaller."""
    ratio = 1 if side is None else side / max(image.shape)
    if ratio >= 1:
        return image
    return cv2.resize(
        image, [max(1, round(length * ratio)) for length in image.shape[::-1]], interpolation=cv2.INTER_AREA
    )


def shrink_labels(labels, shape):
    """Labels at the centres of the pixels of a picture of this shape."""
    if labels.shape == shape:
        return labels
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, labels.shape, strict=True))
    return labels[rows[:, None], columns]


def outlines(labels):
    """Outlines of labelled objects, one pixel wide, also where objects touch.

    A pixel belongs to an outline where a 4-neighbour has a smaller label. Between two objects that is the border
    of one of them, so that the line is no wider than one against the background.

    Parameters
    ----------
    labels : (H, W) integer array

    Returns
    -------
    (H, W) bool
    """
    outline = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        here, there = np.swapaxes(labels, 0, axis)[:-1], np.swapaxes(labels, 0, axis)[1:]
        line = np.swapaxes(outline, 0, axis)
        line[:-1] |= here > there
        line[1:] |= there > here
    return outline
