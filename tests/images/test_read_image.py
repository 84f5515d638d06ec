import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from profiling.images import ImageError, read_header, read_image
from profiling.images.fields import value_step

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
PIXELS = np.random.default_rng(0).poisson(300, (90, 130)).astype(np.uint16)
LAYOUTS = [{}, {"rowsperstrip": 16}, {"tile": (64, 64)}]
CODECS = [{}, *({"compression": c, "predictor": p} for c in ("lzw", "deflate", "zstd") for p in (None, 2))]


def assert_refused(path, word, read=read_image, **options):
    with pytest.raises(ImageError, match=word) as error:
        read(path, **options)
    assert str(path) in str(error.value)
    assert "; " in str(error.value), "the message names a remedy"


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_tiff_is_read_exactly_and_every_truncation_is_refused(tmp_path, codec, layout):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS, **codec, **layout)
    image = read_image(path)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, PIXELS)
    assert read_header(path) == {"width": 130, "height": 90, "dtype": "uint16", "pages": 1}
    whole = path.read_bytes()
    for length in [len(whole) * tenth // 10 for tenth in range(10)] + [len(whole) - 1]:
        path.write_bytes(whole[:length])
        for read in (read_image, read_header):
            with pytest.raises(ImageError, match="field.tif"):
                read(path)


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32"])
def test_types_are_kept_in_native_byte_order(tmp_path, dtype, byteorder):
    path = tmp_path / "field.tif"
    stored = (PIXELS - 290.0).astype(dtype)
    tifffile.imwrite(path, stored, byteorder=byteorder)
    image = read_image(path)
    assert image.dtype == np.dtype(dtype) and image.dtype.isnative
    assert read_header(path)["dtype"] == dtype
    np.testing.assert_array_equal(image, stored)


def test_one_bit_images_become_uint8(tmp_path):
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, PIXELS > 300, photometric="minisblack")
    image = read_image(path)
    assert image.dtype == np.uint8 and read_header(path)["dtype"] == "uint8"
    np.testing.assert_array_equal(image, PIXELS > 300)


