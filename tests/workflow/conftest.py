"""Screens that the workflow tests share: simulated or real, run once a session."""

import pytest
import yaml
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
