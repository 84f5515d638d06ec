"""What the network learns to see in a label image."""

import cv2
import edt
import fastremap
import numpy as np

from profiling.cells.cytoplasm import nearest_label

OFFSET_UNIT = 10.0  # px
LONGEST_VOTE = 128  # px between a pixel and the centre of its nucleus; the network's scale knows no nucleus as wide
TOUCHING_WEIGHT = 3.0  # extra weight of pixels near another nucleus: a gap of a pixel decides a split
TOUCHING_RANGE = 4.0  # px
SMALL_RADIUS, LARGEST_BOOST = 8.0, 4.0  # px; smaller nuclei weigh more by this over their radius: they have few pixels
RIM = 3  # px around them that weigh as much, or their outlines would be drawn too wide


def targets(labels, unjudged):
    """Maps of one label image.

    Parameters
    ----------
    labels : (H, W) integer array
        Nuclei, 0 is background.
    unjudged : (H, W) bool
        Pixels that are background in `labels` and do not count.

    Returns
    -------
    maps : (4, H, W) float32
        Foreground (0, 1); distance to the nucleus' outline over its largest value in the nucleus (0..1);
        offset from the pixel to the nucleus' centroid (y, x) in units of `OFFSET_UNIT`.
    weight : (H, W) float32
        Weight of each pixel in the loss of the foreground; 0 where it is not judged.
    radius : (H, W) float32
        Radius of the disc with the area of the pixel's nucleus, px; 0 outside.
    """
    labels, count = fastremap.renumber(np.ascontiguousarray(labels, np.uint32))
    count = len(count) - (0 in count)
    y, x = np.nonzero(labels)
    owner = labels[y, x]
    distance = edt.edt(labels, black_border=False)[y, x]
    areas = np.maximum(np.bincount(owner, minlength=count + 1), 1)
    centre_y, centre_x = (np.bincount(owner, along, count + 1) / areas for along in (y, x))
    highest = np.ones(count + 1, np.float32)
    np.maximum.at(highest, owner, distance)
    radii = np.sqrt(areas / np.pi).astype(np.float32)
    maps = np.zeros((4, *labels.shape), np.float32)
    maps[0, y, x] = 1
    maps[1, y, x] = distance / highest[owner]
    maps[2, y, x] = (centre_y[owner] - y) / OFFSET_UNIT
    maps[3, y, x] = (centre_x[owner] - x) / OFFSET_UNIT
    radius = np.zeros(labels.shape, np.float32)
    radius[y, x] = radii[owner]
    boost = np.ones(labels.shape, np.float32)
    boost[y, x] = np.clip(SMALL_RADIUS / radii, 1, LARGEST_BOOST)[owner]
    boost = cv2.dilate(boost, np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8))
    weight = boost * (1 + TOUCHING_WEIGHT * gap_closeness(labels))
    return maps, np.where(unjudged, np.float32(0), weight), radius


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
    nearest, to_nucleus = nearest_label(labels)
    border = np.zeros(labels.shape, bool)
    across, down = nearest[:, 1:] != nearest[:, :-1], nearest[1:] != nearest[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    if not border.any():
        return np.zeros(labels.shape, np.float32)
    to_border = cv2.distanceTransform((~border).view(np.uint8), cv2.DIST_L2, 5)
    return np.exp(-np.square((to_nucleus + to_border) / TOUCHING_RANGE) / 2).astype(np.float32)
