"""By how much nuclei stand out from what is around them."""

import cv2
import numpy as np

from profiling.cells.cytoplasm import mean_by_label

RING = 3  # px around a nucleus that it is compared with


def contrast_by_label(image, labels):
    """Mean of each nucleus less the mean of the background in a ring around it.

    Parameters
    ----------
    image : (H, W) float32
    labels : (H, W) integers
        Up to 2^24.

    Returns
    -------
    (labels + 1,) float64
        By label; infinite for labels that are not there, and where nothing around is background, or a neighbour of a
        higher label has all of it: background next to two goes to that one.
    """
    count = int(labels.max())
    around = cv2.dilate(labels.astype(np.float32), np.ones((2 * RING + 1, 2 * RING + 1), np.uint8))
    ring = np.where(labels == 0, around, 0).astype(np.uint32)
    contrast = mean_by_label(image, labels, count) - mean_by_label(image, ring, count)
    contrast[np.bincount(ring.ravel(), minlength=count + 1) == 0] = np.inf
    contrast[0] = np.inf
    return contrast
