"""Illumination of one plate and channel: flat field, correction, intensity limits for the networks."""

import json
from collections import defaultdict
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from numpy.polynomial import legendre

from profiling.files import whole_file
from profiling.images.offset import stored_zero

SHRUNK_SIDE = 64  # pixels; illumination is smooth, and thousands of shrunk fields fit in memory
LOWER_SIDE = 0.25  # expectile of a field's pixels that follows its background rather than its cells
ITERATIONS = 8
DIMMEST = 3.0  # grey values of background above a given offset; below, the logarithm follows rounding and offset
GROUPS = 4  # of fields, fitted apart to learn how far a surface can be trusted
TOLERANCE = {4: 0.1, 2: 0.4}  # by degree: largest uncertainty of a surface, as a share of its own variation
PIXELS_PER_IMAGE = 4096  # for intensity limits


class Flatfield(NamedTuple):
    """Illumination of one plate and channel, as `correct` takes it."""

    flat: np.ndarray  # (H, W) float32, at least 1
    dark: float  # camera offset, in pixel values
    fields_used: int
    reason: str  # why there is no correction, or what to know about it; empty if all is well


def fit_illumination(fields, dark="auto", minimum_fields=24, comfortable=250):
    """Estimate the flat field of one plate and channel from its raw fields.

    A low-order polynomial surface is fitted in log space to all fields at once, each with a brightness of its
    own, by asymmetric least squares (so that background counts for more than cells) with Cauchy weights (so
    that debris, saturated and blurred fields count for little). Each field is read once and shrunk.

    Parameters
    ----------
    fields : iterable of (H, W) ndarray
        Raw images. Fields of another shape than the majority are left out.
    dark : float or "auto"
        Camera offset in pixel values. Give it where it is known, usually about 100: images tell it badly.
        "auto" estimates it from `comfortable` fields on and takes the camera's zero below, which corrects too
        little, while too large an offset would correct too much. That zero is 0, or where pixels are stored off
        zero (:func:`profiling.images.offset.stored_zero`) -32768 or 32768.
    minimum_fields : int
        With fewer fields there is no correction. At least 8 are needed in any case.
    comfortable : int
        With fewer fields the result says so in its reason.

    Returns
    -------
    Flatfield
        ``flat`` is scaled so that its 2nd percentile is 1 and clipped below at 1, as CellProfiler's
        CorrectIlluminationCalculate does; all ones without a correction, and (1, 1) if there is no field.
    """
    shrunk, shape, skipped, zero, integers = _collect(fields)
    notes = [f"{skipped} fields of another shape left out"] if skipped else []
    needed = max(minimum_fields, 2 * GROUPS)
    if len(shrunk) < needed:
        notes.insert(0, f"no correction: {len(shrunk)} fields, at least {needed} are needed")
        known_dark = float(zero if dark == "auto" else dark)
        return Flatfield(np.ones(shape, np.float32), known_dark, len(shrunk), "; ".join(notes))
    if len(shrunk) < comfortable:
        notes.insert(0, f"uncertain: {len(shrunk)} fields, about {comfortable} are comfortable")
    least = DIMMEST if integers and dark != "auto" else 0
    if dark == "auto":
        dark = _estimate_dark(shrunk, zero) if len(shrunk) >= comfortable else zero
    signal = shrunk - np.float32(dark)
    typical = np.median(signal)
    if typical <= least:
        above = f" by more than {least:g} grey values" if least else ""
        notes.insert(0, f"no correction: half of the pixels do not exceed the dark offset {dark:g}{above}")
        return Flatfield(np.ones(shape, np.float32), float(dark), len(shrunk), "; ".join(notes))
    surface = _fit_surface(np.log(np.maximum(signal, 0.05 * typical)))
    if surface is None:
        notes.insert(0, "no correction: the fields are even, or do not agree on where they are dim")
        return Flatfield(np.ones(shape, np.float32), float(dark), len(shrunk), "; ".join(notes))
    log_flat = _evaluate(surface, shape)
    flat = np.exp(log_flat - np.percentile(log_flat, 2)).clip(1).astype(np.float32)
    return Flatfield(flat, float(dark), len(shrunk), "; ".join(notes))


def correct(image, flat, dark):
    """Correct the illumination of a raw image: (image - dark) / flat.

    Parameters
    ----------
    image : (H, W) ndarray
    flat : (H, W) or (1, 1) float32
    dark : float

    Returns
    -------
    (H, W) float32
        Noise around the offset may be negative, and stays so.
    """
    corrected = np.subtract(image, np.float32(dark), dtype=np.float32)
    corrected /= flat
    return corrected


