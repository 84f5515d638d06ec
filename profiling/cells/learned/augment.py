"""Random views of annotated fields: scale, shape, crowding, haze, blur, noise, contrast."""

import cc3d
import cv2
import numpy as np

from profiling.cells.learned.normalise import CEILING

SCALES = (-1.0, 1.0)  # log2 of the nuclei's diameter over the nominal one
SCALE_SPREAD = 0.4
ANISOTROPY = 0.18
UNTOUCHED = 0.5  # share of the views whose intensities stay: contrast and blur are what annotators draw outlines by
MOST_COVERED = 0.4  # a nucleus of which more than this share would be covered is not pasted over
FRAGMENT = 12.0  # px²; what is left of a nucleus at the border of the view below this area is not judged


def random_view(field, diameter, size, rng):
    """Cut a random view of a field, with its nuclei at a random scale about the nominal diameter.

    Parameters
    ----------
    field : samples.AnnotatedField
    diameter : float
        Nominal diameter, px.
    size : int
        Side of the view, px.
    rng : numpy.random.Generator

    Returns
    -------
    image : (size, size) float32
    labels : (size, size) uint32
    """
    octaves = np.clip(rng.normal(0, SCALE_SPREAD), *SCALES)
    scale = diameter * 2**octaves / field.diameter
    stretch = np.exp(rng.uniform(-ANISOTROPY, ANISOTROPY) / 2)
    angle, shear = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.1)
    flip = rng.choice((-1.0, 1.0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[flip * stretch, shear], [0, 1 / stretch]]) * scale
    centre = _centre(field, size / scale, rng)
    level = int(np.clip(np.floor(-np.log2(scale) + 0.3), 0, len(field.pyramid) - 1))
    image = _warp(field.pyramid[level], matrix, centre, size, 2**level, cv2.INTER_LINEAR)
    labels = _warp(field.labels, matrix, centre, size, 1, cv2.INTER_NEAREST)
    return image, labels.astype(np.uint32)


def _centre(field, extent, rng):
    """Centre of a view of some extent: near a random nucleus mostly, so that sparse fields give no empty views."""
    sides = np.array(field.labels.shape[::-1], float)
    if len(field.centroids) == 0 or rng.random() < 0.25:
        centre = rng.uniform(0, 1, 2) * sides
    else:
        centre = field.centroids[rng.integers(len(field.centroids))] + rng.normal(0, 2 * field.diameter, 2)
    margin = np.minimum(extent / 2, sides / 2)
    return np.clip(centre, margin, sides - margin)


def _warp(plane, matrix, centre, size, reduction, interpolation):
    """Affine view of a plane that is reduced by a factor against the field; 0, the background, outside."""
    inner = matrix * reduction
    middle = (np.asarray(centre) + 0.5) / reduction - 0.5  # pixels are squares: the first one's middle is at 0
    shift = (size - 1) / 2 - inner @ middle
    transform = np.c_[inner, shift].astype(np.float32)
    return cv2.warpAffine(
        plane.astype(np.float32, copy=False),
        transform,
        (size, size),
        flags=interpolation,
        borderMode=cv2.BORDER_CONSTANT,  # a reflected nucleus would grow together with its image
    )


def crowd(image, labels, other, other_labels, gain):
    """Paste the nuclei of another view, on top, where they leave most of the nuclei below visible.

    Parameters
    ----------
    image, other : (H, W) float32
    labels, other_labels : (H, W) uint32
    gain : float
        Factor on the other view's intensities.

    Returns
    -------
    image : (H, W) float32
    labels : (H, W) uint32
    """
    area = np.bincount(labels.ravel())
    area_other = np.bincount(other_labels.ravel())
    both = (labels > 0) & (other_labels > 0)
    pairs = labels[both].astype(np.int64) * len(area_other) + other_labels[both]
    pairs, overlap = np.unique(pairs, return_counts=True)
    below, above = np.divmod(pairs, len(area_other))
    refused = np.unique(above[overlap > MOST_COVERED * np.minimum(area[below], area_other[above])])
    pasted = np.where(np.isin(other_labels, refused), 0, other_labels)
    mask = pasted > 0
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    image = image * (1 - soft) + np.maximum(image, gain * other) * soft
    return image, np.where(mask, pasted + np.uint32(len(area)), labels)


