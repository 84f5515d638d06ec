"""The engine with the weights that come with the installation."""

import os
import re
from pathlib import Path

import cc3d
import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from profiling.cells import load_segmenter
from profiling.cells.learned import engine, forward, maps
from profiling.cells.learned.samples import list_fields
from profiling.cells.learned.train import held_out
from profiling.cells.learned.validation import validate
from profiling.cells.learned.weights import SHIPPED, read_weights, weights_hash
from profiling.cells.matching import match_counts
from profiling.devices import cpu_has_bf16

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
TOLERANCE = 0.005  # of the average precision: rounding differs between processors, and moves single pixels


@pytest.fixture(scope="module")
def segment():
    return load_segmenter().segment


def draw_nuclei(seed=0, shape=(300, 340), radius=11, count=30, scale=1.0):
    """Blurred ellipses apart from one another, on noise, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    for _ in range(2000):
        if labels.max() == count:
            break
        x, y = (int(rng.integers(radius, side - radius)) for side in shape[::-1])
        axes = tuple(int(a) for a in (radius * rng.uniform(0.8, 1.2, 2)).round())
        room = cv2.circle(np.zeros(shape, np.uint8), (x, y), int(1.2 * radius) + 3, 1, -1)
        if not labels[room > 0].any():
            cv2.ellipse(labels, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, int(labels.max()) + 1, -1)
    image = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1.2) * 900 + 150
    image = rng.poisson(image).astype(np.uint16)
    size = round(shape[1] * scale), round(shape[0] * scale)
    return (
        cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR),
        cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST),
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_finds_nuclei_at_any_magnification(segment, scale):
    image, truth = draw_nuclei(scale=scale)
    found = segment(image)
    tp, fp, fn = match_counts(truth, found, (0.7,))[0]
    assert tp >= 0.9 * truth.max() and fp <= 0.1 * truth.max()
    assert found.dtype == np.uint32 and found.shape == image.shape
    assert sorted(np.unique(found)) == list(range(found.max() + 1))
    assert cc3d.connected_components(found, connectivity=4).max() == found.max()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((100, 120), np.uint8),
        np.full((100, 120), 0.1, np.float32),
        np.random.default_rng(0).normal(100, 5, (300, 300)).astype(np.float32),
        np.random.default_rng(1).poisson(3, (300, 300)).astype(np.uint16),
        np.linspace(100, 300, 300) + np.random.default_rng(3).normal(0, 10, (300, 300)),
        np.zeros((1, 1), np.float32),
    ],
    ids=["zero", "constant", "gaussian", "poisson", "gradient", "one pixel"],
)
def test_finds_nothing_where_nothing_is(segment, image):
    assert not segment(image).any()


@pytest.mark.parametrize("floor", [0, 120], ids=["noise", "none"])
def test_outlines_do_not_depend_on_how_empty_the_field_is(segment, floor):
    """As after a toxic treatment: nuclei on less of the field than the percentiles of its normalisation leave out."""
    image, _ = draw_nuclei(8, count=5)
    image = np.maximum(image, 130) - 130
    wide = np.random.default_rng(8).poisson(20, (1400, 1500)).astype(np.uint16)
    wide[500:800, 600:940] = image
    crowded, sparse = (np.maximum(field, floor) for field in (image, wide))
    found = segment(sparse)
    assert found.max() == segment(crowded).max() == 5
    assert (found > 0).sum() == pytest.approx((segment(crowded) > 0).sum(), rel=0.05)


def test_does_not_depend_on_gain_offset_or_byte_order(segment):
    image, _ = draw_nuclei(1)
    found = segment(image)
    assert np.array_equal(found, segment(image.astype(">u2")))
    assert (found > 0).sum() == pytest.approx((segment(image.astype(np.float32) * 3 + 500) > 0).sum(), rel=0.01)


def test_tiles_of_a_large_field_join_without_seams(segment, monkeypatch):
    """The real network depends on no more than `maps.MARGIN`: a seam would cut nuclei where tiles meet."""
    image, _ = draw_nuclei(2, shape=(700, 800), count=120)
    whole = segment(image)
    monkeypatch.setattr(maps, "LARGEST_TILE", 2 * maps.MARGIN + 160)
    assert (segment(image) != whole).mean() < 1e-4


def test_threads_do_not_change_the_masks(monkeypatch):
    image, _ = draw_nuclei(3)
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(load_segmenter().segment(image))
    assert np.array_equal(*results)


def test_size_limits_and_flips():
    image, truth = draw_nuclei(4)
    area = np.median(np.bincount(truth.ravel())[1:])
    assert not load_segmenter(nucleus_diameter=22, max_area=area / 4).segment(image).any()
    small = draw_nuclei(5, radius=6, count=15)[0]
    both = np.vstack([image, np.pad(small, ((0, 0), (0, image.shape[1] - small.shape[1])), mode="edge")])
    areas = np.bincount(load_segmenter(nucleus_diameter=22, min_area=area / 2).segment(both).ravel())[1:]
    assert areas.min() >= area / 2 and len(areas) >= 0.9 * truth.max()
    assert load_segmenter(nucleus_diameter=22).segment(both).max() > len(areas) + 10
    found = load_segmenter(flips=True).segment(image)
    assert match_counts(truth, found, (0.7,))[0][0] >= 0.9 * truth.max()


def test_a_wrong_estimate_is_put_right_by_what_is_found(segment, monkeypatch):
    image, truth = draw_nuclei(7, scale=2)
    monkeypatch.setattr(engine, "estimate_diameter", lambda *_: (150.0, True))
    tp, fp, fn = match_counts(truth, segment(image), (0.7,))[0]
    assert tp >= 0.9 * truth.max() and fp + fn <= 0.2 * truth.max()


def test_what_does_not_stand_out_of_the_noise_is_no_nucleus():
    labels = np.zeros((80, 80), np.uint32)
    labels[10:30, 10:30], labels[50:70, 50:70] = 1, 2
    image = np.random.default_rng(0).normal(0.5 * (labels == 1), 0.1).astype(np.float32)
    assert np.unique(engine.drop_faint(labels, image)).tolist() == [0, 1]


def test_an_estimate_that_is_not_sure_is_not_followed(segment, monkeypatch):
    """Clumps and haze look like huge nuclei; at their scale the network would see none of those within."""
    image, truth = draw_nuclei(7)
    monkeypatch.setattr(engine, "estimate_diameter", lambda *_: (300.0, False))
    tp, fp, fn = match_counts(truth, segment(image), (0.6,))[0]
    assert tp >= 0.9 * truth.max() and fp + fn <= 0.2 * truth.max()


def test_lower_precision_changes_the_odd_nucleus_at_most(segment, monkeypatch, caplog):
    image, _ = draw_nuclei(6)
    exact, lower = segment(image), load_segmenter(precision="bf16").segment(image)
    assert (exact != lower).any() == cpu_has_bf16()
    tp, fp, fn = match_counts(exact, lower, (0.8,))[0]
    assert tp >= 0.95 * exact.max() and fp + fn <= 0.1 * exact.max()
    monkeypatch.setattr(forward, "cpu_has_bf16", lambda: False)
    with caplog.at_level("WARNING", logger="profiling"):
        assert np.array_equal(load_segmenter(precision="bf16").segment(image), exact)
    assert "fp32" in caplog.text
    with pytest.raises(ValueError, match="precision is 'int8'"):
        load_segmenter(precision="int8")
    with pytest.raises(ValueError, match="setting of the CPU"):
        load_segmenter(precision="bf16", device="cuda")


def test_settings_of_another_engine_are_refused():
    with pytest.raises(ValueError, match="'nuclei' has no setting 'threshold'.*weights"):
        load_segmenter("nuclei", threshold="otsu")


def test_model_card_is_of_these_weights():
    card = SHIPPED.with_suffix(".md").read_text()
    assert weights_hash() in card
    assert SHIPPED.stat().st_size < 6e6


@pytest.mark.skipif(not (DATA / "dsb2018").exists(), reason=f"no public data in {DATA}")
def test_metrics_of_the_model_card():
    """On every third of the fields of the groups that training never saw."""
    card = SHIPPED.with_suffix(".md").read_text()
    stated = {name: float(value) for name, value in re.findall(r"\| (AP50|AP75), every third \| ([\d.]+) \|", card)}
    fields = list_fields(DATA / "dsb2018" / "train")
    fields = fields[held_out(fields["group"], 5)].iloc[::3]
    metrics = validate(read_weights(), fields)
    assert {name: pytest.approx(metrics[name], abs=TOLERANCE) for name in stated} == stated
    assert len(stated) == 2


def test_no_fields_have_no_metrics():
    assert validate(read_weights(), pd.DataFrame({"image": [], "labels": []})) == {}


def test_validation_takes_the_parts_of_a_label_for_nuclei_where_it_is_told_so(tmp_path):
    image, truth = draw_nuclei()
    tifffile.imwrite(tmp_path / "image.tif", image)
    tifffile.imwrite(tmp_path / "labels.tif", (truth + 4) // 5)  # five nuclei each have one number
    row = {"image": [tmp_path / "image.tif"], "labels": [tmp_path / "labels.tif"]}
    whole, parts = (validate(read_weights(), pd.DataFrame({**row, "components": [each]})) for each in (False, True))
    assert parts["AP50"] > 0.9 > 0.1 > whole["AP50"]


def test_a_sliver_at_the_border_is_a_nucleus_and_a_speck_is_none():
    labels = np.zeros((40, 40), np.uint32)
    labels[:2, 10:20], labels[20:22, 10:20], labels[30:, 30:] = 1, 2, 3
    assert np.unique(engine.drop_small(labels, 50, 10)).tolist() == [0, 1, 3]
    assert np.unique(engine.drop_small(labels, 50, 50)).tolist() == [0, 3]
