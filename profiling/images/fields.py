"""Fields: the channels of one place on a plate, read and corrected together."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from profiling.images.illumination import correct, read_flatfield
from profiling.images.read import ImageError, read_image
from profiling.tables import FIELD_KEY, read_table


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
    integer : frozenset of str
        Channels whose pixels are stored as integers: their rounding is noise that correction does not remove.
    """

    key: dict
    channels: dict = field(repr=False)
    lost: dict
    integer: frozenset


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
    return Field(raw.key, planes, raw.lost, raw.integer)


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
    integer = frozenset(channel for channel, plane in planes.items() if np.issubdtype(plane.dtype, np.integer))
    return Field(key, planes, lost, integer)
