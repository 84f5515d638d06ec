"""Segmentation engines by name. A new engine is a function from settings to a `Segmenter` in `ENGINES`."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from profiling.cells.classical import segment_nuclei
from profiling.cells.cytoplasm import RING, expand_ring, flood_cells, median_diameter


class Segmenter(NamedTuple):
    """A segmentation engine with its settings bound.

    Attributes
    ----------
    segment : callable
        `segment(image)`: (H, W) real array → (H, W) uint32 labels 1..n of the nuclei.
    segment_cells : callable
        `segment_cells(nuclei, image=None)`: (H, W) uint32 nuclei and (H, W) image of a cytoplasm channel or
        None → (H, W) uint32 cells with the nuclei's labels, each containing its nucleus.
    """

    segment: Callable
    segment_cells: Callable


def load_segmenter(engine="classical", **settings):
    """Make a segmenter.

    Parameters
    ----------
    engine : str
        One of `ENGINES`.
    **settings
        The engine's settings, see e.g. `classical`.

    Returns
    -------
    Segmenter

    Raises
    ------
    ValueError
        If there is no such engine, or a setting is out of range.
    """
    if engine not in ENGINES:
        raise ValueError(f"There is no segmentation engine {engine!r}; there are: {', '.join(ENGINES)}.")
    return ENGINES[engine](**settings)


def classical(
    nucleus_diameter=24.0,
    min_area=None,
    max_area=None,
    threshold="adaptive",
    threshold_correction=1.0,
    cells="watershed",
    ring=None,
    cell_threshold_correction=1.0,
):
    """Make the classical segmenter: threshold, distance and intensity watershed, seeded watershed of cells.

    Parameters
    ----------
    nucleus_diameter : float or None
        Typical diameter of a nucleus, px; None estimates it for every image.
    min_area, max_area : float or None
        Limits of a nucleus' area, px²; None: 0.08 and 10 times the area of the typical disc.
    threshold : "adaptive" or "otsu"
        Relative to the local background and foreground, or Otsu's of the whole image.
    threshold_correction : float
        Factor on the height of the nuclear threshold above the background; more gives smaller nuclei.
    cells : "watershed" or "ring"
        Cells from the image of a cytoplasm channel (a ring where there is none), or always a ring.
    ring : float or None
        Width of the ring, px; None: 0.3 times the nucleus' diameter.
    cell_threshold_correction : float
        As `threshold_correction`, for the cytoplasm channel.

    Returns
    -------
    Segmenter
    """
    _check_choice("threshold", threshold, ("adaptive", "otsu"))
    _check_choice("cells", cells, ("watershed", "ring"))
    _check_positive(
        nucleus_diameter=nucleus_diameter,
        max_area=max_area,
        threshold_correction=threshold_correction,
        cell_threshold_correction=cell_threshold_correction,
    )
    if min_area is not None and max_area is not None and min_area > max_area:
        raise ValueError(f"min_area ({min_area}) is larger than max_area ({max_area}).")

    def segment(image):
        _check_image(image)
        return segment_nuclei(image, nucleus_diameter, min_area, max_area, threshold, threshold_correction)

    def segment_cells(nuclei, image=None):
        if cells == "watershed" and image is not None:
            _check_image(image)
            if image.shape != nuclei.shape:
                raise ValueError(f"The image has shape {image.shape}, the nuclei have {nuclei.shape}.")
            return flood_cells(nuclei, image, cell_threshold_correction)
        if not nuclei.any():
            return nuclei.copy()
        width = RING * (nucleus_diameter or median_diameter(nuclei)) if ring is None else ring
        return expand_ring(nuclei, width)

    return Segmenter(segment, segment_cells)


ENGINES = {"classical": classical}


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}.")


def _check_positive(**values):
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; it must be positive.")


def _check_image(image):
    if image.ndim != 2 or not image.size:
        raise ValueError(f"The image has shape {image.shape}; one channel (H, W) is expected.")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise ValueError("The image holds NaN or infinite values.")
