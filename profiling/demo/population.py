"""The cells of a field before they are painted: phenotype, place, size, cell cycle, brightness."""

import cv2
import numpy as np
import pandas as pd

PHENOTYPES = ("normal", "condensed", "multinucleate", "texture", "translocated", "mitotic")
CELLS_PER_PIXEL = 66 / 512**2
MITOTIC_INDEX = 0.04  # of untreated cells

# Reach of the cell outline in px, the closest that neighbours come as a share of the sum of their
# reaches, and the room a cell takes in the field relative to a normal one.
REACH = {
    "normal": 42,
    "condensed": 30,
    "multinucleate": 62,
    "texture": 36,
    "translocated": 42,
    "mitotic": 18,
}
ROOM = {
    "normal": 1.0,
    "condensed": 1.5,
    "multinucleate": 1.9,
    "texture": 1.15,
    "translocated": 1,
    "mitotic": 1.4,
}
CLOSEST = 0.44


def smooth_noise(shape, sigma, rng):
    """Gaussian noise blurred by `sigma` px and scaled to unit variance, (H, W) float32."""
    step = max(1, int(sigma / 3))  # smooth noise needs no fine grid
    coarse = rng.standard_normal((shape[0] // step + 2, shape[1] // step + 2), dtype=np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), sigma / step)
    noise = coarse[: shape[0], : shape[1]] if step == 1 else cv2.resize(coarse, shape[::-1])
    return noise / noise.std()


def _place(reach, extent, density, rng):
    """Dart throwing: centres that keep a distance from each other and prefer dense places.

    Returns (n, 2) float64 centres (y, x) of the cells that found a place, and their indices.
    """
    centres, kept = np.empty((len(reach), 2)), []
    for index, own in enumerate(reach):
        tries = rng.uniform(0, extent, (60, 2))
        score = density[tries[:, 0].astype(int), tries[:, 1].astype(int)] + rng.uniform(0, 12, 60)
        tries = tries[np.argsort(-score)]
        gap = np.linalg.norm(tries[:, None] - centres[kept][None], axis=2)
        free = (gap > CLOSEST * rng.uniform(0.85, 1.15) * (own + reach[kept])).all(axis=1)
        if free.any():
            centres[index] = tries[free.argmax()]
            kept.append(index)
    return centres[kept], kept


def draw_population(extent, phenotype, penetrance, survival, rng):
    """Draw the cells of a field.

    Parameters
    ----------
    extent : int
        Edge of the square in px in which cells lie (the field and its margin).
    phenotype : str
        What the treatment does to a cell, one of `PHENOTYPES`.
    penetrance : float
        Share of cells that show it.
    survival : float
        Share of cells left.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame
        A row a cell: `Phenotype`, `Y`, `X`, `Reach`, `NucleusRadius` (px), `Angle` (radians), `Cycle` (DNA
        content: 1 in G1, 2 in G2), `Stain` and `ActinLevel`, `ReporterLevel` (about 1).
    """
    labels = np.where(rng.uniform(size=4000) < penetrance, phenotype, "normal").astype(object)
    labels[(labels == "normal") & (rng.uniform(size=4000) < MITOTIC_INDEX)] = "mitotic"
    room = np.cumsum(pd.Series(labels).map(ROOM).to_numpy())
    labels = labels[room <= CELLS_PER_PIXEL * extent**2 * survival * rng.normal(1, 0.05)]

    # Big cells first: they find no place later.
    labels = labels[np.argsort(-pd.Series(labels).map(REACH).to_numpy(), kind="stable")]
    reach = pd.Series(labels).map(REACH).to_numpy() * rng.lognormal(0, 0.09, len(labels))
    centres, kept = _place(reach, extent, smooth_noise((extent, extent), extent / 12, rng), rng)
    labels, reach, n = labels[kept], reach[kept], len(kept)

    # G1 / S / G2 as in an asynchronous culture; dividing cells and failed divisions hold 4N.
    phase = rng.choice(3, n, p=[0.58, 0.22, 0.20])
    cycle = np.select([phase == 0, phase == 1], [1.0, rng.uniform(1, 2, n)], 2.0)
    cycle[np.isin(labels, ["mitotic", "multinucleate"])] = 2.0
    # Neighbours in a monolayer lie along each other.
    flow = np.pi * smooth_noise((extent, extent), extent / 10, rng)
    y, x = centres[:, 0].astype(int), centres[:, 1].astype(int)
    return pd.DataFrame(
        {
            "Phenotype": labels,
            "Y": centres[:, 0],
            "X": centres[:, 1],
            "Reach": reach,
            "NucleusRadius": 11.2 * cycle**0.28 * rng.lognormal(0, 0.045, n),
            "Angle": flow[y, x] + rng.normal(0, 0.35, n),
            "Cycle": cycle,
            "Stain": rng.lognormal(0, 0.06, n),
            "ActinLevel": rng.lognormal(0, 0.12, n),
            "ReporterLevel": rng.lognormal(0, 0.20, n),
        }
    )
