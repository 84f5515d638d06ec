"""A small screen whose tables are made by the workflow's own commands, run one after another in this process."""

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from forked_snakemake import run_snakemake

from profiling.cli import main
from profiling.config import load_config
from profiling.demo import simulate
from profiling.results.layout import Job
from profiling.tables import CELL_KEY, embedding_arrays, read_table, table_writer

ROOT = Path(__file__).resolve().parents[2]
PLATES = ("P-1", "00123")
SHA256 = "ab" * 32
CONFIG = {
    "plates": [
        {"plate": "P-1", "images": "images/P-1", "layout": 24, "platemap": "platemap.csv", "exclude": "B05"},
        {"plate": "00123", "images": "images/00123", "layout": 24, "platemap": "platemap.csv"},
    ],
    "root": "demo",
    "channels": ["DNA", "Actin", "Reporter"],
    "chunks_per_plate": 2,
    "images": {"reader": "pattern", "pattern": r"_(?P<well>[A-Z]\d\d)_s(?P<site>\d+)_(?P<channel>\w+)\.tif$"},
    "segmentation": {"engine": "classical", "nucleus_diameter": "22 px"},
    "embedding": {"crop": "64 px", "thumbnails_per_well": 3},
    "clusters": {"k": 3, "n_init": 10, "sweep": [2, 3], "sweep_seeds": 2},
    "map": {"iterations": 20},
    "statistics": {"permutations": 99},
    "normalisation": {"minimum_cells": 2},
    "wells": {"minimum_cells": 2},
}


def dry_run(screen, *arguments):
    """What Snakemake would do on a screen: jobs with their outputs, and the commands in an order that works."""
    words = ["--snakefile", ROOT / "Snakefile", "--directory", screen, "--configfile", screen / "config.yaml"]
    words += ["--cores", "1", "--dry-run", "--printshellcmds", *arguments]
    done = run_snakemake(*words, folder=screen)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs, commands = [], []
    for block in re.split(r"^\[.*\]\n", done.stdout, flags=re.MULTILINE)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", block)
        outputs = re.search(r"^    output: (.*)$", block, re.MULTILINE)
        if rule and outputs:
            made = outputs[1].replace("results/", "").replace(" (update)", "").split(", ")
            jobs.append(Job(rule[1], None, None, None, made))
            shell = re.search(r"^Shell command: (.*) 2> ", block, re.MULTILINE | re.DOTALL)
            commands.append(shell and shell[1])
    return jobs, commands


def write_backbone(results):
    """Stand in for the backbone: what is recorded of it, and two files that nothing reads."""
    (results / "models").mkdir(parents=True, exist_ok=True)
    (results / "models" / "backbone.json").write_text(json.dumps({"name": "a net", "sha256": SHA256}))
    for suffix in ("xml", "bin"):
        (results / "models" / f"backbone.{suffix}").write_text("a net")


def write_embeddings(chunk, settings, channels):
    """Stand in for the embedding of a chunk: cells become numbers drawn from their intensities, and noise."""
    segmented = read_table(chunk / "segmented.parquet", "segmented")
    rng = np.random.default_rng(len(segmented))
    facts = {"settings": settings, "weights_sha256": SHA256}
    inside = ~segmented["TouchesBorder"] | (np.arange(len(segmented)) % 2 == 0)
    cells = segmented.assign(CropOutsideImage=False, Embedded=inside, ExclusionReason=None)
    cells["ExclusionReason"] = (
        cells["ExclusionReason"].astype("object").mask(~inside, "channel Actin is lost: as planned")
    )
    keys = pa.Table.from_pandas(cells.loc[inside, CELL_KEY], preserve_index=False)
    features = rng.normal(size=(len(keys), 6)) + np.log1p(segmented.loc[inside, ["Nuclei_AreaShape_Area"]].to_numpy())
    embeddings = keys
    for channel in channels:
        embeddings = embeddings.append_column(f"Embedding_{channel}", embedding_arrays(features, "float16"))
    chosen = pa.array(np.arange(0, len(keys), 4))
    pictures = keys.take(chosen).append_column("Thumbnail", pa.array([b"a picture"] * len(chosen), pa.binary()))
    tables = {"cells": pa.Table.from_pandas(cells, preserve_index=False), "embeddings": embeddings}
    for name, table in (tables | {"thumbnails": pictures}).items():
        wells = table["Metadata_Well"].to_pandas()
        with table_writer(chunk / f"{name}.parquet", name, table.slice(0, 0), **facts) as append:
            for rows in wells.groupby(wells).indices.values():
                append(table.take(pa.array(rows)))


def make_screen(folder):
    """Simulate two plates of 12 imaged wells and run every job of the workflow on them."""
    folder.mkdir(parents=True, exist_ok=True)
    simulate(folder / "demo", plates=PLATES, rows=4, columns=6, sites=1, size=144, workers=1)
    run_screen(folder, CONFIG)
    return folder


def run_screen(folder, config):
    """Run the jobs that are to do on a screen, stand-ins in the place of networks and report; returns the jobs."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    config = load_config(config)
    jobs, commands = dry_run(folder)
    here = Path.cwd()
    os.chdir(folder)
    try:
        for job, command in zip(jobs, commands, strict=True):
            log = Path("logs", f"{job.outputs[0].replace('/', '_')}.log")
            log.parent.mkdir(exist_ok=True)
            log.touch()
            for output in job.outputs:
                Path("results", output).parent.mkdir(parents=True, exist_ok=True)
            if job.rule == "configuration":
                Path("results/config.json").write_text(config.model_dump_json(indent=2) + "\n")
            elif job.rule == "backbone":
                write_backbone(Path("results"))
            elif job.rule == "report":
                Path("results/report.html").write_text("<html>a report</html>\n")
            elif job.rule == "embed":
                write_embeddings(Path("results", job.outputs[0]).parent, config.resolved("embedding"), config.channels)
            else:
                words = shlex.split(command)
                assert words[0] == "profiling" and main(words[1:]) == 0, command
    finally:
        os.chdir(here)
    return jobs
