import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.images import (
    correct,
    fit_illumination,
    intensity_limits,
    read_flatfield,
    scale,
    write_flatfield,
)

SHAPE = (180, 240)
DARK = 100


def vignette(shape=SHAPE, loss=0.3, power=1):
    rows, columns = (np.linspace(0, 1, size) for size in shape)
    distance = (rows[:, None] - 0.45) ** 2 + (columns - 0.55) ** 2
    return 1 - loss * (distance / distance.max()) ** power


def fields(count, flat, seed=0, cells=(10, 30), background=50):
    """Raw fields of cells (also across the borders) on a background, dimmed by `flat`, with shot noise."""
    rng = np.random.default_rng(seed)
    margin, sigma = 24, 6
    wide = tuple(side + 2 * margin for side in flat.shape)
    for _ in range(count):
        spots = np.zeros(wide)
        for _ in range(int(rng.integers(*cells) * np.prod(wide) / flat.size)):
            spots[rng.integers(wide[0]), rng.integers(wide[1])] += rng.uniform(200, 1500) * 2 * np.pi * sigma**2
        light = cv2.GaussianBlur(spots, (0, 0), sigma)[margin:-margin, margin:-margin]
        light += background * rng.uniform(0.8, 1.2)
        yield (rng.poisson(light * flat) + DARK + rng.normal(0, 3, flat.shape)).round().astype(np.uint16)


def relative_error(estimate, truth):
    ratio = estimate / truth
    return np.std(ratio / ratio.mean())


@pytest.fixture(scope="module")
def many_fields():
    return list(fields(250, vignette()))


@pytest.mark.parametrize("count", [40, 250])
def test_pixels_off_zero_are_corrected_as_the_others(count, many_fields):
    plain = fit_illumination(many_fields[:count])
    for zero, dtype in ((-(2**15), np.int16), (2**15, np.uint16)):
        fitted = fit_illumination((field.astype(int) + zero).astype(dtype) for field in many_fields[:count])
        assert fitted.dark == pytest.approx(plain.dark + zero, abs=0.1)
        np.testing.assert_allclose(fitted.flat, plain.flat, rtol=1e-3)
    assert plain.flat.max() > 1.05


@pytest.mark.parametrize("count, power", [(24, 1), (48, 1), (48, 2), (250, 1)])
def test_true_flat_field_is_recovered(count, power, many_fields):
    truth = vignette(power=power)
    fitted = fit_illumination(many_fields if count == 250 else fields(count, truth), dark=DARK)
    error = relative_error(fitted.flat, truth)
    assert error < 0.01
    assert error < relative_error(np.ones(SHAPE), truth) / 4
    assert fitted.flat.dtype == np.float32 and fitted.flat.shape == SHAPE
    assert fitted.flat.min() == 1 and np.percentile(fitted.flat, 3) > 1
    assert fitted.fields_used == count and fitted.dark == DARK
    assert ("uncertain" in fitted.reason) == (count < 250)


def test_automatic_dark_offset_helps(many_fields):
    truth = vignette()
    uncorrected = relative_error(np.ones(SHAPE), truth)
    few = fit_illumination(fields(48, truth), dark="auto")
    assert few.dark == 0
    assert relative_error(few.flat, truth) < uncorrected
    many = fit_illumination(many_fields, dark="auto")
    assert many.dark == pytest.approx(DARK, abs=25)
    assert relative_error(many.flat, truth) < uncorrected / 2


def test_blank_saturated_blurred_and_odd_fields_do_little_harm():
    truth = vignette()
    good = list(fields(48, truth))
    blank = list(fields(3, truth, seed=1, cells=(0, 1)))
    saturated = [np.full(SHAPE, 4095, np.uint16)] * 2
    blurred = [cv2.GaussianBlur(field, (0, 0), 25) for field in fields(3, truth, seed=2)]
    shutter_closed = [np.full(SHAPE, DARK, np.uint16)] * 2
    odd = [np.full((50, 60), 500, np.uint16)] * 3
    fitted = fit_illumination([*odd, *saturated, *blurred, *shutter_closed, *good, *blank], dark=DARK)
    assert relative_error(fitted.flat, truth) < 0.015
    assert fitted.fields_used == 58
    assert "3 fields of another shape" in fitted.reason


