"""The workflow as a Snakemake module of another one."""

import re

import pytest
import yaml
from starts import ROOT, planned, snakemake, write_config, write_tiny_plate

from profiling.tables import read_table

OUTER = """
configfile: "config.yaml"


rule all:
    input:
        "mine.txt",


module profiling:
    snakefile:
        {snakefile!r}
    config:
        config["screen"]
    prefix:
        {prefix!r}


use rule * from profiling as profiling_*


rule mine:
    input:
        {wells!r},
    output:
        "mine.txt",
    shell:
        "ls {{input}} > {{output}}"
"""


def outer(folder, prefix=None):
    """Write a workflow that uses this one and has a rule of its own; what to say to Snakemake to start it."""
    wells = f"{prefix}/results/wells.parquet" if prefix else "results/wells.parquet"
    text = OUTER.format(snakefile=str(ROOT / "Snakefile"), prefix=prefix, wells=wells)
    (folder / "Snakefile").write_text(text)
    return "--snakefile", str(folder / "Snakefile")


@pytest.fixture
def folder(tmp_path):
    """A folder with a tiny plate and the configuration of a workflow that has a section for our screen."""
    write_config(tmp_path, {"unknown_to_us": 1, "screen": write_tiny_plate(tmp_path)})
    return tmp_path


def test_its_tables_are_inputs_of_another_workflow(folder):
    plan = planned(folder, *outer(folder))
    assert {"mine", "profiling_embed", "profiling_screen_wells"} <= plan
    assert not plan & {"profiling_all", "profiling_report"}
    assert "profiling_report" in planned(folder, *outer(folder), "profiling_all")


def test_a_prefix_is_a_folder_of_its_own(folder):
    before = {path.name for path in folder.iterdir()} | {"Snakefile", ".snakemake"}
    done = snakemake(folder, *outer(folder, prefix="screenA"), "profiling_listed")
    assert "localrules" not in done.stderr
    assert {path.name for path in folder.iterdir()} == before | {"screenA"}
    images = read_table(folder / "screenA" / "results" / "images" / "P.parquet", "images")
    assert images["Status"].eq("ok").sum() == 2
    assert planned(folder, *outer(folder, prefix="screenA"), "profiling_listed") == set()


def test_under_a_prefix_no_command_names_a_path_outside_it(folder):
    (folder / "compounds.csv").touch()
    (folder / "weights.safetensors").touch()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["screen"]["images"]["z"] = "maximum"
    config["screen"] |= {
        "segmentation": {"weights": "weights.safetensors"},
        "embedding": {"precision": "auto"},
        "platemap": {"compounds": "compounds.csv"},
    }
    write_config(folder, config)
    done = snakemake(folder, *outer(folder, prefix="screenA"), "--dry-run", "--printshellcmds", "profiling_all")
    commands = re.findall(r"^Shell command: (profiling .+)$", done.stdout, re.MULTILINE)
    assert {command.split()[1] for command in commands} >= {"make-images", "precision", "embed", "failures", "report"}
    for command in commands:
        assert not re.search(r"(?<![/\w-])(results|logs)\b", command), command


@pytest.mark.xdist_group("simulated")
def test_a_screen_that_ran_by_itself_is_up_to_date_in_a_module(simulated, tmp_path):
    path = simulated / "config.yaml"
    original = path.read_text()
    try:
        write_config(simulated, {"screen": yaml.safe_load(original)})
        assert planned(simulated, *outer(tmp_path), "mine", "profiling_all") == {"mine"}
    finally:
        path.write_text(original)
