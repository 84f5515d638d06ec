"""Fields: the channels of one place on a plate, read and corrected together."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from profiling.images.illumination import correct, read_flatfield
from profiling.images.read import ImageError, read_image
from profiling.tables import FIELD_KEY, read_table

STEP_SAMPLE = 1 << 15  # pixels by which the step of an image's values is told
FEWEST_GAPS = 2  # between them: two values, as those of a mask, tell none
FLOAT_TOLERANCE = 0.01  # of a step


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes
    ----------
    key : dict
        Field key, as in the tables.
    channels : dict of str to ndarray, shape (H, W)
        The channels that could be read: corrected intensities (float32), or pixels as stored.
    lost : dict of str to str
        Why each of the other channels is lost.
    steps : dict of str to float
        Distance of neighbouring values as they were stored, see `value_step`; of corrected channels.
    """

    key: dict
    channels: dict = field(repr=False)
    lost: dict
    steps: dict = field(default_factory=dict)


def chunk_images(path, wells):
    """Rows of a plate's image table that belong to the wells of a chunk."""
    images = read_table(path, "images")
    return images[images["Metadata_Well"].isin(wells)]


def split_fields(images):
    """Rows of an image table, field by field, in the order of the key."""
    return [rows for _, rows in images.groupby(FIELD_KEY, sort=True, dropna=False)]


def read_flatfields(folder, channels):
    """Flat field and dark offset of each channel: ``{channel: (flat (H, W) float32, dark)}``."""
    return {channel: read_flatfield(Path(folder) / f"{channel}.tif")[:2] for channel in channels}


def read_field(rows, folder, flatfields):
    """Read and correct the channels of a field; what cannot be read is listed, never raised.

    Parameters
    ----------
    rows, folder, flatfields
        As in :func:`read_raw_field`.

    Returns
    -------
    Field
        With corrected intensities, float32.
    """
    raw = read_raw_field(rows, folder, flatfields)
    planes = {channel: correct(plane, *flatfields[channel]) for channel, plane in raw.channels.items()}
    steps = {channel: value_step(plane) for channel, plane in raw.channels.items()}
    return Field(raw.key, planes, raw.lost, steps)


def value_step(image):
    """Distance of neighbouring values of an image: its rounding, which is noise that correction does not remove.

    1 for most cameras, 16 where 12 bits are stored in the upper ones of 16, 1 / 255 where an 8-bit image was divided.

    Parameters
    ----------
    image : (H, W) real array

    Returns
    -------
    float
        Of which all distances are multiples. Where there is none such, or hardly a value to tell it by, 1 for integers,
        and 0 for floats.
    """
    floating = np.issubdtype(image.dtype, np.floating)
    tolerance = FLOAT_TOLERANCE if floating else 0
    stride = max(1, int(np.sqrt(image.size / STEP_SAMPLE)))
    gaps = np.diff(np.unique(image[::stride, ::stride]).astype(np.float64))
    if len(gaps) >= FEWEST_GAPS:
        multiples = gaps / gaps.min()
        if np.abs(multiples - np.rint(multiples)).max() <= tolerance:
            return float(gaps.min())
    return 0.0 if floating else 1.0


def read_raw_field(rows, folder, flatfields):
    """Read the channels of a field as stored; what cannot be read is listed, never raised.

    Parameters
    ----------
    rows : pandas.DataFrame
        The field's rows of the image table, one a channel.
    folder : str or Path
        The plate's image folder.
    flatfields : dict
        As from :func:`read_flatfields`; its channels are read, and the first that can be gives the field's size.

    Returns
    -------
    Field
        A channel whose size differs from the flat field's is lost: its pixels would be corrected wrongly.
    """
    planes, lost = {}, {}
    order = {channel: position for position, channel in enumerate(flatfields)}
    for row in rows.sort_values("Metadata_Channel", key=lambda names: names.map(order)).itertuples():
        channel = row.Metadata_Channel
        if channel not in flatfields:
            continue
        if row.Status != "ok":
            lost[channel] = row.Reason
            continue
        flat, _ = flatfields[channel]
        try:
            raw = read_image(Path(folder) / row.Path, int(row.Page))
        except ImageError as error:
            lost[channel] = str(error)
            continue
        shape = next(iter(planes.values())).shape if planes else flat.shape
        if raw.shape != flat.shape or raw.shape != shape:
            wanted = flat.shape if raw.shape != flat.shape else shape
            lost[channel] = (
                f"{row.Path} has {raw.shape[1]} × {raw.shape[0]} pixels, {wanted[1]} × {wanted[0]} are expected as "
                "in the other images of the plate and channels of the field; image it again or exclude its well"
            )
            continue
        planes[channel] = raw
    key = {name: rows[name].iloc[0] for name in FIELD_KEY}
    key = {name: value.item() if isinstance(value, np.generic) else value for name, value in key.items()}
    return Field(key, planes, lost)
