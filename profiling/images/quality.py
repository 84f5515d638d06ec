"""Measurements of the quality of raw images: focus, saturation, background, noise, duplicates.

Everything is measured and nothing judged here: limits are applied when features are made.
"""

import hashlib

import cv2
import numpy as np
import scipy.fft

from profiling.images.offset import stored_zero

# Spatial frequencies in cycles per pixel, chosen on fields of BBBC006 in and out of focus and on blurred ones
# of BBBC013 and of the 2018 Data Science Bowl (benchmarks/focus.py).
LOW_BAND, MID_BAND, NOISE_BAND = (0.01, 0.05), (0.08, 0.20), (0.40, 0.50)
MID_POWER_FLOOR = 0.1  # of the noise power: mid frequencies below it cannot be told from noise
SMALLEST_FIELD = 64  # pixels a side: below, the low band holds too few coefficients
ROUNDING_NOISE = 12**-0.5  # standard deviation of rounding to integers

COLUMNS = [
    ("FocusScore", "float64", "log10 of mid to low spatial-frequency power above noise; higher is sharper"),
    (
        "PowerLogLogSlope",
        "float64",
        "slope of log power against log radius (CellProfiler)",
    ),
    (
        "SaturatedFraction",
        "float64",
        "share of pixels at or above the largest value of the bit depth",
    ),
    ("Minimum", "float64", "smallest pixel value"),
    ("Percentile_1", "float64", "1st percentile of pixel values"),
    ("Median", "float64", "median of pixel values"),
    ("Percentile_99", "float64", "99th percentile of pixel values"),
    ("Percentile_999", "float64", "99.9th percentile of pixel values"),
    ("Maximum", "float64", "largest pixel value"),
    ("Mean", "float64", "mean of pixel values"),
    (
        "Background",
        "float64",
        "mode: middle of the narrowest interval with a tenth of all pixels",
    ),
    ("Noise", "float64", "standard deviation of pixel noise, robust against structure (Immerkaer)"),
    ("Contrast", "float64", "(Percentile_999 - Median) / Noise; a blank field has about 3"),
    ("PixelHash", "string", "hash of shape, type and pixels; equal for identical images"),
]


def quality_columns():
    """Columns of `measure_quality` for the table schema.

    Returns
    -------
    list of (name, dtype, description)
        In the order of the keys of `measure_quality`.
    """
    return list(COLUMNS)


def measure_quality(image, bit_depth):
    """Measure the quality of one raw image.

    Parameters
    ----------
    image : (H, W) ndarray of integers or finite floats, at least one pixel
    bit_depth : int
        Effective bit depth of the camera: 12 for a 12-bit camera in a 16-bit file. Stored values are compared
        with ``2**bit_depth - 1`` as they are, so float images scaled to [0, 1] never count as saturated; where
        they are stored off zero (:func:`profiling.images.offset.stored_zero`), with as much more or less.

    Returns
    -------
    dict
        The columns of `quality_columns`. Percentiles are observed values (inverse of the cumulative
        distribution). ``FocusScore`` and ``PowerLogLogSlope`` are NaN where there is nothing to judge: see
        there. All else is finite; a constant image has ``Noise`` and ``Contrast`` 0, an image narrower than 3
        pixels ``Noise`` 0.
    """
    values = _sorted(image)
    percentile_1, median, percentile_99, percentile_999 = _percentiles(values, [1, 50, 99, 99.9])
    noise = noise_sigma(image)
    return {
        "FocusScore": focus_score(image),
        "PowerLogLogSlope": power_log_log_slope(image),
        "SaturatedFraction": float((values >= _largest(image, bit_depth)).mean()),
        "Minimum": float(values[0]),
        "Percentile_1": percentile_1,
        "Median": median,
        "Percentile_99": percentile_99,
        "Percentile_999": percentile_999,
        "Maximum": float(values[-1]),
        "Mean": float(image.mean(dtype=np.float64)),
        "Background": _mode(values),
        "Noise": noise,
        "Contrast": _contrast(percentile_999 - median, noise, image.dtype),
        "PixelHash": pixel_hash(image),
    }


def _largest(image, bit_depth):
    largest = stored_zero(image) + 2**bit_depth - 1
    return min(largest, np.iinfo(image.dtype).max) if image.dtype in (np.int16, np.uint16) else largest


