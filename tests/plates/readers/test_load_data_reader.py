import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.image_table import index_plate
from profiling.plates.listing import list_files
from profiling.plates.readers import load_data, read_folder
from profiling.plates.readers.lists import choose_list
from profiling.settings import Images

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
EXPORTS = DATA / "vendor_formats" / "opera_phenix_harmony"
HEADER = {"width": 4, "height": 3, "dtype": "uint16"}
TABLE = """Image_FileName_DNA,Image_PathName_DNA,Image_FileName_Actin,Image_PathName_Actin,Metadata_Plate,Metadata_Well,Metadata_Site
A01_1_d.tif,/home/p/00123/Images,A01_1_a.tif,/home/p/00123/Images,00123,A01,1
A01_2_d.tif,/home/p/00123/Images,A01_2_a.tif,/home/p/00123/Images,00123,A01,2
B02_1_d.tif,/home/p/00123/Images,B02_1_a.tif,/home/p/00123/Images,00123,B02,1
"""  # noqa: E501
NAMES = [f"{well}_{stain}.tif" for well in ("A01_1", "A01_2", "B02_1") for stain in "da"]


def plate(folder, text=TABLE, names=NAMES, inner="Images", table="load_data.csv"):
    (folder / inner).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / inner / name).write_bytes(b"12345")
    (folder / table).write_text(text)
    return folder


def read(folder, **options):
    images, problems, name = read_folder(folder, Images(**options))
    assert name == "load_data"
    return images, problems


def rows(images):
    columns = ["Metadata_Well", "Metadata_Site", "Metadata_Channel", "Path", "Page", "FileSize"]
    return sorted(tuple(row) for row in images[columns].to_numpy().tolist())


EXPECTED = sorted(
    (name[:3], int(name[4]), {"d": "DNA", "a": "Actin"}[name[6]], f"Images/{name}", 0, 5) for name in NAMES
)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("Image_", ""),
        lambda text: text.replace("/home/p/00123/Images", r"D:\screens\00123\images"),
        lambda text: text.replace("/home/p/00123/Images", r"\\server\share\00123\Images"),
        lambda text: text.replace("/home/p/00123/Images", "Images/"),
        lambda text: text.replace("/home/p/00123/Images", "./Images/../Images"),
        lambda text: text.replace("/home/p/00123/Images", "screens/00123/Images"),
        lambda text: text.replace("/home/p/00123/Images", "file:///C:/screens/00123/Images"),
        lambda text: text.replace("Metadata_Site", "Metadata_FieldID"),
        lambda text: text.replace("Metadata_Site", "Metadata_Other"),
        lambda text: text.replace(",", ";").replace("\n", "\r\n"),
        lambda text: text.replace("_d.tif", "_D.TIF"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("Metadata_Well", "Image_Metadata_Well_DNA"),
        lambda text: text.replace("Metadata_Well,", "Metadata_Row,Metadata_Col,").replace(",A01,", ",1,1,").replace(
            ",B02,", ",2,02,"
        ),
    ],
)  # fmt: skip
def test_however_the_list_is_written_the_images_are_the_same(tmp_path, change):
    images, problems = read(plate(tmp_path, change(TABLE)))
    wells = images["Metadata_Well"].replace({"r1c1": "A01", "r2c02": "B02"})
    assert rows(images.assign(Metadata_Well=wells)) == EXPECTED
    assert problems == []


def test_urls_frames_and_a_channel_without_a_file(tmp_path):
    text = (
        "URL_DNA,URL_Actin,Frame_DNA,Series_DNA,Metadata_Well\n"
        "file:/x/Images/a%20b.tif,file:///x/Images/c.tif,3,0,A01\n"
        "file:/x/Images/a%20b.tif,,0,,A02\n"
    )
    images, problems = read(plate(tmp_path, text, ["a b.tif", "c.tif"]))
    assert rows(images) == [
        ("A01", 1, "Actin", "Images/c.tif", 0, 5),
        ("A01", 1, "DNA", "Images/a b.tif", 3, 5),
        ("A02", 1, "DNA", "Images/a b.tif", 0, 5),
    ]
    assert problems == [("load_data.csv", "line 3: no file of channel Actin", "name it if there is one")]


def test_illumination_functions_and_labels_are_no_channels(tmp_path):
    text = TABLE.replace(
        "Metadata_Site", "Metadata_Site,FileName_IllumDNA,PathName_IllumDNA,Image_ObjectsFileName_Nuclei"
    )
    text = text.replace(",1\n", ",1,DNA.npy,/illum,labels.tif\n").replace(",2\n", ",2,DNA.npy,/illum,labels.tif\n")
    images, _ = read(plate(tmp_path, text))
    assert rows(images) == EXPECTED


