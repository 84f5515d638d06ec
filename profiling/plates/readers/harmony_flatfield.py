"""The flat-field profiles that Harmony fits to the images of a measurement and writes into its index.

A profile is text in braces, ``{Background: {Mean: 443.5, Profile: {Coefficients: [[1.25], [-0.04, -0.03], ...],
Dims: [1080, 1080], Origin: [539.5, 539.5], Scale: [0.000926, 0.000926], Type: Polynomial}, ...}, Foreground: ...}``,
one a channel. Harmony does not publish its meaning; what is said here holds on a raw image of Harmony 5 that the
tests use: there the background is, within 4 %, ``Mean`` times the surface of ``Background`` (r = 0.997 over 12 x 12
tiles, against 0.994 to 0.962 with an axis turned or both swapped). So this export is raw: Harmony had not divided it.

For the illumination stage, which takes I = (raw - dark) / flat: `flat` is :func:`flatfield` of `foreground`, the
evenness of what the cells emit, or of `background` where there is no foreground (as in Harmony's basic correction),
scaled as the stage scales its own (2nd percentile to 1). `background` includes the camera's offset, so that a dark
offset comes from elsewhere. A channel without a surface (brightfield, or too little signal) has neither.
"""

import json
import re
from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial

from profiling.errors import ProfilingError
from profiling.plates.readers.harmony_index import read_index

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
CONSTANTS = {"NaN": "NaN", "INF": "Infinity", "-INF": "-Infinity"}
WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s{}\[\],"][^{}\[\],"]*')
LARGEST_DEGREE = 16
LONGEST = 20_000  # characters of a profile; that of the largest degree has half of them


class Surface(NamedTuple):
    """A polynomial over the field.

    Attributes
    ----------
    coefficients : tuple of tuple of float
        By degree: ``coefficients[n][k]`` belongs to ``x**(n - k) * y**k``.
    size : tuple of int
        Width and height, in pixels, of the images it was fitted to.
    origin : tuple of float
        x and y, in pixels, at which the polynomial's x and y are 0.
    scale : tuple of float
        Of x and y, per pixel.
    """

    coefficients: tuple
    size: tuple
    origin: tuple
    scale: tuple


class Profile(NamedTuple):
    """Flat-field profile of a channel.

    Attributes
    ----------
    background, foreground : Surface or None
        Surfaces of mean 1; None where Harmony fitted none.
    mean : float
        Of the background, in pixel values; NaN where it is not said.
    """

    background: Surface | None
    foreground: Surface | None
    mean: float


def read_profiles(path):
    """Flat-field profiles of an index.

    Parameters
    ----------
    path : Path
        Index of Harmony.

    Returns
    -------
    dict of Profile
        By ``ChannelID``, as text.

    Raises
    ------
    ProfilingError
        If it is no index, or a profile cannot be read.
    """
    profiles = {}
    for channel, entry in read_index(path, channel_fields=("FlatfieldProfile",)).channels.items():
        if text := entry.get("FlatfieldProfile"):
            try:
                profiles[channel] = parse_profile(text)
            except ProfilingError as error:
                raise ProfilingError(f"{path}, channel {channel}: {error}") from None
    return profiles


def parse_profile(text):
    """Profile of a channel from the text of ``FlatfieldProfile``.

    Raises
    ------
    ProfilingError
        If the text is of another form.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError("length")
        found = json.loads(WORDS.sub(_as_json, text))
        background, foreground = (_surface(found.get(name) or {}) for name in ("Background", "Foreground"))
        mean = float((found.get("Background") or {}).get("Mean", np.nan))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise ProfilingError("the flat-field profile is of an unknown form; fit the illumination instead") from None
    return Profile(background, foreground, mean)


def flatfield(surface, shape):
    """Values of a surface.

    Parameters
    ----------
    surface : Surface
        Of a profile.
    shape : tuple of int
        (H, W) of the images. Where it is another than that of the images that were fitted, it is taken as the same
        field at another binning.

    Returns
    -------
    (H, W) ndarray of float32
        Its mean is about 1.
    """
    x, y = (
        ((np.arange(length) + 0.5) * size / length - 0.5 - origin) * scale
        for length, size, origin, scale in zip(shape[::-1], surface.size, surface.origin, surface.scale, strict=True)
    )
    degrees = len(surface.coefficients)
    powers = np.zeros((degrees, degrees))  # of x, of y
    for degree, row in enumerate(surface.coefficients):
        for of_y, coefficient in enumerate(row):
            powers[degree - of_y, of_y] = coefficient
    return polynomial.polygrid2d(x, y, powers).T.astype(np.float32)


def _as_json(match):
    """A bare word, or a bare ``Key: word``, in JSON's spelling."""
    word = match[0]
    if word.startswith('"'):
        return word
    key, colon, value = word.partition(":")
    return f"{json.dumps(key.strip())}: {_scalar(value.strip())}" if colon else _scalar(word.strip())


def _scalar(word):
    if not word or NUMBER.fullmatch(word):
        return word
    return CONSTANTS.get(word) or json.dumps(word)


def _surface(side):
    """Surface of one side of a profile; None if it is the identity."""
    profile = side.get("Profile") or {}
    if profile.get("Type", "Identity") == "Identity":
        return None
    if profile["Type"] != "Polynomial":
        raise ValueError("type")
    coefficients = tuple(tuple(float(value) for value in row) for row in profile["Coefficients"])
    size, origin, scale = (tuple(float(value) for value in profile[name]) for name in ("Dims", "Origin", "Scale"))
    right = all(len(row) == degree + 1 for degree, row in enumerate(coefficients))
    pairs = all(len(pair) == 2 for pair in (size, origin, scale))
    numbers = [*(value for row in coefficients for value in row), *size, *origin, *scale]
    if not (right and pairs and 0 < len(coefficients) <= LARGEST_DEGREE + 1 and np.isfinite(numbers).all()):
        raise ValueError("numbers")
    return Surface(coefficients, tuple(int(value) for value in size), origin, scale)
