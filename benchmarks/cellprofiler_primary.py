"""The steps of CellProfiler's IdentifyPrimaryObjects, for comparison of quality and time.

A replica of the module's basic mode in CellProfiler 4.2 (global minimum cross-entropy threshold, declumping by
intensity, limits of size; McQuin et al., 2018), written from its behaviour with calls to the same functions of
centrosome, SciPy and scikit-image. It leaves out what the module does besides: outlines, measurements, the
object set. `benchmarks.segmentation_speed --cellprofiler` compares it with CellProfiler itself.
"""

import numpy as np
import scipy.ndimage as ndi
from skimage.filters import threshold_li
from skimage.segmentation import watershed

EIGHT = np.ones((3, 3), bool)
FWHM = 2.35  # full width at half maximum of a Gaussian in standard deviations
LOW_RESOLUTION = 10  # px; with a larger smallest diameter the maxima are sought on a reduced image


def identify_primary_objects(image, smallest=10, largest=40):
    """Segment nuclei as IdentifyPrimaryObjects does with its default settings, but keep those at the border.

    Parameters
    ----------
    image : (H, W) array
        Integers are divided by the largest value of their type, floats by their maximum.
    smallest, largest : float
        Limits of the diameter, px.

    Returns
    -------
    (H, W) uint32
        Labels 1..n.
    """
    from centrosome.cpmorphology import fill_labeled_holes, relabel
    from centrosome.smooth import smooth_with_function_and_mask

    image = scaled(image)
    everywhere = np.ones(image.shape, bool)
    threshold = cross_entropy_threshold(image)
    smooth = smooth_with_function_and_mask(
        image, lambda pixels: ndi.gaussian_filter(pixels, 1, mode="constant", cval=0), everywhere
    )
    mask = fill_labeled_holes(smooth >= threshold, size_fn=lambda size, is_foreground: size < largest**2)
    clumps, count = ndi.label(mask, EIGHT)
    if not count:
        return np.zeros(image.shape, np.uint32)
    seeds, count = ndi.label(find_seeds(image, clumps, smallest), EIGHT)
    # Negative markers are processed first come, first served.
    labels = -watershed(1 - image, -seeds.astype(np.int32), connectivity=EIGHT, mask=clumps != 0)
    areas = ndi.sum(np.ones(image.shape), labels, np.arange(count + 1, dtype=np.int32)).astype(int)
    wrong = (areas < np.pi / 4 * smallest**2) | (areas > np.pi / 4 * largest**2)
    labels[wrong[labels]] = 0
    return relabel(fill_labeled_holes(labels))[0].astype(np.uint32)


def scaled(image):
    """Image as CellProfiler loads it, (H, W) float32 in 0..1."""
    if np.issubdtype(image.dtype, np.integer):
        return image.astype(np.float32) / np.iinfo(image.dtype).max
    lowest = min(float(image.min()), 0.0)
    return (image.astype(np.float32) - lowest) / max(float(image.max()) - lowest, np.finfo(np.float32).tiny)


def cross_entropy_threshold(image):
    """Minimum cross-entropy threshold (Li & Tam, 1998) of a (H, W) image in 0..1."""
    values = np.unique(image)
    if len(values) == 1:
        return float(values[0])
    tolerance = max(np.diff(values).min() / 2, 0.5 / 65536)
    return min(max(float(threshold_li(image.ravel(), tolerance=tolerance)), 0.0), 1.0)


def find_seeds(image, clumps, smallest):
    """One pixel for each maximum of the smoothed image: (H, W) bool.

    Parameters
    ----------
    image : (H, W) float32
    clumps : (H, W) int
        Labels of the connected foreground.
    smallest : float
        Smallest diameter, px: the scale of smoothing and of the suppression of maxima.
    """
    from centrosome.cpmorphology import binary_shrink, is_local_maximum, strel_disk

    blurred = smooth_for_maxima(image, FWHM * smallest / 3.5)
    if smallest > LOW_RESOLUTION:
        factor, reach = LOW_RESOLUTION / smallest, 7
        grid = np.mgrid[0 : image.shape[0] * factor, 0 : image.shape[1] * factor].astype(float) / factor
        blurred = ndi.map_coordinates(blurred, grid)
        clumps = ndi.map_coordinates(clumps, grid, order=0)
    else:
        factor, reach = 1, smallest / 1.5
    maxima = is_local_maximum(blurred, clumps, strel_disk(max(1, reach - 0.5)))
    maxima[blurred <= 0] = False
    if factor < 1:
        grid = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(float) * (maxima.shape[0] / image.shape[0])
        maxima = ndi.map_coordinates(maxima.astype(float), grid) > 0.5
    return binary_shrink(maxima)


def smooth_for_maxima(image, width):
    """Gaussian blur cut off at half its width, corrected at the border; `width` is the FWHM in px."""
    sigma, reach = width / FWHM, max(int(width / 2), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)

    def convolve(pixels):
        for axis in (0, 1):
            pixels = ndi.convolve1d(pixels, kernel, axis=axis, mode="constant")
        return pixels

    return convolve(image) / convolve(np.ones(image.shape))
