"""The network's maps of one field, at the scale it was trained for, in tiles where the field is large."""

import cv2
import numpy as np

from profiling.cells.learned.normalise import network_input

NOMINAL_DIAMETER = 28.0  # px, of the nuclei in the middle of the scales that the network was trained on
STRIDE = 16  # the sides of what the network sees are multiples of it
MARGIN = 224  # px on each side of a tile that its maps depend on and that other tiles deliver: no seams
LARGEST_TILE = 1536  # px a side, margins included


def predict_maps(normalised, forward, scale=1.0):
    """Maps of a field from the network.

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
    (4, scale · H, scale · W) float32
        Probability of the foreground, normalised distance to the outline, offset to the centroid (y, x) in
        units of `targets.OFFSET_UNIT` px of the scaled field.
    """
    height, width = (max(1, round(side * scale)) for side in normalised.shape)
    if scale != 1:
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        normalised = cv2.resize(normalised, (width, height), interpolation=interpolation)
    inputs = network_input(normalised)
    maps = np.empty((4, height, width), np.float32)
    for top, bottom in _cuts(height):
        for left, right in _cuts(width):
            y, x = max(0, top - MARGIN), max(0, left - MARGIN)
            tile = inputs[:, y : bottom + MARGIN, x : right + MARGIN]
            _, h, w = tile.shape
            padded = np.pad(tile, ((0, 0), (0, -h % STRIDE), (0, -w % STRIDE)))
            part = forward(padded[None])[0]
            maps[:, top:bottom, left:right] = part[:, top - y : bottom - y, left - x : right - x]
    maps[:2] = 1 / (1 + np.exp(-maps[:2]))
    return maps


def _cuts(side):
    """First and last pixels of the tiles along a side; tiles begin on the network's grid."""
    if side <= LARGEST_TILE:
        return [(0, side)]
    step = LARGEST_TILE - 2 * MARGIN
    return [(start, min(start + step, side)) for start in range(0, side, step)]