def test_time_points_and_planes(tmp_path):
    text = (
        "FileName_DNA,Metadata_Well,Metadata_FieldID,Metadata_TimepointID,Metadata_PlaneID,Metadata_AbsPositionZ_DNA\n"
        "a.tif,A01,3,2,5,0.13\nb.tif,A01,3,2,6,0.14\n"
    )
    images, _ = read(plate(tmp_path, text, ["a.tif", "b.tif"]))
    assert images[["Metadata_Site", "Metadata_Time", "Metadata_Z"]].to_numpy().tolist() == [[3, 2, 5], [3, 2, 6]]


def test_absent_files_keep_the_place_where_they_should_be(tmp_path):
    text = "FileName_DNA,PathName_DNA,Metadata_Well,Metadata_Site,Metadata_TimepointID\n" + "".join(
        f"{well}.tif,/data/P1/TimePoint_{time},{well},1,{time}\n" for time in (1, 2) for well in ("A01", "A02", "A03")
    )
    names = ["TimePoint_1/A01.tif", "TimePoint_1/A02.tif", "TimePoint_2/A02.tif"]
    folder = plate(tmp_path, text, [], "Images")
    for name in names:
        path = folder / "Export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    images, problems = read(folder, reader="load_data")
    assert problems == []
    assert sorted(images["Path"]) == [
        f"Export/TimePoint_{time}/{well}.tif" for time in (1, 2) for well in ("A01", "A02", "A03")
    ]
    assert sorted(images.loc[images["FileSize"].gt(0), "Path"]) == [f"Export/{name}" for name in names]


def test_one_plate_of_many(tmp_path):
    other = "".join(TABLE.replace("00123", "1E10").splitlines(keepends=True)[1:])
    for name in ("00123", "1E10"):
        images, _ = read(plate(tmp_path / name, TABLE + other))
        assert rows(images) == EXPECTED
    images, _ = read(plate(tmp_path / "00123" / "Raw", TABLE + other))
    assert rows(images) == EXPECTED
    with pytest.raises(ProfilingError, match=r"lists 2 plates \(00123, 1E10\) and .*other is named after none"):
        read(plate(tmp_path / "other", TABLE + other))


def test_files_elsewhere_need_a_word(tmp_path):
    store = plate(tmp_path / "store")
    folder = plate(tmp_path / "plate", TABLE.replace("/home/p/00123", str(store)), [])
    with pytest.raises(ProfilingError, match=r"load_data.csv, line 2: .*A01_1_d.tif is not below .*images.outside"):
        read(folder)
    images, _ = read(folder, outside=True)
    assert sorted(images["Path"]) == sorted(str(store / "Images" / name) for name in NAMES)
    assert images["FileSize"].eq(5).all() and images["Modified"].gt(0).all()
    names = []
    index_plate("00123", folder, 96, ["DNA"], Images(outside=True), lambda path: names.append(path) or HEADER)
    assert sorted(names) == sorted(store / "Images" / name for name in NAMES if "_d" in name)

    folder = plate(tmp_path / "relative", TABLE.replace("/home/p/00123", "../store"), [])
    with pytest.raises(ProfilingError, match="is not below"):
        read(folder)
    assert sorted(read(folder, outside=True)[0]["Path"]) == sorted(str(store / "Images" / name) for name in NAMES)


@pytest.mark.parametrize("written", ["..", "absolute"])
def test_a_file_of_another_folder_is_never_one_s_own_of_the_same_name(tmp_path, written):
    other = plate(tmp_path / "P2", names=NAMES[:-1]) / "Images"
    text = TABLE.replace("/home/p/00123/Images", "../P2/Images" if written == ".." else str(other))
    folder = plate(tmp_path / "P1", text)
    with pytest.raises(ProfilingError, match=r"line 2: .*A01_1_d.tif is not below .*\(6 such files\).*images.outside"):
        read(folder)
    images, _ = read(folder, outside=True)
    assert sorted(images["Path"]) == sorted(str(other / name) for name in NAMES)
    assert images["FileSize"].gt(0).sum() == len(NAMES) - 1


