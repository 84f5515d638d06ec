"""What the network learns to see in a label image."""

import edt
import fastremap
import numpy as np

from profiling.cells.cytoplasm import nearest_nucleus

OFFSET_UNIT = 10.0  # px
TOUCHING_WEIGHT = 3.0  # extra weight of pixels near another nucleus: a gap of a pixel decides a split
TOUCHING_RANGE = 4.0  # px
SMALL_RADIUS, LARGEST_BOOST = 8.0, 4.0  # px; smaller nuclei weigh more by this over their radius: they have few pixels


def targets(labels):
    """Maps of one label image.

    Parameters
    ----------
    labels : (H, W) integer array
        Nuclei, 0 is background.

    Returns
    -------
    maps : (4, H, W) float32
        Foreground (0, 1); distance to the nucleus' outline over its largest value in the nucleus (0..1);
        offset from the pixel to the nucleus' centroid (y, x) in units of `OFFSET_UNIT`.
    weight : (H, W) float32
        Weight of each pixel in the loss of the foreground.
    radius : (H, W) float32
        Radius of the disc with the area of the pixel's nucleus, px; 0 outside.
    """
    labels, count = fastremap.renumber(np.ascontiguousarray(labels, np.uint32))
    count = len(count) - (0 in count)
    height, width = labels.shape
    distance = edt.edt(labels, black_border=False)
    flat = labels.ravel()
    areas = np.bincount(flat, minlength=count + 1)
    rows, columns = np.divmod(np.arange(flat.size), width)
    centre_y = np.bincount(flat, rows, count + 1) / np.maximum(areas, 1)
    centre_x = np.bincount(flat, columns, count + 1) / np.maximum(areas, 1)
    highest = np.zeros(count + 1, np.float32)
    np.maximum.at(highest, flat, distance.ravel())
    inside = labels > 0
    maps = np.zeros((4, height, width), np.float32)
    maps[0] = inside
    maps[1] = np.where(inside, distance / np.maximum(highest, 1)[labels], 0)
    maps[2] = np.where(inside, centre_y[labels] - rows.reshape(height, width), 0) / OFFSET_UNIT
    maps[3] = np.where(inside, centre_x[labels] - columns.reshape(height, width), 0) / OFFSET_UNIT
    radius = np.where(inside, np.sqrt(areas / np.pi)[labels], 0).astype(np.float32)
    boost = np.where(inside, np.clip(SMALL_RADIUS / np.maximum(radius, 1), 1, LARGEST_BOOST), 1).astype(np.float32)
    return maps, boost * (1 + TOUCHING_WEIGHT * gap_closeness(labels)), radius


def gap_closeness(labels):
    """How close every pixel is to two different nuclei (after Ronneberger et al., 2015), 0..1.

    Parameters
    ----------
    labels : (H, W) uint32

    Returns
    -------
    (H, W) float32
        1 where two nuclei touch, falling with the sum of the distances to both; 0 with fewer than two.
    """
    outside = labels == 0
    if not outside.any() or outside.all():
        return np.zeros(labels.shape, np.float32)
    # Regions of influence: the background's share of every nucleus; their borders lie between two nuclei.
    nearest, to_nucleus = nearest_nucleus(labels)
    border = np.zeros(labels.shape, bool)
    across, down = nearest[:, 1:] != nearest[:, :-1], nearest[1:] != nearest[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    if not border.any():
        return np.zeros(labels.shape, np.float32)
    to_border = edt.edt(~border)
    return np.exp(-np.square((to_nucleus + to_border) / TOUCHING_RANGE) / 2).astype(np.float32)
