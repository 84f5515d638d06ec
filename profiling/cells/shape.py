"""Size and shape of labelled regions, by the definitions of CellProfiler's MeasureObjectSizeShape.

CellProfiler takes them from scikit-image's `regionprops`; the values here agree with it.
"""

import cv2
import numpy as np

from profiling.cells.regions import bounding_boxes, segment_mean

# Weights of a border pixel by its border neighbours: 1 + 2·(edge neighbours) + 10·(corner
# neighbours). Benkrid & Crookes, "Design and FPGA implementation of a perimeter estimator", 2000; the same
# table is in `skimage.measure.perimeter`.
PERIMETER_WEIGHTS = np.zeros(50)
PERIMETER_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1
PERIMETER_WEIGHTS[[21, 33]] = np.sqrt(2)
PERIMETER_WEIGHTS[[13, 23]] = (1 + np.sqrt(2)) / 2

EDGE_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))
CORNER_NEIGHBOURS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def perimeters(image, regions):
    """Perimeter of every region, in px.

    Parameters
    ----------
    image : (H, W) label image that `regions` was made from
    regions : Regions

    Returns
    -------
    (n,) float64
    """
    padded = np.pad(image, 1)
    width = padded.shape[1]
    flat_labels, border = padded.ravel(), np.zeros(padded.size, np.uint8)
    position = (regions.rows + 1) * width + regions.columns + 1
    own = flat_labels[position]
    edge = np.zeros(len(position), bool)
    for row, column in EDGE_NEIGHBOURS:
        edge |= flat_labels[position + row * width + column] != own
    position, own, owners = position[edge], own[edge], regions.owners[edge]
    border[position] = 1

    code = np.ones(len(position), np.intp)
    for neighbours, weight in ((EDGE_NEIGHBOURS, 2), (CORNER_NEIGHBOURS, 10)):
        for row, column in neighbours:
            neighbour = position + row * width + column
            code += weight * (border[neighbour] * (flat_labels[neighbour] == own))
    return np.bincount(owners, weights=PERIMETER_WEIGHTS[code], minlength=len(regions.labels))


def ellipses(regions):
    """Axes and orientation of the ellipses with the regions' second moments.

    Returns
    -------
    major, minor : (n,) float64
        Full axis lengths, px.
    eccentricity : (n,) float64
    orientation : (n,) float64
        Angle between the row axis and the major axis in degrees, −90 to 90, counter-clockwise.
    """
    row = regions.rows - segment_mean(regions.rows, regions)[regions.owners]
    column = regions.columns - segment_mean(regions.columns, regions)[regions.owners]
    rr = segment_mean(row * row, regions)
    cc = segment_mean(column * column, regions)
    rc = segment_mean(row * column, regions)
    root = np.sqrt((rr - cc) ** 2 + 4 * rc**2)
    large, small = (rr + cc + root) / 2, np.maximum((rr + cc - root) / 2, 0)
    eccentricity = np.sqrt(1 - np.divide(small, large, out=np.ones_like(small), where=large > 0))
    orientation = np.degrees(0.5 * np.arctan2(2 * rc, rr - cc))
    # a round region has no direction; rounding must not give it one (-45 is scikit-image's convention)
    isotropic = np.isclose(rr, cc, rtol=1e-9) & (np.abs(rc) <= 1e-9 * (rr + cc))
    orientation = np.where(isotropic, -45.0, orientation)
    return 4 * np.sqrt(large), 4 * np.sqrt(small), eccentricity, orientation


