"""Screens that the workflow tests share: simulated or real, run once a session."""

import shutil

import pytest
import yaml
from small_screen import make_screen
from starts import ROOT, snakemake, write_config


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """A simulated plate of 24 wells, in a folder with a space and named 00123, run from images to report."""
    from profiling.demo import simulate

    screen = tmp_path_factory.mktemp("a screen")
    simulate(screen / "demo", plates=("00123",), sites=1, workers=2)
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    config["plates"] = [{"plate": "00123", "images": "images/00123", "layout": 24, "platemap": "platemap.csv"}]
    write_config(screen, config)
    snakemake(screen)
    return screen


@pytest.fixture(scope="session")
def with_backbone(tmp_path_factory):
    """The screen of four wells with its network exported, which takes longer than all else."""
    screen = make_screen(tmp_path_factory.mktemp("small") / "screen")
    snakemake(screen, "--", "results/models/backbone.json")
    return screen


@pytest.fixture
def begun(with_backbone, tmp_path):
    """A copy of the screen of four wells, whose network is exported."""
    return shutil.copytree(with_backbone, tmp_path / "screen")


@pytest.fixture(scope="session")
def undisturbed(with_backbone, tmp_path_factory):
    """The screen of four wells after a run that nothing disturbed."""
    screen = shutil.copytree(with_backbone, tmp_path_factory.mktemp("undisturbed") / "screen")
    snakemake(screen)
    return screen
