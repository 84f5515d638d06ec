"""Where every cell and its nucleus lie: irregular outlines that touch, and the run of actin fibres."""

import cc3d
import cv2
import numpy as np

from profiling.demo.population import smooth_noise

MARGIN = 10  # px around the reach of a cell


def _depth(dy, dx, radius, aspect, angle, wobble, rng):
    """Depth below a wobbly ellipse's outline as a share of its radius: 1 at the centre, 0 on the outline.

    `wobble` holds the amplitude of the harmonics 2, 3, ... of the outline.
    """
    stretch = float(np.sqrt(aspect))
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    u = (dx * cosine + dy * sine) / stretch
    v = (dy * cosine - dx * sine) * stretch
    distance, theta = cv2.cartToPolar(u, v)
    turns = np.linspace(0, 2 * np.pi, 720, dtype=np.float32)
    reach = np.full(720, radius, np.float32)
    for order, amplitude in enumerate(wobble, start=2):
        reach += radius * amplitude * rng.uniform(0.4, 1.2) * np.cos(order * turns + rng.uniform(0, 2 * np.pi))
    return 1 - distance / reach[(theta * (719 / (2 * np.pi))).astype(np.int32)]


def _nuclei(cell, rng):
    """The bodies of DNA of a cell: a list of (dy, dx, radius, aspect, angle, wobble)."""
    radius, angle = cell.NucleusRadius, cell.Angle
    if cell.Phenotype == "multinucleate":
        count = rng.integers(2, 5)
        turns = rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.uniform(-0.12, 0.12, count)) / count
        away = radius * (1.12 if count == 2 else 1.3) * rng.uniform(0.92, 1.1, count)
        sizes = radius * rng.uniform(0.8, 1.1, count)
        return [
            (r * np.sin(t), r * np.cos(t), size, rng.uniform(1.05, 1.35), rng.uniform(0, np.pi), (0.03, 0.03))
            for t, r, size in zip(turns, away, sizes)
        ]
    if cell.Phenotype == "condensed":
        bodies = [(0, 0, rng.uniform(5.8, 6.8), rng.uniform(1.0, 1.25), angle, (0.06, 0.06, 0.05))]
        for turn in rng.uniform(0, 2 * np.pi, rng.integers(0, 3)):
            bodies.append((7 * np.sin(turn), 7 * np.cos(turn), rng.uniform(2.2, 3.4), 1.1, 0, (0.05,)))
        return bodies
    if cell.Phenotype == "mitotic":
        turn = rng.uniform(0, np.pi)
        if rng.uniform() < 0.6:  # prometaphase: a rosette of chromosomes
            arms = (0.03, 0.04, 0.04, 0.04, 0.04, 0.03, 0.03, 0.03)
            return [(0, 0, rng.uniform(8.0, 9.0), rng.uniform(1.1, 1.5), turn, arms)]
        arms = (0.0, 0.02, 0.02, 0.03, 0.03, 0.03)  # metaphase: the plate from its side
        return [(0, 0, rng.uniform(6.8, 7.6), rng.uniform(2.2, 2.9), turn, arms)]
    return [(0, 0, radius, rng.uniform(1.15, 1.6), angle, (0.04, 0.04, 0.02))]


def _fibre_texture(size, rng):
    """Horizontal, slightly wavy fibres of changing brightness, (size, size) float32, 0 between fibres."""
    noise = cv2.GaussianBlur(rng.standard_normal((size, size), dtype=np.float32), (0, 0), 14, sigmaY=0.8)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    wavy = cv2.remap(noise, x, y + 5 * smooth_noise((size, size), 30, rng), cv2.INTER_LINEAR)
    return np.clip(wavy / wavy.std() - 0.4, 0, 3)


def outline_cells(population, extent, rng):
    """Give every pixel to a cell or to none, and lay the nuclei.

    A cell claims the pixels within its outline; where outlines overlap, the cell in whose outline the
    pixel lies deeper wins (a Voronoi division with irregular metrics), so that neighbours touch along
    uneven lines. A nucleus is never given away to a neighbour's cytoplasm.

    Parameters
    ----------
    population : DataFrame
        From `draw_population`, n cells.
    extent : int
        Edge of the square in px.
    rng : numpy.random.Generator

    Returns
    -------
    cells : (extent, extent) int32
        1..n in the order of the population, 0 outside.
    nuclear_depth : (extent, extent) float32
        px below the surface of the cell's own nucleus, negative outside it.
    fibres : (extent, extent) float32
        Texture of actin fibres along each cell, 0 between fibres.
    """
    shape = (extent, extent)
    # Outlines of cells are ragged on the scale of some micrometres.
    bend_y, bend_x = (2.2 * smooth_noise(shape, 6, rng) + 0.8 * smooth_noise(shape, 2, rng) for _ in range(2))
    texture = _fibre_texture(512, rng)
    best, cells = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    patches = []
    for index, cell in enumerate(population.itertuples(), start=1):
        half = int(1.5 * cell.Reach) + MARGIN
        y0, x0 = max(int(cell.Y) - half, 0), max(int(cell.X) - half, 0)
        window = np.s_[y0 : int(cell.Y) + half, x0 : int(cell.X) + half]
        height, width = best[window].shape
        dy = np.arange(y0, y0 + height, dtype=np.float32)[:, None] - np.float32(cell.Y)
        dx = np.arange(x0, x0 + width, dtype=np.float32)[None, :] - np.float32(cell.X)

        round_cell = cell.Phenotype == "mitotic"
        aspect = rng.uniform(1.0, 1.15) if round_cell else rng.uniform(1.25, 2.1)
        wobble = (0.02, 0.03, 0.02) if round_cell else (0.10, 0.12, 0.10, 0.07, 0.05)
        ragged = 0.25 if round_cell else 1.0
        depth = _depth(
            dy + ragged * bend_y[window],
            dx + ragged * bend_x[window],
            cell.Reach,
            aspect,
            cell.Angle,
            wobble,
            rng,
        )
        nucleus = np.max(
            [
                float(size) * _depth(dy - float(oy), dx - float(ox), size, *form, rng)
                for oy, ox, size, *form in _nuclei(cell, rng)
            ],
            axis=0,
        )
        claim = depth + 2 * (nucleus > -2.5)
        wins = claim > best[window]
        best[window][wins] = claim[wins]
        cells[window][wins] = index

        turn = cv2.getRotationMatrix2D((256, 256), -float(np.degrees(cell.Angle) + rng.normal(0, 6)), 1.0)
        turn[:, 2] -= 256 - np.array([width, height]) / 2 + rng.uniform(-150, 150, 2)
        run = cv2.warpAffine(texture, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        patches.append((window, nucleus, run))

    cells = _largest_pieces(cells)
    nuclear_depth, fibres = np.full(shape, -99, np.float32), np.zeros(shape, np.float32)
    for index, (window, nucleus, run) in enumerate(patches, start=1):
        own = cells[window] == index
        nuclear_depth[window][own] = nucleus[own]
        fibres[window][own] = run[own]
    return cells, nuclear_depth, fibres


def _largest_pieces(labels):
    """Keep the largest connected piece of every label."""
    pieces, count = cc3d.connected_components(labels, connectivity=4, return_N=True)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    owner = np.zeros(count + 1, labels.dtype)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((sizes, owner))  # the last piece of an owner is its largest
    last = np.append(owner[order][1:] != owner[order][:-1], True)
    keep = np.zeros(count + 1, bool)
    keep[order[last]] = True
    keep[0] = False
    return np.where(keep[pieces], labels, 0)
