import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profiling.cli import main
from profiling.phenotypes.models import load_arrays, save_arrays
from profiling.results.provenance import write_provenance
from profiling.results.verify import verify

pytestmark = pytest.mark.xdist_group("results")
PLATE = "P-1"


@pytest.fixture
def results(small_screen, tmp_path):
    """A copy of the small screen's results, to damage."""
    shutil.copytree(small_screen / "results", tmp_path / "results")
    return tmp_path / "results"


def rewrite(path, change=None, facts=None):
    """Write a table anew, its row groups kept: `change` makes new row groups of the old, `facts` new metadata."""
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
        schema = file.schema_arrow
    groups = change(groups) if change else groups
    metadata = json.loads(schema.metadata[b"profiling"]) | (facts or {})
    schema = groups[0].schema.with_metadata({"profiling": json.dumps(metadata)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in groups:
            writer.write_table(group.replace_schema_metadata(schema.metadata), row_group_size=max(group.num_rows, 1))


def replaced(table, column, values):
    return table.set_column(table.column_names.index(column), column, pa.array(values, table.schema.field(column).type))


def edited(column, function):
    """A change of one column of the first row group."""

    def change(groups):
        values = groups[0][column].to_pylist()
        return [replaced(groups[0], column, function(values)), *groups[1:]]

    return change


def first(value):
    return lambda values: [value, *values[1:]]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)


def refit(path):
    """Say that a model was fitted on cells cut otherwise."""
    arrays = load_arrays(path)
    save_arrays(path, **arrays | {"basis": str(arrays["basis"]).replace("64 px", "50 px")})


def cells(name="cells"):
    return f"{name}/{PLATE}.parquet"


CHUNK = f"chunks/{PLATE}/1"
QUICK = {
    "a table cut off": (cells(), truncate, "not a whole Parquet file"),
    "an empty table file": (cells("limits"), lambda p: p.write_bytes(b""), "not a whole Parquet file"),
    "a chunk removed": (f"{CHUNK}/embeddings.parquet", lambda p: p.unlink(), "not made yet (rule embed)"),
    "a model removed": ("models/clusters.npz", lambda p: p.unlink(), "not made yet (rule clusters)"),
    "a table of the screen removed": ("activity.parquet", lambda p: p.unlink(), "not made yet (rule activity)"),
    "a row group dropped": (
        cells("embeddings"),
        lambda p: rewrite(p, lambda g: g[1:]),
        "the pieces of its chunks have",
    ),
    "a schema column missing": (
        cells("fields"),
        lambda p: rewrite(p, lambda g: [t.drop_columns("CellCount") for t in g]),
        "lacks the columns",
    ),
    "a column too many": (
        cells("limits"),
        lambda p: rewrite(p, lambda g: [t.append_column("Note", t["Low"]) for t in g]),
        "a column Note",
    ),
    "a column of another type": (
        cells("limits"),
        lambda p: rewrite(p, lambda g: [t.set_column(2, "Low", t["Low"].cast("float32")) for t in g]),
        "column Low is float",
    ),
    "another schema version": (
        cells("flags"),
        lambda p: rewrite(p, facts={"schema_version": 0}),
        "version 0 of the tables",
    ),
    "no metadata": (
        cells("quality"),
        lambda p: pq.write_table(pq.read_table(p).replace_schema_metadata(), p),
        "not written by",
    ),
    "wells in one row group": (
        cells("thumbnails"),
        lambda p: rewrite(p, lambda g: [pa.concat_tables(g)]),
        "more than one well",
    ),
    "other settings": (
        cells("embeddings"),
        lambda p: rewrite(p, facts={"settings": {"version": 1, "crop": "50 px"}}),
        'crop was "50 px"',
    ),
    "an older stage": (
        cells("quality"),
        lambda p: rewrite(p, facts={"settings": {"version": 0}}),
        "version of the stage was 0",
    ),
    "another seed": ("clusters.parquet", lambda p: rewrite(p, facts={"seed": 5}), "made with the seed 5"),
    "another version of the package": (
        cells("flags"),
        lambda p: rewrite(p, facts={"package_version": "0.0.1"}),
        "version 0.0.1",
    ),
    "other weights": (
        cells("embeddings"),
        lambda p: rewrite(p, facts={"weights_sha256": "cd" * 32}),
        "made with the weights cdcd",
    ),
    "a temporary file": (f"{CHUNK}/.cells-a1b2c3_d.parquet", lambda p: p.touch(), "was being written"),
    "a strange file": ("cells/notes.txt", lambda p: p.touch(), "nothing that the workflow makes"),
    "a plate that was removed": (
        "cells/OLD.parquet",
        lambda p: shutil.copy(p.parent / "P-1.parquet", p),
        "a plate OLD",
    ),
    "a report cut off": ("report.html", lambda p: p.write_text("<html>"), "is cut off"),
    "a backbone without hash": ("models/backbone.json", lambda p: p.write_text("{}"), "does not say which weights"),
    "a plate's fit on earlier embeddings": (
        f"models/scalers/{PLATE}.npz",
        refit,
        'embeddings/P-1.parquet is now: embedding.crop: "50 px" in the models',
    ),
    "components of earlier fits": ("models/reduction.npz", refit, "models/scalers/P-1.npz is now: embedding.crop"),
    "the table of another plate": (
        cells("quality"),
        lambda p: shutil.copy(p.parent / "00123.parquet", p),
        "holds rows of plate 00123",
    ),
}
DEEP = {
    "bytes changed": (cells("embeddings"), flip, ("cannot be read", "differs from", "not finite")),
    "one number changed": (
        cells(),
        lambda p: rewrite(p, edited("Nuclei_AreaShape_Area", lambda v: [v[0] + 1, *v[1:]])),
        "differs from chunks/P-1",
    ),
    "a key twice": (
        cells("features"),
        lambda p: rewrite(p, lambda g: [pa.concat_tables([g[0].slice(0, 1), g[0]]), *g[1:]]),
        "more than once",
    ),
    "rows in another order": (
        cells("images"),
        lambda p: rewrite(p, lambda g: [g[0].take(pa.array(np.arange(g[0].num_rows)[::-1]))]),
        "not sorted by key",
    ),
    "wells in another order": (cells("features"), lambda p: rewrite(p, lambda g: g[::-1]), "not sorted by key"),
    "a number that is none": (
        cells("features"),
        lambda p: rewrite(p, edited("PC_0001", first(float("nan")))),
        "not finite",
    ),
    "a status without reason": (
        cells("quality"),
        lambda p: rewrite(p, edited("Status", first("unreadable"))),
        "rows have a Reason",
    ),
    "a null": (cells("phenotypes"), lambda p: rewrite(p, edited("Cluster", first(None))), "rows have no Cluster"),
    "a p-value above 1": ("activity.parquet", lambda p: rewrite(p, edited("PValue", first(1.5))), "outside 0 to 1"),
    "features dropped": (cells("features"), lambda p: rewrite(p, lambda g: g[1:]), "left out by flags"),
    "phenotypes dropped": (cells("phenotypes"), lambda p: rewrite(p, lambda g: g[1:]), "too few of features"),
    "an image that is not measured": (
        cells("quality"),
        lambda p: rewrite(p, lambda g: [g[0].slice(1)]),
        "too few of images",
    ),
    "another cluster": (
        cells("phenotypes"),
        lambda p: rewrite(p, edited("Cluster", lambda v: [x % 3 + 1 for x in v])),
        "not the nearest centres",
    ),
    "a well's count changed": (
        f"chunks/{PLATE}/wells.parquet",
        lambda p: rewrite(p, edited("Metadata_CellCount", lambda v: [v[0] + 1, *v[1:]])),
        "Metadata_CellCount of well",
    ),
    "a loss forgotten": (
        "failures.parquet",
        lambda p: rewrite(p, lambda g: [g[0].slice(1)]),
        "lacks 1 losses of plate",
    ),
    "a label image removed": (f"labels/{PLATE}/1/A01.tif", lambda p: p.unlink(), "no label image of well A01"),
    "a label image cut off": (
        f"labels/{PLATE}/1/A01.tif",
        truncate,
        ("not a whole TIFF", "shorter than its own index"),
    ),
    "a flat field replaced": (
        f"limits/{PLATE}.parquet",
        lambda p: rewrite(p, edited("DarkOffset", lambda v: [x + 3 for x in v])),
        "another flat field",
    ),
    "a model cut off": ("models/reduction.npz", truncate, "not a whole file of arrays"),
    "the fit of another plate": (
        f"models/scalers/{PLATE}.npz",
        lambda p: shutil.copy(p.parent / "00123.npz", p),
        "is the fit of plate 00123",
    ),
}


def test_a_sound_screen_has_no_findings(small_screen, capsys):
    assert verify(small_screen / "results") == [] == verify(small_screen / "results", quick=True)
    assert main(["verify", str(small_screen / "results"), "--quick"]) == 0
    assert "0 findings" in capsys.readouterr().out


@pytest.mark.parametrize("case", [*QUICK, *DEEP])
def test_damage_is_found_and_named(results, case):
    file, damage, words = (QUICK | DEEP)[case]
    damage(results / file)
    findings = verify(results, quick=case in QUICK)
    words = (words,) if isinstance(words, str) else words
    named = [f for f in findings if f.file == file or (file.startswith(f.file) and "label" in f.what)]
    assert any(word in finding.what for finding in named for word in words), findings
    assert all(finding.remedy for finding in findings)


def test_a_changed_number_that_nothing_else_shows_is_told_by_its_hash(results):
    write_provenance(results, results.parent / "logs")
    assert verify(results) == []
    file = f"overlays/{PLATE}.parquet"
    rewrite(results / file, edited("SegmentationScore", first(0.125)))
    (finding,) = verify(results)
    assert finding.file == file and "provenance.json" in finding.what


def test_the_command_ends_with_1_and_groups_what_is_the_same(results, capsys):
    for path in (results / "flags").iterdir():
        rewrite(path, facts={"settings": {"version": 1}})
    assert main(["verify", str(results), "--quick"]) == 1
    out = capsys.readouterr().out
    assert "flags/P-1.parquet, flags/00123.parquet" in out
    assert out.count("version of the stage was 1, is") == 1
    assert main(["verify", str(results), "--quick", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["file"] for row in rows} == {"flags/00123.parquet", "flags/P-1.parquet"}


def test_an_output_that_a_killed_job_left_is_told(results):
    import base64

    folder = results.parent / ".snakemake" / "incomplete"
    folder.mkdir(parents=True)
    (folder / base64.urlsafe_b64encode(b"results/models/map.npz").decode()).write_text("{}")
    (finding,) = verify(results, quick=True)
    assert finding.file == "models/map.npz" and finding.kind == "unfinished" and "has not ended" in finding.what
    assert os.path.exists(results / finding.file)
