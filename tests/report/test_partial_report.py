"""The report of a screen of which plates or stages are missing."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from synthetic_screen import PLATES, write_config, write_logs, write_screen

from profiling.cli import main
from profiling.kept_config import read_config
from profiling.report.screen import read_or_empty
from profiling.results.layout import describe_screen, list_jobs
from profiling.results.partial import absent_lines, partial_report
from profiling.tables import read_table, write_table

HERE, LATE = PLATES


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The synthetic screen with a file for every output of the workflow, all of the same age."""
    folder = tmp_path_factory.mktemp("complete")
    results = folder / "results"
    write_screen(results)
    write_config(results)
    write_logs(folder / "logs")
    for job in list_jobs(describe_screen(read_config(results))):
        for output in job.outputs:
            path = results / output
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.mkdir() if output.startswith("labels/") else path.touch()
    for path in results.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture
def screen(complete, tmp_path):
    """A copy, to remove from."""
    return shutil.copytree(complete, tmp_path / "screen")


def remove(screen, *names):
    for name in names:
        path = screen / "results" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def change_config(screen, **values):
    path = screen / "results" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def lines_of(screen):
    return absent_lines(screen / "results", describe_screen(read_config(screen / "results")))


def text_of(path):
    return re.sub(r"(?s)<style>.*?</style>|<pre>.*?</pre>|<[^>]*>", "", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("linked", [False, True])
def test_of_a_complete_screen_nothing_is_said(screen, linked, capsys):
    if linked:
        (screen / "results").rename(screen.parent / "elsewhere")
        (screen / "results").symlink_to(screen.parent / "elsewhere")
    assert main(["partial-report", str(screen / "results")]) == 0
    assert "Nothing is missing." in capsys.readouterr().out
    assert "partial" not in text_of(screen / "partial-report.html")


def test_a_plate_whose_chunk_failed_is_named_with_what_it_lacks_and_the_rest_is_shown(screen, capsys):
    tables = (
        "fields",
        "overlays",
        "cells",
        "embeddings",
        "thumbnails",
        "flags",
        "cell_flags",
        "features",
        "phenotypes",
    )
    of_plate = [f"{name}/{LATE}.parquet" for name in tables]
    of_chunk = [f"chunks/{LATE}/3/{name}.parquet" for name in ("segmented", "embeddings", "cells", "thumbnails")]
    of_screen = ("wells", "treatments", "enrichment", "activity", "variance", "clusters", "failures")
    models = [f"models/{name}.npz" for name in ("reduction", "clusters", "map", f"scalers/{LATE}")]
    pieces = [f"chunks/{LATE}/{name}.parquet" for name in ("wells", "left_out")]
    remove(screen, *of_plate, *of_chunk, *models, *pieces, *(f"{name}.parquet" for name in of_screen))
    remove(screen, f"chunks/{HERE}/wells.parquet")
    before = (screen / "results" / "report.html").read_bytes()
    assert main(["partial-report", str(screen / "results"), "--out", str(screen / "so far.html")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert (
        f"Plate {LATE} lacks segmentation (2 of 9 jobs), overlays, embedding (2 of 9 jobs), flags, features, clusters "
        "and places on the map, well profiles." in said
    )
    assert f"Plate {HERE} lacks well profiles." in said
    assert any(
        line.startswith("The screen as a whole lacks principal components, the clusters, the map, ") for line in said
    )
    text = text_of(screen / "so far.html")
    assert "This report is partial." in text and all(line in text for line in said[:3])
    assert "–losses" in text and "Losses are gathered when all plates are done" in text
    assert "have no profile" not in text and "0 losses" not in text
    assert "Map of cells" in text and "map shows" in text, "the cells of the plate that is there are shown"
    assert (screen / "results" / "report.html").read_bytes() == before


def test_tables_of_fewer_plates_and_of_an_earlier_fit_are_named(screen):
    results = screen / "results"
    wells = read_table(results / "wells.parquet", "wells")
    write_table(results / "wells.parquet", "wells", wells[wells["Metadata_Plate"].eq(HERE)])
    os.utime(results / "wells.parquet", (1_700_000_000, 1_700_000_000))
    os.utime(results / "models" / "clusters.npz", (1_800_000_000, 1_800_000_000))
    assert lines_of(screen) == [
        f"The tables of wells and treatments, and the tests, are without plate {LATE}.",
        f"phenotypes/PLATE.parquet of plates {HERE}, {LATE}: older than a file that it is made of; the next start "
        "makes it anew, unless only that file's time changed.",
    ]


@pytest.mark.parametrize(
    ("broken", "lacks"),
    [
        (f"phenotypes/{LATE}.parquet", f"Plate {LATE} lacks clusters and places"),
        ("wells.parquet", "The screen as a whole lacks"),
        ("models/backbone.json", "The screen as a whole lacks"),
        ("models/clusters.npz", "The screen as a whole lacks"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_shown(screen, broken, lacks):
    path = screen / "results" / broken
    change_config(screen, models="elsewhere")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    out, lines = partial_report(screen / "results")
    told = f"{broken}: cannot be read; run snakemake with `--forcerun results/{broken}`, which makes it"
    assert any(line.startswith(told) for line in lines)
    assert any(lacks in line for line in lines) and told in text_of(out) and "Map of cells" in text_of(out)
    assert path.is_file() and sorted(screen.iterdir()) == [screen / "logs", out, screen / "results"]


def test_a_screen_without_plates_or_configuration_has_no_report(screen, capsys):
    rows = json.loads((screen / "results" / "config.json").read_text())["plates"]
    change_config(screen, plates=[row | {"exclude": ["all"]} for row in rows])
    assert main(["partial-report", str(screen / "results")]) == 1
    assert "every plate is left out" in capsys.readouterr().err
    (screen / "results" / "config.json").write_text("")
    for command in (["partial-report"], ["rescan", "--results"], ["draw", HERE, "A01", "--results"]):
        assert main([*command, str(screen / "results")]) == 1
        assert "config.json: is not the configuration of a screen" in capsys.readouterr().err


def test_profiles_of_plates_are_shown_before_they_are_joined(screen):
    results = screen / "results"
    wells = read_table(results / "wells.parquet", "wells")
    write_table(results / f"chunks/{HERE}/wells.parquet", "wells", wells[wells["Metadata_Plate"].eq(HERE)])
    remove(screen, "wells.parquet", f"chunks/{LATE}/wells.parquet")
    out, _ = partial_report(results)
    drawn = re.findall(r"of plate ([\w-]+)\"", out.read_text())
    assert set(drawn) == {HERE}


def test_a_table_that_is_removed_while_it_is_looked_for_is_absent(screen, monkeypatch):
    results, exists = screen / "results", Path.exists

    def remove(path):
        there = exists(path)
        if path.name == f"{LATE}.parquet":
            path.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "exists", remove)
    assert set(read_or_empty(results, "fields", PLATES)["Metadata_Plate"]) == {HERE}
    assert read_or_empty(results, "quality", [LATE]).empty


@pytest.mark.parametrize("name", ["images", "quality", "fields", "phenotypes", "thumbnails"])
def test_any_table_of_a_plate_may_be_absent(screen, name):
    remove(screen, f"{name}/{LATE}.parquet")
    out, lines = partial_report(screen / "results")
    assert len(lines) == 1 and lines[0].startswith(f"Plate {LATE} lacks ")
    assert not re.search(r"\b(nan|NaN|None|NaT)\b", text_of(out))