def test_a_link_to_the_plate_is_the_plate(tmp_path):
    folder = plate(tmp_path / "P1", TABLE.replace("/home/p/00123", str(tmp_path / "link")), NAMES[:-1])
    (tmp_path / "link").symlink_to(folder)
    images, _ = read(folder)
    assert sorted(images["Path"]) == [f"Images/{name}" for name in sorted(NAMES)]
    assert images["FileSize"].gt(0).sum() == len(NAMES) - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("/home/p", "https://host/p"), r"line 2: https.* is on the network \(https:\); copy"),
        (lambda text: text.replace("/home/p", "s3://bucket"), r"line 2: s3.* is on the network \(s3:\); copy or mount"),
        (lambda text: text.replace(",A01,2", ",,2"), "line 3: has no well; complete it"),
        (lambda text: text.replace(",A01,2", ",A01,x"), "line 3: Metadata_Site 'x' is not a whole number"),
        (lambda text: text.replace(",A01,2", ",A01,99999999999"), "line 3: Metadata_Site '99999999999' is not"),
        (lambda text: text.replace("Metadata_Well", "Metadata_W"), "has no column Metadata_Well"),
        (lambda text: text.splitlines(keepends=True)[0], "has no images"),
        (lambda text: text.replace("A01_1_d.tif", "nothing/."), "line 2: .*nothing/. is no file"),
        (lambda text: text.replace("A01,1\n", 'A01,"1\n'), "cannot be read as a table"),
        (lambda text: text.replace("Metadata_Site", "Series_DNA"), "line 2: Series_DNA is not 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, change, message):
    with pytest.raises(ProfilingError, match=message):
        load_data.read(plate(tmp_path, change(TABLE)), list_files(tmp_path), Images())


def test_two_files_of_the_list_never_become_one(tmp_path):
    text = TABLE.replace("/home/p/00123/Images,A01_1_a.tif", "/home/corrected/Images,A01_1_d.tif")
    with pytest.raises(ProfilingError, match="would both be Images/A01_1_d.tif"):
        read(plate(tmp_path, text))


def test_a_name_that_could_be_in_two_folders_is_refused(tmp_path):
    plate(tmp_path, inner="first")
    plate(tmp_path, inner="second")
    with pytest.raises(ProfilingError, match=r"can be in 'first/' and in 'second/' of the plate's folder; point"):
        read(tmp_path)


def test_which_list_is_read(tmp_path):
    plate(tmp_path, table="load_data.csv")
    plate(tmp_path, table="load_data_with_illum.csv")
    (tmp_path / "platemap.csv").write_text("well,compound\nA01,DMSO\n")
    files = list_files(tmp_path)
    assert load_data.detect(tmp_path, files)
    with pytest.raises(ProfilingError, match="name one in images.table"):
        read_folder(tmp_path, Images())
    with pytest.raises(ProfilingError, match=r"more than one .*\(load_data.csv, load_data_with_illum.csv\); name one"):
        load_data.read(tmp_path, files, Images())
    images, _ = load_data.read(tmp_path, files, Images(table="load_data_with_illum.csv"))
    assert rows(images) == EXPECTED
    with pytest.raises(ProfilingError, match="has no file x.csv"):
        load_data.read(tmp_path, files, Images(table="x.csv"))
    with pytest.raises(ProfilingError, match="has no list of mine; name the file in images.table"):
        choose_list(tmp_path, [], lambda columns: True, None, "list of mine")


@pytest.mark.parametrize(
    ("version", "channels"),
    [
        ("1", {"OrigDNA": 5, "OrigAGP": 2, "OrigMito": 1, "OrigER": 4, "OrigRNA": 3, "OrigBrightfield": 6}),
        ("5", {"OrigDPC": 1, "OrigAGP": 5, "OrigMito": 6, "OrigER": 4, "OrigRNA": 3, "OrigBrightfield": 2}),
    ],
)
def test_the_lists_of_pe2loaddata(version, channels):
    folder = EXPORTS / f"Version{version}"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    files = list_files(folder)
    assert load_data.detect(folder, files)
    images, problems = load_data.read(folder, files, Images())
    assert problems == []
    assert dict(zip(images["Metadata_Channel"], images["Path"], strict=True)) == {
        name: f"images/r01c01f01p01-ch{number}sk1fk1fl1.tiff" for name, number in channels.items()
    }
    assert images[["Metadata_Well", "Metadata_Site", "Metadata_Z"]].drop_duplicates().to_numpy().tolist() == [
        ["A01", 1, 1]
    ]
    assert images["FileSize"].gt(0).sum() == 1


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_list_breaks_the_reader(tmp_path, data):
    """Random bytes, and mutations of a sound list: read, or refused by an error of ours."""
    sound = TABLE.encode()
    if data.draw(st.booleans()):
        content = data.draw(st.binary(max_size=300))
    else:
        start = data.draw(st.integers(0, len(sound)))
        length = data.draw(st.integers(0, 30))
        piece = data.draw(st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode), st.sampled_from(
            [b'"', b"\n", b",", b"..", b"file://", b"1e999", b"\0", b"-1", b"/", b"\\", b"nan", b"C:/", b"FileName_"]
        )))  # fmt: skip
        content = sound[:start] + piece + sound[start + length :]
    folder = plate(tmp_path)
    (folder / "load_data.csv").write_bytes(content)
    files = list_files(folder)
    load_data.detect(folder, files)
    outside = data.draw(st.booleans())
    try:
        images, _ = load_data.read(folder, files, Images(table="load_data.csv", outside=outside))
    except ProfilingError as error:
        assert "load_data.csv" in str(error)
    else:
        assert images["Path"].str.len().gt(0).all()
        assert outside or not images["Path"].str.startswith(("/", "../")).any()
