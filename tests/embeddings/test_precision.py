import json

import numpy as np
import pandas as pd
import pytest

from profiling.embeddings import jobs
from profiling.embeddings.jobs import decided_precision
from profiling.embeddings.precision import compare, nearest, standardise
from profiling.embeddings.precision_jobs import judge, sample_cells
from profiling.errors import ProfilingError
from profiling.settings import Embedding


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (15, 40))
    return (centres[rng.integers(0, 15, 400)] + rng.normal(0, 1, (400, 40))).astype(np.float32)


def test_equal_features_agree_fully(features):
    found = compare(features, features.copy())
    assert found.neighbours == 1
    assert found.clusters == found.ceiling
    assert found.passes()


def test_scale_and_shift_of_a_feature_do_not_matter(features):
    found = compare(features, features * np.linspace(1, 5, 40, dtype=np.float32) + 7)
    assert found.neighbours > 0.99


def test_noise_that_swaps_neighbours_does_not_pass(features):
    noise = np.random.default_rng(1).normal(0, 0.3, features.shape).astype(np.float32)
    found = compare(features, features + noise)
    assert 0.3 < found.neighbours < 0.9
    assert not found.passes()
    assert judge(features, features + noise)["precision"] == "fp32"
    assert judge(features, features)["precision"] == "bf16"


def test_unrelated_features_agree_by_chance_only(features):
    found = compare(features, np.random.default_rng(2).permutation(features))
    assert found.neighbours == pytest.approx(10 / 399, abs=0.02)
    assert abs(found.clusters) < 0.05


def test_nearest_are_those_of_a_full_sort(features):
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit.T), axis=1)[:, 1:11]
    assert np.array_equal(np.sort(nearest(features), axis=1), np.sort(order, axis=1))


def test_a_constant_feature_and_a_zero_cell_stay_finite():
    flat = standardise(np.ones((5, 3), np.float32))
    assert (flat == 0).all()
    assert nearest(np.zeros((20, 3), np.float32)).shape == (20, 10)


def test_few_cells_stay_with_fp32():
    found = judge(np.zeros((30, 4), np.float32), np.zeros((30, 4), np.float32))
    assert found["precision"] == "fp32"
    assert "30 cells" in found["reason"]


def chunk(wells, sites, cells):
    index = pd.MultiIndex.from_product([["P"], wells, range(sites), [0], [0], range(1, cells + 1)])
    names = "Metadata_Plate Metadata_Well Metadata_Site Metadata_Time Metadata_Z Metadata_CellID".split()
    return index.to_frame(index=False).set_axis(names, axis=1)


def test_the_sample_comes_from_few_fields_and_knows_their_labels():
    tables = [chunk(["A01", "A02"], 40, 30), chunk(["B01"], 40, 30)]
    cells, folders = sample_cells(tables, ["labels/1", "labels/2"])
    assert len(cells) == 1000
    assert len(cells.drop_duplicates(["Metadata_Well", "Metadata_Site"])) <= 48
    assert set(cells["Metadata_Well"]) == {"A01", "A02", "B01"}
    assert (folders == np.where(cells["Metadata_Well"] == "B01", "labels/2", "labels/1")).all()
    again, _ = sample_cells([table.sample(frac=1, random_state=0) for table in tables], ["labels/1", "labels/2"])
    keys = ["Metadata_Well", "Metadata_Site", "Metadata_CellID"]
    assert set(cells[keys].itertuples(index=False)) == set(again[keys].itertuples(index=False))
    assert len(sample_cells([table.head(0) for table in tables], ["1", "2"])[0]) == 0


def test_a_machine_without_bf16_computes_in_fp32_and_says_so(tmp_path, monkeypatch, caplog):
    record = tmp_path / "precision-P.json"
    record.write_text(json.dumps({"precision": "bf16"}))
    settings = Embedding(precision="auto", device="cpu")
    monkeypatch.setattr(jobs, "cpu_has_bf16", lambda: True)
    assert decided_precision(settings, record) == "bf16"
    monkeypatch.setattr(jobs, "cpu_has_bf16", lambda: False)
    with caplog.at_level("WARNING", logger="profiling"):
        assert decided_precision(settings, record) == "fp32"
    assert "does not have" in caplog.text
    with pytest.raises(ProfilingError, match="profiling precision"):
        decided_precision(settings)
    assert decided_precision(Embedding(precision="bf16"), None) == "bf16"
