"""What sections of settings are made of: their base, lengths, names."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from profiling.terminal import visible

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(px|um|µm|μm)\s*")


def _check_length(value):
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a length such as '24 px' or '15 um'")
    if isinstance(value, int | float):
        value = f"{value} px"
    match = _LENGTH.fullmatch(value)
    if not match or float(match[1]) <= 0:
        raise ValueError("must be a positive length such as '24 px' or '15 um'")
    return f"{match[1]} {'px' if match[2] == 'px' else 'um'}"


Length = Annotated[
    str, BeforeValidator(_check_length), WithJsonSchema({"title": "Length", "type": ["string", "number"]})
]
"""A length with its unit, ``24 px`` or ``15 um``; a bare number is pixels."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=100)]
"""Plates and channels: letters, digits, dots and dashes, so that they can stand in file and column names."""


def _check_visible(value):
    if visible(value, keep="\n\t") != value:
        raise ValueError("has control characters, which would steer the terminal; rename it, or link it")
    return value


Visible = Annotated[str, AfterValidator(_check_visible)]
"""What Snakemake prints as it is: paths, batches."""


def pixels(length, pixel_size=None):
    """A length in pixels.

    Parameters
    ----------
    length : str
        ``24 px`` or ``15 um``.
    pixel_size : float, optional
        Micrometres a pixel.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the length is in micrometres and the pixel size is not known.
    """
    number, unit = length.split()
    if unit == "px":
        return float(number)
    if pixel_size is None:
        raise ValueError(f"{length!r} needs images.pixel_size (um a pixel); set it or write the length in px")
    return round(float(number) / pixel_size, 3)


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)
    version: ClassVar[int] = 1
    untracked: ClassVar[frozenset] = frozenset()
    """Settings of speed: rules pass them on where Snakemake does not look, so that an edit reruns nothing."""

    def changed(self):
        """Only what differs from the defaults, with the stage's version: what a rule passes on."""
        values = self.model_dump(mode="json", exclude_defaults=True, exclude=set(self.untracked))
        return {"version": self.version, **values}
