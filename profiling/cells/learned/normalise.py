"""Intensities as the network sees them."""

import cv2
import numpy as np

LOW, HIGH = 1.0, 99.8  # percentiles of the field that become 0 and 1
NOISE_SCALE = 12.0  # the span is at least this many noise deviations: an empty field stays flat
CEILING = 8.0
VIEWS = 2  # what the network takes of a field, see `network_input`
SAMPLE = 1 << 19  # pixels that the percentiles come from at most


def normalise(image, contrast=0.0):
    """Scale a field so that its background is near 0 and its bright nuclei near 1.

    Parameters
    ----------
    image : (H, W) real array
        No NaN.
    contrast : float
        Of the typical nucleus, in the image's units, where it is known: it becomes 1 if it would be more.

    Returns
    -------
    (H, W) float32
        At most `CEILING`. The span is not smaller than the noise allows, so that an empty field is not blown
        up until its noise looks like nuclei.
    """
    image = np.ascontiguousarray(image, np.float32)
    step = max(1, int(np.sqrt(image.size / SAMPLE)))
    low, high = np.percentile(image[::step, ::step], (LOW, HIGH))
    span = np.float32(max(high - low, NOISE_SCALE * noise_deviation(image), contrast, np.finfo(np.float32).tiny))
    return np.clip(image - np.float32(low), -span, CEILING * span) / span


def noise_deviation(image):
    """Standard deviation of the white noise of an image, from its Laplacian (Immerkær, 1996, by the median).

    Parameters
    ----------
    image : (H, W) float32

    Returns
    -------
    float
        0 for images under 3 px a side.
    """
    if min(image.shape) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(image, cv2.CV_32F, kernel)[1:-1, 1:-1])
    return float(np.median(response)) / (0.6745 * 6)


def network_input(normalised):
    """Stack the two views of a field that the network takes: linear, and logarithmic for the dim nuclei.

    Parameters
    ----------
    normalised : (H, W) float32

    Returns
    -------
    (2, H, W) float32
    """
    return np.stack([normalised, np.log1p(20 * np.maximum(normalised, 0)) / np.float32(np.log(21))])