def test_without_vignetting_the_flat_field_is_flat():
    fitted = fit_illumination(fields(48, np.ones(SHAPE)), dark=DARK)
    assert np.std(fitted.flat) < 0.01


@pytest.mark.parametrize("seed", range(4))
def test_few_crowded_fields_are_not_made_worse(seed):
    truth = vignette()
    crowded = fields(24, truth, seed=seed, cells=(90, 140))
    error = relative_error(fit_illumination(crowded, dark=DARK).flat, truth)
    assert error <= 1.001 * relative_error(np.ones(SHAPE), truth)


def test_too_few_fields_are_not_corrected():
    fitted = fit_illumination(fields(5, vignette()), dark=DARK)
    np.testing.assert_array_equal(fitted.flat, np.ones(SHAPE))
    assert fitted.fields_used == 5 and "at least 24" in fitted.reason
    none = fit_illumination([], dark=DARK)
    assert none.fields_used == 0 and "0 fields" in none.reason
    np.testing.assert_array_equal(correct(np.full((3, 4), DARK), none.flat, none.dark), np.zeros((3, 4)))


def test_a_background_that_hardly_exceeds_a_given_offset_tells_no_light():
    """Its logarithm follows the rounding, and whether the offset is right to a grey value."""
    flat = vignette(loss=0.5)
    fitted = fit_illumination(fields(40, flat, cells=(2, 4), background=1), dark=DARK + 1)
    assert "by more than 3 grey values" in fitted.reason and (fitted.flat == 1).all()
    fitted = fit_illumination(fields(40, flat, cells=(2, 4), background=20), dark=DARK + 1)
    assert relative_error(fitted.flat, flat) < 0.5 * relative_error(np.ones(SHAPE), flat)


def test_a_dark_offset_above_the_pixels_is_reported():
    fitted = fit_illumination(fields(24, vignette()), dark=5000)
    np.testing.assert_array_equal(fitted.flat, np.ones(SHAPE))
    assert "dark offset" in fitted.reason


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_correct_inverts_the_camera_and_keeps_negative_values(dtype):
    flat = vignette().astype(np.float32)
    raw = (20 * flat + 10).astype(dtype)
    raw[0, 0] = 3
    corrected = correct(raw, flat, 10)
    assert corrected.dtype == np.float32
    np.testing.assert_allclose(corrected, (raw.astype(float) - 10) / flat, rtol=1e-5)
    assert corrected[0, 0] < 0


def test_intensity_limits_are_pooled_percentiles():
    rng = np.random.default_rng(0)
    images = [rng.exponential(100, (300, 400)).astype(np.float32) for _ in range(20)]
    low, high = intensity_limits(iter(images), 1, 99)
    exact = np.percentile(np.stack(images), [1, 99])
    np.testing.assert_allclose([low, high], exact, rtol=0.05)
    assert (low, high) == intensity_limits(iter(images), 1, 99)


def test_intensity_limits_of_constant_and_of_no_images():
    assert intensity_limits([np.full((30, 30), 7, np.float32)]) == (7, 8)
    assert intensity_limits([]) == (0, 1)


@settings(max_examples=50, deadline=None)
@given(low=st.floats(-1e4, 1e4), width=st.floats(0.1, 1e4), values=st.lists(st.floats(-1e5, 1e5), min_size=2))
def test_scale_is_monotone_and_within_bounds(low, width, values):
    image = np.sort(np.array(values, np.float32))
    scaled = scale(image, low, low + width)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0 and scaled.max() <= 1
    assert (np.diff(scaled) >= 0).all()
    np.testing.assert_array_equal(scale(np.float32([low - 1, low + width + 1]), low, low + width), [0, 1])


def test_flat_fields_survive_the_disk_and_open_elsewhere(tmp_path):
    path = tmp_path / "DNA.tif"
    flat = vignette().astype(np.float32)
    write_flatfield(path, flat, 101.5, 48, 'uncertain: 48 fields, "about" 250')
    write_flatfield(path, flat, 101.5, 48, 'uncertain: 48 fields, "about" 250')
    stored = read_flatfield(path)
    np.testing.assert_array_equal(stored.flat, flat)
    assert stored[1:] == (101.5, 48, 'uncertain: 48 fields, "about" 250')
    assert [p.name for p in tmp_path.iterdir()] == ["DNA.tif"], "nothing is left beside it"
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), flat)
    np.testing.assert_array_equal(tifffile.imread(path), flat)
