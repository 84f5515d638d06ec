"""The learned nucleus engine: scale, network, votes, size limits."""

import numpy as np

from profiling.cells.classical import (
    LARGEST_HOLE,
    estimate_diameter,
    fill_label_holes,
    keep_largest_parts,
    renumber,
)
from profiling.cells.learned.contrast import contrast_by_label
from profiling.cells.learned.decode import decode
from profiling.cells.learned.forward import load_forward, with_flips
from profiling.cells.learned.maps import NOMINAL_DIAMETER, predict_maps
from profiling.cells.learned.normalise import noise_deviation, normalise
from profiling.cells.learned.weights import read_weights
from profiling.cells.regions import typical_diameter
from profiling.cells.threshold import rounding_noise

SMALLEST, LARGEST = 0.1, 20.0  # default size limits as fractions of the area of the typical disc
SMALLEST_CUT = 0.05  # the lower one for nuclei at the border, of which a sliver may be all that is to be seen
DIAMETERS = 23.0, 34.0  # px; a field is resized if the diameter of its nuclei is outside
SCALES = 0.05, 3.0
FAINTEST = 1.0  # in standard deviations of the noise of a pixel
SURPRISE = 1.25  # the field is done again if its nuclei differ from the estimate by more than this factor
CORRECTIONS = 2  # times at most
DAZZLING = 1.5  # normalised contrast of the typical nucleus; above it, halos are taken for nuclei


def nuclei(nucleus_diameter, min_area, max_area, weights=None, flips=False, device="cpu", precision="fp32"):
    """Nuclei by the network that comes with the installation, or by one trained on the user's own fields.

    Parameters
    ----------
    nucleus_diameter, min_area, max_area
        See `load_segmenter`; the default limits are 0.1 and 20 times the area of the typical disc, and at least
        0.05 times for nuclei that the border of the field cuts. Without a diameter, each field is first scaled by a
        coarse estimate, then, if its nuclei turn out otherwise, again.
    weights : str or Path, optional
        A file of `profiling train-segmenter`; the installation's own by default.
    flips : bool
        Whether the maps are averaged over the four mirror images of a field: four times the time.
    device : {"cpu", "cuda"}
    precision : {"fp32", "bf16"}
        See `forward.load_forward`.

    Returns
    -------
    callable
        See `engines.Segmenter.segment`.
    """
    forward = load_forward(read_weights(weights), device, precision=precision)
    if flips:
        forward = with_flips(forward)

    def find(image, step=None):
        return find_nuclei(image, forward, nucleus_diameter, min_area, max_area, step)

    return find


def find_nuclei(image, forward, diameter=None, min_area=None, max_area=None, step=None):
    """Find the nuclei of one field.

    Parameters
    ----------
    image : (H, W) real array
        Bright nuclei on dark background, no NaN.
    forward : callable
        The network, see `forward.load_forward`.
    diameter : float or None
        Typical diameter of a nucleus, px; None estimates it.
    min_area, max_area : float or None
        px²; None derives them from the diameter.
    step : float, optional
        See `threshold.rounding_noise`.

    Returns
    -------
    (H, W) uint32
        Labels 1..n by the row-major order of the nuclei's first pixels; each is one 4-connected region.
    """
    guess = diameter or _guess_diameter(image, step)
    normalised = normalise(image)
    labels = _find_at_scale(normalised, forward, min_area, max_area, guess)
    if _typical_contrast(normalised, labels) > DAZZLING:
        normalised = normalise(image, _typical_contrast(np.ascontiguousarray(image, np.float32), labels))
        labels = _find_at_scale(normalised, forward, min_area, max_area, guess)
    for _ in range(CORRECTIONS if diameter is None else 0):
        found = typical_diameter(np.bincount(labels[labels > 0])[1:])
        if not found or 1 / SURPRISE < found / guess < SURPRISE:
            break
        guess, labels = found, _find_at_scale(normalised, forward, min_area, max_area, found)
    return renumber(labels)


def _guess_diameter(image, step):
    """Diameter of the nuclei to begin with, px."""
    estimate, sure = estimate_diameter(np.ascontiguousarray(image, np.float32), rounding_noise(image, step))
    # Clumps and haze are taken for one large nucleus, never for small ones.
    return estimate if sure else min(estimate or NOMINAL_DIAMETER, NOMINAL_DIAMETER)


def _typical_contrast(image, labels):
    """Median contrast of the nuclei; 0 without any that has background around it."""
    contrasts = contrast_by_label(image, labels)
    return float(np.median(contrasts[np.isfinite(contrasts)])) if np.isfinite(contrasts).any() else 0.0


def _find_at_scale(normalised, forward, min_area, max_area, diameter):
    """The nuclei of a normalised field whose nuclei have a known typical diameter."""
    scale = np.clip(diameter, *DIAMETERS) / diameter
    probability, offsets = predict_maps(normalised, forward, float(np.clip(scale, *SCALES)))
    disc = np.pi / 4 * diameter**2
    labels = decode(probability, offsets, normalised.shape)
    del probability, offsets
    labels = keep_largest_parts(labels, 0, LARGEST * disc if max_area is None else max_area)
    limits = (SMALLEST * disc, SMALLEST_CUT * disc) if min_area is None else (min_area, min_area)
    labels = drop_small(labels, *limits)
    return drop_faint(fill_label_holes(labels, LARGEST_HOLE * disc), normalised)


def drop_small(labels, smallest, smallest_cut):
    """Remove small nuclei.

    Parameters
    ----------
    labels : (H, W) uint32
    smallest, smallest_cut : float
        Least area of a nucleus, and of one that the border of the field cuts, px².

    Returns
    -------
    (H, W) uint32
    """
    areas = np.bincount(labels.ravel())
    cut = np.zeros(len(areas), bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        cut[edge] = True
    small = areas < np.where(cut, smallest_cut, smallest)
    return np.where(small[labels], np.uint32(0), labels)


def drop_faint(labels, normalised):
    """Remove nuclei that stand out from their surroundings by less than the noise.

    In a bright field without nuclei the network sees some in the noise.

    Parameters
    ----------
    labels : (H, W) uint32
    normalised : (H, W) float32

    Returns
    -------
    (H, W) uint32
    """
    if not labels.any():
        return labels
    faint = contrast_by_label(normalised, labels) < FAINTEST * noise_deviation(normalised)
    return np.where(faint[labels], np.uint32(0), labels)