def part_nuclei(labels, doubtful):
    """Number the connected parts of a view's nuclei, and tell those apart that no network can be judged by.

    Parameters
    ----------
    labels : (H, W) uint32
        A nucleus whose middle another one covers has several parts.
    doubtful : (labels + 1,) bool
        By label, see `samples.AnnotatedField`.

    Returns
    -------
    parts : (H, W) uint32
        Of the others.
    unjudged : (H, W) bool
        The doubtful nuclei, and those of which the view shows next to nothing.
    """
    parts, count = cc3d.connected_components(labels, connectivity=8, return_N=True, out_dtype=np.uint32)
    owner = np.zeros(count + 1, np.uint32)
    owner[parts.ravel()] = labels.ravel()
    out = (np.bincount(parts.ravel(), minlength=count + 1) < FRAGMENT) | doubtful[owner]
    out[0] = False
    unjudged = out[parts]
    parts[unjudged] = 0
    return parts, unjudged


def degrade(image, diameter, rng):
    """Change the intensities of a view as microscopes and stains do.

    Parameters
    ----------
    image : (H, W) float32
        Normalised.
    diameter : float
        Nominal diameter of the nuclei, px.
    rng : numpy.random.Generator

    Returns
    -------
    (H, W) float32
    """
    image = image * np.float32(np.exp(rng.normal(0, 0.2))) + np.float32(rng.normal(0, 0.03))
    if rng.random() < UNTOUCHED:
        return np.clip(image, -1, CEILING).astype(np.float32)
    if rng.random() < 0.4:
        image = np.sign(image) * np.abs(image) ** np.float32(np.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.25 * diameter))
    if rng.random() < 0.3:
        image = image * _ramp(image.shape, rng)
    if rng.random() < 0.3:
        image = image + _clouds(image.shape, diameter, rng) * rng.uniform(0.05, 0.4)
    image = image * np.float32(np.exp(rng.normal(0, 0.3))) + np.float32(rng.normal(0, 0.05))
    if rng.random() < 0.5:
        shot = rng.uniform(0, 0.08) * np.sqrt(np.maximum(image, 0))
        read = rng.exponential(0.02)
        noise = rng.standard_normal(image.shape, np.float32)
        if rng.random() < 0.3:  # cameras and file formats that correlate neighbouring pixels
            noise = 1.8 * cv2.GaussianBlur(noise, (0, 0), 0.7)
        image = image + noise * np.sqrt(shot**2 + read**2)
    if rng.random() < 0.1:
        levels = rng.integers(12, 64)
        image = np.round(image * levels) / levels
    return np.clip(image, -1, CEILING).astype(np.float32)


def _ramp(shape, rng):
    """Uneven illumination, 0.4 to 1."""
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6)
    y, x = np.meshgrid(*(np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in shape), indexing="ij")
    slope = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    return np.float32(1) - np.float32(depth) * (slope + np.float32(0.7)) / np.float32(1.4)


def _clouds(shape, diameter, rng):
    """Smooth random background, such as cytoplasm, medium and light from other planes."""
    coarse = max(2, int(shape[0] / (diameter * rng.uniform(0.5, 4))))
    return cv2.resize(rng.random((coarse, coarse), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)


def haze(image, other, diameter, rng):
    """Add another view out of focus, as in tissue and thick clusters."""
    sigma = diameter * rng.uniform(0.15, 0.6)
    return image + np.float32(rng.uniform(0.15, 0.7)) * cv2.GaussianBlur(np.maximum(other, 0), (0, 0), sigma)
