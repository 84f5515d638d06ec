"""Disks that fail for a moment or for good, and paths that lead nowhere."""

import errno
import os

import numpy as np
import pytest
import tifffile

from profiling.images import ImageError, disk, read_header, read_image

PIXELS = np.random.default_rng(0).poisson(300, (400, 500)).astype(np.uint16)


class FlakyDisk:
    """Opens files; opening and reading fail with the errors given, in turn, None meaning success."""

    def __init__(self, opening=(), reading=()):
        self.opening, self.reading = list(opening), list(reading)
        self.opened = self.reads = self.bytes = 0

    def open(self, path, mode, buffering):
        self.opened += 1
        self._fail(self.opening)
        return FlakyFile(open(path, mode, buffering=buffering), self)

    def _fail(self, errors):
        number = errors.pop(0) if errors else None
        if number is not None:
            raise OSError(number, os.strerror(number))


class FlakyFile:
    def __init__(self, file, disk):
        self.file, self.disk = file, disk
        self.seek, self.fileno, self.close = file.seek, file.fileno, file.close

    def readinto(self, buffer):
        self.disk.reads += 1
        self.disk._fail(self.disk.reading)
        count = self.file.readinto(buffer)
        self.disk.bytes += count
        return count


@pytest.fixture
def waits(monkeypatch):
    waits = []
    monkeypatch.setattr(disk.time, "sleep", waits.append)
    return waits


@pytest.fixture
def attach(monkeypatch):
    def attach(**errors):
        flaky = FlakyDisk(**errors)
        monkeypatch.setattr(disk, "open", flaky.open, raising=False)
        return flaky

    return attach


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "lzma"])
def test_errors_that_pass_leave_no_trace(tmp_path, attach, waits, compression):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS, compression=compression)
    attach(opening=[errno.ESTALE, None, errno.EIO], reading=[errno.ETIMEDOUT, None, errno.EAGAIN])
    np.testing.assert_array_equal(read_image(path), PIXELS)
    assert waits == [disk.WAITS[0], disk.WAITS[0], disk.WAITS[1], disk.WAITS[0]]


@pytest.mark.parametrize("where", ["opening", "reading"])
@pytest.mark.parametrize("read", [read_image, read_header])
def test_errors_that_stay_are_named(tmp_path, attach, waits, where, read):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS)
    attach(**{where: [errno.ETIMEDOUT] * 20})
    with pytest.raises(ImageError) as error:
        read(path)
    for said in (str(path), os.strerror(errno.ETIMEDOUT), "4 tries in 2.6 s", "run again"):
        assert said in str(error.value)
    assert tuple(waits) == disk.WAITS


def test_a_file_that_may_not_be_read_is_not_waited_for(tmp_path, attach, waits):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS)
    attach(opening=[errno.EACCES])
    with pytest.raises(ImageError, match="Permission denied.*; check its permissions"):
        read_image(path)
    assert waits == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_file_without_permissions(tmp_path):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, PIXELS)
    path.chmod(0)
    with pytest.raises(ImageError, match="permissions"):
        read_image(path)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_a_file_is_opened_once_and_no_more_of_it_read_than_needed(tmp_path, attach, compression):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in range(10):
            writer.write(PIXELS + page, contiguous=False, compression=compression, rowsperstrip=64)
    for read, page, most in ((read_header, {}, 0.2), (read_image, {"page": 9}, 0.3), (read_image, {}, 0.25)):
        flaky = attach()
        read(path, **page)
        assert flaky.opened == 1
        # libtiff is given the whole file where that is not much more than the page
        assert flaky.bytes < path.stat().st_size * (
            most if compression != "lzw" or page or read is read_header else 1.1
        )


def test_paths_that_lead_nowhere(tmp_path):
    broken, circle = tmp_path / "broken.tif", tmp_path / "circle.tif"
    broken.symlink_to(tmp_path / "gone.tif")
    circle.symlink_to(circle)
    cases = [
        (broken, "a link to a file that is not there; "),
        (circle, "cannot be opened .*; "),
        (tmp_path / "gone.tif", "no such file; "),
        (tmp_path / "a\0b.tif", "cannot be opened .*; "),
        (tmp_path / ("x" * 300 + ".tif"), "cannot be opened .*; "),
    ]
    for path, message in cases:
        for read in (read_image, read_header):
            with pytest.raises(ImageError, match=message):
                read(path)
