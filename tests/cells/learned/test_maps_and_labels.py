"""From label images to maps and back, and what the network's maps depend on."""

import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from profiling.cells.learned import decode as decode_module
from profiling.cells.learned import maps as maps_module
from profiling.cells.learned.decode import decode
from profiling.cells.learned.forward import with_flips
from profiling.cells.learned.maps import predict_maps
from profiling.cells.learned.normalise import normalise
from profiling.cells.learned.targets import OFFSET_UNIT, RIM, SMALL_RADIUS, gap_closeness, targets
from profiling.cells.learned.tiles import cut_side
from profiling.cells.learned.train import losses_of
from profiling.cells.matching import match_counts


def crowded_labels(seed, shape=(180, 220), count=60):
    """Ellipses that touch and cover one another."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for number in range(1, count + 1):
        centre = rng.integers(0, shape[1]), rng.integers(0, shape[0])
        axes = rng.integers(5, 12), rng.integers(5, 12)
        cv2.ellipse(
            labels, tuple(map(int, centre)), tuple(map(int, axes)), float(rng.uniform(0, 180)), 0, 360, number, -1
        )
    return labels


def said_of(labels):
    """What a perfect network says of a label image."""
    maps = targets(labels, np.zeros(labels.shape, bool))[0]
    return maps[0], np.rint(OFFSET_UNIT * maps[2:]).astype(np.int16)


def test_targets_of_a_known_nucleus():
    labels = np.zeros((20, 30), np.uint16)
    labels[4:11, 10:21] = 7
    maps, weight, radius = targets(labels, np.zeros(labels.shape, bool))
    assert (maps[0] == (labels > 0)).all()
    assert maps[1][7, 15] == 1 and maps[1][4, 15] == pytest.approx(1 / 4)
    assert maps[2:, 4, 10] * OFFSET_UNIT == pytest.approx([3, 5])
    assert maps[2:, 10, 20] * OFFSET_UNIT == pytest.approx([-3, -5])
    assert radius[7, 15] == pytest.approx(np.sqrt(77 / np.pi)) and radius[0, 0] == 0
    boost = SMALL_RADIUS / radius[7, 15]
    assert weight[labels > 0] == pytest.approx(boost) and weight[4 - RIM, 15] == pytest.approx(boost)
    assert (weight[: 4 - RIM] == 1).all(), "one nucleus alone leaves no gap"


def test_what_cannot_be_judged_weighs_nothing():
    labels = np.zeros((20, 30), np.uint16)
    labels[4:11, 10:21] = 7
    unjudged = np.zeros(labels.shape, bool)
    unjudged[15:18, 2:5] = True
    outputs = torch.zeros(1, 4, *labels.shape)
    maps, weight, radius = (torch.from_numpy(part)[None] for part in targets(labels, unjudged))
    before = losses_of(outputs, maps, weight, radius)
    outputs[0, :, 15:18, 2:5] = 9
    assert torch.equal(losses_of(outputs, maps, weight, radius), before)


def test_gap_between_two_nuclei_weighs_most():
    labels = np.zeros((20, 41), np.uint32)
    labels[5:15, 5:20], labels[5:15, 21:36] = 1, 2
    closeness = gap_closeness(labels)
    assert closeness[5:15, 20].min() > 0.9
    assert closeness[10, 0] < 0.1
    assert not gap_closeness(np.zeros((5, 5), np.uint32)).any()
    assert not gap_closeness(np.ones((5, 5), np.uint32)).any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.0, 0.5, 2.0])
def test_true_maps_give_back_the_labels(seed, factor):
    labels = crowded_labels(seed)
    big = cv2.resize(labels, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_NEAREST)
    found = decode(*said_of(labels), big.shape)
    tp, fp, fn = match_counts(big, found, (0.5,))[0]
    # The centre of a nucleus of which only a crescent shows lies on the nucleus that covers it.
    assert tp / (tp + fp + fn) > 0.9
    assert found.dtype == np.uint32 and found.shape == big.shape


def test_nothing_in_the_maps_is_no_nucleus():
    assert not decode(np.zeros((32, 32), np.float32), np.zeros((2, 32, 32), np.int16), (32, 32)).any()


def test_a_nucleus_that_is_hardly_believed_in_is_none():
    labels = np.zeros((40, 60), np.uint32)
    labels[5:20, 5:20], labels[5:20, 40:55] = 1, 2
    probability, offsets = said_of(labels)
    probability[labels == 2] = 0.7  # all of it is foreground
    for shape in ((40, 60), (80, 120)):
        found = decode(probability, offsets, shape)
        assert len(np.unique(found)) == 2
        assert found[:, : shape[1] // 2].any() and not found[:, shape[1] // 2 :].any()


@given(st.integers(1, 9000), st.sampled_from([(1472, 192, 16), (1536, 128, 1), (96, 16, 16), (97, 40, 1)]))
def test_tiles_cover_a_side_and_begin_on_the_grid(side, tiling):
    largest, margin, grid = tiling
    parts = cut_side(side, *tiling)
    assert [0, *(end for _, end in parts)] == [*(start for start, _ in parts), side]
    tiles = [(max(0, start - margin), min(side, end + margin)) for start, end in parts]
    assert all(start % grid == 0 and start < end <= start + largest for start, end in tiles)


def test_tiles_join_without_seams(monkeypatch):
    """With a stand-in for the network that looks as far as its margin allows."""
    rng = np.random.default_rng(0)
    field = rng.random((150, 210), np.float32)

    def forward(inputs):
        part = cv2.blur(inputs[0, 0], (31, 31), borderType=cv2.BORDER_CONSTANT)
        return np.stack([part] * 4)[None]

    whole = predict_maps(field, forward)
    monkeypatch.setattr(maps_module, "MARGIN", 16)
    monkeypatch.setattr(maps_module, "LARGEST_TILE", 96)
    tiled = predict_maps(field, forward)
    np.testing.assert_allclose(tiled[0], whole[0], atol=1e-6)
    assert np.array_equal(tiled[1], whole[1])


@pytest.mark.parametrize("seed", range(3))
def test_nuclei_where_tiles_meet_are_whole(seed, monkeypatch):
    probability, offsets = said_of(crowded_labels(seed, (300, 420), 200))
    whole = decode(probability, offsets, (300, 420))
    monkeypatch.setattr(decode_module, "LONGEST_VOTE", 24)
    monkeypatch.setattr(decode_module, "LARGEST_TILE", 96)
    monkeypatch.setattr(decode_module, "STRIPE", 50)
    assert np.array_equal(decode(probability, offsets, (300, 420)), whole)


def test_an_enlarged_field_takes_little_memory(monkeypatch):
    """A field of nuclei of 8 px is enlarged eightfold: what is kept of each pixel decides what a job needs."""
    for module in (maps_module, decode_module):
        monkeypatch.setattr(module, "LARGEST_TILE", 640)
    labels = crowded_labels(0, (500, 500), 500)
    scale = 4

    def forward(inputs):
        part = inputs[0, 0]
        return np.stack([20 * part - 10, part, np.zeros_like(part), np.zeros_like(part)])[None]

    tracemalloc.start()
    assert decode(*predict_maps((labels > 0).astype(np.float32), forward, scale), labels.shape).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / (scale**2 * labels.size) < 32, "bytes a pixel of the enlarged field"


def test_flips_turn_the_offsets_back():
    """A network that points at a fixed place of what it sees must, turned back, point there from all four sides."""

    def forward(inputs):
        y, x = np.mgrid[: inputs.shape[2], : inputs.shape[3]].astype(np.float32)
        peak = np.unravel_index(inputs[0, 0].argmax(), inputs.shape[2:])
        return np.stack([inputs[0, 0], inputs[0, 1], peak[0] - y, peak[1] - x])[None]

    inputs = np.random.default_rng(1).random((1, 2, 32, 48), np.float32)
    np.testing.assert_allclose(with_flips(forward)(inputs), forward(inputs), atol=1e-5)


def test_normalised_values_do_not_depend_on_gain_and_offset():
    image = np.random.default_rng(0).gamma(2, 50, (100, 120))
    np.testing.assert_allclose(normalise(image), normalise(7 * image + 300), atol=1e-3)


def test_an_empty_field_stays_flat():
    noise = np.random.default_rng(0).normal(100, 5, (200, 200))
    assert np.abs(normalise(noise) - np.median(normalise(noise))).max() < 0.5
    assert np.isfinite(normalise(np.full((50, 50), 3))).all()
    assert normalise(np.zeros((1, 1), np.uint8)).shape == (1, 1)
