"""Tests of compounds, treatments and replicates: what the workflow runs on a screen."""

import pandas as pd

from profiling.progress import log
from profiling.settings import TESTED
from profiling.tables import read_table, write_table
from profiling.wells.activity import activity
from profiling.wells.enrichment import enrichment
from profiling.wells.profile_jobs import read_screen
from profiling.wells.profiles import profile_columns
from profiling.wells.variance import variance_ratio


def enrich(wells, settings, seed, out):
    """Write the enrichment of clusters in compounds."""
    table = enrichment(read_table(wells, "wells"), settings.permutations, seed)
    write_table(out, "enrichment", table, settings=settings.changed(), seed=seed)
    log.info("%d of %d tests with q below %g", (table["QValue"] < settings.alpha).sum(), len(table), settings.alpha)


def activities(wells, settings, seed, out, out_variance):
    """Write the activity of treatments and Jackson's variance ratio."""
    table = read_screen(wells)
    active = activity(table, settings.permutations, seed, settings.alpha)
    write_table(out, "activity", active, settings=settings.changed(), seed=seed)
    used = table[~table["FewCells"] & table["Metadata_Role"].isin(TESTED)]
    used = used[used["Metadata_Treatment"].notna()]
    rows = []
    for variant, positions in (("all replicates", None), ("other positions", used["Metadata_Well"])):
        result = variance_ratio(
            used[profile_columns(used)].to_numpy(),
            used["Metadata_Treatment"],
            used["Metadata_Plate"],
            positions,
            settings.permutations,
            seed,
        )
        rows.append({"Variant": variant, **result})
    write_table(out_variance, "variance", pd.DataFrame(rows), settings=settings.changed(), seed=seed)
    log.info("%d of %d treatments active", active["Active"].sum(), len(active))
