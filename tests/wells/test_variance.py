import numpy as np
import pytest
from scipy.stats import kstest

from profiling.wells.variance import variance_ratio


def screen(effect, treatments=12, plates=3, d=4, seed=0):
    """One well a treatment and plate, shuffled positions."""
    rng = np.random.default_rng(seed)
    groups, plate = np.tile(np.arange(treatments), plates), np.repeat(np.arange(plates), treatments)
    position = np.concatenate([rng.permutation(treatments) for _ in range(plates)])
    x = rng.normal(size=(len(groups), d)) + effect * rng.normal(size=(treatments, d))[groups]
    return x, groups, plate, position


def test_variances_by_hand():
    result = variance_ratio(np.array([[0.0], [2], [10], [10], [11]]), [1, 1, 2, 2, 3], permutations=999)
    # within: variances 2 and 0 of the two replicated treatments; between: eight pairs, 532 in all
    assert result["Within"] == pytest.approx(1) and result["Between"] == pytest.approx(532 / 8 / 2)
    assert result["Permutations"] == 30 and result["Treatments"] == 3 and result["Wells"] == 5


def test_replicates_that_agree_have_a_small_ratio_and_p():
    x, groups, plate, _ = screen(effect=3)
    result = variance_ratio(x, groups, plate, permutations=199)
    assert result["Ratio"] < 0.3 < 0.5 * result["NullLow"] and result["PValue"] == 1 / 200
    assert result["NullLow"] < result["NullMedian"] < result["NullHigh"]
    assert result["NullMedian"] == pytest.approx(1, abs=0.1)


def test_p_is_uniform_where_treatments_do_nothing():
    p = [variance_ratio(*screen(0, treatments=6, seed=i)[:3], permutations=49)["PValue"] for i in range(100)]
    assert kstest(p, "uniform").pvalue > 0.001


def test_a_position_effect_passes_as_agreement_only_without_positions():
    position = np.tile(np.arange(8), 8)  # the same layout on plates 0 to 5, another on 6 and 7
    plate = np.repeat(np.arange(8), 8)
    groups = np.where(plate < 6, position, (position + 3) % 8)
    fooled, honest = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(64, 4)) + 4 * rng.normal(size=(8, 4))[position]
        fooled.append(variance_ratio(x, groups, plate, permutations=3)["Ratio"])
        honest.append(variance_ratio(x, groups, plate, position, permutations=3)["Ratio"])
    assert np.max(fooled) < 0.7 and np.mean(honest) == pytest.approx(1, abs=0.1)


def test_positions_that_all_differ_change_nothing():
    x, groups, plate, _ = screen(1)
    free = variance_ratio(x, groups, plate, permutations=50)
    named = variance_ratio(x, groups, plate, np.arange(len(x)), permutations=50)
    assert named == pytest.approx(free)


def test_nothing_to_compare_gives_nan():
    x, groups, plate, _ = screen(1)
    assert np.isnan(variance_ratio(x, np.arange(len(x)))["Ratio"])  # no replicates
    assert np.isnan(variance_ratio(x, np.zeros(len(x)))["Ratio"])  # one treatment
    assert np.isnan(variance_ratio(x, groups, plate, groups)["Ratio"])  # one layout on all plates
    assert np.isnan(variance_ratio(np.ones((4, 2)), [1, 1, 2, 2])["Ratio"])  # equal profiles
    assert np.isnan(variance_ratio(x[:0], groups[:0])["Ratio"])
    with pytest.raises(ValueError, match="not finite"):
        variance_ratio(x * np.nan, groups)
