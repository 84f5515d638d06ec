import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from test_verify import edited, rewrite

from profiling.cli import main
from profiling.results.comparison import Column, _compare_column, cluster_names, rand_index
from profiling.results.diff import compare_results, diff_lines

pytestmark = pytest.mark.xdist_group("results")


@pytest.fixture
def pair(small_screen, tmp_path):
    """The small screen's results and a copy to change."""
    shutil.copytree(small_screen / "results", tmp_path / "results")
    return small_screen / "results", tmp_path / "results"


def labels(pairs):
    return pd.DataFrame(pairs, columns=["a", "b"]).value_counts(sort=False)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=60))
def test_the_rand_index_is_that_of_scikit_learn(pairs):
    expected = adjusted_rand_score(*np.transpose(pairs))
    assert rand_index(labels(pairs)) == pytest.approx(expected, abs=1e-12)


def test_clusters_are_the_same_only_one_to_one():
    assert cluster_names(labels([(1, 2), (1, 2), (2, 1)])) == {2: 1, 1: 2}
    assert cluster_names(labels([(1, 2), (2, 2)])) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(0, 40))
def test_the_spread_does_not_depend_on_how_the_rows_come(values, cut):
    column = Column()
    for part in (values[:cut], values[cut:]):
        column.add_spread(np.asarray(part, dtype=float))
    assert column.spread == pytest.approx(np.std(values), rel=1e-6, abs=1e-6)


def test_equal_folders_are_equal(pair, capsys):
    assert main(["diff", *map(str, pair)]) == 0
    assert "They are equal" in capsys.readouterr().out


def test_each_kind_of_difference_is_told(pair, capsys):
    one, other = pair
    config = json.loads((other / "config.json").read_text())
    config["clusters"]["k"] = 4
    config["plates"][0]["exclude"] = []
    (other / "config.json").write_text(json.dumps(config))
    (other / "models" / "backbone.json").write_text(json.dumps({"name": "a net", "sha256": "cd" * 32}))
    rewrite(other / "quality" / "P-1.parquet", edited("Median", lambda v: [v[0] + 10, *v[1:]]))
    rewrite(other / "features" / "00123.parquet", lambda groups: groups[1:])
    shift = {"settings": {"version": 99}}
    rewrite(other / "cells" / "00123.parquet", facts=shift)
    (other / "overlays" / "P-1.parquet").unlink()
    flat = next((other / "illumination" / "P-1").glob("*.tif"))
    content = flat.read_bytes()
    flat.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    found = compare_results(one, other)
    assert not found["equal"]
    keys = found["config"].set_index("Key")
    assert keys.loc["clusters.k"].tolist() == [3, 4] and keys.loc["plates.P-1.exclude"].tolist() == [["B05"], []]
    assert "backbone sha256" in set(found["code"]["What"]) and "version of the stage of cells" in set(
        found["code"]["What"]
    )
    (number,) = found["numbers"].itertuples()
    quality = pd.read_parquet(one / "quality")["Median"]
    assert (number.Table, number.Column, number.Differ, number.Largest) == ("quality", "Median", 1, 10)
    assert number.Spread == pytest.approx(quality.std(ddof=0)) and number.Relative == pytest.approx(10 / number.Spread)
    (table,) = found["tables"].itertuples()
    assert table.Table == "features" and table.Rows1 - table.Rows2 == table.Only1 > 0 == table.Only2
    assert found["missing"]["File"].tolist() == ["overlays/P-1.parquet"] and found["missing"]["Where"].tolist() == [
        str(one)
    ]
    assert "illumination/P-1" in found["files"]["File"].tolist()
    assert main(["diff", str(one), str(other)]) == 1
    out = capsys.readouterr().out
    for words in ("clusters.k: 3 → 4", "only in 1", "Median", "backbone sha256"):
        assert words in out


def test_plates_that_one_folder_has_not_are_named(pair):
    one, other = pair
    config = json.loads((other / "config.json").read_text())
    config["plates"] = config["plates"][1:]
    (other / "config.json").write_text(json.dumps(config))
    found = compare_results(one, other)
    assert found["plates"] == [["P-1"], []] and "only in 1: P-1 (1 plates)" in "\n".join(diff_lines(found))


def test_renumbered_clusters_are_told_and_compared_by_their_old_numbers(pair):
    one, other = pair
    new = {1: 3, 2: 1, 3: 2}

    def renumber(groups):
        numbers = [[new[v] for v in group["Cluster"].to_pylist()] for group in groups]
        place = groups[0].column_names.index("Cluster")
        return [g.set_column(place, "Cluster", pa.array(v, pa.int16())) for g, v in zip(groups, numbers, strict=True)]

    def rename(groups):
        old = [f"ClusterShare_{n:02d}" for n in new]
        names = [f"ClusterShare_{new[int(n[-2:])]:02d}" if n in old else n for n in groups[0].column_names]
        return [group.rename_columns(names) for group in groups]

    for plate in ("P-1", "00123"):
        rewrite(other / "phenotypes" / f"{plate}.parquet", renumber)
    rewrite(other / "enrichment.parquet", renumber)
    for name in ("wells", "treatments"):
        rewrite(other / f"{name}.parquet", rename)
    found = compare_results(one, other)
    assert found["clusters"] == (1.0, {3: 1, 1: 2, 2: 3}) and not found["equal"]
    assert found["numbers"].empty and found["tables"].empty
    assert "the same clusters by other numbers: 1 was 2, 2 was 3, 3 was 1" in "\n".join(diff_lines(found))


def test_embeddings_of_another_length_differ_in_every_row():
    one, other = (pa.array([[1.0] * length, [2.0] * length], pa.list_(pa.float32(), length)) for length in (3, 2))
    column = Column()
    _compare_column(one, other, column)
    assert column.differ == 2


def test_embeddings_differ_by_their_largest_number(pair):
    one, other = pair

    def change(groups):
        values = groups[0]["Embedding_DNA"].combine_chunks()
        flat = values.flatten().to_numpy().copy()
        flat[2] += 4
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), values.type.list_size)
        return [
            groups[0].set_column(groups[0].column_names.index("Embedding_DNA"), "Embedding_DNA", column),
            *groups[1:],
        ]

    rewrite(other / "embeddings" / "P-1.parquet", change)
    (number,) = compare_results(one, other)["numbers"].itertuples()
    assert (number.Column, number.Differ) == ("Embedding_DNA", 1) and number.Largest == pytest.approx(4, rel=1e-2)
