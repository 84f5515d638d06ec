"""Whole images from fields or tiles to the report, without a segmentation."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import homogeneity_score
from starts import planned, snakemake, write_config

from profiling.report.summary import summary_lines
from profiling.results.verify import verify
from profiling.tables import FIELD_KEY, read_embeddings, read_facts

PLATE = "00123"
GRID = (4, 4)
pytestmark = pytest.mark.xdist_group("simulated")


@pytest.fixture(scope="module")
def tiled(simulated, tmp_path_factory):
    """The simulated plate after its run by cells, edited to tiles of 108 px, sixteen a field, and run again."""
    screen = tmp_path_factory.mktemp("tiles") / "screen"
    shutil.copytree(simulated, screen, symlinks=True)
    config = yaml.safe_load((screen / "config.yaml").read_text())
    config |= {"unit": "tile", "tiles": {"size": "70.2 um"}, "clusters": {"k": 8, "sweep": [2, 8]}}
    write_config(screen, config)
    rules = planned(screen)
    assert "units" in rules and not rules & {"segment", "overlays", "quality", "illumination", "limits"}
    snakemake(screen)
    return screen


def table(screen, name):
    folder = screen / "results" / name
    return pd.read_parquet(folder / f"{PLATE}.parquet" if folder.is_dir() else f"{folder}.parquet")


def test_tiles_are_counted_and_conserved(tiled):
    images, failures = table(tiled, "images"), table(tiled, "failures")
    fields, cells, wells = (table(tiled, name) for name in ("fields", "cells", "wells"))
    per_field = np.prod(GRID)
    readable = images.drop_duplicates(FIELD_KEY)
    assert fields["CellCount"].tolist() == [per_field] * len(readable)
    assert len(cells) == len(readable) * per_field == wells["Metadata_CellCount"].sum()
    assert len(cells) == cells["Embedded"].sum() + cells["ExclusionReason"].notna().sum()
    keys, matrix = read_embeddings(tiled / "results")
    facts, _ = read_facts(tiled / "results" / "embeddings" / f"{PLATE}.parquet")
    assert facts["unit"] == "tile" and facts["tiles"]["size"] == "108 px", "frozen models compare them"
    assert len(keys) == cells["Embedded"].sum() and np.isfinite(matrix).all()
    features, phenotypes = table(tiled, "features"), table(tiled, "phenotypes")
    assert len(features) + failures.loc[failures["Stage"].eq("features"), "Cells"].sum() == len(keys)
    assert wells["Metadata_ProfiledCells"].sum() == len(features) == len(phenotypes)
    assert phenotypes["Map_1"].notna().all()
    lost = cells.loc[~cells["Embedded"], "Metadata_Well"].unique()
    trouble = pd.read_csv(tiled / "demo" / "truth" / "trouble.csv")
    assert set(lost) == set(trouble.loc[trouble["kind"].isin(["truncated", "missing"]), "well"])
    unfocused = trouble.loc[trouble["kind"].eq("out_of_focus"), "well"].iloc[0]
    assert unfocused not in set(features["Metadata_Well"]), "fields out of focus are left out as ever"
    assert not list((tiled / "results" / "labels").rglob("*.tif"))


def test_a_screen_of_tiles_verifies_and_overlays_of_its_run_by_cells_are_strays(tiled):
    assert {(found.file, found.kind) for found in verify(tiled / "results")} == {
        ("overlays", "stray"),
    }


def test_clusters_of_tiles_tell_phenotypes_better_than_shuffled_wells_do(tiled):
    truth = pd.read_parquet(tiled / "demo" / "truth" / "cells.parquet")
    marked = truth.groupby("Metadata_Well")["Phenotype"].agg(lambda names: names.mode()[0])
    tiles = table(tiled, "phenotypes")
    wells, place = np.unique(tiles["Metadata_Well"], return_inverse=True)
    named = marked[wells].to_numpy()
    found = homogeneity_score(named[place], tiles["Cluster"])
    rng = np.random.default_rng(0)
    null = [homogeneity_score(rng.permutation(named)[place], tiles["Cluster"]) for _ in range(199)]
    assert found > max(null), "wells of one phenotype share clusters"
    variance = table(tiled, "variance").set_index("Variant").loc["all replicates"]
    assert np.isfinite(variance["NullMedian"]) and variance["Treatments"] > 1


def test_report_and_summary_speak_of_tiles(tiled):
    page = (tiled / "results" / "report.html").read_text()
    body = re.sub(r"<style>.*?</style>|<details>.*?</details>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert "Map of tiles" in body and "Tiles of each cluster" in body
    assert not re.search(r"\bcells?\b", body, re.IGNORECASE), "nothing was segmented"
    assert 'id="segmentation"' not in page and "data:image/png" not in page, "overlays of the run by cells are gone"
    assert page.count("data:image/webp") > 10
    lines = "\n".join(summary_lines(tiled / "results", tiled / "logs"))
    assert "tiles in" in lines and not re.search(r"\bcells\b", lines)


def test_whole_fields_follow_by_an_edit(tiled):
    path = tiled / "config.yaml"
    config = yaml.safe_load(path.read_text())
    write_config(tiled, config | {"unit": "field"})
    rules = planned(tiled)
    assert "units" in rules and not rules & {"segment", "overlays", "backbone", "limits"}
