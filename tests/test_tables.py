import json
import os
import random
import resource

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profiling import docs
from profiling.schemas import PIECES, TABLES
from profiling.tables import (
    CELL_KEY,
    TableError,
    as_table,
    embedding_arrays,
    embedding_matrix,
    merge_tables,
    read_cells,
    read_embeddings,
    read_table,
    read_wells,
    table_writer,
    write_table,
)

WIDTH = 4
EXAMPLES_OF = {
    "Metadata_<column>": "Metadata_moa",
    "PC_0001 …": "PC_0001",
    "ClusterShare_01 …": "ClusterShare_01",
    "<Compartment>_<Group>_<Feature>[_<Channel>]": "Nuclei_Intensity_MeanIntensity_DNA",
    "Embedding_<Channel>": "Embedding_DNA",
}


def rows_of(name, plate="P1", wells=("A01", "B02"), a_well=3, seed=0):
    """A table with rows: keys that stand once, any value elsewhere, one column a pattern."""
    rng = np.random.default_rng(seed)
    spec = (TABLES | PIECES)[name]
    a_well = 1 if spec.key[-1] == "Metadata_Well" else a_well
    count = len(wells) * a_well
    columns = {}
    for column in spec.columns:
        known = {
            "Metadata_Plate": [plate] * count,
            "Metadata_Well": [w for w in wells for _ in range(a_well)],
        }
        label, kind = EXAMPLES_OF.get(column.name, column.name), column.type
        if label in known:
            columns[label] = pa.array(known[label], kind)
        elif label in spec.key:
            values = list(range(1, a_well + 1)) * len(wells)
            columns[label] = pa.array([str(v) for v in values] if kind == pa.string() else values, kind)
        elif kind is None:
            columns[label] = embedding_arrays(rng.normal(size=(count, WIDTH)), "float16")
        elif kind == pa.string():
            columns[label] = pa.array([None, *rng.choice(["x", "ü µ"], count)][:count], kind)
        elif kind == pa.binary():
            columns[label] = pa.array([rng.bytes(5) for _ in range(count)], kind)
        elif kind == pa.bool_():
            columns[label] = pa.array(rng.random(count) < 0.5)
        elif pa.types.is_floating(kind):
            columns[label] = pa.array(rng.normal(size=count), kind)
        else:
            columns[label] = pa.array(rng.integers(0, 99, count), kind)
    return pa.table(columns)


def key_of(name):
    return [(column, "ascending") for column in (TABLES | PIECES)[name].key]


def metadata(path):
    return json.loads(pq.read_schema(path).metadata[b"profiling"])


WITH_WELLS = [name for name, spec in (TABLES | PIECES).items() if "Metadata_Well" in spec.key]


@pytest.mark.parametrize("name", TABLES | PIECES)
def test_empty_table_round_trip(tmp_path, name):
    empty = rows_of(name, wells=())
    write_table(tmp_path / "t.parquet", name, empty.to_pandas() if name != "embeddings" else empty)
    schema = pq.read_schema(tmp_path / "t.parquet").remove_metadata()
    assert schema == as_table(name, empty).schema
    assert read_table(tmp_path / "t.parquet", name).empty


@pytest.mark.parametrize("name", WITH_WELLS)
def test_rows_come_back_sorted_by_key_with_their_types(tmp_path, name):
    rows = rows_of(name)
    shuffled = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    write_table(tmp_path / "t.parquet", name, shuffled, settings={"k": 1}, seed=7)
    stored = pq.read_table(tmp_path / "t.parquet")
    assert stored.equals(as_table(name, rows).sort_by(key_of(name)))
    assert stored.schema.remove_metadata() == as_table(name, rows).schema
    facts = metadata(tmp_path / "t.parquet")
    assert facts["settings"] == {"k": 1}
    assert facts["seed"] == 7
    assert set(facts) >= {"schema_version", "package_version"}


