"""What an engine takes and gives: the cells of one field, and their features.

An engine is an object with the method ``embed_fields(fields)``, which turns an iterable of :class:`FieldCells` into
an iterator of :class:`FieldFeatures` in the same order and fills its batches across fields, and with ``width``, the
number of features of a cell. All engines take the same steps: correct and scale the field (:class:`Scaling`), cut a
crop around each centre, set other cells to 0 where there are labels, resize to the network's input, run the network.
"""

from typing import NamedTuple

import numpy as np


class FieldCells(NamedTuple):
    """A field with the cells to cut from it, as read from disk.

    Attributes
    ----------
    planes : ndarray, shape (C, H, W)
        Pixels as stored (uint8, uint16 or float32), in the order of the channels.
    centres : ndarray of float64, shape (N, 2)
        Row and column of each crop's centre in pixels; a crop starts ``height // 2`` rows above the nearest pixel.
        Not looked at where the crop is the whole field.
    cells : ndarray of int64, shape (N,)
        Label of each cell in `labels`.
    labels : ndarray of uint32, shape (H, W), or None
        Label image, where neighbours are masked.
    shown : ndarray of int64, shape (K,)
        Positions of the cells whose crops are wanted as pictures.
    """

    planes: np.ndarray
    centres: np.ndarray
    cells: np.ndarray
    labels: np.ndarray | None
    shown: np.ndarray


class FieldFeatures(NamedTuple):
    """The features of a field's cells.

    Attributes
    ----------
    features : ndarray of float32, shape (N, C·D), or (N, D) for a composite
    pictures : ndarray of float32, shape (K, C, S, S)
        Crops of the cells to be shown, intensities in [0, 1], at the network's input size.
    """

    features: np.ndarray
    pictures: np.ndarray


class Scaling(NamedTuple):
    """From stored pixels to [0, 1], a channel at a time: ``clip(((pixel - dark) / flat - low) / (high - low))``.

    Attributes
    ----------
    flats : list of ndarray of float32, each (H, W) or (1, 1)
    darks, lows, highs : ndarray of float32, shape (C,)
    """

    flats: list
    darks: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
