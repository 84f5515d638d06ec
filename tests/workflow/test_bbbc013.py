"""A few wells of a real plate, with the example configuration and its plate map."""

import pandas as pd
import pytest
import yaml
from starts import DATA, ROOT, snakemake, write_config

WELLS = ["A-01", "A-02", "B-01", "E-01", "A-03", "A-12", "B-12", "E-12"]


@pytest.mark.skipif(not (DATA / "bbbc013").is_dir(), reason=f"there is no BBBC013 in {DATA}")
def test_wells_of_a_real_plate_run_through(tmp_path):
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    for source in (DATA / "bbbc013" / "images").glob("*.tif"):
        if any(source.stem.endswith(well) for well in WELLS):
            (images / source.name).symlink_to(source)
    (tmp_path / "data" / "platemap.csv").write_bytes((DATA / "bbbc013" / "platemap.csv").read_bytes())
    config = yaml.safe_load((ROOT / "config" / "examples" / "bbbc013.yaml").read_text())
    config |= {"root": "data", "chunks_per_plate": 1, "clusters": {"k": 4, "sweep": [2, 4]}}
    write_config(tmp_path, config)
    snakemake(tmp_path)

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
