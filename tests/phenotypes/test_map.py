import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from profiling.phenotypes.map import fit_map, place


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8, 12])
@pytest.mark.parametrize("d", [1, 3])
def test_any_number_of_cells_has_a_map_and_takes_new_cells(n, d):
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(n, d)), np.ones((n, d))):
        coordinates = fit_map(x, iterations=20)
        assert coordinates.shape == (n, 2) and coordinates.dtype == np.float32
        assert np.isfinite(coordinates).all()
        if n:
            assert np.isfinite(place(rng.normal(size=(3, d)), x, coordinates, iterations=20)).all()
        assert place(x[:0], x, coordinates).shape == (0, 2)


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = np.arange(240) % 4
    x = (rng.normal(size=(240, 10)) + 8 * np.eye(4, 10)[truth]).astype(np.float32)
    return x, truth, fit_map(x, iterations=150)


def test_neighbours_on_the_map_are_of_the_same_blob(blobs):
    x, truth, coordinates = blobs
    near = NearestNeighbors(n_neighbors=5).fit(coordinates).kneighbors(return_distance=False)
    assert (truth[near] == truth[:, None]).mean() > 0.99


def test_same_input_same_map(blobs):
    x, _, coordinates = blobs
    np.testing.assert_array_equal(coordinates, fit_map(x, iterations=150))


def test_new_cells_land_in_their_blob_one_by_one_and_wherever_the_map_lies(blobs):
    x, truth, coordinates = blobs
    new = x[:40] + np.random.default_rng(1).normal(0, 0.3, size=(40, 10)).astype(np.float32)
    placed = place(new, x, coordinates)
    nearest = np.linalg.norm(placed[:, None] - coordinates, axis=2).argmin(axis=1)
    assert (truth[nearest] == truth[:40]).all()
    np.testing.assert_allclose(place(new[:7], x, coordinates), placed[:7], atol=1e-3)
    np.testing.assert_allclose(place(new, x, coordinates + [50, -80]), placed + [50, -80], atol=0.05)


def test_broken_input_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        fit_map(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="3 cells and 2 coordinates"):
        place(np.zeros((1, 2)), np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="empty map"):
        place(np.zeros((1, 2)), np.zeros((0, 2)), np.zeros((0, 2)))
