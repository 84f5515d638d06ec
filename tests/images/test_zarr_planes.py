import json
import shutil

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from profiling.images import ImageError, read_header, read_image

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filters of the reader
PIXELS = np.random.default_rng(0).poisson(300, (2, 3, 2, 70, 90)).astype(np.uint16)  # t, c, z, y, x
KINDS = {"time": "t", "channel": "c", "space": "zyx"}
STORES = [
    {"zarr_format": 2, "compressors": numcodecs.Blosc("lz4")},
    {"zarr_format": 2, "dtype": ">u2", "compressors": None, "order": "F"},
    {"zarr_format": 3},
    {"zarr_format": 3, "shards": (1, 1, 1, 64, 64)},
]


def write_image(path, pixels=PIXELS, axes="tczyx", chunks=(1, 1, 1, 32, 32), zarr_format=2, dtype=None, **options):
    kinds = [next(kind for kind, letters in KINDS.items() if axis in letters) for axis in axes]
    multiscale = {
        "axes": [{"name": axis, "type": kind} for axis, kind in zip(axes, kinds)],
        "datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(axes)}]}],
    }
    group = zarr.create_group(path, zarr_format=zarr_format, overwrite=True)
    content = {"multiscales": [multiscale]}
    group.attrs.update(content if zarr_format == 2 else {"ome": {"version": "0.5", **content}})
    separator = "/" if zarr_format == 2 else None
    keys = {"chunk_key_encoding": {"name": "v2", "separator": separator}} if separator else {}
    array = group.create_array("s0", shape=pixels.shape, chunks=chunks, dtype=dtype or pixels.dtype, **keys, **options)
    array[:] = pixels
    return path


def chunk_files(path):
    return sorted(
        file for file in (path / "s0").rglob("*") if file.is_file() and file.suffix == "" and file.name[0] != "."
    )


def assert_refused(path, words, page=0):
    with pytest.raises(ImageError, match=words) as error:
        read_image(path, page)
    assert str(path) in str(error.value) and "; " in str(error.value)


@pytest.mark.parametrize("options", STORES, ids=["v2", "v2 big-endian", "v3", "v3 shards"])
def test_pages_count_over_time_channel_and_z(tmp_path, options):
    path = write_image(tmp_path / "Plätte 1 #%20?", **options)
    assert read_header(path) == {"width": 90, "height": 70, "dtype": "uint16", "pages": 12}
    for page in range(12):
        image = read_image(path, page)
        assert image.dtype == np.uint16 and image.dtype.isnative
        np.testing.assert_array_equal(image, PIXELS.reshape(12, 70, 90)[page])
    assert_refused(path, "no page 12", 12)
    assert_refused(path, "no page -1", -1)


def test_axes_in_any_order_the_format_allows(tmp_path):
    path = write_image(tmp_path / "xy", PIXELS[0, :, 0].transpose(0, 2, 1), "cxy", (1, 32, 32))
    for page in range(3):
        np.testing.assert_array_equal(read_image(path, page), PIXELS[0, page, 0])
    path = write_image(tmp_path / "plain", PIXELS[0, 0, 0] > 300, "yx", (70, 90))
    assert read_header(path) == {"width": 90, "height": 70, "dtype": "uint8", "pages": 1}
    np.testing.assert_array_equal(read_image(path), PIXELS[0, 0, 0] > 300)


