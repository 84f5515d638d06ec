"""Cells in three stains: outlines filled with DNA, actin and a reporter protein."""

import edt
import numpy as np
import pandas as pd

from profiling.demo.outlines import outline_cells
from profiling.demo.population import draw_population, smooth_noise

# What a phenotype looks like in each stain, in grey levels at full thickness:
#   dna, grain (contrast of the chromatin), coarse (clumps instead of fine grain), nucleoli;
#   diffuse, cortex, fibres and puncta of actin; reporter in the cytoplasm and in the nucleus;
#   dome (1: a rounded cell, 0: a flat one).
STAINING = pd.DataFrame.from_dict(
    {
        "normal": (560, 0.11, 0.0, 1, 150, 200, 140, 0, 480, 150, 0),
        "condensed": (1700, 0.06, 0.0, 0, 70, 110, 0, 160, 190, 150, 0),
        "multinucleate": (500, 0.11, 0.0, 1, 190, 330, 420, 0, 640, 190, 0),
        "texture": (520, 0.10, 0.40, 0, 80, 90, 0, 620, 480, 150, 0),
        "translocated": (560, 0.11, 0.0, 1, 150, 200, 140, 0, 130, 900, 0),
        "mitotic": (1250, 0.22, 0.0, 0, 420, 700, 0, 0, 900, 700, 1),
    },
    orient="index",
    columns="dna grain coarse nucleoli diffuse cortex fibres puncta cytoplasm nucleus dome".split(),
)


def _stain(population, cells, nuclear_depth, fibres, rng):
    """Light of the three stains, (3, H, W) float32 in grey levels."""
    shape = cells.shape
    recipe = STAINING.loc[population["Phenotype"]].to_numpy(np.float32)
    recipe = dict(zip(STAINING.columns, np.vstack([np.zeros(recipe.shape[1], np.float32), recipe]).T))

    def each(values):
        """Spread a value a cell over its pixels; 0 outside cells."""
        return np.concatenate([[0], values]).astype(np.float32)[cells]

    def of(name):
        return recipe[name][cells]

    fine, chromatin, clumps, blobs = (smooth_noise(shape, sigma, rng) for sigma in (0.9, 1.6, 1.9, 2.6))
    inside = edt.edt(cells, parallel=1)  # px to the cell's own edge
    flat = 1 - np.exp(-inside / 6)
    dome = np.sqrt(1 - (1 - np.minimum(inside / 15, 1)) ** 2)
    thickness = np.where(of("dome") > 0, dome, flat)
    nuclear = np.clip(nuclear_depth + 0.5, 0, 1)
    # A spread cell is thickest around its nucleus, where most of its cytoplasm lies.
    perinuclear = np.exp(-np.clip(-nuclear_depth, 0, None) / 9)

    grain = 1 + of("grain") * (chromatin + 0.5 * fine) + of("coarse") * np.clip(2 * clumps - 0.6, -1.2, 3)
    nucleoli = 1 - 0.45 * of("nucleoli") * np.clip(2 * (blobs - 1.1), 0, 1) * (nuclear_depth > 2)
    rounding = np.clip(0.72 + 0.06 * nuclear_depth, 0, 1)  # a nucleus is a lens, dimmer at its rim
    stain = each(population["Stain"] * population["Cycle"] ** 0.44)
    dna = nuclear * of("dna") * stain * np.clip(grain, 0.25, None) * nucleoli * rounding + 14 * thickness * (cells > 0)

    cortex = np.exp(-((inside - 1.5) ** 2) / (2 * 1.6**2)) * np.clip(0.75 + 0.35 * blobs, 0.15, None)
    spots = np.clip(clumps + 0.35 * fine - 1.35, 0, 1.6)
    actin = of("diffuse") * thickness * (0.55 + 0.45 * perinuclear) * (1 + 0.10 * chromatin)
    actin += of("cortex") * cortex + of("puncta") * spots * (inside > 2)
    actin += of("fibres") * fibres * np.clip(inside / 5, 0, 1) * (1 - 0.35 * nuclear)
    actin *= each(population["ActinLevel"])

    granules = 1 + 0.13 * chromatin + 0.08 * fine - 0.25 * np.clip(blobs - 1.4, 0, 1)
    body = np.where(of("dome") > 0, thickness, thickness * (0.45 + 0.75 * perinuclear))
    reporter = of("cytoplasm") * body * granules * (1 - nuclear)
    reporter += of("nucleus") * nuclear * (1 + 0.06 * chromatin) * nucleoli * rounding
    reporter *= each(population["ReporterLevel"])
    return np.stack([dna, actin, reporter]).astype(np.float32)


def paint_field(extent, phenotype, penetrance, survival, rng):
    """Grow and stain the cells of a field.

    Parameters
    ----------
    extent : int
        Edge of the square in px.
    phenotype, penetrance, survival
        See `draw_population`.
    rng : numpy.random.Generator

    Returns
    -------
    light : (3, extent, extent) float32
        DNA, actin and reporter in grey levels, before the microscope.
    cells, nuclei : (extent, extent) int32
        Labels 1..n, the same in both; a cell with several nuclei gives them one label.
    population : DataFrame
        Row i is the cell labelled i + 1.
    """
    population = draw_population(extent, phenotype, penetrance, survival, rng)
    cells, nuclear_depth, fibres = outline_cells(population, extent, rng)
    light = _stain(population, cells, nuclear_depth, fibres, rng)
    return light, cells, np.where(nuclear_depth > 0, cells, 0), population
