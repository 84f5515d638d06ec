import base64
import json
import os
import shutil
from datetime import datetime, timedelta

import pandas as pd
import pytest

from profiling.cli import main
from profiling.errors import ProfilingError
from profiling.kept_config import screen_config
from profiling.plates.wells import chunk_wells
from profiling.report.summary import screen_plates
from profiling.results.layout import Job, describe_screen, list_jobs
from profiling.results.provenance import weights
from profiling.results.snakemake_files import incomplete_outputs, read_run
from profiling.results.status import read_status, status_json, status_lines
from profiling.results.verify import verify

pytestmark = pytest.mark.xdist_group("results")
START = datetime(2026, 3, 2, 8, 0, 0)


def write_screen(folder, plates=3, chunks=2, **settings):
    """Working directory of a screen that has been configured, with no output."""
    rows = [{"plate": f"P{n}", "layout": 96, "exclude": []} for n in range(1, plates + 1)]
    rows.append({"plate": "OUT", "layout": 96, "exclude": ["all"]})
    config = {"plates": rows, "channels": ["DNA", "Actin"], "chunks_per_plate": chunks, "images": {"z": None}}
    config |= settings
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "config.json").write_text(json.dumps(config))
    return list_jobs(describe_screen(config))


def make(folder, jobs):
    for job in jobs:
        for output in job.outputs:
            path = folder / "results" / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if output.startswith("labels/") else path.touch()


