"""What the outputs of a network's layers look like: maps, tokens or vectors."""

import math
from typing import NamedTuple


class Layout(NamedTuple):
    """How a layer's output is laid out.

    Attributes
    ----------
    kind : {"vector", "map", "map_last", "tokens"}
        (N, D), (N, D, H, W), (N, H, W, D) or (N, T, D).
    prefix : int
        Tokens before those of the patches: the class token, then registers.
    grids : int
        Square grids of patches behind one another, one a channel in some channel-adaptive networks.
    """

    kind: str
    prefix: int = 0
    grids: int = 1


def layout_of(shape, prefix=None, channels_last=False, channels=1):
    """Layout of a layer's output for a square image.

    Parameters
    ----------
    shape : tuple of int
        Of the output.
    prefix : int, optional
        Tokens before those of the patches, as the network says. Where it does not say, or this layer does not have
        them, they are what exceeds a square number, or `channels` times one.
    channels_last : bool
        Which of two readings is taken where the shape allows both.
    channels : int
        Channels of the network's input.

    Returns
    -------
    Layout or None
        None for an output of another kind.
    """
    shape = tuple(shape)
    if len(shape) == 2:
        return Layout("vector")
    if len(shape) == 3:
        known = [] if prefix is None else [prefix]
        for before in (*known, *range(9)):
            for grids in sorted({1, channels}):
                patches, rest = divmod(shape[1] - before, grids)
                if patches > 0 and not rest and math.isqrt(patches) ** 2 == patches:
                    return Layout("tokens", before, grids)
        return None
    if len(shape) == 4:
        first, last = shape[2] == shape[3], shape[1] == shape[2]
        if first and last:
            return Layout("map_last" if channels_last else "map")
        if first or last:
            return Layout("map" if first else "map_last")
    return None
