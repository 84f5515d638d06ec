"""A plate added to a screen that has run: its own pixel work, what is of the screen, and nothing of other plates."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from starts import planned, planned_jobs, snakemake, write_config, write_tiny_plate
from test_reruns import AFTER_IMAGES, AFTER_WELLS

from profiling.config import load_config

pytestmark = pytest.mark.xdist_group("simulated")
OLD, NEW = "00123", "00124"
OF_PLATE = {"features", "phenotypes", "wells"}
OF_SCREEN = {"configuration", "screen_wells", "failures", "report", "provenance"} | AFTER_WELLS
FITS = {"reduce", "clusters", "map"}
ALL_OF_A_PLATE = ({"images"} | AFTER_IMAGES) - FITS - OF_SCREEN


def config_of(screen):
    return yaml.safe_load((screen / "config.yaml").read_text())


def with_plate(config):
    """The configuration with a second plate, whose images are those of the first."""
    return config | {"plates": [*config["plates"], config["plates"][0] | {"plate": NEW}]}


def of(plate, jobs):
    return {rule for rule, name in jobs if name == plate}


@pytest.fixture(scope="module")
def frozen(simulated, tmp_path_factory):
    """A copy of the simulated screen with the models of the original frozen, run."""
    screen = tmp_path_factory.mktemp("frozen") / "a copy"
    shutil.copytree(simulated, screen, symlinks=True, ignore=shutil.ignore_patterns("frozen"))
    config = config_of(screen) | {"models": os.path.relpath(simulated / "results", screen)}
    write_config(screen, config)
    jobs = planned_jobs(screen)
    assert of(OLD, jobs) == OF_PLATE and of(None, jobs) == OF_SCREEN | {"frozen_models"}
    snakemake(screen)
    return screen


def test_an_added_plate_reruns_fits_and_their_application_and_no_pixel_work_of_others(simulated):
    path = simulated / "config.yaml"
    original = path.read_text()
    try:
        write_config(simulated, with_plate(config_of(simulated)))
        jobs = planned_jobs(simulated)
        assert of(NEW, jobs) == ALL_OF_A_PLATE
        assert of(OLD, jobs) == OF_PLATE
        assert of(None, jobs) == OF_SCREEN | FITS
    finally:
        path.write_text(original)


def test_with_frozen_models_an_added_plate_reruns_nothing_of_others(frozen):
    path = frozen / "config.yaml"
    original = path.read_text()
    try:
        write_config(frozen, with_plate(config_of(frozen)))
        jobs = planned_jobs(frozen)
        assert of(NEW, jobs) == ALL_OF_A_PLATE
        assert of(OLD, jobs) == set()
        assert of(None, jobs) == OF_SCREEN
    finally:
        path.write_text(original)


def test_the_same_cells_have_the_same_components_and_clusters_with_frozen_models(simulated, frozen):
    for name in ("features", "phenotypes"):
        here, there = (pd.read_parquet(s / "results" / name / f"{OLD}.parquet") for s in (frozen, simulated))
        columns = [column for column in there if not column.startswith("Map_")]
        pd.testing.assert_frame_equal(here[columns], there[columns], check_exact=True)
    known = there["Map_1"].notna()
    assert np.array_equal(here.loc[known, ["Map_1", "Map_2"]], there.loc[known, ["Map_1", "Map_2"]])
    assert here["Map_1"].notna().all()


def test_the_report_says_whose_models_they_are(simulated, frozen):
    page = (frozen / "results" / "report.html").read_text()
    assert f"frozen models of {config_of(frozen)['models']}" in page
    assert "frozen models" not in (simulated / "results" / "report.html").read_text()


def test_the_plate_that_decided_on_the_precision_may_be_excluded(tmp_path):
    config = write_tiny_plate(tmp_path) | {"embedding": {"precision": "auto"}}
    config["plates"] = [config["plates"][0] | {"exclude": "all"}, config["plates"][0] | {"plate": "Q"}]
    write_config(tmp_path, config)
    decision = tmp_path / "results" / "models" / "precision-P.json"
    decision.parent.mkdir(parents=True)
    settings = load_config(config).resolved("embedding")
    for version, expected in ((settings["version"], False), (-1, True)):
        decision.write_text(json.dumps({"precision": "fp32", "settings": settings | {"version": version}}))
        assert ("precision" in planned(tmp_path)) is expected
