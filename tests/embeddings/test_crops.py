import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from profiling.embeddings.crops import cut, leaves_image, mask_neighbours, resize, resize_matrix, thumbnail

HEIGHT, WIDTH = 40, 56
FIELD = np.random.default_rng(0).integers(0, 4096, (2, HEIGHT, WIDTH)).astype(np.uint16)
PAD = 32
PADDED = np.pad(FIELD, ((0, 0), (PAD, PAD), (PAD, PAD)), mode="reflect")

centres = st.lists(
    st.tuples(st.floats(0, HEIGHT - 1), st.floats(0, WIDTH - 1)) | st.sampled_from([(0, 0), (HEIGHT - 1, WIDTH - 1)]),
    max_size=6,
).map(lambda points: np.array(points, dtype=float).reshape(-1, 2))
sizes = st.integers(1, 31)


@given(centres, sizes)
def test_crops_are_slices_of_the_reflected_field(centres, size):
    crops = cut(FIELD, centres, size)
    assert crops.shape == (len(centres), 2, size, size)
    assert crops.dtype == FIELD.dtype
    for crop, (row, column) in zip(crops, np.rint(centres).astype(int) - size // 2 + PAD):
        assert np.array_equal(crop, PADDED[:, row : row + size, column : column + size])


def test_crops_may_be_higher_than_wide():
    crops = cut(FIELD, np.array([[20.0, 30.0], [0.0, 55.0]]), (12, 7))
    assert np.array_equal(crops[0], FIELD[:, 14:26, 27:34])
    assert np.array_equal(crops[1], PADDED[:, PAD - 6 : PAD + 6, PAD + 52 : PAD + 59])
    assert leaves_image(np.array([[20.0, 30.0], [0.0, 55.0]]), (12, 7), (HEIGHT, WIDTH)).tolist() == [False, True]


def test_a_field_smaller_than_the_crop_is_reflected_again_and_again():
    field = np.arange(6).reshape(1, 2, 3)
    expected = np.pad(field, ((0, 0), (8, 8), (8, 8)), mode="reflect")[0, 9 - 8 : 9 + 8, 10 - 8 : 10 + 8]
    assert np.array_equal(cut(field, np.array([[1, 2]]), 16)[0, 0], expected)


def test_crops_do_not_share_memory_with_the_field():
    field = FIELD.copy()
    crops = cut(field, np.array([[20.0, 20.0]]), 8)
    crops[:] = 0
    assert np.array_equal(field, FIELD)


@given(centres, sizes)
def test_a_crop_leaves_the_image_where_it_shows_what_is_not_there(centres, size):
    outside = np.pad(np.zeros((1, HEIGHT, WIDTH), bool), ((0, 0), (PAD, PAD), (PAD, PAD)), constant_values=True)
    starts = np.rint(centres).astype(int) - size // 2 + PAD
    expected = [outside[:, row : row + size, column : column + size].any() for row, column in starts]
    assert leaves_image(centres, size, (HEIGHT, WIDTH)).tolist() == expected


def test_neighbours_are_masked_by_label_and_background_is_kept():
    labels = np.array([[[0, 1, 1], [0, 2, 2], [3, 3, 0]]] * 2)
    crops = np.ones((2, 2, 3, 3), dtype=np.float32)
    masked = mask_neighbours(crops, labels, [2, 1])
    assert masked[0].tolist() == [[[1, 0, 0], [1, 1, 1], [0, 0, 1]]] * 2
    assert masked[1].tolist() == [[[1, 1, 1], [1, 0, 0], [0, 0, 1]]] * 2
    assert masked.dtype == np.float32
    assert crops.all()


@given(st.floats(0, 1, width=32), st.integers(8, 64), st.integers(8, 64))
def test_a_constant_crop_stays_constant(value, before, after):
    out = resize(np.full((1, 2, before, before), value, dtype=np.float32), after)
    assert out.shape == (1, 2, after, after)
    assert np.allclose(out, value, atol=1e-6)


@given(st.integers(4, 80), st.integers(4, 80), st.integers(4, 80))
def test_resizing_is_that_of_pillow(height, width, size):
    crop = np.random.default_rng(height * width).random((height, width), dtype=np.float32)
    pillow = np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BILINEAR))
    assert resize(crop[None, None], size)[0, 0] == pytest.approx(pillow, abs=1e-5)


def test_each_pixel_of_a_resized_crop_is_a_weighted_mean():
    for side, size in ((96, 96), (128, 96), (1080, 224), (64, 96), (1, 8), (7, 1)):
        matrix = resize_matrix(side, size)
        assert matrix.shape == (size, side)
        assert matrix.min() >= 0
        assert matrix.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.array_equal(resize_matrix(96, 96), np.eye(96))


def test_shrinking_keeps_the_mean_of_fine_structure():
    checkers = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)[None, None]
    out = resize(checkers, 16)
    assert abs(out.mean() - 0.5) < 0.01
    assert out.std() < 0.05  # without smoothing, every pixel would be 0 or 1
    smooth = cv2.GaussianBlur(np.random.default_rng(0).random((96, 96), dtype=np.float32), (0, 0), 4)[None, None]
    assert resize(smooth, 32).mean() == pytest.approx(smooth.mean(), rel=1e-3)


def test_a_crop_of_the_right_size_and_no_crops_pass_through():
    crops = np.random.default_rng(0).random((2, 1, 16, 16), dtype=np.float32)
    assert np.array_equal(resize(crops, 16), crops)
    assert resize(crops[:0], 8).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_a_thumbnail_decodes_to_the_size_of_the_crop(channels):
    crop = np.zeros((channels, 48, 48), dtype=np.float32)
    crop[0, 12:36, 12:36] = 1
    data = thumbnail(crop)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert data[8:12] == b"WEBP"
    assert picture.shape == (48, 48, 3)
    blue, green, red = picture[24, 24].astype(int)
    assert blue > green > red  # the first channel is drawn in blue
    assert picture[4, 4].max() < 20
