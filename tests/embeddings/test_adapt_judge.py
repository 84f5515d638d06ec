"""The judge of an adaptation on features whose worth is known."""

import numpy as np
import pandas as pd
import pytest

from profiling.embeddings.adapt.cells import every, hold_out
from profiling.embeddings.adapt.judge import balanced, effective_rank, gain_interval, retrieval
from profiling.embeddings.adapt.whitening import fit_whitening, whiten

CELLS = 20


@pytest.fixture
def rows():
    """Two plates of six wells, three treatments twice on each, twenty cells a well."""
    wells = [(plate, f"A0{i}", "abc"[i % 3]) for plate in ("P1", "P2") for i in range(1, 7)]
    table = pd.DataFrame(wells, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Treatment"])
    return table.loc[table.index.repeat(CELLS)].reset_index(drop=True)


def features_of(codes, rng, noise=0.01):
    return (np.eye(codes.max() + 1)[codes] + rng.normal(0, noise, (len(codes), codes.max() + 1))).astype(np.float32)


def test_features_of_the_treatment_find_it_and_noise_finds_it_by_chance(rows):
    rng = np.random.default_rng(0)
    treatment = pd.factorize(rows["Metadata_Treatment"])[0]
    good, bad = features_of(treatment, rng), rng.normal(size=(len(rows), 8)).astype(np.float32)
    for column, chance in (("Metadata_Well", 3 / 11), ("Metadata_Plate", 1 / 3)):
        found, noise = retrieval(good, rows, column), retrieval(bad, rows, column)
        assert len(found) == 12
        assert balanced(found) == 1
        assert balanced(found, "Chance") == pytest.approx(chance)
        assert balanced(noise) == pytest.approx(chance, abs=0.06)
        low, high = gain_interval(noise, found)
        assert 0.5 < low < 1 - balanced(noise) < high < 1
        assert gain_interval(noise, noise) == (0, 0)


def test_cells_of_the_same_well_do_not_count(rows):
    """Each well looks like a well of another treatment: its own cells, which are the nearest, must not count."""
    well = rows.groupby(["Metadata_Plate", "Metadata_Well"], sort=False).ngroup().to_numpy()
    alike = features_of(well // 2, np.random.default_rng(0))
    assert balanced(retrieval(alike, rows)) < 0.05


def test_without_treatments_nothing_is_judged(rows):
    nothing = retrieval(np.ones((len(rows), 3), np.float32), rows.assign(Metadata_Treatment=None))
    assert len(nothing) == 0
    assert np.isnan(balanced(nothing))
    alone = rows.assign(Metadata_Treatment=rows["Metadata_Plate"] + rows["Metadata_Well"])
    assert len(retrieval(np.ones((len(rows), 3), np.float32), alone)) == 0


def test_effective_rank_tells_a_collapse():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(2000, 10))
    assert effective_rank(wide) == pytest.approx(10, abs=0.2)
    assert effective_rank(wide[:, :1] @ rng.normal(size=(1, 10))) == pytest.approx(1)
    assert effective_rank(np.ones((50, 10))) == 1


def test_whitening_gives_every_direction_about_the_same_weight():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) * 10 ** np.arange(6.0)
    features = np.hstack([features, np.ones((500, 1))]).astype(np.float32)
    space = fit_whitening(features, 50)
    found = whiten(features, space)
    assert found.shape == (500, 6)
    covariance = np.cov(found.T)
    assert np.allclose(covariance, np.diag(np.diag(covariance)), atol=0.02)
    assert covariance.diagonal()[-1] == pytest.approx(0.5, abs=0.02), "half the weight for the last, by the ridge"
    assert (covariance.diagonal() > 0.49).all()
    few = features[:5].astype(np.float64)
    assert whiten(few, fit_whitening(few, 50)).shape[1] <= 4, "five cells span four directions"
    other = few.copy()
    other[0] += np.linalg.svd(few - few.mean(axis=0))[2][-2]
    complete = fit_whitening(few, 50, complete=True)
    assert not np.allclose(whiten(few, complete), whiten(other, complete)), "no direction is without weight"
    assert not np.isnan(whiten(np.ones((3, 7), np.float32), fit_whitening(np.ones((3, 7), np.float32), 5))).any()


def test_plates_are_held_out_whole_and_wells_where_there_is_one(rows):
    held = hold_out(rows)
    assert len(rows[held]["Metadata_Plate"].unique()) == 1
    assert not set(rows[held]["Metadata_Plate"]) & set(rows[~held]["Metadata_Plate"])
    assert rows[hold_out(rows, ["P2"])]["Metadata_Plate"].unique().tolist() == ["P2"]
    single = rows[rows["Metadata_Plate"].eq("P1")]
    held = hold_out(single)
    assert single[held]["Metadata_Well"].nunique() == 3
    assert not set(single[held]["Metadata_Well"]) & set(single[~held]["Metadata_Well"])
    assert every(rows["Metadata_Well"], 2) == every(rows["Metadata_Well"][::-1], 2), "the order of rows does not matter"