def cells(**changes):
    frame = rows_of("cells").to_pandas()
    return frame.assign(**changes) if changes else frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (cells().drop(columns="Embedded"), "table cells: columns Embedded are missing"),
        (cells(Extra=1), "table cells: column Extra is not in the schema"),
        (cells(Nuclei_Colour_Hue=1), "column Nuclei_Colour_Hue is not in the schema"),
        (cells(BoundingBoxMinimumX=1.5), "column BoundingBoxMinimumX is not int32"),
        (cells(Embedded="maybe"), "column Embedded is not bool"),
        (cells(Metadata_CellID=pd.array([1, None, 2, 3, 4, 5], "Int64")), "1 rows have no Metadata_CellID"),
        (pd.concat([cells(), cells().iloc[:1]]), "table cells: 1 keys stand twice, the first is .*'A01'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, frame, message):
    with pytest.raises(TableError, match=message):
        write_table(tmp_path / "t.parquet", "cells", frame)
    assert not list(tmp_path.iterdir())


def test_failures_may_lack_parts_of_the_key(tmp_path):
    rows = rows_of("failures").to_pandas().assign(Metadata_Well=None, Metadata_Site=None)
    write_table(tmp_path / "t.parquet", "failures", rows)
    assert read_table(tmp_path / "t.parquet", "failures")["Metadata_Well"].isna().all()


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "cells.parquet"
    write_table(path, "cells", rows_of("cells"))
    before = path.read_bytes()

    def write_two_wells_and_fail():
        with table_writer(path, "cells", rows_of("cells")) as append:
            append(rows_of("cells", wells=["A01"]))
            raise RuntimeError("the disk is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        write_two_wells_and_fail()
    assert [p.name for p in tmp_path.iterdir()] == ["cells.parquet"]
    assert path.read_bytes() == before


def test_a_row_group_is_a_well(tmp_path):
    wells = ["A01", "A02", "C11"]
    write_table(tmp_path / "cells.parquet", "cells", rows_of("cells", wells=wells, a_well=5))
    groups = [table["Metadata_Well"].to_pylist() for table in read_wells(tmp_path / "cells.parquet")]
    assert groups == [[well] * 5 for well in wells]
    only = list(read_wells(tmp_path / "cells.parquet", ["Metadata_CellID"]))
    assert [table.column_names for table in only] == [["Metadata_CellID"]] * 3


@pytest.mark.parametrize("name", ["cells", "embeddings", "thumbnails", "fields", "quality"])
def test_merged_pieces_equal_the_whole_in_any_order(tmp_path, name):
    wells = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 6)]
    write_table(tmp_path / "whole.parquet", name, rows_of(name, wells=wells))
    whole = pq.read_table(tmp_path / "whole.parquet")
    pieces = []
    for chunk in range(4):
        mine = whole.filter(pa.array([wells.index(w) % 4 == chunk for w in whole["Metadata_Well"].to_pylist()]))
        pieces.append(tmp_path / f"{chunk}.parquet")
        write_table(pieces[-1], name, mine, settings={"a": 1})
    pieces.append(tmp_path / "empty.parquet")
    write_table(pieces[-1], name, whole.slice(0, 0), settings={"a": 1})
    for seed in range(4):
        random.Random(seed).shuffle(pieces)
        merge_tables(pieces, tmp_path / "merged.parquet", name)
        merged = pq.ParquetFile(tmp_path / "merged.parquet")
        assert merged.read().equals(whole)
        assert merged.num_row_groups == pq.ParquetFile(tmp_path / "whole.parquet").num_row_groups
        assert metadata(tmp_path / "merged.parquet")["settings"] == {"a": 1}


