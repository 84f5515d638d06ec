"""Flags of cells by name, from the cell table of a plate alone.

A nucleus is compared with the median nucleus of its plate in area, in intensity above the background and in their
product, the DNA that it holds. Chromatin condenses in mitosis and in death: the nucleus is small and bright. A
dying nucleus shrinks most and rounds up; a mitotic one holds twice the DNA and is a rosette or, from its side, a
plate. Much less DNA than a living nucleus holds is debris, as below the G1 peak in flow cytometry.

The limits were chosen on half of the plates of a simulated screen and of the labelled nuclei of MitoCheck (HeLa,
H2B; https://github.com/WayScience/phenotypic_profiling).
"""

import numpy as np
import pandas as pd

from profiling.tables import CELL_KEY

BORDER = "border"
"""Flag of cells that the border of the image cuts."""

NAMES = ("debris", "dead", "mitotic", "irregular", "outlier")
"""Flags that tell what a cell is, in the order in which they are written."""

SPECK_AREA = 0.1  # a nucleus smaller than this is debris however bright
CONDENSED_AREA = 0.8  # a condensed nucleus is smaller than this
MITOTIC_AREA = 0.45  # a condensed nucleus larger than this is in mitosis
ELONGATED = 0.8  # eccentricity of metaphase and anaphase plates seen from their side
RAGGED = 0.72  # form factor below which a condensed nucleus is a rosette of chromosomes
SHAPES = ("Area", "Solidity", "Eccentricity", "FormFactor")


def flag_cells(cells, nuclei_channel, settings):
    """Flag the cells of one plate.

    Parameters
    ----------
    cells : pandas.DataFrame
        Cell table of the plate: the cell key and the columns of `measured_columns`.
    nuclei_channel : str
        Channel of the nuclei.
    settings : profiling.settings.Flags

    Returns
    -------
    pandas.DataFrame
        The cell_flags table: a row a cell that has a flag.
    """
    touches = cells["TouchesBorder" if settings.border == "cell" else "NucleusTouchesBorder"]
    found = pd.concat([touches.rename(BORDER), name_cells(cells, nuclei_channel, settings)], axis=1)
    excluding = [*settings.exclude_cells, *([] if settings.border == "keep" else [BORDER])]
    flagged = found[found.any(axis=1)]
    table = cells.loc[flagged.index, CELL_KEY]
    return table.assign(Flags=_join(flagged), ExcludedBy=_join(flagged[[n for n in flagged if n in excluding]]))


def name_cells(cells, nuclei_channel, settings):
    """Tell which cells of a plate are debris, dead, mitotic, irregular or outliers.

    Nuclei that touch the border of the image are cut: they are no debris, their area tells nothing, and the medians of
    the plate's nuclei leave them out.
    An irregular nucleus is one of low solidity that is none of the former: lobed, or several that were not split.

    Parameters
    ----------
    cells : pandas.DataFrame
        The columns of `measured_columns`.
    nuclei_channel : str
        Channel of the nuclei.
    settings : profiling.settings.Flags

    Returns
    -------
    pandas.DataFrame of bool
        A column a name of `NAMES`; the rows of `cells`. A measurement that is null gives no flag.
    """
    shape = {name: cells[f"Nuclei_AreaShape_{name}"] for name in SHAPES}
    whole = ~cells["NucleusTouchesBorder"].astype(bool)
    background = cells[f"Cytoplasm_Intensity_MeanIntensity_{nuclei_channel}"].median()
    signal = cells[f"Nuclei_Intensity_MeanIntensity_{nuclei_channel}"] - np.nan_to_num(background)
    typical = signal[whole].median()
    area, intensity = shape["Area"] / shape["Area"][whole].median(), signal / (typical if typical > 0 else np.nan)
    dna = area * intensity
    condensed = (intensity > settings.condensed_intensity) & (area < CONDENSED_AREA)
    debris = whole & ((area < SPECK_AREA) | (dna.lt(settings.debris_dna) & ~condensed))
    dividing = (area > MITOTIC_AREA) | (shape["Eccentricity"] > ELONGATED) | (shape["FormFactor"] < RAGGED)
    mitotic = condensed & dividing & ~debris
    dead = condensed & ~dividing & ~debris
    irregular = shape["Solidity"].lt(settings.minimum_solidity) & ~(debris | dead | mitotic)
    outlier = whole & _far_off(shape["Area"], whole, settings.outlier_mads)
    outlier |= _far_off(signal, whole, settings.outlier_mads)
    return pd.DataFrame(dict(zip(NAMES, (debris, dead, mitotic, irregular, outlier), strict=True)))


def measured_columns(nuclei_channel):
    """Columns of the cell table that `flag_cells` needs beside the cell key."""
    intensities = [f"{part}_Intensity_MeanIntensity_{nuclei_channel}" for part in ("Nuclei", "Cytoplasm")]
    return ["NucleusTouchesBorder", "TouchesBorder", *(f"Nuclei_AreaShape_{name}" for name in SHAPES), *intensities]


def count_flags(cell_flags, key):
    """Count the cells that have each name.

    Parameters
    ----------
    cell_flags : pandas.DataFrame
        The cell_flags table.
    key : list of str
        Columns to count by.

    Returns
    -------
    pandas.DataFrame of int
        `FlaggedDebris` and so on, indexed by the key.
    """
    names = "; " + cell_flags["Flags"] + "; "
    found = {f"Flagged{name.capitalize()}": names.str.contains(f"; {name}; ", regex=False) for name in NAMES}
    return pd.DataFrame(found).groupby([cell_flags[column] for column in key]).sum()


def _far_off(values, whole, mads):
    """Values farther than `mads` robust deviations from the median of whole nuclei, on the log scale.

    Sizes and stains spread evenly there, so that a phenotype of large nuclei is not cut off at the top.
    """
    logs = np.log(values.astype("float64").clip(lower=1e-6))
    distance = (logs - logs[whole].median()).abs()
    spread = distance[whole].median()
    return (distance > mads * 1.4826 * spread) & (spread > 0)


def _join(found):
    """Names of a row's true columns, joined by `; `; null where there is none."""
    joined = pd.Series("", index=found.index, dtype="str")
    for name in found:
        joined += np.where(found[name], f"; {name}", "")
    return joined.str[2:].where(found.any(axis=1))
