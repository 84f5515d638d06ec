"""Whole fields or tiles of them in the place of cells: a table of units instead of a segmentation.

Embedding whole images needs no segmentation (Jackson et al. 2019, arXiv:1903.06516; Pawlowski et al. 2016,
bioRxiv 085118). Everything after it sees units where it would see cells.
"""

import numpy as np
import pandas as pd

from profiling.cells.quality import FIELD_STATISTICS
from profiling.errors import ProfilingError
from profiling.tables import FIELD_KEY

BOX = ["BoundingBoxMinimumX", "BoundingBoxMinimumY", "BoundingBoxMaximumX", "BoundingBoxMaximumY"]


def list_units(images, tile=None):
    """List the units of fields from the image table; no pixel is read.

    Tiles do not overlap, are complete and lie in a grid in the middle of the field; what is left over at the edges,
    less than a tile along each axis, belongs to none.

    Parameters
    ----------
    images : pandas.DataFrame
        Rows of the image table. A field has the size of its first image that is not lost.
    tile : int, optional
        Side of a tile in pixels. None: a unit is a whole field.

    Returns
    -------
    units : pandas.DataFrame
        Rows of the table `segmented`, without measurements. Metadata_CellID counts from 1, row by row.
    fields : pandas.DataFrame
        Rows of the table `fields`: `CellCount` is the number of units, statistics of nuclei are null.
    """
    fields = _field_sizes(images)
    known = fields["Height"].notna().to_numpy()
    size = fields[["Height", "Width"]].fillna(0).to_numpy().astype(np.int64)
    side = size if tile is None else np.full_like(size, tile)
    grid = size // np.maximum(side, 1)
    count = grid.prod(axis=1)
    margin = (size - grid * side) // 2

    field = np.repeat(np.arange(len(fields)), count)
    number = np.arange(len(field)) - np.repeat(np.cumsum(count) - count, count)
    place = np.column_stack(np.divmod(number, np.maximum(grid[field, 1], 1)))
    start = margin[field] + place * side[field]
    units = fields.loc[field, FIELD_KEY].reset_index(drop=True).assign(Metadata_CellID=number + 1)
    units[BOX] = np.column_stack([start[:, ::-1], (start + side[field])[:, ::-1]])
    units = units.assign(NucleusTouchesBorder=False, TouchesBorder=False)

    small = [f"its {width} × {height} px hold no tile of {tile} px; lower tiles.size" for height, width in size]
    lost = "channel " + fields["Metadata_Channel"] + " is lost: " + fields["Reason"].astype("str")
    reason = pd.Series(np.where(known, small, lost), fields.index, dtype="str").where(count == 0)
    outcome = fields[FIELD_KEY].assign(Segmented=count > 0, CellCount=count, Reason=reason)
    statistics = pd.DataFrame(np.nan, fields.index, FIELD_STATISTICS, dtype="float32")
    return units, pd.concat([outcome, statistics], axis=1)


def check_tile(images, tile):
    """Raise ProfilingError where no field of a plate holds a tile; one that is too small is a row with its reason.

    Parameters
    ----------
    images : pandas.DataFrame
        The image table of the plate.
    tile : int
        Side of a tile in pixels.
    """
    sizes = images.loc[images["Status"].eq("ok"), ["Width", "Height"]].astype(int)
    if len(sizes) and not sizes.ge(tile).all(axis=1).any():
        width, height = sizes.loc[sizes.min(axis=1).idxmax()]
        raise ProfilingError(
            f"plate {images['Metadata_Plate'].iloc[0]}: no field holds a tile of {tile} × {tile} px, the largest has "
            f"{width} × {height} px; lower tiles.size, or set unit to field"
        )


def _field_sizes(images):
    """Field key, Width and Height (null where every image is lost), and channel and reason of a lost image."""
    images = images.sort_values([*FIELD_KEY, "Metadata_Channel"], kind="stable")
    read = images.loc[images["Status"].eq("ok"), [*FIELD_KEY, "Width", "Height"]].drop_duplicates(FIELD_KEY)
    fields = images.drop_duplicates(FIELD_KEY)[[*FIELD_KEY, "Metadata_Channel", "Reason"]]
    return fields.merge(read, how="left", on=FIELD_KEY, validate="one_to_one")
