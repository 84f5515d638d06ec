from collections import Counter
from math import factorial, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, kstest

from profiling.wells.permutation import (
    benjamini_hochberg,
    count_arrangements,
    difference_weights,
    p_values,
    permuted_labels,
    treated_and_controls,
)

small = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(small)
def test_all_arrangements_come_once_and_stay_within_plates(wells):
    labels, plates = np.array(wells).T
    number = count_arrangements(labels, plates)
    expected = 1
    for plate in set(plates):
        counts = Counter(labels[plates == plate].tolist())
        expected *= factorial(sum(counts.values())) // prod(factorial(c) for c in counts.values())
    assert number == expected
    permuted = np.concatenate(list(permuted_labels(labels, plates, number)))
    assert len(permuted) == number == len(np.unique(permuted, axis=0))
    assert (permuted == labels).all(axis=1).sum() == 1
    for plate in set(plates):
        here = np.sort(permuted[:, plates == plate], axis=1)
        assert (here == np.sort(labels[plates == plate])).all()


def test_random_arrangements_stay_within_plates_and_follow_the_seed():
    labels, plates = np.arange(40) % 4, np.arange(40) // 20
    draw = [np.concatenate(list(permuted_labels(labels, plates, 999, seed))) for seed in (0, 0, 1)]
    assert draw[0].shape == (999, 40)
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()
    assert (np.sort(draw[0][:, :20], axis=1) == np.sort(labels[:20])).all()


def test_p_by_hand():
    null = np.array([[3.0], [1], [2], [3 * (1 + 1e-15)]])
    p, attainable = p_values(np.array([3.0]), null, exhaustive=True)
    assert p[0] == 2 / 4 and attainable[0] == 2 / 4
    p, attainable = p_values(np.array([2.5]), null, exhaustive=False)
    assert p[0] == 3 / 5 and attainable[0] == 1 / 5


@pytest.mark.parametrize("treated, permutations", [(10, 199), (3, 99)])
def test_p_values_are_uniform_where_nothing_happens(treated, permutations):
    rng = np.random.default_rng(0)
    plates = np.repeat([0, 1], 20)
    labels = np.tile(np.arange(20) < treated, 2)
    x = rng.normal(size=(40, 2000)) + 3 * plates[:, None]
    blocks = permuted_labels(labels, plates, permutations)
    null = np.abs(np.concatenate([difference_weights(b, plates) @ x for b in blocks]))
    p, _ = p_values(np.abs(difference_weights(labels[None], plates) @ x)[0], null, False)
    assert kstest(p, "uniform").statistic < 0.04
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_difference_is_taken_within_plates():
    treated = np.array([1, 0, 0, 1, 1, 0], bool)
    plates = np.array(["P1"] * 3 + ["P2"] * 3)
    values = np.array([5.0, 1, 3, 20, 22, 10])
    difference = difference_weights(treated[None], plates) @ values[:, None]
    assert difference[0, 0] == pytest.approx((1 * (5 - 2) + 2 * (21 - 10)) / 3)


def test_plates_without_both_kinds_are_left_out():
    treated, control = np.array([1, 0, 1, 0], bool), np.array([0, 1, 0, 0], bool)
    assert treated_and_controls(treated, control, np.array(["P1", "P1", "P2", "P1"])).tolist() == [0, 1]


def test_benjamini_hochberg_equals_scipy_and_skips_what_was_not_tested():
    p = np.random.default_rng(0).uniform(size=30) ** 2
    np.testing.assert_array_equal(benjamini_hochberg(p), false_discovery_control(p))
    with_gaps = np.insert(p, [0, 7], np.nan)
    q = benjamini_hochberg(with_gaps)
    np.testing.assert_array_equal(q[~np.isnan(with_gaps)], false_discovery_control(p))
    assert np.isnan(q).sum() == 2 and len(benjamini_hochberg([])) == 0
