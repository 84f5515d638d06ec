"""The microscope: point spread, haze, illumination, camera. Pixels are 0.65 um (20x)."""

import cv2
import numpy as np

from profiling.demo.design import CHANNELS

OFFSET = 100.0  # grey levels the camera adds
SATURATION = 4095  # 12 bits
ELECTRONS_PER_LEVEL = 2.0
READ_NOISE = 6.0  # electrons

PSF_SIGMA = {"DNA": 0.9, "Actin": 0.8, "Reporter": 1.0}  # px
HAZE_SHARE = {"DNA": 0.08, "Actin": 0.16, "Reporter": 0.13}  # of the light, from planes out of focus
BACKGROUND = {"DNA": 45.0, "Actin": 70.0, "Reporter": 60.0}  # grey levels: medium, plate, stray light
DEFOCUS_SIGMA = 7.0  # px


def flat_field(size, rng):
    """Illumination of one channel of one plate: a dome off the centre, 25-30 % darker in the corners.

    Parameters
    ----------
    size : int
        Edge of the field in px.
    rng : numpy.random.Generator

    Returns
    -------
    (size, size) float32
        Relative illumination, maximum 1.
    """
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    cy, cx = rng.uniform(-0.15, 0.15, 2)
    squared = ((axis[:, None] - cy) ** 2 + (axis[None, :] - cx) ** 2) / 2
    flat = 1 - rng.uniform(0.25, 0.30) * squared ** rng.uniform(0.9, 1.2)
    return (flat / flat.max()).astype(np.float32)


def plate_optics(plate_index, size, seed):
    """Flat field, gain and background factor of each channel on a plate.

    Neighbouring plates lie on opposite sides of 1, so that gain and background differ by 15-25 %.

    Returns
    -------
    dict
        Channel → (flat field (size, size) float32, gain, background factor).
    """
    sides = np.random.default_rng([seed, 3]).choice([-1, 1], (len(CHANNELS), 2))
    optics = {}
    for index, channel in enumerate(CHANNELS):
        rng = np.random.default_rng([seed, plate_index, 4, index])
        gain, background = 1 + (-1) ** plate_index * sides[index] * rng.uniform(0.07, 0.11, 2)
        optics[channel] = flat_field(size, rng), float(gain), float(background)
    return optics


def photograph(light, channel, optics, well_factor, rng, pad, defocus=0.0):
    """Image of the light of one channel: blur, haze, background, illumination, noise, 12 bits.

    Parameters
    ----------
    light : (size + 2 pad, size + 2 pad) float32
        What the sample emits, in grey levels above background; the margin feeds blur and haze.
    channel : str
    optics : tuple
        Flat field, gain and background factor, from `plate_optics`.
    well_factor : float
        Brightness of the well (staining, liquid height).
    rng : numpy.random.Generator
    pad : int
        Margin around the field in px.
    defocus : float
        Additional Gaussian blur in px.

    Returns
    -------
    (size, size) uint16
        Values in 0..4095.
    """
    flat, gain, background_factor = optics
    sharp = cv2.GaussianBlur(light, (0, 0), float(np.hypot(PSF_SIGMA[channel], defocus)))
    small = cv2.resize(light, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    haze = cv2.resize(cv2.GaussianBlur(small, (0, 0), 5.0), light.shape[::-1])  # sigma 20 px
    share = HAZE_SHARE[channel]
    field = ((1 - share) * sharp + 1.6 * share * haze)[pad:-pad, pad:-pad]
    field = (field * well_factor * gain + BACKGROUND[channel] * background_factor) * flat
    # Above some ten electrons Poisson noise is Gaussian; one draw serves shot and read noise.
    variance = field / ELECTRONS_PER_LEVEL + (READ_NOISE / ELECTRONS_PER_LEVEL) ** 2
    field += rng.standard_normal(field.shape, dtype=np.float32) * np.sqrt(variance)
    return np.clip(np.rint(field + OFFSET), 0, SATURATION).astype(np.uint16)
