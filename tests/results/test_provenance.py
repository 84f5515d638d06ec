import hashlib
import json
import shutil

import pytest

from profiling.cli import main
from profiling.results import provenance
from profiling.results.provenance import read_provenance, write_provenance

pytestmark = pytest.mark.xdist_group("results")


def test_what_is_recorded_is_true(small_screen, tmp_path):
    screen = tmp_path / "screen"
    shutil.copytree(small_screen / "results", screen / "results")
    logs = screen / "logs" / "segment" / "P-1"
    logs.mkdir(parents=True)
    for chunk, seconds in ((1, 60), (2, 90)):
        (logs / f"{chunk}.tsv").write_text(f"s\tmax_rss\n{seconds}\t{100 * chunk}\n")
    runs = screen / ".snakemake" / "log"
    runs.mkdir(parents=True)
    command = "snakemake --cores all --configfile 'a b.yaml'"
    (runs / "2026-03-02T080000.000000.snakemake.log").write_text(f"  Date: 2026-03-02 08:00:00\n  Command: {command}\n")
    assert main(["provenance", str(screen / "results"), "--logs", str(screen / "logs")]) == 0
    record = json.loads((screen / "results" / "provenance.json").read_text())
    assert record["command"] == command == record["runs"][0]["command"]
    assert record["stages"]["segment"] == {"jobs": 2, "minutes": 2.5, "memory_mib": 200}
    assert record["weights"]["embedding"]["sha256"] == "ab" * 32
    assert record["recorded_by"]["packages"]["numpy"] and record["recorded_by"]["machine"]["cores"]
    cells = record["files"]["cells/P-1.parquet"]
    content = (screen / "results" / "cells" / "P-1.parquet").read_bytes()
    assert cells["sha256"] == hashlib.sha256(content).hexdigest() and cells["bytes"] == len(content)
    assert cells["settings"]["crop"] == "64 px" and cells["weights_sha256"] == "ab" * 32
    assert not any(file.startswith(("chunks/", "labels/")) for file in record["files"])


def test_files_that_have_not_changed_are_not_read_again(small_screen, tmp_path, monkeypatch):
    results = tmp_path / "results"
    shutil.copytree(small_screen / "results", results)
    first = write_provenance(results, tmp_path / "logs")
    read = []
    hash_file = provenance.hash_file
    monkeypatch.setattr(provenance, "hash_file", lambda path: read.append(path.name) or hash_file(path))
    (results / "models" / "backbone.xml").write_text("another net")
    second = write_provenance(results, tmp_path / "logs")
    assert read.count("P-1.parquet") == 0 and "backbone.xml" in read
    changed = [file for file in first["files"] if first["files"][file]["sha256"] != second["files"][file]["sha256"]]
    assert changed == ["models/backbone.xml"]


def test_a_record_that_cannot_be_read_is_none(tmp_path):
    path = tmp_path / "provenance.json"
    assert read_provenance(path) is None
    for text in ("[]", "{", "[" * 100_000, '{"format": 0}'):
        path.write_text(text)
        assert read_provenance(path) is None
