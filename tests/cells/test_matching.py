import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from profiling.cells.matching import (
    average_precision,
    count_errors,
    find_overlaps,
    intersections_over_unions,
    match_counts,
    mean_matched_iou,
)

LABELS = npst.arrays(np.int32, (12, 15), elements=st.sampled_from([0, 0, 1, 2, 5, 70_000]))


def blocks(*spans, width=40):
    """Label image of blocks 10 px high: a label for each (first column, end column)."""
    labels = np.zeros((10, width), int)
    for number, (start, end) in enumerate(spans, 1):
        labels[:, start:end] = number
    return labels


def test_match_counts_of_known_objects():
    truth = np.zeros((10, 30), int)
    truth[:, 0:10], truth[:, 20:30] = 3, 7
    predicted = np.zeros_like(truth)
    predicted[:, 0:8], predicted[:, 12:16] = 9, 2  # IoU 0.8; in the background
    counts = match_counts(truth, predicted, (0.5, 0.75, 0.8))
    assert counts.tolist() == [[1, 1, 1], [1, 1, 1], [0, 2, 2]]
    assert average_precision(counts).tolist() == [1 / 3, 1 / 3, 0]
    assert average_precision(match_counts(truth * 0, truth * 0)).tolist() == [1] * 6
    assert mean_matched_iou(find_overlaps(truth, predicted)) == pytest.approx(0.8)
    assert np.isnan(mean_matched_iou(find_overlaps(truth, truth * 0)))


@pytest.mark.parametrize(
    "truth, predicted, errors",
    [
        ([(0, 20)], [(0, 20)], (0, 0, 0, 0)),
        ([(0, 20)], [(0, 10), (10, 20)], (1, 0, 0, 0)),
        ([(0, 20)], [(0, 14), (14, 20), (20, 40)], (1, 0, 0, 1)),
        ([(0, 10), (10, 20)], [(0, 20)], (0, 1, 0, 0)),
        ([(0, 10), (12, 22), (24, 34)], [(0, 34)], (0, 1, 0, 0)),
        ([(0, 10), (10, 20)], [(0, 13), (13, 20)], (0, 0, 0, 0)),  # only their border is misplaced
        ([(0, 10), (20, 30)], [(0, 4)], (0, 0, 2, 0)),
        ([(0, 10)], [(6, 30)], (0, 0, 1, 1)),
    ],
    ids=["same", "split", "split and spurious", "merged", "clump", "border", "missed", "beside"],
)
def test_kinds_of_error(truth, predicted, errors):
    found = count_errors(find_overlaps(blocks(*truth), blocks(*predicted)))
    assert tuple(found[kind] for kind in ("Split", "Merged", "Missed", "Spurious")) == errors


@given(LABELS, LABELS)
def test_pairs_are_those_of_a_loop(truth, predicted):
    overlaps = find_overlaps(truth, predicted)
    expected = []
    for label in np.unique(truth[truth > 0]):
        for other in np.unique(predicted[predicted > 0]):
            both = ((truth == label) & (predicted == other)).sum()
            if both:
                expected.append(both / ((truth == label) | (predicted == other)).sum())
    assert sorted(intersections_over_unions(overlaps)) == pytest.approx(sorted(expected))
    assert sum(overlaps.truth_areas) == (truth > 0).sum()


@given(LABELS, LABELS)
def test_exchanging_the_two_exchanges_the_errors(truth, predicted):
    forth, back = (count_errors(find_overlaps(*pair)) for pair in ((truth, predicted), (predicted, truth)))
    assert (forth["Split"], forth["Missed"]) == (back["Merged"], back["Spurious"])
    assert match_counts(truth, predicted)[:, [0, 2, 1]].tolist() == match_counts(predicted, truth).tolist()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="0.5"):
        match_counts(blocks((0, 5)), blocks((0, 5)), (0.4,))
    with pytest.raises(ValueError, match="shape"):
        match_counts(np.zeros((2, 3), int), np.zeros((3, 2), int))
