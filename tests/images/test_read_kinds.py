"""Every kind of file an instrument writes: read as it was stored, and never as anything else once it is damaged."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from profiling.images import ImageError, read_header, read_image

PIXELS = np.random.default_rng(0).poisson(300, (40, 52)).astype(np.uint16)
BYTES = (PIXELS >> 2).astype(np.uint8)
LAYOUTS = [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}]
CHECKED = {"zlib", "png", "lerc", "c01", "PNG"}  # their checksums cover every byte of the pixels


def tiff(pixels=PIXELS, pages=1, byteorder="<", bigtiff=False, **options):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=byteorder, bigtiff=bigtiff) as writer:
        for _ in range(pages):
            writer.write(pixels, contiguous=False, **options)
    return buffer.getvalue()


def bitmap(pixels=PIXELS, planes=1):
    height, width = pixels.shape
    header = struct.pack("<IIIHHI", 40, width, height, planes, 8 * pixels.itemsize, 0).ljust(52, b"\0")
    return header + b"".join((pixels + plane).astype(pixels.dtype).tobytes() for plane in range(planes))


def c01(data):
    return b"\0\0\0\x10" + zlib.compress(data)


def encoded(suffix, pixels):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def pillow(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def lossless():
    """Files whose pixels are known: ``name, bytes, pixels``."""
    for codec in (None, "lzw", "zlib", "zstd", "lzma", "packbits", "jpeg2000", "jpegxr", "png", "lerc"):
        for number, layout in enumerate(LAYOUTS):
            name = f"{codec} {number}"
            yield name, tiff(compression=codec, **layout), PIXELS
            if codec in (None, "lzw", "zlib", "zstd", "lzma", "packbits"):
                big = {"byteorder": ">", "bigtiff": number == 1}
                yield f"{name} big-endian", tiff(compression=codec, **big, **layout), PIXELS
            if codec in ("lzw", "zlib", "zstd", "lzma", "packbits"):
                yield f"{name} predictor", tiff(compression=codec, predictor=2, **layout), PIXELS
                yield f"{name} predictor, big-endian", tiff(compression=codec, predictor=2, **big, **layout), PIXELS
    for dtype in ("uint8", "int8", "int16", "int32", "uint32", "float16", "float32", "float64"):
        stored = (PIXELS - 290.0).astype(dtype) if dtype != "uint8" else BYTES
        yield dtype, tiff(stored), stored
        for codec in ("zlib", "lzw", "zstd"):
            predictor = 3 if "float" in dtype else 2
            yield f"{dtype} {codec}", tiff(stored, compression=codec, predictor=predictor, byteorder=">"), stored
    for bits in (10, 12):
        yield f"{bits} bits", tiff(bitspersample=bits), PIXELS
    colours = np.random.default_rng(1).integers(0, 2**16, (3, 256), np.uint16)
    yield "1 bit", tiff(PIXELS > 300), (PIXELS > 300).astype(np.uint8)
    yield "palette", tiff(BYTES, photometric="palette", colormap=colours), BYTES
    for codec in (None, "lzw"):
        yield f"white is zero, {codec}", tiff(photometric="miniswhite", compression=codec), PIXELS
        yield f"turned, {codec}", tiff(extratags=[(274, "H", 1, 6, True)], compression=codec), PIXELS
    yield "directory at the end", encoded(".tif", PIXELS), PIXELS
    yield "PNG 8", encoded(".png", BYTES), BYTES
    yield "PNG 16", encoded(".png", PIXELS), PIXELS
    yield "PNG 1", pillow(Image.fromarray(PIXELS > 300), format="PNG"), np.where(PIXELS > 300, 255, 0).astype(np.uint8)
    yield "PNG, a grey level transparent", pillow(Image.fromarray(BYTES), format="PNG", transparency=70), BYTES
    yield "dib", bitmap(), PIXELS
    yield "c01", c01(bitmap()), PIXELS
    yield "c01 8", c01(bitmap(BYTES)), BYTES


KINDS = {name: (data, pixels) for name, data, pixels in lossless()}
SMOOTH = cv2.GaussianBlur(BYTES, (0, 0), 3)
LOSSY = {
    "JPEG": encoded(".jpg", SMOOTH),
    "JPEG in colour": encoded(".jpg", cv2.merge([SMOOTH] * 3)),
    "jpeg": tiff(SMOOTH, compression="jpeg"),
    "jpeg tiles": tiff(SMOOTH, compression="jpeg", tile=(16, 16)),
}
STACKS = {"pages": tiff(pages=3), "pages, big": tiff(pages=3, bigtiff=True, byteorder=">", compression="zlib")}
FILES = {name: data for name, (data, _) in KINDS.items()} | LOSSY | STACKS
DAMAGED = [
    name for name in FILES if "big-endian" not in name and not (" " in name and "int" in name or "float" in name)
]


def reading(path, read=read_image, **options):
    """What is read, None where it is refused as it should be; any other error fails the test."""
    try:
        return read(path, **options)
    except ImageError as error:
        assert str(path) in str(error) and "; " in str(error), "the message names the file and a remedy"
        return None


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds") / "a field, größer.tif"


@pytest.mark.parametrize("name", KINDS)
def test_pixels_are_read_as_stored(path, name):
    data, pixels = KINDS[name]
    path.write_bytes(data)
    image = read_image(path)
    np.testing.assert_array_equal(image, pixels, strict=True)
    assert image.dtype.isnative and image.flags.writeable and image.flags.c_contiguous
    assert read_header(path) == {"width": 52, "height": 40, "dtype": pixels.dtype.name, "pages": 1}


@pytest.mark.parametrize("name", LOSSY)
def test_jpeg_is_read_nearly_as_stored(path, name):
    path.write_bytes(LOSSY[name])
    image = read_image(path)
    assert image.dtype == np.uint8 and np.abs(image.astype(int) - SMOOTH).max() <= 4
    assert read_header(path) == {"width": 52, "height": 40, "dtype": "uint8", "pages": 1}


def test_planes_of_a_bitmap(path):
    for data in (bitmap(planes=3), c01(bitmap(planes=3))):
        path.write_bytes(data)
        assert read_header(path)["pages"] == 3
        np.testing.assert_array_equal(read_image(path, 2), PIXELS + 2)
        with pytest.raises(ImageError, match="no page 3 but 3"):
            read_image(path, 3)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_cut_short_is_refused_or_lacks_no_pixel(path, name):
    data = FILES[name]
    path.write_bytes(data)
    whole = read_image(path)
    path.write_bytes(data[:8] if name == "dib" else data[: len(data) // 2])
    assert name in STACKS or reading(path) is None
    for tenth in range(10):
        path.write_bytes(data[: len(data) * tenth // 10])
        image = reading(path)
        assert image is None or np.array_equal(image, whole)
        header = reading(path, read_header)
        assert image is not None or header is None or name.startswith("c01"), "the header tells"


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pixels_are_refused_where_a_checksum_tells(path, name):
    data = bytearray(FILES[name])
    path.write_bytes(data)
    whole = read_image(path)
    rng = np.random.default_rng(2)
    checked = bool(CHECKED & set(name.split()))
    if data[:2] in (b"II", b"MM"):
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            pixels = np.concatenate([np.arange(o, o + n) for o, n in zip(page.dataoffsets, page.databytecounts)])
    else:
        pixels = np.arange(52 if name == "dib" else 4, len(data))
    for position in rng.choice(pixels, 20).tolist():
        changed = data.copy()
        changed[position] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        image = reading(path)
        if image is not None:
            same_form = image.shape == whole.shape and image.dtype == whole.dtype
            assert np.array_equal(image, whole) if checked else same_form or name.startswith(("dib", "JPEG"))


@pytest.mark.parametrize("codec", ["jpeg", "jpeg2000"])
def test_pixels_that_a_decoder_would_make_up_are_refused(path, codec):
    data = bytearray(tiff(SMOOTH, compression=codec))
    path.write_bytes(data)
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data[start + count // 2 : start + count] = bytes(count - count // 2)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="the end of its pixels is missing"):
        read_image(path)


@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.booleans()), max_size=4),
    length=st.one_of(st.none(), st.floats(0, 1)),
    page=st.integers(-1, 3),
)
def test_no_file_raises_anything_but_our_error(path, name, changes, length, page):
    data = bytearray(FILES[name])
    for place, value, in_head in changes:  # the head describes the pixels: most havoc starts there
        data[int(place * (min(300, len(data)) if in_head else len(data)))] = value
    path.write_bytes(data if length is None else data[: int(length * len(data))])
    reading(path, read_header)
    reading(path, page=page)


def directory_of(data):
    """Position of the first directory, and of its entries by tag, in a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    positions = [start + 2 + 12 * entry for entry in range(count)]
    return start, {struct.unpack_from("<H", data, position)[0]: position for position in positions}


