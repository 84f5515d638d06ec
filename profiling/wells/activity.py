"""Which treatments move their wells away from the negative controls of the same plates."""

import numpy as np
import pandas as pd

from profiling.phenotypes.normalise import require_finite
from profiling.settings import TESTED
from profiling.wells import permutation
from profiling.wells.profiles import OF_TREATMENT, profile_columns

RESULTS = ["Replicates", "ControlWells", "ControlDistance", "ReplicateVariance", "PValue", "AttainablePValue"]


def activity(wells, permutations=9_999, seed=0, alpha=0.05):
    """Test every treatment's mean profile against the negative controls of the same plates.

    `ControlDistance` is in standard deviations of control wells: every component is divided by the
    controls' spread about their plate's mean, pooled over plates. The p-value cannot use that scale: the
    controls that set it lie close to their own mean by construction, other wells do not, and few controls
    would make any treatment look active. Its statistic is the same distance with every component divided
    by the spread of all wells compared about their plates' means, which no relabelling can change. Wells
    are permuted between treatment and controls within plates.

    Parameters
    ----------
    wells : DataFrame
        As `well_profiles` returns it: Metadata_Plate, Metadata_Treatment, Metadata_Compound,
        Metadata_Concentration, Metadata_Unit, Metadata_Role, FewCells, PC_…. Wells flagged FewCells or
        without a profile are left out.
    permutations : int
        All distinct arrangements are used where there are no more than this.
    seed : int
    alpha : float
        False discovery rate.

    Returns
    -------
    DataFrame, one row a treatment (positive controls among them)
        Metadata_Treatment, compound, dose, unit, role, Replicates, ControlWells, ControlDistance,
        ReplicateVariance (mean over components of the variance of its wells about their mean, each taken
        from its plate's control mean, in squared standard deviations of control wells: 1 is as variable
        as controls; NaN below 2 wells), PValue, QValue (Benjamini-Hochberg), AttainablePValue, Active.
        Statistics are NaN where no plate holds the treatment and a negative control; those in units of
        control wells also where no plate holds two negative controls.

    Raises
    ------
    ValueError
        If a profile has some components that are not finite, columns named.
    """
    components = profile_columns(wells)
    described = [c for c in ["Metadata_Treatment", *OF_TREATMENT] if c in wells]
    usable = wells[~wells["FewCells"].to_numpy(bool) & wells[components].notna().any(axis=1).to_numpy()]
    profiles = usable[components].to_numpy(np.float64)
    require_finite(profiles, components)
    control = (usable["Metadata_Role"] == "negative_control").to_numpy(bool, na_value=False)
    testable = usable["Metadata_Role"].isin(TESTED).to_numpy(bool)
    plates = pd.factorize(usable["Metadata_Plate"])[0]
    treatment = usable["Metadata_Treatment"].to_numpy(object)
    scale = _control_spread(profiles[control], plates[control])

    tested = wells[wells["Metadata_Role"].isin(TESTED)]
    tested = tested[tested["Metadata_Treatment"].notna()]
    table = tested[described].drop_duplicates("Metadata_Treatment").sort_values("Metadata_Treatment")
    results = []
    for name in table["Metadata_Treatment"]:
        treated = testable & (treatment == name)
        rows = permutation.treated_and_controls(treated, control, plates)
        results.append(_compare(profiles[rows], treated[rows], plates[rows], scale, permutations, seed))
    results = pd.DataFrame(results, columns=RESULTS)
    table = pd.concat([table.reset_index(drop=True), results], axis=1)
    table["QValue"] = permutation.benjamini_hochberg(table["PValue"])
    table["Active"] = table["QValue"] < alpha
    return table[[*described, *RESULTS[:5], "QValue", "AttainablePValue", "Active"]]


def _compare(profiles, treated, plates, scale, permutations, seed):
    """Compare treated wells with controls; returns the values of RESULTS in order."""
    replicates, controls = int(treated.sum()), int((~treated).sum())
    if replicates == 0:
        return replicates, controls, np.nan, np.nan, np.nan, np.nan
    difference = permutation.difference_weights(treated[None], plates)[0] @ profiles
    distance = np.linalg.norm(_scaled(difference, scale)) if scale is not None else np.nan
    moved = profiles - _plate_means(profiles, plates, ~treated)[plates]
    variance = np.nan
    if scale is not None and replicates > 1:
        variance = _scaled(moved[treated], scale).var(axis=0, ddof=1).mean()

    centred = profiles - _plate_means(profiles, plates)[plates]
    scaled = _scaled(centred, np.sqrt((centred**2).mean(axis=0)))
    null = [
        np.linalg.norm(permutation.difference_weights(arrangement, plates) @ scaled, axis=1)
        for arrangement in permutation.permuted_labels(treated, plates, permutations, seed)
    ]
    observed = np.linalg.norm(permutation.difference_weights(treated[None], plates) @ scaled, axis=1)
    exhaustive = permutation.is_exhaustive(treated, plates, permutations)
    p, attainable = permutation.p_values(observed, np.concatenate(null)[:, None], exhaustive)
    return replicates, controls, distance, variance, p[0], attainable[0]


def _control_spread(profiles, plates):
    """Standard deviation of control wells about their plate's mean, (d,); None where no plate has two."""
    freedom = len(profiles) - len(np.unique(plates))
    if freedom < 1:
        return None
    residuals = profiles - _plate_means(profiles, plates)[plates]
    return np.sqrt((residuals**2).sum(axis=0) / freedom)


def _plate_means(profiles, plates, rows=slice(None)):
    """Mean profile of the chosen rows on every plate: (largest code + 1, d), zeros where there are none."""
    plates, number = plates[rows], plates.max(initial=-1) + 1
    sums = np.zeros((number, profiles.shape[1]))
    np.add.at(sums, plates, profiles[rows])
    return sums / np.maximum(np.bincount(plates, minlength=number), 1)[:, None]


def _scaled(profiles, scale):
    """Divide components by their scale; those without spread say nothing and become 0."""
    usable = scale > 1e-12 * scale.max(initial=0)
    return np.where(usable, profiles / np.where(usable, scale, 1), 0)
