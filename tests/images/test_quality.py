import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.focus import scores, separation
from profiling.errors import ProfilingError
from profiling.images import (
    focus_score,
    measure_quality,
    noise_sigma,
    pixel_hash,
    power_log_log_slope,
    quality_columns,
    read_image,
)
from profiling.images.jobs import usable
from profiling.tables import write_table

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
MAY_BE_NAN = {"FocusScore", "PowerLogLogSlope"}


def real_fields(folder, every):
    paths = sorted((DATA / folder).glob("*"))[::every]
    if not paths:
        pytest.skip(f"{folder} is not there")
    return [read_image(path) for path in paths]


def blob_field(rng, cells, shape=(256, 256), noise=5.0, sigma=5):
    field = np.zeros(shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for y, x in rng.uniform(0.1, 0.9, (cells, 2)) * shape:
        field += 300 * (np.hypot(rows - y, columns - x) < sigma)
    return 100 + cv2.GaussianBlur(field, (0, 0), 1) + rng.normal(0, noise, shape)


@pytest.mark.parametrize("measure", [focus_score, power_log_log_slope])
def test_bbbc006_in_focus_scores_above_out_of_focus_by_a_wide_margin(measure):
    folders = sorted((DATA / "focus").glob("*_focus*"))
    if not folders:
        pytest.skip("focus fields are not there")
    result = separation(
        scores([f for f in folders if f.name.startswith("in")], measure),
        scores([f for f in folders if f.name.startswith("out")], measure),
    )
    assert result["auc"] == 1
    assert result["margin_sd"] > 2


@pytest.mark.parametrize("folder, every", [("bbbc013/images", 8), ("dsb2018/train/images", 12)])
@pytest.mark.parametrize("noise", [0, 2])
def test_blurred_fields_score_below_themselves(folder, every, noise):
    rng = np.random.default_rng(0)
    for field in real_fields(folder, every):
        level = noise * max(noise_sigma(field), 0.3)
        previous = focus_score(field)
        for sigma in (2, 4):
            blurred = cv2.GaussianBlur(field.astype(np.float32), (0, 0), sigma)
            score = focus_score(blurred + rng.normal(0, level, field.shape))
            assert score < previous
            previous = score


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
def test_focus_does_not_depend_on_intensity_scale_and_offset(seed, gain, offset):
    field = blob_field(np.random.default_rng(seed), cells=10)
    assert focus_score(gain * field + offset) == pytest.approx(focus_score(field), abs=0.01)


def test_focus_of_a_sparse_field_is_that_of_a_crowded_one_and_noise_does_not_sharpen():
    rng = np.random.default_rng(1)
    crowded, sparse = (focus_score(blob_field(rng, cells)) for cells in (40, 2))
    assert abs(crowded - sparse) < 0.5
    field = blob_field(rng, 20, noise=0)
    blurred = cv2.GaussianBlur(field, (0, 0), 4)
    noisy = [focus_score(blurred + rng.normal(0, s, field.shape)) for s in (0.1, 1, 5, 10)]
    assert max(noisy) < focus_score(field + rng.normal(0, 10, field.shape)) - 0.5


def test_power_slope_equals_its_definition():
    image = blob_field(np.random.default_rng(2), 20, shape=(97, 131))
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in image.shape)
    radius = np.floor(np.sqrt(rows[:, None] ** 2 + columns**2)).astype(int) + 1
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    radii = np.arange(2, 97 // 8)
    expected = np.polyfit(np.log(radii), np.log([power[radius == r].sum() for r in radii]), 1)[0]
    assert power_log_log_slope(image) == pytest.approx(expected, rel=1e-4)


def test_noise_is_recovered_beside_cells():
    field = blob_field(np.random.default_rng(3), 40, shape=(512, 512), noise=7)
    assert noise_sigma(field) == pytest.approx(7, rel=0.1)


def test_values_of_a_known_image():
    image = np.arange(1000, dtype=np.uint16).reshape(25, 40)
    image[-1, -8:] = 4095
    quality = measure_quality(image, bit_depth=12)
    assert quality["SaturatedFraction"] == 0.008
    assert [quality[k] for k in ("Minimum", "Percentile_1", "Median", "Percentile_99")] == [0, 9, 499, 989]
    assert [quality[k] for k in ("Percentile_999", "Maximum")] == [4095, 4095]
    assert quality["Mean"] == image.mean()
    assert measure_quality(image, bit_depth=16)["SaturatedFraction"] == 0


def test_pixels_off_zero_saturate_where_the_others_do():
    image = np.arange(1000, dtype=np.uint16).reshape(25, 40)
    image[-1, -8:] = 4095
    wide = np.where(image == 4095, 65535, image).astype(np.uint16)
    for stored in (image + np.uint16(2**15), (image.astype(int) - 2**15).astype(np.int16)):
        assert measure_quality(stored, bit_depth=12)["SaturatedFraction"] == 0.008
    assert measure_quality((wide.astype(int) - 2**15).astype(np.int16), bit_depth=16)["SaturatedFraction"] == 0.008
    assert measure_quality(np.full((9, 9), 65535, np.uint16), bit_depth=16)["SaturatedFraction"] == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_background_is_the_mode_in_sparse_and_crowded_fields(dtype):
    rng = np.random.default_rng(4)
    for share in (0.1, 0.6):
        image = rng.normal(60, 2, (300, 300))
        cells = rng.random((300, 300)) < share
        image[cells] = rng.uniform(90, 250, cells.sum())
        image = image.astype(dtype)
        assert measure_quality(image, 16)["Background"] == pytest.approx(60, abs=2)


def test_contrast_tells_blank_fields_from_fields_with_cells():
    rng = np.random.default_rng(5)
    for noise in (0, 0.3, 1, 20):
        blank = rng.normal(110, noise, (300, 300))
        assert measure_quality(blank.round().astype(np.uint16), 16)["Contrast"] < 5
        assert measure_quality(blank, 16)["Contrast"] < 5
    assert all(measure_quality(f, 8)["Contrast"] > 20 for f in real_fields("bbbc013/images", 6))
    assert all(measure_quality(f, 8)["Contrast"] > 20 for f in real_fields("dsb2018/train/images", 12))


def test_blank_and_constant_fields_have_no_focus():
    assert np.isnan(focus_score(np.random.default_rng(6).poisson(200, (300, 300)).astype(np.uint16)))
    assert np.isnan(focus_score(np.full((300, 300), 7, np.uint16)))


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=80),
        elements=st.integers(0, 100),
    )
)
def test_any_image_has_finite_quality_in_order(image):
    quality = measure_quality(image, 8)
    assert list(quality) == [name for name, _, _ in quality_columns()]
    for name, dtype, _ in quality_columns():
        assert type(quality[name]) is {"float64": float, "string": str}[dtype]
        assert name in MAY_BE_NAN or dtype == "string" or np.isfinite(quality[name])
    ordered = ["Minimum", "Percentile_1", "Median", "Percentile_99", "Percentile_999", "Maximum"]
    assert [quality[k] for k in ordered] == sorted(quality[k] for k in ordered)


