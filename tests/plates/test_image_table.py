import time

import numpy as np
import pytest
import tifffile

from profiling.errors import ProfilingError
from profiling.images.read import read_header
from profiling.plates.image_table import index_plate
from profiling.settings import Images
from profiling.tables import as_table

CHANNELS = ["DNA", "Actin"]


HEADER = {"width": 1, "height": 1, "dtype": "uint16"}


def header(path):
    """Stands for the pixels' header: what a file holds is its reason to be unreadable."""
    if text := path.read_text():
        raise ValueError(text)
    return {"width": 4, "height": 3, "dtype": "uint16"}


def folder_of(tmp_path, *names):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def index(folder, layout=96, channels=CHANNELS, **settings):
    return index_plate("00123", folder, layout, channels, Images(**settings), header)


def names(wells=("A01", "A02", "A03"), sites=(1, 2), channels=CHANNELS):
    return [f"{well}_s{site}_{channel}.tif" for well in wells for site in sites for channel in channels]


def lost(images):
    columns = ["Metadata_Well", "Metadata_Site", "Metadata_Channel", "Status", "Reason"]
    return [tuple(row) for row in images.loc[images["Status"].ne("ok"), columns].to_numpy()]


def test_a_whole_plate(tmp_path):
    images, problems = index(folder_of(tmp_path, *names()))
    assert len(images) == 3 * 2 * 2
    assert problems.empty
    assert images["Status"].eq("ok").all()
    assert set(images["Metadata_Plate"]) == {"00123"}
    assert images["Path"].iloc[0] == "A01_s1_Actin.tif"
    assert images[["Width", "Height", "FileSize", "Page"]].drop_duplicates().to_numpy().tolist() == [[4, 3, 0, 0]]
    assert as_table("images", images).num_rows == 12


def test_a_missing_channel_and_a_missing_site_are_rows_with_a_reason(tmp_path):
    kept = [name for name in names() if name not in ("A01_s2_DNA.tif", "A03_s2_DNA.tif", "A03_s2_Actin.tif")]
    images, problems = index(folder_of(tmp_path, *kept))
    reason = "no file of this field and channel"
    assert lost(images) == [
        ("A01", 2, "DNA", "missing", reason),
        ("A03", 2, "Actin", "missing", reason),
        ("A03", 2, "DNA", "missing", reason),
    ]
    assert images.loc[images["Status"].eq("missing"), ["Path", "Width"]].isna().all(axis=None)
    assert problems.empty
    assert as_table("images", images)["Path"].null_count == 3


def test_a_channel_that_no_image_has_is_missing_everywhere(tmp_path):
    images, _ = index(folder_of(tmp_path, *names(channels=["DNA"])))
    assert images.groupby("Metadata_Channel")["Status"].unique().map(list).to_dict() == {
        "Actin": ["missing"],
        "DNA": ["ok"],
    }


def test_a_field_that_few_wells_have_is_not_expected_elsewhere(tmp_path):
    images, _ = index(folder_of(tmp_path, *names(), *names(["A01"], [3])))
    assert set(images.loc[images["Metadata_Site"].eq(3), "Metadata_Well"]) == {"A01"}
    assert lost(images) == []


def test_an_unreadable_image_is_a_row_with_a_reason(tmp_path):
    folder_of(tmp_path, *names())
    (tmp_path / "A02_s1_DNA.tif").write_text("the file ends early")
    images, _ = index(tmp_path)
    assert lost(images) == [("A02", 1, "DNA", "unreadable", "the file ends early")]
    assert images.loc[images["Status"].eq("unreadable"), "Path"].tolist() == ["A02_s1_DNA.tif"]


def test_a_plate_without_a_readable_image_is_a_table_all_the_same(tmp_path):
    for name in names():
        (folder_of(tmp_path, name) / name).write_text("the file is empty")
    images, _ = index(tmp_path)
    assert images["Status"].eq("unreadable").all()
    assert as_table("images", images).num_rows == 12


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("A01_s1_Tubulin.tif", "channel 'Tubulin' is not one of channels (DNA, Actin)"),
        ("A01-s1-DNA.tif", "the name does not match images.pattern"),
        ("H13_s1_DNA.tif", "well 'H13' lies outside a 96-well plate"),
        ("A0_s1_DNA.tif", "'A0' is not a well name"),
    ],
)
def test_a_file_that_cannot_be_placed_is_named(tmp_path, name, reason):
    images, problems = index(folder_of(tmp_path, *names(), name))
    assert len(images) == 12
    assert problems["Metadata_Plate"].tolist() == ["00123"]
    assert problems["Reason"].str.startswith(f"{name}: {reason}").all()
    assert problems["Remedy"].str.len().gt(5).all()


def test_a_site_that_is_no_number_is_named(tmp_path):
    pattern = r"(?P<well>\w\d\d)_s(?P<site>\w+)_(?P<channel>[^_.]+)\.tif$"
    images, problems = index(folder_of(tmp_path, *names(), "A01_sx_DNA.tif"), pattern=pattern)
    assert len(images) == 12
    assert problems["Reason"].str.contains("A01_sx_DNA.tif: site, time or z is not a number").all()