@pytest.mark.parametrize("name", ["embeddings", "wells"])
def test_more_pieces_are_merged_than_files_may_be_open(tmp_path, name):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    pieces = [tmp_path / f"{number}.parquet" for number in range(80)]
    for number, piece in enumerate(pieces):
        write_table(piece, name, rows_of(name, wells=[f"{'ABCDEFGH'[number % 8]}{number // 8 + 1:02d}"]))
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limits[1]))
    try:
        merge_tables(pieces, tmp_path / "merged.parquet", name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert pq.read_table(tmp_path / "merged.parquet")["Metadata_Well"].to_pandas().nunique() == 80


def test_merging_only_empty_pieces_gives_an_empty_table(tmp_path):
    for piece in "12":
        write_table(tmp_path / f"{piece}.parquet", "embeddings", rows_of("embeddings", wells=()))
    merge_tables([tmp_path / "1.parquet", tmp_path / "2.parquet"], tmp_path / "out.parquet", "embeddings")
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    assert pq.read_schema(tmp_path / "out.parquet").field("Embedding_DNA").type.list_size == WIDTH


def test_reading_names_the_file_and_what_is_wrong(tmp_path):
    with pytest.raises(TableError, match=r"none\.parquet: there is no such file"):
        read_table(tmp_path / "none.parquet", "cells")
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(TableError, match=r"text\.parquet: not a Parquet file"):
        read_table(tmp_path / "text.parquet", "cells")
    write_table(tmp_path / "fields.parquet", "fields", rows_of("fields"))
    with pytest.raises(TableError, match=r"fields\.parquet: no column Metadata_CellID.*is it the cells table"):
        read_table(tmp_path / "fields.parquet", "cells")


PLATES = {"00123": ("A01", "P24"), "1E10": ("AF48",), "EMPTY": ()}


FOLDERS = [name for name in WITH_WELLS if name in TABLES and "{plate}" in TABLES[name].path]


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """Every table with a file a plate: two plates whose names look like numbers, and one without rows."""
    folder = tmp_path_factory.mktemp("screen")
    for name in FOLDERS:
        for plate, wells in PLATES.items():
            path = folder / "results" / TABLES[name].path.format(plate=plate)
            write_table(path, name, rows_of(name, plate, wells))
    return folder


def expected_wells(name):
    """Plate and well of every row."""
    count = 1 if TABLES[name].key[-1] == "Metadata_Well" else 3
    return [(plate, well) for plate, wells in PLATES.items() for well in wells for _ in range(count)]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_opens_in_pandas_polars_and_duckdb(screen, name):
    import duckdb
    import polars as pl

    folder = screen / "results" / name
    reference = pa.concat_tables([pq.read_table(path) for path in sorted(folder.iterdir())])
    key, expected = list(TABLES[name].key), expected_wells(name)

    frame = pd.read_parquet(folder).sort_values(key)
    assert list(zip(frame["Metadata_Plate"], frame["Metadata_Well"])) == expected
    assert list(frame.columns) == reference.column_names

    polars = pl.read_parquet(folder / "*.parquet").sort(key)
    assert list(zip(polars["Metadata_Plate"], polars["Metadata_Well"])) == expected
    assert polars.columns == reference.column_names

    duck = duckdb.sql(f"select * from '{folder}/*.parquet' order by all").fetchall()
    assert [row[:2] for row in duck] == expected
    for column in reference.column_names:
        if not column.startswith("Embedding_"):
            values = reference[column].to_pylist()
            assert polars[column].to_list() == values
            assert [row[reference.column_names.index(column)] for row in duck] == pytest.approx(values)


@pytest.mark.parametrize("name", docs.EXAMPLES)
def test_the_documented_examples_run_and_give_the_embeddings(screen, monkeypatch, name):
    monkeypatch.chdir(screen)
    found = {}
    exec(docs.EXAMPLES[name], found)
    reference = pa.concat_tables([pq.read_table(path) for path in sorted((screen / "results/embeddings").iterdir())])
    expected = embedding_matrix(reference)
    assert found["matrix"].dtype == np.float32
    assert sorted(map(tuple, found["matrix"])) == sorted(map(tuple, expected))
    assert len(found["cells"])


def test_read_cells(screen):
    frame = read_cells(screen / "results")
    assert list(zip(frame["Metadata_Plate"], frame["Metadata_Well"])) == expected_wells("cells")
    one = read_cells(screen / "results", ["1E10"], ["Metadata_Plate", "Embedded"])
    assert list(one.columns) == ["Metadata_Plate", "Embedded"]
    assert set(one["Metadata_Plate"]) == {"1E10"}
    assert read_cells(screen / "results", ["EMPTY"]).empty
    with pytest.raises(TableError, match=r"cells/P9\.parquet: there is no such file"):
        read_cells(screen / "results", ["P9"])


def test_features_that_a_type_cannot_hold_are_told():
    with pytest.raises(TableError, match=r"up to 1e\+05, not finite as float16; set embedding.dtype to float32"):
        embedding_arrays(np.array([[1.0, -1e5]], np.float32), "float16")
    with pytest.raises(TableError, match="take another network"):
        embedding_arrays(np.array([[1.0, np.nan]], np.float32), "float32")


def test_read_embeddings(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 2 * WIDTH)).astype(np.float16)
    keys = rows_of("embeddings", "00123").select(CELL_KEY)
    table = keys.append_column("Embedding_DNA", embedding_arrays(values[:, :WIDTH], "float16"))
    table = table.append_column("Embedding_Actin", embedding_arrays(values[:, WIDTH:], "float16"))
    write_table(tmp_path / "embeddings/00123.parquet", "embeddings", table)
    write_table(tmp_path / "embeddings/EMPTY.parquet", "embeddings", table.slice(0, 0))
    found, matrix = read_embeddings(tmp_path)
    assert found.equals(keys.to_pandas())
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, values.astype(np.float32))
    _, actin = read_embeddings(tmp_path, ["00123"], ["Actin"])
    assert np.array_equal(actin, values[:, WIDTH:].astype(np.float32))
    _, swapped = read_embeddings(tmp_path, channels=["Actin", "DNA"])
    assert np.array_equal(swapped, np.roll(values, WIDTH, axis=1).astype(np.float32))
    none, empty = read_embeddings(tmp_path, ["EMPTY"])
    assert none.empty
    assert empty.shape == (0, 2 * WIDTH)
    with pytest.raises(TableError, match=r"P9\.parquet: there is no such file"):
        read_embeddings(tmp_path, ["P9"])
    with pytest.raises(TableError, match="no column Embedding_Tubulin"):
        read_embeddings(tmp_path, channels=["Tubulin"])
    with pytest.raises(TableError, match="no embeddings"):
        read_embeddings(tmp_path / "nowhere")
