import os
from pathlib import Path

import cc3d
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import expand_labels

from benchmarks.segmentation import average_precision, evaluate, list_pairs, match_counts
from profiling.cells import load_segmenter
from profiling.cells.cytoplasm import expand_ring

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))


def draw_discs(centres, radius=12, shape=(200, 240), height=800.0, background=200.0, noise=10.0, seed=0):
    """Blurred discs on noisy background, and their labels."""
    labels = np.zeros(shape, np.uint8)
    for number, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, radius, number, -1)
    image = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.0) * height + background
    image += np.random.default_rng(seed).normal(0, noise, shape)
    return image.astype(np.float32), labels


def connected_once(labels):
    return cc3d.connected_components(labels, connectivity=4).max() == labels.max()


CENTRES = [(40, 40), (120, 50), (142, 50), (60, 140), (200, 150), (180, 166)]


@pytest.mark.parametrize("diameter", [24.0, None])
@pytest.mark.parametrize("threshold", ["adaptive", "otsu"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_finds_and_splits_discs(diameter, threshold, dtype):
    image, truth = draw_discs(CENTRES)
    image = (image / 5 if dtype == "uint8" else image).astype(dtype)
    found = load_segmenter(nucleus_diameter=diameter, threshold=threshold).segment(image)
    assert found.dtype == np.uint32
    assert match_counts(truth, found, (0.5, 0.8)).tolist() == [[len(CENTRES), 0, 0]] * 2


@pytest.mark.parametrize("diameter", [24.0, None])
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
def test_empty_field_has_no_nuclei(image, diameter):
    assert not load_segmenter(nucleus_diameter=diameter).segment(image).any()


def test_dim_nucleus_beside_bright_one_is_kept():
    bright, _ = draw_discs([(60, 60)], height=3000)
    dim, _ = draw_discs([(150, 120)], height=300, background=0, noise=0)
    assert load_segmenter().segment(bright + dim).max() == 2


def test_labels_follow_first_pixels_and_repeat():
    image, _ = draw_discs(CENTRES)
    segment = load_segmenter(nucleus_diameter=None).segment
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
    found = load_segmenter().segment(image)
    assert match_counts(truth, found, (0.8,)).tolist() == [[len(CENTRES), 0, 0]]


def test_size_limits():
    image, _ = draw_discs([(40, 40), (120, 100)], radius=12)
    image += draw_discs([(190, 50)], radius=5, background=0, noise=0)[0]
    assert load_segmenter().segment(image).max() == 3
    assert load_segmenter(min_area=200).segment(image).max() == 2
    assert load_segmenter(max_area=200).segment(image).max() == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dim=st.sampled_from([0.0, 1.0, 30.0]))
def test_cells_contain_their_nuclei_and_are_connected(seed, dim):
    rng = np.random.default_rng(seed)
    nuclei = np.zeros((90, 110), np.uint32)
    for label, (x, y) in enumerate(rng.integers(0, (110, 90), (6, 2)), 1):
        disc = np.zeros(nuclei.shape, np.uint8)
        cv2.circle(disc, (int(x), int(y)), 7, 1, -1)
        if not nuclei[disc > 0].any():
            nuclei[disc > 0] = label
    image = cv2.GaussianBlur(rng.normal(0, 1, nuclei.shape), (0, 0), 4) * dim + 10
    segmenter = load_segmenter()
    for cells in (segmenter.segment_cells(nuclei), segmenter.segment_cells(nuclei, image)):
        assert cells.dtype == np.uint32
        assert np.array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
        assert np.array_equal(np.unique(cells), np.unique(nuclei))
        parts = cc3d.connected_components(cells, connectivity=4)
        assert parts.max() == len(np.unique(nuclei)) - 1


def test_cells_meet_in_the_dark_valley():
    nuclei = np.zeros((80, 160), np.uint32)
    nuclei[30:50, 30:50], nuclei[30:50, 100:120] = 1, 2
    image = np.full(nuclei.shape, 100.0)
    image[10:70, 10:150] = 1000
    image[10:70, 58:62] = 400  # the valley is nearer to the first nucleus than half way (75)
    cells = load_segmenter().segment_cells(nuclei, image)
    assert (cells[40, 52:56] == 1).all()
    assert (cells[40, 64:148] == 2).all()
    assert not cells[:5].any()


def test_ring_is_the_expansion_to_the_nearest_nucleus():
    image, _ = draw_discs(CENTRES)
    nuclei = load_segmenter().segment(image)
    ours, reference = expand_ring(nuclei, 8), expand_labels(nuclei, 8)
    assert np.array_equal(ours > 0, reference > 0)
    assert (ours != reference).mean() < 0.002
    wide = load_segmenter(cells="ring", ring=8).segment_cells(nuclei, image)
    assert np.array_equal(wide, ours)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="classical"):
        load_segmenter("stardist")
    with pytest.raises(ValueError, match="adaptive"):
        load_segmenter(threshold="li")
    with pytest.raises(ValueError, match="nucleus_diameter"):
        load_segmenter(nucleus_diameter=-1)
    with pytest.raises(ValueError, match="NaN"):
        load_segmenter().segment(np.full((9, 9), np.nan))


def test_match_counts_of_known_objects():
    truth = np.zeros((10, 30), int)
    truth[:, 0:10], truth[:, 20:30] = 3, 7
    predicted = np.zeros_like(truth)
    predicted[:, 0:8], predicted[:, 12:16] = 9, 2  # IoU 0.8; in the background
    counts = match_counts(truth, predicted, (0.5, 0.75, 0.8))
    assert counts.tolist() == [[1, 1, 1], [1, 1, 1], [0, 2, 2]]
    assert average_precision(counts).tolist() == [1 / 3, 1 / 3, 0]
    assert average_precision(match_counts(truth * 0, truth * 0)).tolist() == [1] * 6


@pytest.mark.skipif(not (DATA / "dsb2018").exists(), reason=f"no public data in {DATA}")
def test_quality_on_public_nuclei():
    pairs = list_pairs(DATA / "dsb2018" / "train")[::12]
    counts, _ = evaluate(pairs, load_segmenter(nucleus_diameter=None))
    precision = average_precision(counts).mean(0)
    assert precision[0] > 0.76
    assert precision[3] > 0.60


@pytest.mark.skipif(not (DATA / "bbbc013").exists(), reason=f"no public data in {DATA}")
def test_real_cells():
    dna = sorted((DATA / "bbbc013" / "images").glob("Channel2-*.tif"))[20]
    gfp = next(dna.parent.glob(dna.name.replace("Channel2", "Channel1")))
    segmenter = load_segmenter(nucleus_diameter=None)
    nuclei = segmenter.segment(cv2.imread(str(dna), cv2.IMREAD_UNCHANGED))
    cells = segmenter.segment_cells(nuclei, cv2.imread(str(gfp), cv2.IMREAD_UNCHANGED))
    assert 150 < nuclei.max() < 210
    assert connected_once(nuclei) and connected_once(cells)
    assert 2 < (cells > 0).sum() / (nuclei > 0).sum() < 8