def test_hash_tells_pixels_shape_and_type():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    other = image.copy()
    other[1, 1] += 1
    variants = [image, other, image.reshape(4, 3), image.astype(np.uint16)]
    assert len({pixel_hash(variant) for variant in variants}) == 4
    assert pixel_hash(np.asfortranarray(image)) == pixel_hash(image)


@pytest.mark.parametrize(("failed", "stops"), [(29, False), (30, True)])
def test_a_plate_stops_above_the_share_of_failed_images_not_at_it(tmp_path, failed, stops):
    columns = {name: None for name, _, _ in quality_columns()}
    table = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": "A01", "Metadata_Site": range(100), **columns})
    table = table.assign(Metadata_Time=0, Metadata_Z=0, Metadata_Channel="DNA", Status="ok", Reason=None)
    table.loc[: failed - 1, ["Status", "Reason"]] = ["missing", "no file of this field and channel"]
    write_table(tmp_path / "quality.parquet", "quality", table.astype({"Reason": "str"}))
    if stops:
        with pytest.raises(ProfilingError, match=r"plate P: 30 of 100 images failed(.|\n)*no file of this field"):
            usable(tmp_path / "quality.parquet", 0.29, tmp_path / "usable.txt")
    else:
        usable(tmp_path / "quality.parquet", 0.29, tmp_path / "usable.txt")
        assert (tmp_path / "usable.txt").read_text() == "29 of 100 images failed\n"
