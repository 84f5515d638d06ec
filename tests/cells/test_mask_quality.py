import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.segmentation_score import fit, grow, merge, predict, shrink, split
from profiling.cells import load_segmenter, measure_cells, segmentation_score
from profiling.cells.matching import average_precision, match_counts
from profiling.cells.quality import FIELD_STATISTICS, collect_evidence, measure_field
from profiling.images import read_image

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))


def nuclei_field(seed=0, shape=(256, 320), count=40, radius=9, noise=4.0):
    """Discs of varied size, brightness and aspect on a background of 100, some of which touch, and their labels."""
    rng = np.random.default_rng(seed)
    labels, light = np.zeros(shape, np.uint32), np.zeros(shape)
    rows, columns = np.indices(shape)
    for label in range(1, count + 1):
        row, column = rng.uniform((0, 0), shape)
        long, short = radius * rng.uniform(0.8, 1.3, 2)
        angle = rng.uniform(0, np.pi)
        along = (rows - row) * np.cos(angle) + (columns - column) * np.sin(angle)
        across = (columns - column) * np.cos(angle) - (rows - row) * np.sin(angle)
        distance = (along / long) ** 2 + (across / short) ** 2
        if (labels[distance <= 1.3] > 0).any() or not (distance <= 1).any():
            continue
        labels[distance <= 1] = label
        light += rng.uniform(200, 400) * np.clip(2 * (1.25 - distance), 0, 1)
    image = 100 + cv2.GaussianBlur(light, (0, 0), 1) + rng.normal(0, noise, shape)
    return image.round().astype(np.uint16), labels


def test_good_masks_score_high_and_every_way_to_spoil_them_lower():
    image, truth = nuclei_field()
    rng = np.random.default_rng(1)
    truth = truth.astype(np.int32)
    good = segmentation_score(image, truth)
    spoilt = {
        "shifted": np.roll(truth, (6, 6), (0, 1)),
        "shrunk": shrink(truth, 4),
        "grown": grow(truth, 6),
        "split": split(truth, 1.0, rng),
        "merged": merge(truth, 6),
        "half lost": np.where(truth % 2, truth, 0),
        "scattered": rng.permutation(truth.ravel()).reshape(truth.shape),
    }
    scores = {name: segmentation_score(image, labels) for name, labels in spoilt.items()}
    assert good > 0.8
    assert max(scores.values()) < good - 0.05, scores
    assert scores["split"] < good - 0.15, scores
    for name in ("shifted", "shrunk", "scattered"):
        assert scores[name] < good - 0.3, scores


def test_fields_without_masks():
    image, truth = nuclei_field()
    none = np.zeros_like(truth)
    noise = np.random.default_rng(0).normal(100, 5, image.shape)
    assert segmentation_score(image, none) == 0
    assert segmentation_score(image.max() - image, none) == 0, "dark nuclei on bright ground"
    dead, dust = noise.copy(), noise.copy()
    dead[:, 70], dead[20, 30], dead[200:202, 100] = 0, 0, 0
    dust[np.hypot(*(np.indices(image.shape) - 90)) < 20] -= 40
    dust[:, -60:] -= 60
    assert segmentation_score(dead, none) == segmentation_score(dust, none) == 1
    for count in (4, 5):
        few = noise.copy()
        for number in range(count):
            few[np.hypot(*(np.indices(image.shape) - np.array([60, 40 + 60 * number])[:, None, None])) < 8] -= 60
        assert segmentation_score(few, none) == (count < 5)
    assert segmentation_score(noise, none) == segmentation_score(noise.round().astype(np.uint16), none) == 1
    assert segmentation_score(np.full(image.shape, 7.0), none) == 1
    assert collect_evidence(image, none) is None


def test_values_of_which_256_bins_of_float32_differ_too_little():
    image = np.full((80, 80), 40000, np.uint16)
    image[30:60, 30:60] += 1
    assert segmentation_score(image, np.zeros(image.shape, np.uint32)) in (0, 1)
    assert load_segmenter("classical").segment(image.astype(np.float32), 1.0).max() <= 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), gain=st.floats(0.1, 50), offset=st.floats(-500, 5000))
def test_the_score_does_not_depend_on_gain_offset_numbering_and_orientation(seed, gain, offset):
    image, labels = nuclei_field(seed, count=25)
    image = image.astype(np.float32)
    expected = segmentation_score(image, labels)
    other = np.where(labels > 0, 5000 - 7 * labels, 0)
    assert segmentation_score(gain * image + offset, other) == pytest.approx(expected, abs=0.02)
    assert segmentation_score(image[::-1, ::-1], labels[::-1, ::-1]) == pytest.approx(expected, abs=0.05)


