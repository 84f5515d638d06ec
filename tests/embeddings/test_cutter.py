import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiling.embeddings.crops import resize_matrix
from profiling.embeddings.cutter import Cutter
from profiling.embeddings.fields import FieldCells, Scaling

HEIGHT, WIDTH, CHANNELS = 40, 56, 2


def scaling(rng, even=False):
    shape = (1, 1) if even else (HEIGHT, WIDTH)
    flats = [1 + rng.random(shape, dtype=np.float32) for _ in range(CHANNELS)]
    values = [[3.0, 10.0], [2.0, 0.0], [150.0, 90.0]]
    return Scaling(flats, *np.array(values, np.float32))


def field(rng, kind, count, masked):
    planes = rng.integers(0, 250, (CHANNELS, HEIGHT, WIDTH)).astype(kind)
    centres = rng.uniform(0, [HEIGHT - 1, WIDTH - 1], (count, 2))
    labels = rng.integers(0, count + 1, (HEIGHT, WIDTH)).astype(np.uint32) if masked else None
    return FieldCells(planes, centres, np.arange(1, count + 1), labels, np.array([], int))


def step_by_step(given, scaling, crop, size):
    """The same, one cell and channel at a time, in float64 and on whole fields."""
    images = np.empty((len(given.centres), CHANNELS, size, size))
    for index, (centre, cell) in enumerate(zip(given.centres, given.cells)):
        for channel in range(CHANNELS):
            low, high = scaling.lows[channel], scaling.highs[channel]
            corrected = (given.planes[channel].astype(float) - scaling.darks[channel]) / scaling.flats[channel]
            plane = np.clip((corrected - low) / (high - low), 0, 1)
            if crop is None:
                cut, labels = plane, given.labels
            else:
                window = tuple(
                    np.pad(np.arange(side), 200, mode="reflect")[200 - length // 2 + round(at) :][:length]
                    for side, length, at in zip(plane.shape, crop, centre)
                )
                cut = plane[np.ix_(*window)]
                labels = None if given.labels is None else given.labels[np.ix_(*window)]
            if labels is not None:
                cut = np.where((labels == 0) | (labels == cell), cut, 0)
            rows, columns = (resize_matrix(side, size) for side in cut.shape)
            images[index, channel] = rows @ cut @ columns.T
    return images


@given(
    st.integers(0, 10**6),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.sampled_from([(16, 16), (9, 9), (24, 24), (13, 30), (90, 70), None]),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
)
def test_a_block_is_what_single_steps_give(seed, kind, crop, count, masked, even):
    rng = np.random.default_rng(seed)
    values, given = scaling(rng, even), field(rng, kind, count, masked)
    out = np.full((count, CHANNELS, 16, 16), np.nan, np.float32)
    fill = Cutter(values, crop, 16).field(given)
    fill(0, count // 2, out[: count // 2])
    fill(count // 2, count, out[count // 2 :])
    assert out == pytest.approx(step_by_step(given, values, crop, 16), abs=2e-6)


def test_pixels_stored_far_off_zero_keep_their_contrast():
    planes = 32768 + np.random.default_rng(0).integers(0, 200, (1, 32, 32)).astype(np.uint16)
    values = Scaling([np.ones((1, 1), np.float32)], *np.array([[32768], [20], [180]], np.float32))
    given = FieldCells(planes, np.array([[16, 16]]), np.array([1]), None, np.array([], int))
    out = np.empty((1, 1, 32, 32), np.float32)
    Cutter(values, 32, 32).field(given)(0, 1, out)
    assert np.abs(out[0] - np.clip((planes.astype(float) - 32768 - 20) / 160, 0, 1)).max() < 1e-6


def test_a_field_without_cells_has_nothing_to_cut():
    rng = np.random.default_rng(0)
    fill = Cutter(scaling(rng), (16, 16), 16).field(field(rng, np.uint16, 0, True))
    fill(0, 0, np.empty((0, CHANNELS, 16, 16), np.float32))
