"""Foreground of a fluorescence image: noise, background, and thresholds relative to both."""

import cv2
import numpy as np

EDGE_FRACTION = 0.4  # height of an object's edge between local background and local foreground
NOISE_MARGIN = 6.0  # foreground lies at least this many noise deviations above the background
ARITHMETIC = 8 * float(np.finfo(np.float32).eps)  # what smoothing changes of a value at most, relative to it
SAMPLE_SIDE = 300  # statistics use a grid of about this many rows and columns


def rounding_noise(image, step=None):
    """Noise that stands for the rounding of an image: objects rise at least a whole step above their background.

    A dark field of an 8-bit image is 0 with the odd 1, and has no other noise by which to tell these from objects.
    Rounding is not white: neighbours are rounded alike, so that smoothing does not help. Nor is that of the arithmetic
    in float32, by which a field of one value is not quite one when it has been smoothed.

    Parameters
    ----------
    image : real array
    step : float, optional
        Distance of neighbouring values as they were stored, see `images.fields.value_step`; left out: 1 for integers,
        else 0.

    Returns
    -------
    float
        In the units of the image.
    """
    if step is None:
        step = 1.0 if np.issubdtype(image.dtype, np.integer) else 0.0
    largest = max(abs(float(image.min())), abs(float(image.max())))
    return max(step, ARITHMETIC * largest) / NOISE_MARGIN


def blur(image, sigma):
    """Gaussian blur of a float32 image with mirrored borders; sigma in px."""
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def sample(image):
    """Values on a regular grid of about `SAMPLE_SIDE` pixels along the shorter side, flat."""
    step = max(1, min(image.shape) // SAMPLE_SIDE)
    return image[::step, ::step].ravel()


def background_level(image):
    """Level and noise of the background.

    The level is the mean of the densest fifth of the pixels that lies in the darker half; the noise is the
    1.4826-fold median distance of the pixels below it, so that objects above do not count. A fifth of the
    field must be background.

    Parameters
    ----------
    image : (H, W) float32

    Returns
    -------
    level, noise : float
        In the units of the image.
    """
    values = np.sort(sample(image))
    window = max(len(values) // 5, 1)
    starts = max(len(values) // 2 - window, 1)
    start = int(np.argmin(values[window:][:starts] - values[:starts])) if len(values) > 1 else 0
    level = float(values[start : start + window].mean())
    below = values[values <= level]
    return level, 1.4826 * float(np.median(level - below)) if len(below) else 0.0


def lowest_level(image):
    """Level and noise of whatever is darkest in the field, for channels that may fill all of it.

    The level is the 2nd percentile and the noise its distance from the 0.2nd: 0.8 to 1.2 standard deviations of
    the background wherever that covers between 15 % of the field and all of it. Where there is no background the
    level is that of the gaps between cells, and nothing is lost to a threshold.

    Parameters
    ----------
    image : (H, W) float32

    Returns
    -------
    level, noise : float
        In the units of the image.
    """
    lowest, level = np.percentile(sample(image), [0.2, 2])
    return float(level), float(level - lowest)


def otsu(values, bins=256):
    """Otsu's threshold of a flat array (Otsu, 1979): the largest variance between the two classes."""
    if values.min() == values.max():
        return float(values[0])
    counts, edges = np.histogram(values.astype(np.float64), bins)  # 256 bins of float32 may not differ
    centres = (edges[1:] + edges[:-1]) / 2
    below, moment = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = below * above * (moment / below - (moment[-1] - moment) / above) ** 2
    return float(centres[np.nanargmax(variance[:-1])])


def global_threshold(image, level, noise):
    """Threshold of a whole image: the geometric mean of Otsu's on linear and on log intensities.

    Linear Otsu loses dim objects beside bright ones, logarithmic Otsu takes haze for objects; between them,
    and never within the noise.

    Parameters
    ----------
    image : (H, W) float32
    level, noise : float
        From `background_level`.

    Returns
    -------
    float
    """
    values = sample(image)
    floor = level + NOISE_MARGIN * noise
    if not values.max() > floor:
        return floor
    offset = 2 * noise if noise > 0 else 1e-3 * (float(values.max()) - level)
    logarithmic = np.exp(otsu(np.log(np.maximum(values - level, 0) + offset))) - offset
    linear = otsu(values) - level
    return max(level + float(np.sqrt(max(linear, 0.0) * max(logarithmic, 0.0))), floor)


def masked_mean(image, mask, sigma, prior):
    """Gaussian-weighted local mean over the pixels of a mask, computed on a reduced image.

    Parameters
    ----------
    image : (H, W) float32
    mask : (H, W) bool
    sigma : float
        px.
    prior : float
        Value that the mean tends to where no pixel of the mask is near.

    Returns
    -------
    (H, W) float32
    """
    height, width = mask.shape
    factor = max(1, int(sigma / 6))
    size = max(1, width // factor), max(1, height // factor)
    weights = mask.astype(np.float32)
    total = blur(cv2.resize(image * weights, size, interpolation=cv2.INTER_AREA), sigma / factor)
    weight = blur(cv2.resize(weights, size, interpolation=cv2.INTER_AREA), sigma / factor)
    return cv2.resize((total + 1e-4 * prior) / (weight + 1e-4), (width, height))


def foreground(image, diameter, method, correction, rounding):
    """Separate objects from background.

    The adaptive method follows the edge of a blurred object, which lies at a fixed fraction of the way from
    the local background to the local foreground, both taken from a first global threshold.

    Parameters
    ----------
    image : (H, W) float32
        Smoothed image.
    diameter : float
        Typical diameter of an object, px: the scale of "local".
    method : "adaptive" or "otsu"
    correction : float
        Factor on the height of the threshold above the background.
    rounding : float
        See `rounding_noise`.

    Returns
    -------
    mask : (H, W) bool
    signal : (H, W) float32
        Image less its background.
    """
    level, noise = background_level(image)
    noise = max(noise, rounding)
    first = global_threshold(image, level, noise)
    if method == "otsu":
        height = max(otsu(sample(image)) - level, 0.0) * correction
        return image > level + max(height, NOISE_MARGIN * noise), image - level
    mask = image > level + max((first - level) * correction, NOISE_MARGIN * noise)
    if not mask.any():
        return mask, image - level
    margin = 2 * max(1, round(0.1 * diameter)) + 1
    near = cv2.dilate(mask.view(np.uint8), np.ones((margin, margin), np.uint8))
    background = masked_mean(image, near == 0, 1.5 * diameter, level)
    signal = image - background
    local = masked_mean(signal, mask, diameter, first - level)
    return signal > np.maximum(EDGE_FRACTION * correction * local, NOISE_MARGIN * noise), signal
