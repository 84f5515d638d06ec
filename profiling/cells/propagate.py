"""Propagation of labels along the paths of least change, the way of CellProfiler's Propagation."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to half of a pixel's eight neighbours


def propagate(image, seeds, mask, regularisation):
    """Give every pixel of the mask to the seed that is nearest along a path inside the mask.

    The length of a path is the sum of its `step_costs`: large where the intensity changes, so that borders
    between seeds come to lie on edges, and with a part of geometric distance that the regularisation weighs.

    Parameters
    ----------
    image : (H, W) float32
    seeds : (H, W) int32
    mask : (H, W) bool
        Pixels that may be reached, besides the seeds.
    regularisation : float
        λ ≥ 0, in the units of the image. 0 follows the intensity alone.

    Returns
    -------
    (H, W) int32
        0 where no seed can be reached. Where two are equally near, the result is one of them, always the same.

    References
    ----------
    Jones, Carpenter & Golland (2005), Voronoi-based segmentation of cells on image manifolds.
    """
    free = mask | (seeds > 0)
    nodes = np.cumsum(free, dtype=np.int32).reshape(image.shape) - 1
    starts, ends, lengths = [], [], []
    for (dy, dx), cost in zip(STEPS, step_costs(image, regularisation)):
        (free_here, free_there), (seed_here, seed_there) = shifted_pair(free, dy, dx), shifted_pair(seeds, dy, dx)
        used = free_here & free_there & ((seed_here == 0) | (seed_there == 0))
        here, there = shifted_pair(nodes, dy, dx)
        starts.append(here[used])
        ends.append(there[used])
        lengths.append(cost[used])
    labels = seeds[free]
    edges = np.concatenate(lengths), (np.concatenate(starts), np.concatenate(ends))
    graph = csr_array(edges, shape=(len(labels), len(labels)))
    _, _, nearest = dijkstra(
        graph, directed=False, indices=np.flatnonzero(labels), min_only=True, return_predecessors=True
    )
    result = np.zeros_like(seeds)
    result[free] = np.where(nearest < 0, 0, labels[nearest.clip(0)])
    return result


def step_costs(image, regularisation):
    """Cost of the step from every pixel to each of its neighbours in `STEPS`.

    sqrt(d² + m λ²), where d sums the absolute differences of intensity between the 3 × 3 neighbourhoods of the
    two pixels, and m is 1 for a straight and 2 for a diagonal step (Jones, Carpenter & Golland, 2005, as in
    CellProfiler).

    Parameters
    ----------
    image : (H, W) float32
    regularisation : float
        λ, in the units of the image.

    Returns
    -------
    list of (H - dy, W - |dx|) float32
    """
    padded = np.pad(image, 1, mode="edge")
    costs = []
    for dy, dx in STEPS:
        here, there = shifted_pair(padded, dy, dx)
        change = np.abs(there - here)
        rows = change[:-2] + change[1:-1] + change[2:]
        total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
        costs.append(np.sqrt(total * total + np.float32((dy + abs(dx)) * regularisation**2)))
    return costs


def shifted_pair(array, dy, dx):
    """Views of an array that pair every pixel with its neighbour at (dy, dx), dy ≥ 0."""
    height, width = array.shape
    left, right = slice(0, width - abs(dx)), slice(abs(dx), width)
    if dx < 0:
        left, right = right, left
    return array[: height - dy, left], array[dy:, right]
