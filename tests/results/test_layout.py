import shutil
from pathlib import Path

import pytest
import yaml
from commands import CONFIG, dry_run

from profiling.config import load_config
from profiling.results.layout import describe_screen, list_jobs


@pytest.mark.parametrize("stacks", [False, True], ids=["images", "stacks"])
def test_the_jobs_are_those_that_snakemake_would_run(tmp_path, stacks):
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    config["images"] |= {"z": "maximum"} if stacks else {}
    for plate in config["plates"]:
        (tmp_path / "demo" / plate["images"]).mkdir(parents=True)
    Path(tmp_path / "demo" / "platemap.csv").touch()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    planned, _ = dry_run(tmp_path)
    ours = list_jobs(describe_screen(load_config(config).model_dump(mode="json")))
    expected = {(job.rule, frozenset(job.outputs)) for job in planned if job.rule != "provenance"}
    assert {(job.rule, frozenset(job.outputs)) for job in ours} == expected
    shutil.rmtree(tmp_path / "demo")
