import cv2
import numpy as np
import pytest

from benchmarks.cellprofiler_primary import identify_primary_objects
from profiling.cells.matching import match_counts

pytest.importorskip("centrosome")


@pytest.mark.parametrize("limits", [(10, 40), (16, 40)], ids=["full resolution", "reduced"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_finds_and_splits_discs(limits, dtype):
    labels = np.zeros((160, 200), np.uint8)
    for number, centre in enumerate([(40, 40), (120, 50), (142, 50), (0, 100)], 1):
        cv2.circle(labels, centre, 12, number, -1)
    image = np.zeros(labels.shape, np.float32)
    for number in range(1, 5):  # touching discs have a maximum each
        image += cv2.GaussianBlur((labels == number).astype(np.float32), (0, 0), 3)
    image = (20 + 150 * image + np.random.default_rng(0).normal(0, 1, image.shape)).astype(dtype)
    found = identify_primary_objects(image, *limits)
    assert match_counts(labels, found, (0.5,)).tolist() == [[4, 0, 0]]


def test_objects_out_of_the_range_are_dropped():
    labels = np.zeros((120, 120), np.uint8)
    cv2.circle(labels, (30, 30), 4, 1, -1)
    cv2.circle(labels, (80, 80), 12, 2, -1)
    image = (20 + 150 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1)).astype(np.uint8)
    assert identify_primary_objects(image, 5, 40).max() == 2
    assert identify_primary_objects(image, 15, 40).max() == 1
    assert identify_primary_objects(image, 5, 20).max() == 1
