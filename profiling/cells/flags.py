"""Flags of cells, from the cell table alone."""

import numpy as np
import pandas as pd


def flag_outliers(cells, nuclei_channel, mads):
    """Flag the outlier cells of one plate.

    Parameters
    ----------
    cells : pandas.DataFrame
        Cell table of the plate.
    nuclei_channel : str
        Channel of the nuclei.
    mads : float
        Robust deviations from the plate's median beyond which a nucleus is an outlier.

    Returns
    -------
    pandas.Series of bool
        Area and mean intensity are compared on the log scale, on which sizes and stains spread evenly, so
        that a phenotype of large nuclei is not cut off at the top.
    """
    outlier = pd.Series(False, index=cells.index)
    for column in ("Nuclei_AreaShape_Area", f"Nuclei_Intensity_MeanIntensity_{nuclei_channel}"):
        values = np.log(cells[column].clip(lower=1e-6).astype("float64"))
        median = values.median()
        spread = 1.4826 * (values - median).abs().median()
        outlier |= (values - median).abs() > mads * spread
    return outlier