def focus_score(image):
    """Sharpness of an image: log10 ratio of its power at mid to low spatial frequencies.

    Defocus removes fine detail first. The power of white noise, measured at the highest frequencies, is
    subtracted from both, since noise alone would pass for detail. The cosine transform mirrors the image at
    its borders, so that no window hides cells there. The ratio does not depend on intensity scale and offset;
    it does depend on what is imaged and at what magnification: compare fields of one channel.

    Parameters
    ----------
    image : (H, W) ndarray

    Returns
    -------
    float
        Higher is sharper, about -5 (nothing but noise at mid frequencies) to -1. NaN where there is no
        structure to judge: blank or constant images and images smaller than 64 pixels.
    """
    if min(image.shape) < SMALLEST_FIELD:
        return float("nan")
    power = scipy.fft.dctn(_centred(image), norm="ortho", overwrite_x=True)
    np.square(power, out=power)
    noise = _band_power(power, NOISE_BAND)
    low = _band_power(power, LOW_BAND) - noise
    mid = max(_band_power(power, MID_BAND) - noise, MID_POWER_FLOOR * noise)
    if not (low > noise and mid > 0):
        return float("nan")
    return float(np.log10(mid / low))


def _band_power(power, band):
    """Mean power of a cosine spectrum where the larger of both frequencies lies in the band."""
    inner, outer = ([int(np.ceil(2 * edge * size)) for size in power.shape] for edge in band)
    count = outer[0] * outer[1] - inner[0] * inner[1]
    total = power[: outer[0], : outer[1]].sum(dtype=np.float64)
    return (total - power[: inner[0], : inner[1]].sum(dtype=np.float64)) / count


def power_log_log_slope(image):
    """Slope of log power against log radius of the spectrum, as in CellProfiler's MeasureImageQuality.

    Power is summed over rings one wide, from the second to an eighth of the shorter side; negative
    frequencies are numbered from 0, as in centrosome.radial_power_spectrum.

    Parameters
    ----------
    image : (H, W) ndarray

    Returns
    -------
    float
        More negative is blurrier. NaN (CellProfiler: 0) for constant images and images below 32 pixels.
    """
    height, width = image.shape
    rings = min(height, width) // 8
    if rings < 4 or image.min() == image.max():
        return float("nan")
    spectrum = scipy.fft.fft(scipy.fft.rfft(_centred(image), axis=1)[:, : rings + 1], axis=0)
    power = spectrum.real**2 + spectrum.imag**2
    # |F[y, -x]| = |F[-y, x]|: the columns of negative frequencies without their transform
    power = power[:, :-1] + power[-np.arange(height), 1:]
    rows = np.minimum(np.arange(height), np.arange(height)[::-1])
    radius = np.hypot(rows[:, None], np.arange(rings)).astype(int) + 1
    ring_power = np.bincount(radius.ravel(), power.ravel())[:rings]
    radii = np.flatnonzero(ring_power > 0)
    radii = radii[radii >= 2]
    if len(radii) < 2:
        return float("nan")
    return float(np.polyfit(np.log(radii), np.log(ring_power[radii]), 1)[0])


def noise_sigma(image):
    """Standard deviation of pixel noise.

    A difference of two Laplacians cancels smooth structure (Immerkaer 1996, doi:10.1006/cviu.1996.0060); the
    median of its absolute values, instead of the mean, leaves out edges of cells.

    Parameters
    ----------
    image : (H, W) ndarray

    Returns
    -------
    float
        In units of pixel values; 0 for images narrower than 3 pixels.
    """
    if min(image.shape) < 3:
        return 0.0
    second_difference = np.array([1, -2, 1], np.float32)
    response = cv2.sepFilter2D(image.astype(np.float32), -1, second_difference, second_difference)
    response = np.abs(response[1:-1, 1:-1]).ravel()
    middle = response.size // 2
    return float(np.partition(response, middle)[middle] / 0.6745 / 6)


def pixel_hash(image):
    """Hash of an image's shape, type and pixels, equal for identical images only.

    Parameters
    ----------
    image : (H, W) ndarray

    Returns
    -------
    str
        32 hexadecimal digits (BLAKE2b).
    """
    digest = hashlib.blake2b(f"{image.dtype.name} {image.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _centred(image):
    return np.subtract(image, image.mean(dtype=np.float64), dtype=np.float32)


def _sorted(image):
    if image.dtype in (np.uint8, np.uint16):  # counting is faster than sorting
        counts = np.bincount(image.ravel())
        return np.repeat(np.arange(len(counts), dtype=image.dtype), counts)
    return np.sort(image, axis=None)


def _percentiles(values, percents):
    ranks = np.ceil(np.array(percents) / 100 * values.size).astype(int) - 1
    return values[np.maximum(ranks, 0)].astype(float).tolist()


def _mode(values):
    edges = np.array(_percentiles(values, np.arange(101)))
    widths = edges[10:] - edges[:-10]
    narrowest = np.flatnonzero(widths == widths.min())
    start = narrowest[len(narrowest) // 2]
    return float(edges[start] + edges[start + 10]) / 2


def _contrast(signal, noise, dtype):
    if np.issubdtype(dtype, np.integer):
        noise = max(noise, ROUNDING_NOISE)
    # float images without noise have no scale to compare with: their contrast is capped
    return signal / max(noise, 1e-6 * signal) if signal > 0 else 0.0
