"""Screens that the workflow tests share: simulated or real, run once a session."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PROFILING_DATA", ROOT.parent / "shared" / "data"))


def snakemake(screen, *arguments, check=True):
    """Run Snakemake on a screen's working directory with its own configuration."""
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(screen)]
    command += ["--configfile", str(screen / "config.yaml"), "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=screen, env=environment, capture_output=True, text=True)
    if check and done.returncode:
        logs = [f"== {path}\n{path.read_text()}" for path in sorted(screen.glob("logs/**/*.log"))]
        pytest.fail(f"snakemake ended with {done.returncode}\n{done.stdout}\n{done.stderr}\n" + "\n".join(logs)[-8000:])
    return done


def planned(screen, *arguments):
    """Names of the rules that the next start would run."""
    text = snakemake(screen, "--dry-run", *arguments).stdout
    if "Job stats:" not in text:
        return set()
    table = text.split("Job stats:", 1)[1].split("\n\n", 1)[0].splitlines()[3:]
    return {line.split()[0] for line in table if line.strip()} - {"total", "all"}


def planned_jobs(screen, *arguments):
    """Rule and plate (None where it has none) of the jobs that the next start would run."""
    text = snakemake(screen, "--dry-run", *arguments).stdout
    jobs = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, re.MULTILINE)
    plates = [re.search(r"^    wildcards: plate=([^,\n]+)", told, re.MULTILINE) for _, told in jobs]
    found = {(rule, plate and plate[1]) for (rule, _), plate in zip(jobs, plates, strict=True)}
    return found - {("all", None)}


def write_config(screen, config):
    """Write a screen's configuration."""
    (screen / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


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