def mark(folder, outputs):
    """Mark outputs incomplete as Snakemake does, long names cut into folders."""
    for output in outputs:
        name = base64.urlsafe_b64encode(f"results/{output}".encode()).decode()
        parts = [name[i : i + 30] for i in range(0, len(name), 30)]
        path = folder.joinpath(".snakemake", "incomplete", *(f"@{part}" for part in parts[:-1]), parts[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def moment(seconds):
    return f"[{START + timedelta(seconds=seconds):%a %b %d %H:%M:%S %Y}]"


def block(job, number, seconds, local="", error=False):
    outputs = ", ".join(f"results/{output}" for output in job.outputs)
    head = f"Error in rule {job.rule}:\n    message: None" if error else f"{local}rule {job.rule}:\n    input: a, b"
    log = f"logs/{job.rule}/{job.plate}/{job.chunk}.log"
    hint = " (check log file(s) for error details)" if error else ""
    return f"{moment(seconds)}\n{head}\n    output: {outputs}\n    log: {log}{hint}\n    jobid: {number}\n"


def finish(number, rule, seconds):
    return f"{moment(seconds)}\nFinished jobid: {number} (Rule: {rule})\n1 of 9 steps (11%) done\n"


def write_log(folder, text, locked=True, ended=False):
    header = f"host: x\nSNAKEMAKE\n=========\n  Date: {START}\n  Command: snakemake --cores all\n\nJob stats:\n"
    header += "job      count\n-------  -----\nsegment  6\nembed    6\ntotal    12\n\n"
    path = folder / ".snakemake" / "log" / "2026-03-02T080000.000000.snakemake.log"
    path.parent.mkdir(parents=True)
    path.write_text(header + text + ("Complete log(s): x\n" if ended else ""))
    if locked:
        (folder / ".snakemake" / "locks").mkdir()
        (folder / ".snakemake" / "locks" / "0.input.lock").touch()


def states(status):
    jobs = status["jobs"][["Rule", "Plate", "Chunk"]].astype("object")
    keys = [tuple(None if pd.isna(value) else value for value in row) for row in jobs.to_numpy()]
    return dict(zip(keys, status["jobs"]["State"], strict=True))


def pick(jobs, rule):
    return [job for job in jobs if job.rule == rule]


def test_every_state_is_told_while_a_run_is_going(tmp_path, capsys):
    jobs = write_screen(tmp_path)
    segment = pick(jobs, "segment")
    make(tmp_path, [*pick(jobs, "images"), *segment[:2]])
    # Exists, but its job has not ended.
    make(tmp_path, [segment[2]])
    mark(tmp_path, [*segment[2].outputs, *segment[4].outputs])
    text = block(segment[0], 1, 0) + finish(1, "segment", 60) + block(segment[1], 2, 0) + finish(2, "segment", 120)
    text += block(segment[2], 3, 60)
    text += block(segment[3], 4, 60) + block(segment[3], 4, 70, error=True)
    text += block(segment[4], 5, 60) + "Job 5 has been submitted with SLURM jobid 20 (log: x).\n"
    write_log(tmp_path, text)
    log = tmp_path / "logs" / "segment" / "P2" / "2.log"
    log.parent.mkdir(parents=True)
    log.write_text("08:01:00 fields: 3 of 9\nprofiling segment: the weights are gone;\nfetch them\n")
    status = read_status(tmp_path / "results")
    found = states(status)
    assert status["state"] == "running"
    wanted = ["done", "done", "running", "failed", "queued", "waiting"]
    assert [found["segment", job.plate, job.chunk] for job in segment] == wanted
    assert found["images", "P1", None] == "done" and found["configuration", None, None] == "done"
    rules = status["stages"].set_index("Rule")
    assert rules.loc["segment", "Seconds"] == 90
    assert rules.loc["segment", "Again"] == 0 and status["left"][0] > 0
    assert rules.loc["segment", ["Jobs", "Done", "Running", "Queued", "Failed", "Waiting"]].tolist() == [
        6,
        2,
        1,
        1,
        1,
        1,
    ]
    plates = status["plates"].set_index("Plate")
    assert plates["State"].to_dict() == {"P1": "begun", "P2": "failed", "P3": "running"}
    assert plates.loc["P2", "segment"] == "0/3+1!1" and plates.loc["P1", "embed"] == "-"
    told = "\n".join(status_lines(status, now=START + timedelta(hours=1)))
    assert "failed: segment plate P2 chunk 2" in told and "fetch them" in told and "fields: 3" not in told
    wells = chunk_wells(96, 2, 2)
    assert "column `exclude`" in told and f"  P2: {wells[0]} {wells[1]} " in told
    assert status["exclude"] == {"P2": " ".join(wells)} and max(map(len, told.splitlines())) <= 100
    # A job that the scheduler has begun opens its log.
    begun = tmp_path / "logs" / "segment" / "P3" / "1.log"
    begun.parent.mkdir()
    begun.touch()
    assert states(read_status(tmp_path / "results"))["segment", "P3", 1] == "running"
    assert main(["status", str(tmp_path / "results"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {row["Plate"]: row["State"] for row in content["plates"]}["P2"] == "failed"
    assert [job["State"] for job in content["jobs"]].count("failed") == 1


def test_what_a_killed_run_had_begun_is_interrupted(tmp_path):
    jobs = write_screen(tmp_path)
    segment = pick(jobs, "segment")
    make(tmp_path, segment[:2])
    mark(tmp_path, segment[0].outputs)
    assert incomplete_outputs(tmp_path) == set(segment[0].outputs)
    text = block(segment[0], 1, 0) + block(segment[1], 2, 0) + finish(2, "segment", 30) + block(segment[2], 3, 30)
    write_log(tmp_path, text, locked=False)
    found = states(read_status(tmp_path / "results"))
    assert [found["segment", job.plate, job.chunk] for job in segment[:4]] == [
        "interrupted",
        "done",
        "interrupted",
        "waiting",
    ]
    assert read_status(tmp_path / "results")["state"] == "stopped"
    shutil.rmtree(tmp_path / ".snakemake")
    alone = read_status(tmp_path / "results")
    assert alone["state"] == "not started" and states(alone)["segment", "P1", 1] == "done"


def test_logs_locks_and_marks_lie_beside_a_link_to_the_results(tmp_path):
    screen, target = tmp_path / "screen", tmp_path / "scratch" / "target"
    jobs = write_screen(screen)
    segment = pick(jobs, "segment")
    make(screen, segment[:1])
    mark(screen, segment[0].outputs)
    write_log(screen, block(segment[1], 1, 0))
    target.parent.mkdir()
    (screen / "results").rename(target)
    (screen / "results").symlink_to(target)
    status = read_status(screen / "results")
    assert (status["state"], status["results"]) == ("running", str(screen / "results"))
    assert [states(status)["segment", "P1", chunk] for chunk in (1, 2)] == ["running", "running"]
    kinds = {finding.what.partition(":")[0] for finding in verify(screen / "results", quick=True)}
    assert {"the workflow is running", "is marked incomplete"} <= kinds
    assert main(["provenance", str(screen / "results")]) == 0
    assert json.loads((target / "provenance.json").read_text())["command"] == "snakemake --cores all"


def test_starts_that_the_lock_refused_do_not_hide_the_run(tmp_path):
    (job, *_) = pick(write_screen(tmp_path), "segment")
    write_log(tmp_path, block(job, 1, 0))
    for hour in range(9, 16):
        refused = f"  Date: 2026-03-02 {hour:02}:00:00\n\nAssuming unrestricted shared filesystem usage.\n"
        (tmp_path / f".snakemake/log/2026-03-02T{hour:02}0000.000000.snakemake.log").write_text(refused)
    status = read_status(tmp_path / "results")
    assert status["state"] == "running" and states(status)["segment", "P1", 1] == "running"


def test_a_precision_that_fails_is_told_because_all_embedding_waits_for_it(tmp_path):
    jobs = write_screen(tmp_path)
    check = Job("precision", "embed", "P2", None, ["models/precision-P2.json"])
    make(tmp_path, pick(jobs, "segment"))
    write_log(tmp_path, block(check, 1, 0) + block(check, 1, 5, error=True), locked=False, ended=True)
    status = read_status(tmp_path / "results")
    assert states(status)["precision", "P2", None] == "failed" and status["exclude"] == {"P2": "all"}
    assert "failed: precision plate P2 (logs/precision/P2/None.log)" in status_lines(status)
    assert status["plates"].set_index("Plate").loc["P2", "State"] == "failed"
    make(tmp_path, [check])
    assert "precision" not in set(read_status(tmp_path / "results")["jobs"]["Rule"])


def test_a_retry_that_succeeds_is_no_failure_and_shown_logs_of_cluster_jobs_count_once(tmp_path):
    (job, *_) = pick(write_screen(tmp_path), "segment")
    inner = block(job, 0, 20, local="local") + block(job, 0, 25, error=True)
    text = block(job, 7, 0) + inner + block(job, 7, 30, error=True) + "Trying to restart job 7.\n"
    text += block(job, 7, 40) + finish(7, "segment", 100)
    write_log(tmp_path, text, ended=True)
    run = read_run(next((tmp_path / ".snakemake" / "log").iterdir()))
    logged = run.jobs[job.outputs[0]]
    assert (logged.state, (logged.ended - logged.started).total_seconds()) == ("finished", 60)
    assert run.ended and run.planned == {"segment": 6, "embed": 6} and len(run.jobs) == 1
    make(tmp_path, [job])
    assert states(read_status(tmp_path / "results"))["segment", "P1", 1] == "done"


def test_a_log_that_makes_no_sense_is_read_as_far_as_it_does(tmp_path):
    path = tmp_path / "a.snakemake.log"
    text = f"[{START:%a %b %d %H:%M:%S %Y}]\n{'1' * 5000} of 3 steps\nJob stats:\nmap ²\nwells 2\n"
    path.write_text(f"{text}\n  Date: yesterday\n")
    assert (read_run(path).started, read_run(path).planned) == (START, {"wells": 2})
    path.write_text(f"{text}\n  Date: {START}+02:00\n")
    assert read_run(path).started == START


@pytest.mark.parametrize("unit", ["field", "tile"])
def test_stages_that_a_unit_does_not_have_are_dashes(tmp_path, unit):
    jobs = write_screen(tmp_path, unit=unit)
    make(tmp_path, [job for job in pick(jobs, "platemap") if job.plate == "P1"])
    line = next(line for line in status_lines(read_status(tmp_path / "results")) if line.startswith("P1 "))
    assert "1/2" in line and "nan" not in line


def test_a_thousand_plates_fit_a_terminal(tmp_path):
    jobs = write_screen(tmp_path, plates=1000, chunks=8)
    make(tmp_path, [job for job in pick(jobs, "platemap") if job.plate in ("P7", "P1000")])
    status = read_status(tmp_path / "results")
    lines = status_lines(status)
    assert len(lines) < 40 and max(map(len, lines)) <= 100
    assert any(line.startswith("P1000 ") for line in lines) and "998 not begun" in "\n".join(lines)
    assert len(status_lines(status, every_plate=True)) > 1000
    assert len(json.loads(status_json(status))["plates"]) == 1000


def test_figures_of_a_finished_screen_come_from_its_tables(small_screen):
    status = read_status(small_screen / "results")
    assert status["state"] == "complete" and set(status["jobs"]["State"]) == {"done"}
    assert set(status["plates"]["State"]) == {"done"}
    from profiling.tables import read_cells, read_table

    cells = read_cells(small_screen / "results")
    counts = status["counts"]
    assert counts["cells_segmented"] == len(cells) and counts["cells_embedded"] == cells["Embedded"].sum()
    tables = {
        name: read_table(sorted((small_screen / "results" / name).iterdir()), name) for name in ("quality", "fields")
    }
    assert counts["images"] == len(tables["quality"]) and counts["fields"] == len(tables["fields"])
    assert counts["images_lost"] == tables["quality"]["Status"].ne("ok").sum() > 0
    assert counts["fields_lost"] == (~tables["fields"]["Segmented"]).sum() > 0


def test_a_screen_whose_features_are_older_than_its_embeddings_is_not_called_complete(small_screen, tmp_path):
    results = shutil.copytree(small_screen / "results", tmp_path / "results")
    newest = max(path.stat().st_mtime for path in results.rglob("*"))
    os.utime(results / "embeddings" / "P-1.parquet", (newest + 9, newest + 9))
    status = read_status(results)
    told = "\n".join(status_lines(status))
    assert status["state"] == json.loads(status_json(status))["state"] == "outdated"
    assert "features/PLATE.parquet of plate P-1: older than" in told and "complete" not in told


def test_a_folder_that_is_no_results_folder_is_named(tmp_path):
    with pytest.raises(ProfilingError, match="no config.json"):
        read_status(tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "Input should be a valid dictionary"),
        ("[" * 100_000, "; run snakemake with"),
        ('{"plates": ["x"], "channels": []}', "plates.0: Input should be a valid dictionary"),
        (json.dumps({"plates": [{"plate": "P", "layout": 3_000_000}]}), "plates.0.layout: Input should be 6, 12"),
        (json.dumps({"plates": [{"plate": "../P", "layout": 96}]}), "plates.0.plate: String should match"),
        (
            json.dumps({"plates": [{"plate": "P", "layout": 96}], "channels": ["DNA"], "chunks_per_plate": 3_000_000}),
            "chunks_per_plate: .*equal to 999",
        ),
    ],
    ids=["a list", "nested without end", "plates", "layout", "plate", "chunks"],
)
def test_a_configuration_that_no_screen_can_have_is_refused_by_every_command(tmp_path, text, why):
    (tmp_path / "config.json").write_text(text)
    for command in (read_status, verify, weights, screen_config, screen_plates):
        with pytest.raises(ProfilingError, match=rf"config\.json: is not the configuration of a screen.*{why}"):
            command(tmp_path)


def test_folders_are_listed_and_files_not_opened(small_screen, monkeypatch):
    from profiling.results import states as module

    monkeypatch.setattr(os, "stat", lambda *a, **k: pytest.fail("a file was examined"))
    present = module.list_outputs(str(small_screen / "results"))
    assert "labels/P-1/2" in present and "chunks/P-1/2/fields.parquet" in present
    assert not any(path.startswith("labels/P-1/2/") for path in present)