def test_an_uncompressed_strip_cut_short_is_refused(tmp_path):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["StripByteCounts"].overwrite(PIXELS.nbytes // 2)
    assert_refused(path, "bytes of pixels")


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_pages_and_a_page_that_is_not_there(tmp_path, compression):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(3):
            writer.write(PIXELS + page, contiguous=False, compression=compression)
    assert read_header(path)["pages"] == 3
    np.testing.assert_array_equal(read_image(path, page=2), PIXELS + 2)
    assert_refused(path, "no page 3", page=3)


def test_thumbnails_pyramids_and_masks_are_no_pages(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PIXELS[::8, ::8], subfiletype=1)
        for page in range(2):
            writer.write(PIXELS + page, subifds=1, contiguous=False)
            writer.write(PIXELS[::2, ::2], subfiletype=1)
            writer.write(PIXELS > 300, subfiletype=4)
    assert read_header(path) == {"width": 130, "height": 90, "dtype": "uint16", "pages": 2}
    np.testing.assert_array_equal(read_image(path, page=1), PIXELS + 1)
    assert_refused(path, "no page 2 but 2", page=2)
    tifffile.imwrite(path, PIXELS, subfiletype=1)
    np.testing.assert_array_equal(read_image(path), PIXELS)


@pytest.mark.parametrize("imagej", [True, False])
def test_planes_behind_a_single_page(tmp_path, imagej):
    path = tmp_path / "stack.tif"
    stack = np.stack([PIXELS + plane for plane in range(5)])
    with tifffile.TiffWriter(path, imagej=imagej) as writer:
        writer.write(stack, truncate=True, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    assert read_header(path)["pages"] == 5
    for plane in (0, 4):
        np.testing.assert_array_equal(read_image(path, page=plane), stack[plane])
    assert_refused(path, "no page 5 but 5", page=5)
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(read_image(path, page=3), stack[3])
    assert_refused(path, "truncated", page=4)
    assert_refused(path, "truncated", read_header)


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib", "jpeg2000"])
def test_a_page_far_from_its_like_is_read_alone(tmp_path, monkeypatch, compression):
    monkeypatch.setattr("profiling.images.tiff.SURPLUS", 0)
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(8):
            writer.write(PIXELS + page, contiguous=False, compression=compression, rowsperstrip=16)
    for page in (0, 7):
        np.testing.assert_array_equal(read_image(path, page=page), PIXELS + page)


def test_samples_side_by_side_are_refused(tmp_path):
    path = tmp_path / "field.tif"
    for samples, planar in ((np.stack([PIXELS] * 2), "separate"), (np.stack([PIXELS] * 2, axis=-1), "contig")):
        tifffile.imwrite(path, samples, photometric="minisblack", planarconfig=planar)
        for read in (read_image, read_header):
            assert_refused(path, "not a 2-D image", read)


def test_stacks_cut_short_are_refused(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(5):
            writer.write(PIXELS + page, contiguous=False)
    whole = path.read_bytes()
    for length in [len(whole) * tenth // 10 for tenth in range(10)] + [len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert_refused(path, "stack.tif", read_header)
        assert_refused(path, "stack.tif", page=4)


@pytest.mark.parametrize("name", ["field.png", "field.jpg"])
def test_png_and_jpeg(tmp_path, name):
    path = tmp_path / name
    stored = PIXELS if name.endswith("png") else cv2.GaussianBlur(PIXELS, (0, 0), 5).astype(np.uint8)
    cv2.imwrite(str(path), stored)
    image = read_image(path)
    assert image.dtype == stored.dtype
    assert np.abs(image.astype(float) - stored).max() <= (0 if name.endswith("png") else 5)
    assert read_header(path) == {"width": 130, "height": 90, "dtype": stored.dtype.name, "pages": 1}
    whole = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        for read in (read_image, read_header):
            with pytest.raises(ImageError, match=name):
                read(path)


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("WellName,Site\nA01,1\n")
    (tmp_path / "folder.tif").mkdir()
    for read in (read_image, read_header):
        assert_refused(tmp_path / "absent.tif", "no such file", read)
        assert_refused(tmp_path / "empty.tif", "empty", read)
        assert_refused(tmp_path / "text.tif", "not a TIFF", read)
        assert_refused(tmp_path / "folder.tif", "folder.tif", read)


def test_colour_volumes_and_infinite_pixels_are_refused(tmp_path):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    assert_refused(path, "colour")
    tifffile.imwrite(path, np.zeros((3, 40, 40), np.uint8), photometric="rgb", planarconfig="separate")
    assert_refused(path, "not a 2-D|colour")
    cv2.imwrite(str(tmp_path / "field.png"), np.zeros((40, 40, 3), np.uint8))
    assert_refused(tmp_path / "field.png", "colour")
    for bad in (np.nan, np.inf):
        tifffile.imwrite(path, np.array([[1, bad]], np.float32))
        assert_refused(path, "NaN or infinite")
    for bad in (1e36, -1e300):
        tifffile.imwrite(path, np.array([[1, bad], [2, 3]]))
        assert_refused(path, "no intensities")


def test_the_step_of_stored_values_is_told():
    image = np.random.default_rng(0).poisson(20, (300, 400))
    for step in (1, 16, 257, 1 / 255):
        assert value_step(image * step) == pytest.approx(step)
    assert value_step(np.random.default_rng(0).random((300, 400))) == 0
    assert value_step(np.zeros((5, 5), np.float32)) == 0 and value_step(np.zeros((5, 5), np.uint8)) == 1


@pytest.mark.parametrize("values", [(0, 255), (0, 4095, 65535), (0, 20000)])
def test_values_of_a_mask_or_of_hot_pixels_are_no_step(values):
    image = np.zeros((900, 900), np.uint16)
    for position, value in enumerate(values):
        image[::3, position::9] = value
    assert value_step(image) == 1


def test_missing_strips_are_not_read_as_zeros(tmp_path):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS, rowsperstrip=30, compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = list(tiff.pages[0].databytecounts)
        tiff.pages[0].tags["StripByteCounts"].overwrite([0, *counts[1:]])
    assert_refused(path, "missing")


def test_palette_images_equal_their_greyscale_copies():
    originals = sorted((DATA / "bbbc013" / "original_bytes").glob("*.tif"))
    if not originals:
        pytest.skip("bbbc013 is not there")
    for path in originals:
        np.testing.assert_array_equal(read_image(path), read_image(DATA / "bbbc013" / "images" / path.name))
