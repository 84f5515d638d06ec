"""A few wells of a real plate, with the example configurations and its plate map."""

import pandas as pd
import pytest
import yaml
from starts import DATA, ROOT, snakemake, write_config

from profiling.tables import read_cells

pytestmark = pytest.mark.skipif(not (DATA / "bbbc013").is_dir(), reason=f"there is no BBBC013 in {DATA}")
WELLS = ["A-01", "A-02", "B-01", "E-01", "A-03", "A-12", "B-12", "E-12"]
CONTROLS = [f"{row}-{column}" for row in "ABEF" for column in ("01", "02", "03", "12")]


def run_example(folder, name, wells, **changes):
    """Run an example's configuration on these wells."""
    images = folder / "data" / "images"
    images.mkdir(parents=True)
    for source in (DATA / "bbbc013" / "images").glob("*.tif"):
        if any(source.stem.endswith(well) for well in wells):
            (images / source.name).symlink_to(source)
    (folder / "data" / "platemap.csv").write_bytes((DATA / "bbbc013" / "platemap.csv").read_bytes())
    config = yaml.safe_load((ROOT / "config" / "examples" / name).read_text())
    write_config(folder, config | {"root": "data", "chunks_per_plate": 1, **changes})
    snakemake(folder)


def test_wells_of_a_real_plate_run_through(tmp_path):
    run_example(tmp_path, "bbbc013.yaml", WELLS, clusters={"k": 4, "sweep": [2, 4]})
    wells = pd.read_parquet(tmp_path / "results" / "wells.parquet")
    assert len(wells) == len(WELLS)
    assert wells["Metadata_CellCount"].between(60, 350).all()
    failures = pd.read_parquet(tmp_path / "results" / "failures.parquet")
    only_map = failures[failures["Stage"].eq("platemap")]
    assert len(only_map) == 48 - len(WELLS), "wells of the plate map without images are named"
    cells = pd.read_parquet(tmp_path / "results" / "cells")
    ratio = cells["Nuclei_Intensity_MeanIntensity_GFP"] / cells["Cytoplasm_Intensity_MeanIntensity_GFP"]
    by_role = ratio.groupby(cells["Metadata_Well"]).median()
    roles = wells.set_index("Metadata_Well")["Metadata_Role"]
    positive, negative = by_role[roles.eq("positive_control")], by_role[roles.eq("negative_control")]
    assert positive.min() > negative.max(), "the reporter moves to the nucleus in the positive controls"


def test_the_example_of_whole_fields_runs_through(tmp_path):
    """The controls, where the reporter is in the cytoplasm and in the nucleus."""
    run_example(tmp_path, "bbbc013_fields.yaml", CONTROLS, clusters={"k": 3, "sweep": [2, 3]})
    cells = read_cells(tmp_path / "results")
    assert len(cells) == len(CONTROLS) and cells["Embedded"].all() and cells["Metadata_CellID"].eq(1).all()
    assert cells["BoundingBoxMaximumX"].eq(640).all()
    table = pd.read_parquet(tmp_path / "results" / "wells.parquet")
    assert not table["FewCells"].any(), "a well of one field is in the tests"