@pytest.mark.parametrize("twin", ["A01_s01_DNA.tif", "A1_s1_DNA.tif", "again/A01_s1_DNA.tif"])
def test_two_files_of_the_same_image_are_an_error_with_both_names(tmp_path, twin):
    with pytest.raises(ProfilingError, match="are both well A01, site 1, channel DNA") as error:
        index(folder_of(tmp_path, *names(), twin))
    assert twin in str(error.value)
    assert "A01_s1_DNA.tif and" in str(error.value) or "and A01_s1_DNA.tif" in str(error.value)


def test_names_with_spaces_and_letters_of_any_language(tmp_path):
    folder = folder_of(tmp_path / "Plätte 1 (μ)", *[f"série 2/{name}" for name in names(["A01"])], "notes.txt")
    images, problems = index(folder)
    assert images["Path"].tolist()[0] == "série 2/A01_s1_Actin.tif"
    assert images["Status"].eq("ok").all()
    assert problems.empty


def test_channel_tokens_rows_and_columns_by_number_time_and_z(tmp_path):
    pattern = r"r(?P<row>\d+)c(?P<column>\d+)f(?P<site>\d+)p(?P<z>\d+)-ch(?P<channel>\d)t(?P<time>\d+)\.tiff$"
    folder = folder_of(tmp_path, "r27c05f03p02-ch1t04.tiff", "r27c05f03p02-ch2t04.tiff", "r27c05f03p02-ch9t04.tiff")
    images, problems = index(folder, 1536, pattern=pattern, channel_names={"1": "Actin", "2": "DNA"})
    key = ["Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_Channel"]
    assert images[key].to_numpy().tolist() == [["AA05", 3, 4, 2, "Actin"], ["AA05", 3, 4, 2, "DNA"]]
    assert problems["Reason"].str.contains("channel '9' is not in images.channel_names").all()


@pytest.mark.parametrize("found", [(), ("picture 1.tif", "picture 2.tif")])
def test_a_folder_where_nothing_fits_is_an_error_with_examples(tmp_path, found):
    with pytest.raises(ProfilingError, match=r"no reader knows these files \(\d, .*regular expression") as error:
        index(folder_of(tmp_path, *found))
    assert all(name in str(error.value) for name in found)


def test_the_time_of_listing_grows_with_the_number_of_images_not_its_square(tmp_path):
    wells = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]

    def seconds(folder, sites):
        folder.mkdir()
        for name in names(wells, range(1, sites + 1)):
            (folder / name).touch()
        start = time.process_time()
        images, _ = index_plate("P", folder, 384, CHANNELS, Images(), lambda path: HEADER)
        assert images["Status"].eq("ok").sum() == 384 * sites * 2
        return time.process_time() - start

    assert seconds(tmp_path / "large", 24) < 40 * seconds(tmp_path / "small", 2)


def test_a_file_that_a_list_names_twice_is_an_error(tmp_path):
    folder_of(tmp_path, "a.tif")
    (tmp_path / "list.csv").write_text("well,site,channel,path\nA01,1,DNA,a.tif\nA01,2,DNA,a.tif\n")
    with pytest.raises(ProfilingError, match="a.tif stands for well A01, site 1, channel DNA and for well A01, site 2"):
        index(tmp_path)


@pytest.mark.parametrize("z", [None, 1])
def test_pages_are_said_to_be_unused_only_where_nothing_uses_them(tmp_path, z):
    path = tmp_path / "A01_s1_DNA.tif"
    tifffile.imwrite(path, np.zeros((3, 20, 20), np.uint16), imagej=True, metadata={"axes": "ZYX"})
    settings = Images(reader="pattern" if z is None else "ome_tiff", z=z)
    _, problems = index_plate("P", tmp_path, 96, ["DNA"], settings, read_header)
    assert problems["Reason"].str.contains("only the first is used").any() == (z is None)


def test_pages_that_are_channels(tmp_path):
    names = {"1": "DNA", "2": "Actin"}
    folder = folder_of(tmp_path, "A01_s1.tif", "A02_s1.tif", "A03_s1.tif")
    (folder / "A02_s1.tif").write_text("the file ends early")

    def two_pages(path):
        return header(path) | {"pages": 2}

    settings = Images(pattern=r"(?P<well>\w\d\d)_s(?P<site>\d)\.tif$", pages="channel", channel_names=names)
    images, problems = index_plate("P", folder, 96, CHANNELS, settings, two_pages)
    assert problems.empty
    rows = images[["Metadata_Well", "Metadata_Channel", "Path", "Page", "Status"]].to_numpy().tolist()
    assert rows == [
        [well, channel, f"{well}_s1.tif", page, "unreadable" if well == "A02" else "ok"]
        for well in ("A01", "A02", "A03")
        for channel, page in (("Actin", 1), ("DNA", 0))
    ]
