import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.cells import load_segmenter, segmentation_score
from profiling.cells.classical import estimate_diameter, fill_label_holes
from profiling.cells.matching import match_counts


def classical(nucleus_diameter=24.0, **settings):
    return load_segmenter("classical", nucleus_diameter=nucleus_diameter, **settings)


def draw_discs(centres, radius=12, shape=(200, 240), height=800.0, background=200.0, noise=10.0, seed=0):
    """Blurred discs on noisy background, and their labels."""
    labels = np.zeros(shape, np.uint8)
    for number, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, radius, number, -1)
    image = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.0) * height + background
    image += np.random.default_rng(seed).normal(0, noise, shape)
    return image.astype(np.float32), labels


CENTRES = [(40, 40), (120, 50), (142, 50), (60, 140), (200, 150), (180, 166)]


@pytest.mark.parametrize("diameter", [24.0, None])
@pytest.mark.parametrize("threshold", ["adaptive", "otsu"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_finds_and_splits_discs(diameter, threshold, dtype):
    image, truth = draw_discs(CENTRES)
    image = (image / 5 if dtype == "uint8" else image).astype(dtype)
    found = classical(nucleus_diameter=diameter, threshold=threshold).segment(image)
    assert found.dtype == np.uint32
    assert match_counts(truth, found, (0.5, 0.8)).tolist() == [[len(CENTRES), 0, 0]] * 2


@pytest.mark.parametrize("diameter", [24.0, None])
@pytest.mark.parametrize("threshold", ["adaptive", "otsu"])
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((100, 120), np.uint8),
        np.full((100, 120), 0.1, np.float32),
        np.random.default_rng(0).normal(100, 5, (500, 500)).astype(np.float32),
        np.random.default_rng(1).poisson(3, (500, 500)).astype(np.uint16),
        np.random.default_rng(2).poisson(0.05, (500, 500)).astype(np.uint8),
        np.linspace(100, 300, 500) + np.random.default_rng(3).normal(0, 10, (500, 500)),
        np.zeros((1, 1), np.float32),
    ],
    ids=["zero", "constant", "gaussian", "poisson", "sparse", "gradient", "one pixel"],
)
def test_empty_field_has_no_nuclei(image, diameter, threshold):
    assert not classical(nucleus_diameter=diameter, threshold=threshold).segment(image).any()


@pytest.mark.parametrize("settings", [{}, {"threshold": "otsu"}, {"nucleus_diameter": None}], ids=str)
@pytest.mark.parametrize("shape", [(520, 696), (130, 131)])
def test_a_float_field_of_one_value_has_no_nuclei_in_the_rounding_of_its_arithmetic(shape, settings):
    for value in (-100, 0.1, 123.4, 255, 900, 4095, 65435):
        for flat in (1, 1 / 3):
            image = np.full(shape, value, np.float32) / np.float32(flat)
            found = classical(**settings).segment(image, 0.0)
            assert not found.any() and segmentation_score(image, found, step=0.0) == 1


@pytest.mark.parametrize(
    ("radius", "shape", "spacing"),
    [(5, (1600, 1600), 20), (5, (700, 800), 14), (12, (300, 300), 40), (30, (700, 800), 90)],
)
def test_diameters_are_estimated_in_large_and_small_fields(radius, shape, spacing):
    rng = np.random.default_rng(0)
    grid = np.mgrid[spacing : shape[1] - spacing : spacing, spacing : shape[0] - spacing : spacing].reshape(2, -1).T
    centres = grid + rng.integers(-spacing // 5, spacing // 5 + 1, grid.shape)
    labels = np.zeros(shape, np.float32)
    for x, y in centres.tolist():
        cv2.circle(labels, (x, y), radius, 1.0, -1)
    image = 200 + 800 * cv2.GaussianBlur(labels, (0, 0), 1.0) + rng.normal(0, 10, shape)
    diameter, sure = estimate_diameter(image.astype(np.float32))
    assert sure and diameter == pytest.approx(2 * radius + 1, rel=0.15)


def test_dim_nucleus_beside_bright_one_is_kept():
    bright, _ = draw_discs([(60, 60)], height=3000)
    dim, _ = draw_discs([(150, 120)], height=300, background=0, noise=0)
    assert classical().segment(bright + dim).max() == 2


def test_the_halo_of_a_bright_nucleus_is_none_of_it():
    halo, _ = draw_discs([(100, 120)], radius=22, height=600)
    bright, truth = draw_discs([(100, 120)], height=4000, background=0, noise=0)
    dim, _ = draw_discs([(40, 40)], height=600, background=0, noise=0)
    found = classical().segment(halo + bright + dim)
    assert found.max() == 2 and (found == found[120, 100]).sum() == pytest.approx((truth > 0).sum(), rel=0.25)


def test_small_holes_are_filled_and_large_ones_are_not():
    labels = np.zeros((80, 160), np.uint32)
    labels[10:70, 10:70], labels[10:70, 90:150] = 1, 2
    labels[36:44, 36:44], labels[20:60, 100:140] = 0, 0
    filled = fill_label_holes(labels, 100)
    assert (filled[36:44, 36:44] == 1).all() and (filled[20:60, 100:140] == 0).all()


def test_labels_follow_first_pixels_and_repeat():
    image, _ = draw_discs(CENTRES)
    segment = classical(nucleus_diameter=None).segment
    labels = segment(image)
    present, first = np.unique(labels, return_index=True)
    assert present.tolist() == list(range(labels.max() + 1))
    assert (np.diff(first[1:]) > 0).all()
    assert np.array_equal(labels, segment(image.copy()))


@settings(max_examples=15, deadline=None)
@given(
    gain=st.floats(0.01, 50),
    offset=st.floats(-500, 5000),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_gain_offset_and_mirror_do_not_change_the_nuclei(gain, offset, flip, seed):
    image, truth = draw_discs(CENTRES, seed=seed)
    image = image * np.float32(gain) + np.float32(offset)
    if flip:
        image, truth = image[:, ::-1], truth[:, ::-1]
    found = classical().segment(image)
    assert match_counts(truth, found, (0.8,)).tolist() == [[len(CENTRES), 0, 0]]


def test_size_limits():
    image, _ = draw_discs([(40, 40), (120, 100)], radius=12)
    image += draw_discs([(190, 50)], radius=5, background=0, noise=0)[0]
    assert classical().segment(image).max() == 3
    assert classical(min_area=200).segment(image).max() == 2
    assert classical(max_area=200).segment(image).max() == 1


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="classical"):
        load_segmenter("stardist")
    with pytest.raises(ValueError, match="adaptive"):
        classical(threshold="li")
    with pytest.raises(ValueError, match="nucleus_diameter"):
        classical(nucleus_diameter=-1)
    with pytest.raises(ValueError, match="NaN"):
        classical().segment(np.full((9, 9), np.nan))
