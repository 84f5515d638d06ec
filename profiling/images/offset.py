"""Pixels that are stored off zero: unsigned 16-bit values in signed numbers, and the reverse."""

HALF = 2**15


def stored_zero(image):
    """Stored value that stands for the camera's zero.

    Some software writes unsigned pixels less 32,768 as signed integers, some adds 32,768 to signed ones.
    Without either, 16-bit pixels would not all lie in the upper half, nor any far below zero.

    Parameters
    ----------
    image : (H, W) ndarray, at least one pixel

    Returns
    -------
    int
        -32768, 0 or 32768; 0 unless the pixels are 16-bit integers.
    """
    if image.dtype.kind not in "iu" or image.dtype.itemsize != 2:
        return 0
    if image.dtype.kind == "u":
        return HALF if image.min() >= HALF else 0
    return -HALF if image.min() < -HALF // 2 else 0
