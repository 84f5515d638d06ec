"""Fields made harder in stated steps: noise, blur, contrast curve, scale and density.

All steps are relative to the field's own nuclei, whose size and brightness are taken from its labels, so that a
step means the same on every image. Each function takes a `Field`, the step, a random generator and a function
that gives another field of the same size, and returns a `Field` with a float32 image; the neutral step of a sweep
leaves the values as they are (but integers that have become floats have no step of rounding any more, see
`profiling.cells.threshold.rounding_noise`, which moves the odd nucleus).
"""

from collections.abc import Callable
from typing import NamedTuple

import cc3d
import cv2
import fastremap
import numpy as np

from profiling.cells.cytoplasm import median_diameter

LARGEST_OVERLAP = 0.1  # of a pasted clump of nuclei that may lie under nuclei that are there
FEATHER = 0.08  # width of the soft edge around pasted nuclei as a fraction of the median diameter


class Sweep(NamedTuple):
    """A way to make fields harder.

    Attributes
    ----------
    steps : tuple of float
    unit : str
        What a step means.
    degrade : callable
        `degrade(field, step, rng, other)` → Field.
    """

    steps: tuple
    unit: str
    degrade: Callable


def contrast(image, truth):
    """Median of the pixels of true objects less the median of all others; 0 without objects."""
    inside = truth > 0
    if inside.all() or not inside.any():
        return 0.0
    return float(np.median(image[inside])) - float(np.median(image[~inside]))


def add_noise(field, step, rng, other=None):
    """Add Gaussian noise; its standard deviation is `step` times the contrast of the nuclei."""
    deviation = step * abs(contrast(field.image, field.truth))
    noise = rng.standard_normal(field.image.shape, dtype=np.float32)
    return field._replace(image=field.image.astype(np.float32) + np.float32(deviation) * noise)


def blur_field(field, step, rng=None, other=None):
    """Blur as a field out of focus; sigma is `step` times the median diameter of the nuclei."""
    sigma = step * median_diameter(field.truth)
    image = field.image.astype(np.float32)
    if not sigma > 0:
        return field._replace(image=image)
    return field._replace(image=cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def bend_contrast(field, step, rng=None, other=None):
    """Raise the image, scaled to 0..1 between its extremes, to the power `step`: above 1 dim nuclei get dimmer."""
    image = field.image.astype(np.float32)
    low, high = float(image.min()), float(image.max())
    if low == high:
        return field._replace(image=image)
    return field._replace(image=low + (high - low) * ((image - low) / (high - low)) ** np.float32(step))


def rescale(field, step, rng=None, other=None):
    """Resize by the factor `step`: the image by area means or cubic splines, the labels by the nearest pixel.

    Small true objects may vanish when a field is reduced; they are gone from the truth as well.
    """
    if step == 1:
        return field._replace(image=field.image.astype(np.float32))
    size = max(round(field.image.shape[1] * step), 1), max(round(field.image.shape[0] * step), 1)
    method = cv2.INTER_AREA if step < 1 else cv2.INTER_CUBIC
    labels = fastremap.renumber(np.ascontiguousarray(field.truth))[0]
    labels = cv2.resize(labels.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return field._replace(image=cv2.resize(field.image.astype(np.float32), size, interpolation=method), truth=labels)


def crowd(field, step, rng, other):
    """Paste the nuclei of `step` other fields in between.

    Every other field is flipped at random and brought to the same background and contrast. A clump of touching
    nuclei of it is pasted if at most `LARGEST_OVERLAP` of it lies under nuclei that are there already, so that
    what overlaps stays decidable for a person and the truth is certain.
    """
    image, truth = field.image.astype(np.float32), fastremap.renumber(np.ascontiguousarray(field.truth))[0]
    truth = truth.astype(np.int32)
    for _ in range(int(step)):
        guest = flip(other(rng), rng)
        gain = contrast(image, truth) / (contrast(guest.image, guest.truth) or np.inf)
        clumps = cc3d.connected_components((guest.truth > 0).view(np.uint8), connectivity=8).ravel()
        covered = np.bincount(clumps, (truth > 0).ravel()) / np.maximum(np.bincount(clumps), 1)
        fits = covered <= LARGEST_OVERLAP
        fits[0] = False
        labels = np.where(fits[clumps].reshape(truth.shape), guest.truth, 0).astype(np.int32)
        outside = guest.truth == 0
        if not outside.any() or not labels.any():
            continue
        sigma = max(FEATHER * median_diameter(labels), 0.7)
        alpha = cv2.GaussianBlur(cv2.dilate((labels > 0).astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), sigma)
        alpha[(guest.truth > 0) & (labels == 0)] = 0  # nothing of the nuclei that are left out
        light = gain * (guest.image.astype(np.float32) - np.float32(np.median(guest.image[outside])))
        image = image + alpha * np.maximum(light, 0)
        new = (labels > 0) & (truth == 0)
        truth = np.where(new, labels + truth.max(), truth)
    return field._replace(image=image, truth=truth)


def flip(field, rng):
    """Mirror a field at random along both axes."""
    rows, columns = rng.choice((1, -1), 2)
    turn = np.s_[::rows, ::columns]
    return field._replace(image=field.image[turn], truth=np.ascontiguousarray(field.truth[turn]))


SWEEPS = {
    "noise": Sweep((0, 0.05, 0.1, 0.2, 0.4, 0.8), "standard deviation / contrast of the nuclei", add_noise),
    "blur": Sweep((0, 0.05, 0.1, 0.15, 0.2, 0.3), "sigma / median diameter", blur_field),
    "gamma": Sweep((1, 0.4, 0.6, 1.5, 2.5), "exponent", bend_contrast),
    "scale": Sweep((1, 0.35, 0.5, 0.7, 1.5, 2, 3), "factor", rescale),
    "density": Sweep((0, 1, 2, 4), "further fields pasted in", crowd),
}
