"""What MetaXpress writes about an image into its TIFF file (MetaSeries XML in the first page's description)."""

import re
from typing import NamedTuple

import tifffile

_PROPERTY = re.compile(r'<(?:custom-)?prop id="([^"]+)" type="[^"]*" value="([^"]*)"')


class Plane(NamedTuple):
    """One image of a field.

    Attributes
    ----------
    step : int or None
        Plane of the stack, from 1; None for a projection, or if the file does not say.
    projection : bool
        Whether it is a projection of a stack.
    pixel_size : float
        um a pixel; NaN if the file does not say.
    """

    step: int | None
    projection: bool
    pixel_size: float


def read_plane(path):
    """Read an image's description, not its pixels.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Plane or None
        None if the file cannot be read or MetaXpress did not write it.
    """
    try:
        with tifffile.TiffFile(path) as file:
            text = file.pages.first.description
    except Exception:  # tifffile raises whatever a damaged file provokes; the image table will say what is wrong
        return None
    if "<MetaData>" not in text:
        return None
    known = dict(_PROPERTY.findall(text))
    step, size = _number(known.get("Z Step")), _number(known.get("spatial-calibration-x"))
    in_um = known.get("spatial-calibration-units") in ("um", "µm") and known.get("spatial-calibration-state") == "on"
    return Plane(
        step=int(step) if step and step < 1e5 else None,
        projection="Z Projection Method" in known,
        pixel_size=size if in_um and size and size < 1e5 else float("nan"),
    )


def _number(text):
    """A positive number, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number > 0 else None