@pytest.mark.parametrize("options", STORES, ids=["v2", "v2 big-endian", "v3", "v3 shards"])
def test_a_chunk_cut_short_is_refused(tmp_path, options):
    path = write_image(tmp_path / "image", PIXELS[:1, :1, :1], **options)
    chunk = chunk_files(path)[0]
    whole = chunk.read_bytes()
    for tenth in range(10):
        chunk.write_bytes(whole[: len(whole) * tenth // 10])
        assert_refused(path, "damaged")


@pytest.mark.parametrize("options", STORES, ids=["v2", "v2 big-endian", "v3", "v3 shards"])
def test_absent_chunks_are_lost_unless_no_plane_has_the_place(tmp_path, options):
    sharded = "shards" in options
    stitched = PIXELS.copy()
    stitched[..., 64:, 64:] = 0
    path = write_image(tmp_path / "stitched", stitched, **options)
    for page in (0, 11):
        np.testing.assert_array_equal(read_image(path, page), stitched.reshape(12, 70, 90)[page])
    path = write_image(tmp_path / "lost", **options)
    files = chunk_files(path)
    assert len(files) == 12 * (4 if sharded else 9)
    files[0].unlink()
    assert_refused(path, "4 of 9" if sharded else "1 of 9")
    np.testing.assert_array_equal(read_image(path, 1), PIXELS[0, 0, 1])
    for file in files[1 : len(files) // 12]:
        file.unlink()
    assert_refused(path, "9 of 9 chunks of page 0 are absent")


def test_an_absent_chunk_is_lost_where_no_other_plane_can_tell(tmp_path):
    path = write_image(tmp_path / "image", PIXELS[0, 0, 0], "yx", (32, 32))
    chunk_files(path)[0].unlink()
    assert_refused(path, "1 of 9")


def test_nothing_but_pixels_is_decoded(tmp_path):
    path = write_image(tmp_path / "image")
    document = path / "s0" / ".zarray"
    content = json.loads(document.read_text())
    for change in (
        {"filters": [{"id": "pickle"}]},
        {"dtype": "|O", "filters": [{"id": "pickle"}]},
        {"dtype": "<c8", "fill_value": None},
        {"shape": [2, 3, 2, 10**9, 10**9]},
        {"chunks": [1, 1, 1, 10**9, 10**9]},
        {"shape": [10**6, 10**6, 2, 70, 90]},
        {"compressor": {"id": "no such"}},
    ):
        document.write_text(json.dumps(content | change))
        assert_refused(path, "; ")
    (path / ".zattrs").unlink()
    assert_refused(path, "no such")
    assert_refused(tmp_path, "no such OME-Zarr image")


@pytest.mark.parametrize("key", ["shape", "chunks"])
def test_a_plane_that_so_few_bytes_cannot_hold_is_refused(tmp_path, key):
    path = write_image(tmp_path / "image")
    document = path / "s0" / ".zarray"
    content = json.loads(document.read_text())
    document.write_text(json.dumps(content | {key: [*content[key][:3], 60_000, 60_000]}))
    assert_refused(path, "pixels cannot be")


@pytest.mark.parametrize(("zarr_format", "name"), [(2, ".zattrs"), (3, "zarr.json")])
def test_unknown_versions_and_axes_are_refused(tmp_path, zarr_format, name):
    document = write_image(tmp_path / "image", zarr_format=zarr_format) / name
    content = json.loads(document.read_text())
    ome = content if zarr_format == 2 else content["attributes"]["ome"]
    (ome["multiscales"][0] if zarr_format == 2 else ome)["version"] = "0.6"
    document.write_text(json.dumps(content))
    assert_refused(tmp_path / "image", "version '0.6' is not known")
    (ome["multiscales"][0] if zarr_format == 2 else ome)["version"] = "0.4" if zarr_format == 2 else "0.5"
    ome["multiscales"][0]["axes"][1] = {"name": "angle"}
    document.write_text(json.dumps(content))
    assert_refused(tmp_path / "image", r"its axes \(t, angle, z, y, x\)")


def test_an_array_outside_the_image_is_not_read(tmp_path):
    path = write_image(tmp_path / "image")
    document = path / ".zattrs"
    text = document.read_text()
    for name in ("../other/s0", "/s0", "", ".", "s0/../../other", "s\\u00000"):
        document.write_text(text.replace('"s0"', f'"{name}"'))
        assert_refused(path, "path")


@pytest.fixture(scope="module")
def whole_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return [write_image(folder / str(n), PIXELS[:1, :1], **options) for n, options in enumerate(STORES)]


@given(data=st.data())
def test_damaged_documents_and_chunks_raise_nothing_else(tmp_path_factory, whole_images, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(data.draw(st.sampled_from(whole_images)), path)
    file = data.draw(st.sampled_from(sorted(file for file in path.rglob("*") if file.is_file())))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    for read in (read_image, read_header):
        try:
            read(path)
        except ImageError as error:
            assert str(path) in str(error)
