import os
import time

import pytest

from profiling.errors import ProfilingError
from profiling.plates import listing
from profiling.plates.image_table import index_plate
from profiling.plates.listing import File, list_files, unwritable
from profiling.settings import Images
from profiling.tables import as_table, write_table


def header(path):
    if not path.exists():
        raise ValueError("no such file")
    return {"width": 4, "height": 3, "dtype": "uint16"}


def touch(folder, *names):
    for name in names:
        path = os.path.join(os.fspath(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w"):
            pass
    return folder


def paths(folder):
    return [file.path for file in list_files(folder)]


def test_paths_sizes_and_times_in_order(tmp_path):
    touch(tmp_path, "b.tif", "a/ü 1.tif", "a/b/c.tif")
    (tmp_path / "b.tif").write_bytes(b"123")
    os.utime(tmp_path / "b.tif", (5, 1_700_000_000.9))
    files = list_files(tmp_path)
    assert [file.path for file in files] == ["a/b/c.tif", "a/ü 1.tif", "b.tif"]
    assert files[-1] == File("b.tif", 3, 1_700_000_000)


def test_hidden_files_and_what_systems_leave_behind_are_passed_over(tmp_path):
    touch(
        tmp_path, ".DS_Store", "._A01.tif", "Thumbs.db", "desktop.ini", ".snapshot/A01.tif", "@eaDir/A01.tif", "A01.tif"
    )
    assert paths(tmp_path) == ["A01.tif"]


def test_loops_of_links_end_and_a_file_has_its_path_without_links(tmp_path):
    touch(tmp_path / "plate", "z/real/A01.tif")
    touch(tmp_path / "elsewhere", "B01.tif")
    plate = tmp_path / "plate"
    (plate / "alias").symlink_to(plate / "z" / "real")
    (plate / "z" / "real" / "up").symlink_to(plate)
    (plate / "self").symlink_to(plate / "self")
    (plate / "more").symlink_to(tmp_path / "elsewhere")
    (plate / "one.tif").symlink_to(tmp_path / "elsewhere" / "B01.tif")
    assert paths(plate) == ["more/B01.tif", "one.tif", "self", "z/real/A01.tif"]


def test_a_broken_link_is_an_image_that_cannot_be_read(tmp_path):
    touch(tmp_path, "A01_s1_DNA.tif")
    (tmp_path / "A02_s1_DNA.tif").symlink_to(tmp_path / "gone.tif")
    images, _ = index_plate("P", tmp_path, 96, ["DNA"], Images(), header)
    assert images[["Metadata_Well", "Status", "Reason"]].to_numpy().tolist()[1] == ["A02", "unreadable", "no such file"]


def test_a_pipe_is_not_opened(tmp_path):
    touch(tmp_path, "A01_s1_DNA.tif")
    os.mkfifo(tmp_path / "A02_s1_DNA.tif")
    assert paths(tmp_path) == ["A01_s1_DNA.tif"]


def test_a_zarr_group_is_one_entry(tmp_path):
    touch(tmp_path, "P.zarr/.zgroup", "P.zarr/A/1/0/0.0", "other.tif", "Q.zarr/zarr.json")
    assert paths(tmp_path) == ["P.zarr", "Q.zarr", "other.tif"]
    assert paths(tmp_path / "P.zarr") == ["."]


def refusing(path, error, monkeypatch, times=10**9):
    """`os.scandir` fails for one folder so many times."""
    scandir, left = os.scandir, [times]

    def scan(folder):
        if os.fspath(folder) == os.fspath(path) and left[0]:
            left[0] -= 1
            raise error
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
def test_a_folder_that_may_not_be_listed_or_vanishes_meanwhile_is_named(tmp_path, monkeypatch, error):
    touch(tmp_path, "a.tif", "inner/b.tif")
    refusing(tmp_path / "inner", error, monkeypatch)
    with pytest.raises(ProfilingError, match=rf"inner: cannot be listed \({error.strerror}\)"):
        list_files(tmp_path)


def test_an_absent_folder_is_named(tmp_path):
    with pytest.raises(ProfilingError, match="gone: cannot be listed"):
        list_files(tmp_path / "gone")
    with pytest.raises(ProfilingError, match="cannot be listed"):
        list_files("a\0b")
    touch(tmp_path, "file")
    with pytest.raises(ProfilingError, match="file: cannot be listed"):
        list_files(tmp_path / "file")


def test_a_file_that_vanishes_meanwhile_is_left_out(tmp_path, monkeypatch):
    touch(tmp_path, "a.tif", "b.tif")
    scandir = os.scandir

    def scan(folder):
        entries = scandir(folder)
        (tmp_path / "b.tif").unlink(missing_ok=True)
        return entries

    monkeypatch.setattr(os, "scandir", scan)
    assert paths(tmp_path) == ["a.tif"]


def test_a_file_system_that_stutters_is_asked_again(tmp_path, monkeypatch):
    touch(tmp_path, "inner/b.tif")
    monkeypatch.setattr(listing, "FIRST_PAUSE", 0)
    stale = OSError(116, "Stale file handle")
    refusing(tmp_path / "inner", stale, monkeypatch, listing.ATTEMPTS - 1)
    assert paths(tmp_path) == ["inner/b.tif"]
    refusing(tmp_path / "inner", stale, monkeypatch)
    with pytest.raises(ProfilingError, match=r"inner: cannot be listed \(Stale file handle, 4 attempts\)"):
        list_files(tmp_path)


def test_a_name_that_is_no_text_becomes_a_problem(tmp_path):
    names = [b"A01_s1_DNA.tif", "A02_s1_DNA ü.tif".encode(), b"A03_s1_DNA\xff.tif", b"A04_s1_DNA\n.tif"]
    for name in names:
        open(os.path.join(os.fsencode(tmp_path), name), "w").close()
    good, problems = unwritable(list_files(tmp_path))
    assert [os.fsencode(file.path) for file in good] == [names[0], names[1], names[3]]
    assert problems == [("A03_s1_DNA\\udcff.tif", "its name is not UTF-8 text", "rename it")]

    images, problems = index_plate("P", tmp_path, 96, ["DNA"], Images(), header)
    write_table(tmp_path / "images.parquet", "images", images)
    unplaced = problems.assign(Stage="images", Cells=None).reindex(
        columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_Channel",
                 "Stage", "Reason", "Remedy", "Cells"]
    )  # fmt: skip
    assert as_table("failures", unplaced).num_rows == len(problems) >= 1
    assert problems["Reason"].str.contains("udcff.tif: its name is not UTF-8").any()


def test_plates_named_like_numbers_and_a_well_outside_the_plate(tmp_path):
    for plate in ("00123", "1E10"):
        folder = touch(tmp_path / plate, "A01_s1_DNA.tif", "P24_s1_DNA.tif")
        images, problems = index_plate(plate, folder, 96, ["DNA"], Images(), header)
        assert as_table("images", images).to_pandas()["Metadata_Plate"].tolist() == [plate]
        assert problems["Reason"].tolist() == [
            "P24_s1_DNA.tif: well 'P24' lies outside a 96-well plate (last well H12); correct the well or the plate's "
            "layout"
        ]


def test_the_time_of_listing_grows_with_the_number_of_files_not_its_square(tmp_path):
    def seconds(folder, count):
        folder.mkdir()
        for number in range(count):
            os.close(os.open(folder / f"A01_s{number}_DNA.tif", os.O_CREAT))
        times = []
        for _ in range(3):
            start = time.process_time()
            assert len(list_files(folder)) == count
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(tmp_path / "large", 16_000) < 60 * seconds(tmp_path / "small", 1_000)
