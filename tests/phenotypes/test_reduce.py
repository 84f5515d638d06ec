import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from profiling.phenotypes.reduce import fit_pca, moments, pool_moments, transform, whiten


def cloud(n=300, d=20, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def test_equals_sklearn_up_to_sign():
    x = cloud()
    reduction = fit_pca(*moments(x)[1:], components=7)
    reference = PCA(7, svd_solver="full").fit(x)
    assert np.abs((reduction.components * reference.components_).sum(axis=1)) == pytest.approx(np.ones(7))
    assert reduction.variance_ratio == pytest.approx(reference.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(transform(x, reduction)), np.abs(reference.transform(x)), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 199), max_size=5))
def test_pooled_plates_equal_the_whole(cuts):
    x = cloud(200, 6)
    parts = (moments(part) for part in np.split(x, sorted(cuts)))
    pooled, whole = pool_moments(parts, equal_weight=False), moments(x)
    assert pooled.n == whole.n
    np.testing.assert_allclose(pooled.mean, whole.mean, atol=1e-10)
    np.testing.assert_allclose(pooled.cov, whole.cov, atol=1e-9)
    np.testing.assert_allclose(whole.cov, np.cov(x, rowvar=False, ddof=0), atol=1e-9)


def test_equal_weight_lets_a_large_plate_count_once():
    small, large = cloud(50, 5, seed=1), cloud(80, 5, seed=2)
    once = pool_moments([moments(small), moments(large)])
    many = pool_moments([moments(small), moments(np.tile(large, (9, 1)))])
    np.testing.assert_allclose(once.cov, many.cov, atol=1e-9)
    np.testing.assert_allclose(once.mean, (small.mean(axis=0) + large.mean(axis=0)) / 2)


def test_share_of_variance_takes_the_fewest_components():
    _, mean, cov = moments(cloud())
    ratio = fit_pca(mean, cov, 20).variance_ratio
    for share in (0.3, 0.9, 0.999):
        k = len(fit_pca(mean, cov, share).components)
        assert ratio[:k].sum() >= share > ratio[: k - 1].sum()


def test_largest_loading_is_positive_and_float32_agrees_with_float64():
    x = cloud()
    double, single = (fit_pca(*moments(y)[1:], components=5) for y in (x, x.astype(np.float32)))
    largest = np.abs(double.components).argmax(axis=1)
    assert (double.components[np.arange(5), largest] > 0).all()
    np.testing.assert_allclose(double.components, single.components, atol=1e-3)


def test_no_more_components_than_the_cells_span():
    assert len(fit_pca(*moments(cloud(4, 20))[1:], components=10).components) == 3
    assert transform(np.empty((0, 20)), fit_pca(*moments(cloud())[1:], components=2)).shape == (0, 2)


def test_nothing_to_reduce():
    with pytest.raises(ValueError, match="no cells"):
        pool_moments([moments(np.empty((0, 3)))])
    with pytest.raises(ValueError, match="no variance"):
        fit_pca(*moments(np.ones((5, 3)))[1:], components=2)
    for components in (0, -1, 1.5):
        with pytest.raises(ValueError, match="components must be"):
            fit_pca(*moments(cloud())[1:], components=components)


def test_whitening_evens_the_variance_down_to_that_of_the_last_component():
    x = cloud()
    reduction = fit_pca(*moments(x)[1:], components=5)
    scores, white = transform(x, reduction), transform(x, whiten(reduction))
    expected = reduction.variance / (reduction.variance + reduction.variance[-1])
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.diag(expected), atol=1e-4)
    np.testing.assert_allclose(white / white.std(axis=0), scores / scores.std(axis=0), atol=1e-3)