def convex_areas(regions):
    """Number of pixels whose centres lie in the convex hull of each region, as `regionprops` counts them.

    The hull is that of the midpoints of the pixels' sides. In doubled coordinates it is a polygon on the
    integer lattice, so that rows can be cut exactly.

    Returns
    -------
    (n,) int64
    """
    n = len(regions.labels)
    if n == 0:
        return np.zeros(0, np.int64)
    hull, hull_owner = _convex_hulls(regions)

    last = np.r_[hull_owner[1:] != hull_owner[:-1], True]
    first = np.flatnonzero(np.r_[True, last[:-1]])
    following = np.arange(1, len(hull) + 1)
    following[last] = first
    x0, y0 = hull.T
    x1, y1 = hull[following].T

    # every edge, cut at the even rows (the pixel rows) that it spans
    low, high = -(-np.minimum(y0, y1) // 2), np.maximum(y0, y1) // 2
    spans = np.where(y0 == y1, 0, high - low + 1)
    edge = np.repeat(np.arange(len(hull)), spans)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(spans) - spans, spans) + low[edge]
    rise = (y1 - y0)[edge]
    run = ((x1 - x0)[edge] * (2 * row - y0[edge])) * np.sign(rise)
    rise = np.abs(rise)
    left, right = x0[edge] - (-run // rise), x0[edge] + run // rise  # ceiling and floor of the crossing

    box = bounding_boxes(regions)
    offset = np.r_[0, np.cumsum(box[:, 2] - box[:, 0])]
    line = offset[hull_owner[edge]] + row - box[hull_owner[edge], 0]
    order = np.argsort(line, kind="stable")
    line, left, right = line[order], left[order], right[order]
    starts = np.flatnonzero(np.r_[True, line[1:] != line[:-1]])
    left, right = np.minimum.reduceat(left, starts), np.maximum.reduceat(right, starts)
    width = np.maximum(right // 2 + (-left // 2) + 1, 0)
    owner = np.searchsorted(offset, line[starts], side="right") - 1
    return np.bincount(owner, weights=width, minlength=n).astype(np.int64)


def _convex_hulls(regions):
    """Hulls of the pixels' side midpoints as (vertices, 2) x, y in doubled coordinates, and their owners."""
    box = bounding_boxes(regions)
    offset = np.r_[0, np.cumsum(box[:, 2] - box[:, 0])]
    line = offset[regions.owners] + regions.rows - box[regions.owners, 0]
    starts = np.flatnonzero(np.r_[True, line[1:] != line[:-1]])
    ends = np.r_[starts[1:], len(line)] - 1
    owner = regions.owners[starts]
    y, x_first, x_last = 2 * regions.rows[starts], 2 * regions.columns[starts], 2 * regions.columns[ends]
    points = np.stack(
        [
            np.stack([x_first - 1, y], axis=1),
            np.stack([x_last + 1, y], axis=1),
            np.stack([x_first, y - 1], axis=1),
            np.stack([x_first, y + 1], axis=1),
            np.stack([x_last, y - 1], axis=1),
            np.stack([x_last, y + 1], axis=1),
        ],
        axis=1,
    ).astype(np.int32)
    pieces = np.split(points, np.flatnonzero(owner[1:] != owner[:-1]) + 1)
    hulls = [cv2.convexHull(piece.reshape(-1, 1, 2)).reshape(-1, 2) for piece in pieces]
    return np.concatenate(hulls).astype(np.int64), np.repeat(np.arange(len(hulls)), [len(h) for h in hulls])


def measure_shape(image, regions):
    """Measure size and shape of every region.

    Parameters
    ----------
    image : (H, W) label image that `regions` was made from
    regions : Regions

    Returns
    -------
    dict of str to (n,) float64
        By CellProfiler's feature name. FormFactor is NaN where the perimeter is 0 (single pixels).
    """
    area = regions.areas.astype(float)
    perimeter = perimeters(image, regions)
    major, minor, eccentricity, orientation = ellipses(regions)
    box = bounding_boxes(regions)
    squared = np.where(perimeter > 0, perimeter, np.nan) ** 2
    return {
        "Area": area,
        "Perimeter": perimeter,
        "MajorAxisLength": major,
        "MinorAxisLength": minor,
        "Eccentricity": eccentricity,
        "Orientation": orientation,
        "Solidity": area / convex_areas(regions),
        "FormFactor": 4 * np.pi * area / squared,
        "Extent": area / ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])),
        "EquivalentDiameter": np.sqrt(4 * area / np.pi),
    }