def test_the_score_hardly_depends_on_magnification():
    image, labels = nuclei_field(noise=8)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    masks = cv2.resize(labels.astype(np.float32), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST).astype(np.uint32)
    assert segmentation_score(large, masks) == pytest.approx(segmentation_score(image, labels), abs=0.1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]))
def test_any_image_and_masks_give_a_score(seed, dtype):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 60, 2)
    image = rng.integers(0, rng.integers(1, 200), shape).astype(dtype)
    labels = rng.integers(0, rng.integers(1, 400), shape).astype(np.uint32) * (rng.uniform(size=shape) < rng.uniform())
    score = segmentation_score(image, labels)
    assert 0 <= score <= 1
    if labels.any():
        assert min(collect_evidence(image, labels)) >= 0


def test_statistics_of_a_known_field():
    nuclei = np.zeros((20, 40), np.uint32)
    for label, (rows, columns) in enumerate([(4, 5), (2, 5), (6, 5), (8, 5), (10, 5)], start=1):
        nuclei[:rows, 6 * label : 6 * label + columns] = label
    nuclei[:, :] = np.roll(nuclei, 3, axis=0)
    nuclei[0, 0:10] = 6
    cells = measure_cells(nuclei, nuclei, {})
    found = measure_field(np.where(nuclei > 0, 200, 100), nuclei, cells)
    assert list(found) == list(FIELD_STATISTICS)
    areas = [10, 10, 20, 30, 40, 50]
    for name, share in (("Q05", 0.05), ("Q25", 0.25), ("Median", 0.5), ("Q75", 0.75), ("Q95", 0.95)):
        assert found[f"NucleusArea{name}"] == pytest.approx(np.quantile(areas, share))
    assert found["BorderShare"] == pytest.approx(1 / 6)
    assert found["NucleusCoverage"] == pytest.approx(160 / 800)
    assert found["SegmentationScore"] == pytest.approx(segmentation_score(np.where(nuclei > 0, 200, 100), nuclei))


def test_statistics_of_a_field_without_nuclei():
    nuclei = np.zeros((30, 30), np.uint32)
    found = pd.Series(measure_field(np.ones((30, 30), np.uint16), nuclei, measure_cells(nuclei, nuclei, {})))
    assert found.drop(["NucleusCoverage", "SegmentationScore"]).isna().all()
    assert (found["NucleusCoverage"], found["SegmentationScore"]) == (0, 1)


def test_masks_of_real_fields_are_ranked_by_their_score():
    paths = sorted((DATA / "dsb2018/train/images").glob("*"))[5::60]
    if not paths:
        pytest.skip("dsb2018 is not there")
    rng, precision, score = np.random.default_rng(0), [], []
    for path in paths:
        image, truth = read_image(path), read_image(path.parents[1] / "labels" / path.name).astype(np.int32)
        diameter = np.sqrt(4 / np.pi * np.median(np.bincount(truth.ravel())[1:]))
        for labels in (
            truth,
            split(truth, 1, rng),
            np.roll(truth, round(0.6 * diameter), 0),
            load_segmenter("classical", nucleus_diameter=diameter).segment(image),
            load_segmenter("classical", nucleus_diameter=diameter, threshold_correction=2.5).segment(image),
        ):
            precision.append(float(average_precision(match_counts(truth, labels, (0.5,)))[0]))
            score.append(segmentation_score(image, labels))
    precision, score = np.array(precision), np.array(score)
    assert pd.Series(score).corr(pd.Series(precision), method="spearman") > 0.6
    above = score[precision >= 0.5][:, None] > score[precision < 0.5]
    assert above.mean() > 0.85


def test_calibration_recovers_known_weights_and_none_raises_the_score():
    rng = np.random.default_rng(0)
    evidence = rng.uniform(0, 1, (4000, 3))
    precision = predict(evidence, 2.0, np.array([-3.0, -1.0, 0.0]))
    intercept, weights = fit(evidence, precision, np.ones(len(evidence)))
    assert intercept == pytest.approx(2, abs=0.1)
    assert weights == pytest.approx([-3, -1, 0], abs=0.1)
    _, weights = fit(evidence, predict(evidence, 0.0, np.array([-2.0, 1.0, 0.0])), np.ones(len(evidence)))
    assert weights.max() <= 0
