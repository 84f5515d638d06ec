"""Crops of single cells, cut from whole fields in memory."""

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

COLOURS = np.array(
    [[0.25, 0.45, 1.0], [0.1, 1.0, 0.25], [1.0, 0.2, 0.15], [1.0, 0.85, 0.1], [0.9, 0.2, 1.0], [0.1, 0.9, 0.9]],
    dtype=np.float32,
)
"""False colours of the channels in thumbnails, in the order of the configuration."""


def cut(field, centres, size):
    """Square windows around centres; what lies outside the field is filled by reflection.

    Parameters
    ----------
    field : ndarray, shape (C, H, W)
        Whole field, any dtype.
    centres : ndarray, shape (N, 2)
        Row and column of each centre in pixels.
    size : int
        Side of the window in pixels.

    Returns
    -------
    ndarray, shape (N, C, size, size)
    """
    half = size // 2
    padded = np.pad(field, ((0, 0), (half, size), (half, size)), mode="reflect")
    top, left = np.rint(centres).astype(int).reshape(-1, 2).T
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.ascontiguousarray(windows[:, top, left].swapaxes(0, 1))


def leaves_image(centres, size, shape):
    """Whether the window around each centre leaves an image of the shape (H, W)."""
    start = np.rint(centres).astype(int).reshape(-1, 2) - size // 2
    return ((start < 0) | (start + size > np.asarray(shape))).any(axis=1)


def mask_neighbours(crops, labels, cells):
    """Set pixels of other cells to 0, in place of the crop's own intensities.

    Parameters
    ----------
    crops : ndarray of float32, shape (N, C, S, S)
    labels : ndarray, shape (N, S, S)
        Label image of the cells, cut like the crops.
    cells : ndarray, shape (N,)
        Label of each crop's own cell. Cells are looked up by label, not by the pixel under the centre.

    Returns
    -------
    ndarray of float32, shape (N, C, S, S)
    """
    own = (labels == 0) | (labels == np.asarray(cells)[:, None, None])
    return crops * own[:, None]


def resize(crops, size):
    """Crops at another size: area averages when shrinking, else bilinear; (N, C, S, S) → (N, C, size, size)."""
    side = crops.shape[-1]
    if side == size:
        return crops
    how = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
    planes = [cv2.resize(plane, (size, size), interpolation=how) for plane in crops.reshape(-1, side, side)]
    return np.array(planes, dtype=np.float32).reshape(*crops.shape[:2], size, size)


def thumbnail(crop):
    """WebP bytes of one crop in false colours.

    Parameters
    ----------
    crop : ndarray of float32, shape (C, S, S)
        Intensities in [0, 1].

    Returns
    -------
    bytes
    """
    colours = COLOURS[np.arange(len(crop)) % len(COLOURS)]
    # The root lifts the dim half of the grey scale, where most of a cell's structure is, as viewers do.
    picture = np.tensordot(np.sqrt(crop), colours, axes=(0, 0)).clip(0, 1)
    ok, data = cv2.imencode(".webp", (picture[..., ::-1] * 255).astype(np.uint8), [cv2.IMWRITE_WEBP_QUALITY, 85])
    if not ok:
        raise RuntimeError("OpenCV could not encode a WebP picture; reinstall opencv-python-headless")
    return data.tobytes()
