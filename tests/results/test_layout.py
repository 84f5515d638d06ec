import shutil
from pathlib import Path

import pytest
import yaml
from commands import CONFIG, dry_run

from profiling.config import MODELS, load_config
from profiling.results.layout import describe_screen, list_jobs


@pytest.mark.parametrize(
    ("stacks", "models", "unit"),
    [(False, None, "cell"), (True, None, "cell"), (False, "frozen", "cell"), (False, None, "tile")],
)
def test_the_jobs_are_those_that_snakemake_would_run(tmp_path, stacks, models, unit):
    config = yaml.safe_load(yaml.safe_dump(CONFIG)) | {"models": models, "unit": unit}
    config["images"] |= {"z": "maximum"} if stacks else {}
    for name in MODELS if models else ():
        (tmp_path / models / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / models / name).touch()
    for plate in config["plates"]:
        (tmp_path / "demo" / plate["images"]).mkdir(parents=True)
    Path(tmp_path / "demo" / "platemap.csv").touch()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    planned, _ = dry_run(tmp_path)
    ours = list_jobs(describe_screen(load_config(config).model_dump(mode="json")))
    expected = {(job.rule, frozenset(job.outputs)) for job in planned}
    assert {(job.rule, frozenset(job.outputs)) for job in ours} == expected
    shutil.rmtree(tmp_path / "demo")