@pytest.mark.parametrize("codec", [None, "lzw", "zlib", "zstd", "lzma"])
def test_sizes_that_no_file_can_hold_are_refused_before_memory_is_taken(path, codec):
    data = bytearray(tiff(compression=codec))
    _, entries = directory_of(data)
    for tag in (256, 257, 278):  # width, length, rows a strip
        struct.pack_into("<HI", data, entries[tag] + 2, 4, 1)
        struct.pack_into("<I", data, entries[tag] + 8, 2**28)
    path.write_bytes(data)
    for read in (read_image, read_header):
        assert reading(path, read) is None


def test_sizes_that_a_decoder_believes_are_no_lack_of_memory(path):
    data = bytearray(tiff(compression="lerc"))
    struct.pack_into("<I", data, data.index(b"Lerc2 ") + 22, 2**29 + 1)  # values a pixel
    path.write_bytes(data)
    assert reading(path) is None


def test_lists_of_pages_that_end_nowhere_are_refused(path):
    data = bytearray(tiff(pages=3))
    start, entries = directory_of(data)
    following = start + 2 + 12 * len(entries)
    for target, word in ((start, "circle"), (len(data) + 50, "the file ends"), (1, "cut short|entries|ends")):
        struct.pack_into("<I", data, following, target)
        path.write_bytes(data)
        with pytest.raises(ImageError, match=word):
            read_header(path)
        with pytest.raises(ImageError, match=word):
            read_image(path, page=1)
        np.testing.assert_array_equal(read_image(path), PIXELS)


def test_pictures_in_colour_are_refused_and_grey_ones_among_them_read(path):
    tinted = cv2.merge([SMOOTH, SMOOTH, SMOOTH // 2])
    palette = Image.fromarray(BYTES).convert("P")
    for data in (encoded(".jpg", tinted), encoded(".png", tinted), pillow(palette, format="PNG")):
        path.write_bytes(data)
        for read in (read_image, read_header):
            with pytest.raises(ImageError, match="colour"):
                read(path)
    path.write_bytes(LOSSY["JPEG in colour"])
    assert read_image(path).shape == SMOOTH.shape