def intensity_limits(images, low=0.1, high=99.9):
    """Intensity limits of one plate and channel: percentiles pooled over its corrected images.

    Parameters
    ----------
    images : iterable of (H, W) ndarray
        Each is sampled on a regular grid of at most `PIXELS_PER_IMAGE` pixels.
    low, high : float
        Percentiles.

    Returns
    -------
    (float, float)
        The second is always larger: by 1 where both percentiles are equal; (0, 1) without images.
    """
    samples = []
    for image in images:
        step = int(np.ceil(np.sqrt(image.size / PIXELS_PER_IMAGE)))
        samples.append(image[step // 2 :: step, step // 2 :: step].astype(np.float32).ravel())
    if not samples:
        return 0.0, 1.0
    lower, upper = np.percentile(np.concatenate(samples), [low, high]).tolist()
    return lower, upper if upper > lower else lower + 1


def scale(image, low, high):
    """Scale intensities between two limits to [0, 1] and clip what lies outside.

    Parameters
    ----------
    image : ndarray
    low, high : float
        As `intensity_limits` returns them.

    Returns
    -------
    ndarray of float32, of the image's shape
    """
    scaled = np.subtract(image, np.float32(low), dtype=np.float32)
    scaled /= np.float32(high - low)
    return np.clip(scaled, 0, 1, out=scaled)


def write_flatfield(path, flat, dark, fields_used, reason):
    """Write a flat field as a float32 TIFF, whole or not at all; the rest is JSON in its description.

    Parameters
    ----------
    path : str or Path
    flat, dark, fields_used, reason
        As in `Flatfield`.
    """
    description = json.dumps({"dark": float(dark), "fields_used": int(fields_used), "reason": reason})
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            np.asarray(flat, np.float32),
            compression="deflate",
            predictor=True,
            description=description,
            metadata=None,
        )


def read_flatfield(path):
    """Read what `write_flatfield` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Flatfield
    """
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return Flatfield(page.asarray(), **json.loads(page.description))


def _collect(fields):
    """Shrink every field.

    Returns the stack of the most frequent shape, that shape, the number of others, the stored zero, and whether all
    values are integers.
    """
    by_shape = defaultdict(list)
    zeros, integers = set(), True
    for field in fields:
        zeros.add(stored_zero(field))
        integers = integers and np.issubdtype(field.dtype, np.integer)
        ratio = min(1, SHRUNK_SIDE / max(field.shape))
        size = [max(1, round(side * ratio)) for side in field.shape[::-1]]
        by_shape[field.shape].append(cv2.resize(field.astype(np.float32), size, interpolation=cv2.INTER_AREA))
    if not by_shape:
        return np.empty((0, 1, 1), np.float32), (1, 1), 0, 0, integers
    shape = max(by_shape, key=lambda shape: len(by_shape[shape]))
    others = sum(map(len, by_shape.values())) - len(by_shape[shape])
    return np.stack(by_shape[shape]), shape, others, min(zeros), integers


def _estimate_dark(shrunk, zero):
    """Camera offset from fields over which background and cells vary.

    The lower quartile of each pixel over all fields, and the distance from it to the mean, both follow
    illumination; only the quartile has the offset, so it is the quartile where the distance would be zero.
    """
    quartile = np.quantile(shrunk, 0.25, axis=0)
    spread = shrunk.mean(axis=0) - quartile
    terms = _terms(*quartile.shape, degree=2)
    smooth = terms @ np.linalg.lstsq(terms, np.stack([spread.ravel(), quartile.ravel()], axis=1))[0]
    slope_and_dark = np.polyfit(smooth[:, 0], smooth[:, 1], 1)
    return float(np.clip(slope_and_dark[1], zero, max(zero, shrunk.min())))


def _fit_surface(log_signal):
    """Coefficients of the finest polynomial surface on which groups of the fields agree; None if on none.

    Where cells are crowded and fields are few, a surface follows cells instead of light and would do harm.
    """
    for degree, tolerance in TOLERANCE.items():
        coefficients = _fit_degree(log_signal, degree)
        groups = [_fit_degree(log_signal[start::GROUPS], degree) for start in range(GROUPS)]
        surfaces = [_evaluate(group, log_signal.shape[1:]) for group in groups]
        uncertainty = np.sqrt(np.var(surfaces, axis=0, ddof=1).mean() / GROUPS)
        if uncertainty < tolerance * np.std(_evaluate(coefficients, log_signal.shape[1:])):
            return coefficients
    return None


def _fit_degree(log_signal, degree):
    """Coefficients (degree + 1, degree + 1) of a Legendre surface by iteratively reweighted least squares."""
    count, height, width = log_signal.shape
    values = log_signal.reshape(count, -1)
    terms = _terms(height, width, degree)
    surface = np.zeros(height * width, np.float32)
    brightness = np.quantile(values, LOWER_SIDE, axis=1, keepdims=True)
    for _ in range(ITERATIONS):
        residual = values - surface - brightness
        width_of_core = 1.4826 * np.median(np.abs(residual - np.median(residual))) + 1e-3
        weight = np.where(residual > 0, LOWER_SIDE, 1 - LOWER_SIDE) / (1 + (residual / width_of_core) ** 2)
        brightness += (weight * residual).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
        total = weight.sum(axis=0)
        target = (weight * (values - brightness)).sum(axis=0) / total
        root = np.sqrt(total)
        coefficients = np.linalg.lstsq(terms * root[:, None], target * root)[0]
        surface = (terms @ coefficients).astype(np.float32)
    grid = np.zeros((degree + 1, degree + 1))
    grid[_orders(degree)] = coefficients
    return grid


def _orders(degree):
    rows, columns = np.mgrid[: degree + 1, : degree + 1]
    return np.nonzero(rows + columns <= degree)


def _centres(size):
    """Pixel centres from -1 to 1, the same positions at every resolution."""
    return (np.arange(size) + 0.5) * 2 / size - 1


def _terms(height, width, degree):
    rows, columns = _orders(degree)
    vertical = legendre.legvander(_centres(height), degree)[:, None, rows]
    horizontal = legendre.legvander(_centres(width), degree)[None, :, columns]
    return (vertical * horizontal).reshape(height * width, -1)


def _evaluate(coefficients, shape):
    return legendre.leggrid2d(*map(_centres, shape), coefficients)
