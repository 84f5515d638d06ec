"""Segmentation engines and ways from nuclei to cells, by name; the two are chosen independently.

A new engine is a function in `ENGINES` from settings to the function that finds the nuclei of an image; a new way
to cells is a function in `CELLS` that grows cells from any engine's nuclei and the image of a cytoplasm channel.
"""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import NamedTuple

import numpy as np

from profiling.cells.classical import segment_nuclei
from profiling.cells.cytoplasm import (
    REGULARISATION,
    RING,
    expand_ring,
    flood_cells,
    median_diameter,
    propagate_cells,
)
from profiling.cells.learned.engine import nuclei


class Segmenter(NamedTuple):
    """A segmentation engine and a way to cells with their settings bound.

    Attributes
    ----------
    segment : callable
        `segment(image, step=None)`: (H, W) real array, and the distance of neighbouring values as they were stored
        (left out: 1 for integers, else 0) → (H, W) uint32 labels 1..n of the nuclei.
    segment_cells : callable
        `segment_cells(nuclei, image=None, step=None)`: (H, W) uint32 nuclei, and the same of a cytoplasm channel or
        None → (H, W) uint32 cells with the nuclei's labels, each containing its nucleus.
    """

    segment: Callable
    segment_cells: Callable


def load_segmenter(
    engine="nuclei",
    nucleus_diameter=None,
    min_area=None,
    max_area=None,
    cells="propagate",
    ring=None,
    cell_threshold_correction=1.0,
    regularisation=REGULARISATION,
    **settings,
):
    """Make a segmenter.

    Parameters
    ----------
    engine : str
        What finds the nuclei, one of `ENGINES`.
    nucleus_diameter : float or None
        Typical diameter of a nucleus, px; None estimates it for every image.
    min_area, max_area : float or None
        Limits of a nucleus' area, px²; None leaves them to the engine.
    cells : str
        How cells are found around the nuclei: one of `CELLS`, which follow the image of a cytoplasm channel and
        give a ring where there is none, or "ring".
    ring : float or None
        Width of the ring, px; None: 0.3 times the nucleus' diameter.
    cell_threshold_correction : float
        Factor on the height of the cytoplasm channel's threshold above the background; more gives smaller cells.
    regularisation : float
        Weight of distance against intensity, of "propagate" only, see `propagate_cells`.
    **settings
        The engine's own, see `learned.engine.nuclei` and `classical`.

    Returns
    -------
    Segmenter

    Raises
    ------
    ValueError
        If there is no such engine or way to cells, or a setting is out of range or not the engine's.
    """
    _check_choice("engine", engine, ENGINES)
    _check_choice("cells", cells, (*CELLS, "ring"))
    known = [name for name in signature(ENGINES[engine]).parameters if name not in COMMON]
    if unknown := [name for name in settings if name not in known]:
        known = f"its own are: {', '.join(known)}" if known else "it has none of its own"
        raise ValueError(f"The engine {engine!r} has no setting {unknown[0]!r}; {known}.")
    _check_positive(
        nucleus_diameter=nucleus_diameter,
        max_area=max_area,
        ring=ring,
        cell_threshold_correction=cell_threshold_correction,
    )
    if min_area is not None and max_area is not None and min_area > max_area:
        raise ValueError(f"min_area ({min_area}) is larger than max_area ({max_area}).")
    if not regularisation >= 0:
        raise ValueError(f"regularisation is {regularisation}; it must not be negative.")
    find_nuclei = ENGINES[engine](nucleus_diameter, min_area, max_area, **settings)
    own = {"regularisation": regularisation} if cells == "propagate" else {}

    def segment(image, step=None):
        _check_image(image)
        return find_nuclei(image, step)

    def segment_cells(nuclei, image=None, step=None):
        if not nuclei.any():
            return nuclei.copy()
        if image is None or cells == "ring":
            width = RING * (nucleus_diameter or median_diameter(nuclei)) if ring is None else ring
            return expand_ring(nuclei, width)
        _check_image(image)
        if image.shape != nuclei.shape:
            raise ValueError(f"The image has shape {image.shape}, the nuclei have {nuclei.shape}.")
        return CELLS[cells](nuclei, image, cell_threshold_correction, step, **own)

    return Segmenter(segment, segment_cells)


def classical(nucleus_diameter, min_area, max_area, threshold="adaptive", threshold_correction=1.0):
    """Nuclei by threshold, then distance and intensity watershed: see `segment_nuclei`.

    Parameters
    ----------
    nucleus_diameter, min_area, max_area
        See `load_segmenter`; the default limits are 0.08 and 10 times the area of the typical disc.
    threshold : "adaptive" or "otsu"
        Relative to the local background and foreground, or Otsu's of the whole image.
    threshold_correction : float
        Factor on the height of the nuclear threshold above the background; more gives smaller nuclei.

    Returns
    -------
    callable
        See `Segmenter.segment`.
    """
    _check_choice("threshold", threshold, ("adaptive", "otsu"))
    _check_positive(threshold_correction=threshold_correction)
    return partial(
        segment_nuclei,
        nucleus_diameter=nucleus_diameter,
        min_area=min_area,
        max_area=max_area,
        threshold=threshold,
        threshold_correction=threshold_correction,
    )


ENGINES = {"classical": classical, "nuclei": nuclei}
CELLS = {"propagate": propagate_cells, "watershed": flood_cells}  # besides "ring", which follows no image
COMMON = ("nucleus_diameter", "min_area", "max_area")  # settings that every engine takes


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
