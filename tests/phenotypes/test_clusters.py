import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from profiling.phenotypes.assign import assign
from profiling.phenotypes.clusters import cramers_v, fit_clusters, sweep_clusters


def blobs(sizes=(200, 120, 60, 30), d=10, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    order = rng.permutation(len(truth))
    x = rng.normal(size=(len(truth), d)) + 12 * np.eye(len(sizes), d)[truth]
    return x[order].astype(np.float32), truth[order]


def test_separate_blobs_are_found_and_numbered_by_size():
    x, truth = blobs()
    cluster, distance = assign(x, fit_clusters(x, 4))
    assert adjusted_rand_score(truth, cluster) == 1
    np.testing.assert_array_equal(cluster, truth + 1)
    assert cluster.dtype == np.int16 and distance.dtype == np.float32


def test_assign_is_the_nearest_centre():
    rng = np.random.default_rng(0)
    x, centres = rng.normal(size=(500, 3)), rng.normal(size=(7, 3))
    distances = np.linalg.norm(x[:, None] - centres, axis=2)
    cluster, distance = assign(x, centres)
    np.testing.assert_array_equal(cluster, distances.argmin(axis=1) + 1)
    np.testing.assert_allclose(distance, distances.min(axis=1), rtol=1e-5)
    assert [len(part) for part in assign(x[:0], centres)] == [0, 0]


def test_same_seed_same_centres():
    x = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    np.testing.assert_array_equal(fit_clusters(x, 6, seed=3), fit_clusters(x, 6, seed=3))


def test_more_clusters_than_cells_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="15 clusters need at least 15 cells, there are 4"):
        fit_clusters(np.zeros((4, 2)), 15)


def test_sweep_finds_the_number_of_blobs_and_the_batch():
    x, truth = blobs()
    plates = np.where(truth < 2, "P1", "P2")
    table = sweep_clusters(x, plates, ks=[1, 2, 4, 8, 10_000], seeds=[0, 1])
    assert table[["K", "Seed"]].to_numpy().tolist() == [[k, s] for k in (2, 4, 8) for s in (0, 1)]
    means = table.groupby("K").mean()
    assert means["Silhouette"].idxmax() == 4 and means.loc[4, "Stability"] == 1
    assert means.loc[8, "Stability"] < 0.95
    assert means["Inertia"].is_monotonic_decreasing
    assert means.loc[4, "PlateAssociation"] > 0.99


def test_association_with_plates_can_be_asked_of_controls_alone():
    x, truth = blobs()
    rng = np.random.default_rng(0)
    controls = truth == 0
    plates = np.where(controls, rng.integers(0, 2, len(truth)), truth % 2)
    table = sweep_clusters(x, plates, ks=[4], seeds=[0], controls=controls)
    assert np.isnan(table["PlateAssociation"]).all()  # controls fill one cluster: nothing to associate
    assert (sweep_clusters(x, plates, ks=[4], seeds=[0])["PlateAssociation"] > 0.3).all()
    assert np.isnan(sweep_clusters(x, np.zeros(len(x)), ks=[4], seeds=[0])["PlateAssociation"]).all()


def test_cramers_v():
    labels = np.random.default_rng(0).integers(0, 5, 4000)
    assert cramers_v(labels, labels * 2) == pytest.approx(1)
    assert cramers_v(labels, np.random.default_rng(1).integers(0, 3, 4000)) < 0.05
