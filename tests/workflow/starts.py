"""How the tests start Snakemake, and the smallest screen to start it on."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from forked_snakemake import run_snakemake

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PROFILING_DATA", ROOT.parent / "shared" / "data"))


def words(screen, *arguments):
    """What to say to Snakemake to start it on a screen's working directory, where its configuration lies."""
    return ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(screen), "--cores", "2", *arguments]


def command(screen, *arguments):
    """Options for `subprocess` that start Snakemake as a user does."""
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    start = [sys.executable, "-m", "snakemake", *words(screen, *arguments)]
    return {"args": start, "cwd": screen, "env": environment, "text": True}


def snakemake(screen, *arguments, check=True):
    """Run Snakemake on a screen's working directory to its end."""
    done = run_snakemake(*words(screen, *arguments), folder=screen)
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


def write_tiny_plate(folder):
    """Write two wells with one dark image each and their plate map; the screen's configuration."""
    (folder / "images").mkdir()
    for well in ("A01", "B02"):
        tifffile.imwrite(folder / "images" / f"{well}_z1_DNA.tif", np.zeros((64, 64), np.uint16))
    (folder / "map.csv").write_text("well,compound\nA01,DMSO\nB02,water\n")
    return {
        "plates": [{"plate": "P", "images": "images", "layout": 6, "platemap": "map.csv"}],
        "channels": ["DNA"],
        "images": {"pattern": r"(?P<well>[A-Z]\d\d)_z(?P<z>\d)_(?P<channel>\w+)\.tif$", "z": 1},
    }
