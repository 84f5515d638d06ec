"""Profiles of wells and treatments: what the workflow runs a plate and a screen."""

from profiling.cells.flags import count_flags
from profiling.errors import ProfilingError
from profiling.phenotypes.models import load_arrays
from profiling.plates.platemaps.units import unlike_units
from profiling.progress import log
from profiling.schemas import TREATMENT
from profiling.tables import read_table, write_table
from profiling.wells.profiles import treatment_profiles, well_profiles

WELL = ["Metadata_Plate", "Metadata_Well"]
TREATMENT_COLUMNS = [column.name for column in TREATMENT]


def wells(features, phenotypes, fields, cell_flags, platemap, clusters, settings, out):
    """Write the well profiles of a plate: every imaged well has a row, also one without cells."""
    cells = read_table(features, "features").drop(columns="Flags")
    cells["Cluster"] = read_table(phenotypes, "phenotypes", ["Cluster"])["Cluster"]
    known = read_table(platemap, "platemaps")
    known = known[known["Imaged"]].drop(columns=["Imaged", "Mapped"])
    fields = read_table(fields, "fields")
    counts = fields.groupby(WELL).agg(Metadata_Fields=("Segmented", "sum"), Metadata_CellCount=("CellCount", "sum"))
    counts = counts.join(count_flags(read_table(cell_flags, "cell_flags"), WELL))
    known = known.merge(counts.reset_index(), how="left", on=WELL, validate="one_to_one")
    known[list(counts.columns)] = known[list(counts.columns)].fillna(0).astype("int32")
    k = len(load_arrays(clusters)["centres"])
    profiles = well_profiles(cells, known, k, settings.minimum_cells)
    write_table(out, "wells", profiles, settings=settings.changed())
    log.info("%d wells, %d with fewer than %d cells", len(profiles), profiles["FewCells"].sum(), settings.minimum_cells)


def read_screen(wells):
    """The wells table of a screen.

    Raises
    ------
    ProfilingError
        If plates give the doses of one compound in different units: its wells would be taken for other treatments.
    """
    table = read_table(wells, "wells")
    for compound, where, remedy in unlike_units(table):
        raise ProfilingError(f"doses of {compound} are in several units ({where}); {remedy}")
    return table


def treatments(wells, out):
    """Write the treatment profiles; wells that no plate map names have no treatment."""
    table = read_screen(wells)
    profiles = treatment_profiles(table[table["Metadata_Treatment"].notna()])
    fixed = [*TREATMENT_COLUMNS, "Metadata_Replicates", "Metadata_CellCount", "Metadata_ProfiledCells"]
    values = [c for c in profiles.columns if c.startswith(("PC_", "ClusterShare_"))]
    write_table(out, "treatments", profiles[[*fixed, *values]])
    log.info("%d treatments", len(profiles))
