"""What the network says of one field, at the scale it was trained for, in tiles where the field is large."""

import cv2
import numpy as np

from profiling.cells.learned.normalise import network_input
from profiling.cells.learned.targets import LONGEST_VOTE, OFFSET_UNIT
from profiling.cells.learned.tiles import cut_side

NOMINAL_DIAMETER = 28.0  # px, of the nuclei in the middle of the scales that the network was trained on
STRIDE = 16  # the sides of what the network sees are multiples of it
MARGIN = 192  # px on each side of a tile that other tiles deliver: what lies further away moves no vote by 0.001 px
LARGEST_TILE = 1472  # px a side, margins included: two for the 2560 px of a large camera


def predict_maps(normalised, forward, scale=1.0):
    """What the network says of a field, in eight bytes a pixel: a field of small nuclei is enlarged eightfold.

    Parameters
    ----------
    normalised : (H, W) float32
        See `normalise.normalise`.
    forward : callable
        (1, 2, h, w) float32 → (1, 4, h, w) float32, h and w multiples of `STRIDE`.
    scale : float
        Factor on the field's size before the network.

    Returns
    -------
    probability : (scale · H, scale · W) float32
        Of the foreground.
    offsets : (2, scale · H, scale · W) int16
        To the centroid of the pixel's nucleus (y, x), px of the scaled field.
    """
    height, width = (max(1, round(side * scale)) for side in normalised.shape)
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        normalised = cv2.resize(normalised, (width, height), interpolation=interpolation)
    probability, offsets = np.empty((height, width), np.float32), np.empty((2, height, width), np.int16)
    for top, bottom in cut_side(height, LARGEST_TILE, MARGIN, STRIDE):
        for left, right in cut_side(width, LARGEST_TILE, MARGIN, STRIDE):
            y, x = max(0, top - MARGIN), max(0, left - MARGIN)
            tile = network_input(normalised[y : bottom + MARGIN, x : right + MARGIN])
            _, h, w = tile.shape
            padded = np.pad(tile, ((0, 0), (0, -h % STRIDE), (0, -w % STRIDE)))
            part = forward(padded[None])[0][:, top - y : bottom - y, left - x : right - x]
            probability[top:bottom, left:right] = 1 / (1 + np.exp(-part[0]))
            offsets[:, top:bottom, left:right] = np.rint(np.clip(OFFSET_UNIT * part[2:], -LONGEST_VOTE, LONGEST_VOTE))
    return probability, offsets
