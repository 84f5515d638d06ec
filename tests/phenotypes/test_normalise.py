import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.phenotypes.normalise import (
    dropped_features,
    fit_scaler,
    require_finite,
    sphere,
    sphering,
    usable_features,
    zscore,
)


def test_known_median_and_mad():
    median, mad = fit_scaler(np.array([[1.0, 5], [2, 5], [4, 5], [8, 5], [100, 5]]))
    assert median.tolist() == [4, 5] and mad.tolist() == [3, 0]


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.floats(-1000, 1000), st.integers(1, 130))
def test_zscore_does_not_see_units(scale, shift, d):
    x = np.random.default_rng(d).normal(size=(60, d))
    z, other = (zscore(y, *fit_scaler(y), clip=5.0) for y in (x, scale * x + shift))
    np.testing.assert_allclose(z, other, atol=1e-3)
    assert np.abs(z).max() <= 5 and z.dtype == np.float32


def test_zscore_of_normal_controls_has_unit_spread_whatever_a_few_outliers_do():
    x = np.random.default_rng(0).normal(3, 7, size=(20000, 1))
    x[:500] = 1e6
    z = zscore(x, *fit_scaler(x), clip=10)
    assert np.std(z[500:]) == pytest.approx(1, abs=0.05) and (z[:500] == 10).all()


def test_float16_controls_match_float64():
    x = np.random.default_rng(0).normal(size=(501, 70)).astype(np.float16)
    for half, full in zip(fit_scaler(x), fit_scaler(x.astype(float))):
        np.testing.assert_array_equal(half, full)


def test_feature_without_spread_on_one_plate_is_dropped_for_all_by_name():
    rng = np.random.default_rng(0)
    plates = [rng.normal(size=(20, 3)) for _ in range(2)]
    plates[1][:, 1] = 4
    plates[0][3, 2] = np.nan
    mads = np.array([fit_scaler(p)[1] for p in plates])
    assert usable_features(mads).tolist() == [True, False, False]
    dropped = dropped_features(mads, ["a", "b", "c"], ["P1", "P2"])
    assert dropped.to_numpy().tolist() == [["c", "P1", "not finite"], ["b", "P2", "no spread"]]
    with pytest.raises(ValueError, match="without spread.*1"):
        zscore(plates[1], *fit_scaler(plates[1]), clip=10)


def test_no_controls_and_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="no negative control"):
        fit_scaler(np.empty((0, 3)))
    with pytest.raises(ValueError, match="1 values are not finite, in columns Area"):
        require_finite(np.array([[1, np.inf], [1, 2]]), ["Count", "Area"])


def test_one_control_has_no_spread():
    assert not usable_features(fit_scaler(np.ones((1, 4)))[1]).any()


def test_covariance_of_sphered_controls_tends_to_identity():
    rng = np.random.default_rng(0)
    controls = rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12)) + 5
    errors = []
    for regularisation in (1, 1e-2, 1e-4, 0):
        mean, w = sphering(controls, regularisation)
        np.testing.assert_allclose(w, w.T, atol=1e-8)
        errors.append(np.abs(np.cov(sphere(controls, mean, w), rowvar=False) - np.eye(12)).max())
    assert errors[0] > errors[1] > errors[2] and errors[3] < 1e-5


def test_sphering_says_when_controls_are_too_few():
    controls = np.random.default_rng(0).normal(size=(5, 8))
    with pytest.raises(ValueError, match="reduce first or raise"):
        sphering(controls, 0)
    with pytest.warns(UserWarning, match="5 controls in 8 dimensions"):
        mean, w = sphering(controls, 0.1)
    assert np.isfinite(w).all()
    with pytest.raises(ValueError, match="at least 2 controls"):
        sphering(controls[:1], 0.1)
