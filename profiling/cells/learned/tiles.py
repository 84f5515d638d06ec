"""Tiles of large fields."""


def cut_side(side, largest, margin, grid=1):
    """Cut a side into the parts that tiles deliver, as few and as even as can be.

    A tile sees a margin beyond its part, but none beyond the field: the first part and the last are larger by it.

    Parameters
    ----------
    side : int
        px.
    largest : int
        Side of a tile with its margins, px. Without them it is a multiple of `grid`.
    margin : int
        px on each side of a tile that other tiles deliver.
    grid : int
        Tiles begin at multiples of it, px.

    Returns
    -------
    list of (int, int)
        First pixel of each part and the one after the last; one part where a tile may be as large as the side.
    """
    if side <= largest:
        return [(0, side)]
    count = -(-(side - 2 * margin) // (largest - 2 * margin))
    step = -(-(side - 2 * margin) // (count * grid)) * grid
    ends = [*range(step + margin, side - margin, step)[: count - 1], side]
    return list(zip([0, *ends], ends))
