"""Which clusters a compound fills or empties, against the negative controls of the same plates."""

import numpy as np
import pandas as pd

from profiling.settings import TESTED
from profiling.wells import permutation
from profiling.wells.profiles import share_columns

COLUMNS = [
    "Cluster",
    "Metadata_Compound",
    "Wells",
    "ControlWells",
    "Share",
    "ControlShare",
    "Log2Enrichment",
    "PValue",
    "QValue",
    "AttainablePValue",
]


def enrichment(wells, permutations=9_999, seed=0, pseudo_share=0.005):
    """Test the share of every cluster in the wells of every compound, doses pooled.

    The statistic is the difference of mean shares between the compound's wells and the negative controls
    of the same plates (`permutation.difference_weights`), two-sided; wells are permuted between the two
    within plates. Wells flagged FewCells or without cells are left out.

    Parameters
    ----------
    wells : DataFrame
        As `well_profiles` returns it: Metadata_Plate, Metadata_Compound, Metadata_Role, FewCells,
        ClusterShare_….
    permutations : int
        All distinct arrangements are used where there are no more than this.
    seed : int
    pseudo_share : float
        Added to both shares before their ratio, so that an absent cluster gives a finite one.

    Returns
    -------
    DataFrame, one row a cluster and compound (treatments and positive controls)
        Cluster, Metadata_Compound, Wells, ControlWells, Share, ControlShare (mean of the plates' controls,
        weighted by the compound's wells), Log2Enrichment, PValue, QValue (Benjamini-Hochberg over the
        table), AttainablePValue. NaN where no plate holds the compound and a negative control.
    """
    shares = share_columns(wells)
    usable = wells[~wells["FewCells"].to_numpy(bool) & wells[shares].notna().all(axis=1).to_numpy()]
    control = (usable["Metadata_Role"] == "negative_control").to_numpy(bool, na_value=False)
    tested = wells["Metadata_Role"].isin(TESTED)
    testable = usable["Metadata_Role"].isin(TESTED).to_numpy(bool)
    compound = usable["Metadata_Compound"].to_numpy(object)
    plates = pd.factorize(usable["Metadata_Plate"])[0]
    values = usable[shares].to_numpy(np.float64)
    frames = []
    for name in sorted(wells.loc[tested, "Metadata_Compound"].dropna().unique()):
        treated = testable & (compound == name)
        rows = permutation.treated_and_controls(treated, control, plates)
        result = _compare(values[rows], treated[rows], plates[rows], permutations, seed)
        frames.append(pd.DataFrame({"Metadata_Compound": name, **result}))
        frames[-1].insert(0, "Cluster", np.array([int(c.rsplit("_", 1)[1]) for c in shares], dtype=np.int16))
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(frames, ignore_index=True).sort_values(COLUMNS[:2], kind="stable", ignore_index=True)
    ratio = (table["Share"] + pseudo_share) / (table["ControlShare"] + pseudo_share)
    table["Log2Enrichment"] = np.log2(ratio)
    table["QValue"] = permutation.benjamini_hochberg(table["PValue"])
    return table[COLUMNS]


def _compare(shares, treated, plates, permutations, seed):
    """Compare treated wells with controls: shares (n, k), treated (n,) bool -> columns of length k."""
    counts = {"Wells": int(treated.sum()), "ControlWells": int((~treated).sum())}
    if len(treated) == 0:
        empty = np.full(shares.shape[1], np.nan)
        return counts | dict.fromkeys(["Share", "ControlShare", "PValue", "AttainablePValue"], empty)
    weights = permutation.difference_weights(treated[None], plates)[0]
    null = [
        np.abs(permutation.difference_weights(arrangement, plates) @ shares)
        for arrangement in permutation.permuted_labels(treated, plates, permutations, seed)
    ]
    exhaustive = permutation.is_exhaustive(treated, plates, permutations)
    p, attainable = permutation.p_values(np.abs(weights @ shares), np.concatenate(null), exhaustive)
    return counts | {
        "Share": shares[treated].mean(axis=0),
        "ControlShare": -weights[~treated] @ shares[~treated],
        "PValue": p,
        "AttainablePValue": attainable,
    }
