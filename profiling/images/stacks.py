"""Stacks of planes: projection, and choice of the sharpest plane."""

import math

import numpy as np

from profiling.images.quality import focus_score


def maximum_projection(planes):
    """Brightest value of every pixel over the planes of a stack.

    Parameters
    ----------
    planes : iterable of (H, W) ndarray
        One type and size; one plane is held in memory beside the result.

    Returns
    -------
    (H, W) ndarray
        Type of the planes.

    Raises
    ------
    ValueError
        If the planes differ in size or type.
    """
    projection = None
    for plane in planes:
        if projection is None:
            projection = plane.copy()
            continue
        if plane.shape != projection.shape or plane.dtype != projection.dtype:
            raise ValueError(
                f"the planes of the stack differ: {projection.shape} {projection.dtype} and {plane.shape} "
                f"{plane.dtype}; export it again, or choose one plane (images.z)"
            )
        np.maximum(projection, plane, out=projection)
    return projection


def sharpest_plane(planes):
    """Number of the plane in best focus (:func:`profiling.images.quality.focus_score`).

    Parameters
    ----------
    planes : iterable of (H, W) ndarray or None
        None stands for a plane that is lost.

    Returns
    -------
    int or None
        Position from 0, the first of equals; the middle one where none has structure to judge; None where all
        are lost.
    """
    scores = [-math.inf if plane is None else focus_score(plane) for plane in planes]
    present = [position for position, score in enumerate(scores) if score != -math.inf]
    if not present:
        return None
    judged = [position for position in present if not math.isnan(scores[position])]
    return max(judged, key=lambda position: scores[position]) if judged else present[len(present) // 2]
