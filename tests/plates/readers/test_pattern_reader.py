import os
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.image_table import place
from profiling.plates.listing import File, list_files
from profiling.plates.patterns import PATTERNS
from profiling.plates.readers import pattern
from profiling.settings import Images

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
KEY = ["Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_Channel"]
GUID = "64FBEEF7-F77C-4892-86F5-72D0160D4FB2"

NAMES = {
    "well_site_channel": {
        "A01_s1_DNA.tif": ("A01", 1, 0, 0, "DNA"),
        "plate 7/AF48_s12_Long-name.TIFF": ("AF48", 12, 0, 0, "Long-name"),
    },
    "imagexpress": {
        f"IXMtest_A01_s1_w1{GUID}.tif": ("A01", 1, 0, 0, "w1"),
        "G10_s2_w2570437EF-C8DC-4074-8D63-7FA3A7271FEE.tif": ("G10", 2, 0, 0, "w2"),
        "Week4/Week4_27481/G10_s2_w400B21F33-BDAB-4363-92C2-F4FB7545F08C.tif": ("G10", 2, 0, 0, "w4"),
        "Week10_200907_40115_B02_s1_w107447158-AC92-4844-8439-CD159BD25EF2.tif": ("B02", 1, 0, 0, "w1"),
        f"10 wavelengths_P24_s9_w10{GUID}.tif": ("P24", 9, 0, 0, "w10"),
        "TimePoint_1/ZStep_2/9987_B02_s1_w1.TIF": ("B02", 1, 1, 2, "w1"),
        "Export/TimePoint_12/9987_B02_s1_w3.TIF": ("B02", 1, 12, 0, "w3"),
        "IM-Assays-EXP2_A02_s4_w3.TIF": ("A02", 4, 0, 0, "w3"),
        "ADSAStaphInfection2_A01_w2247376DD-6ADD-442D-AE47-F54A05F3EA94.tif": ("A01", 1, 0, 0, "w2"),
        "101210OranePlt1_C16_w3_[E3E9B145-D9B7-49E1-8159-496F065708F7].tif": ("C16", 1, 0, 0, "w3"),
        "1649_1109_0003_Amp5-1_B_20070424_C20_w2_5F64C597-735E-435D-B49C-2A07B9D6DFC3.tif": ("C20", 1, 0, 0, "w2"),
        "MIP-2P-2sub_C05_s1_w146C9B2CD-0BB3-4B8A-9187-2805F4C90506.tif": ("C05", 1, 0, 0, "w1"),
    },
    "operetta": {
        "Images/r01c01f01p01-ch1sk1fk1fl1.tiff": ("r01c01", 1, 1, 1, "ch1"),
        "r32c48f123p07-ch12sk45fk1fl1.tiff": ("r32c48", 123, 45, 7, "ch12"),
        "r02c07f01p01rc1-ch1sk1fk1fl1.tiff": ("r02c07", 1, 1, 1, "ch1"),
    },
    "yokogawa": {
        "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_D08_T0001F002L01A02Z03C02.tif": ("D08", 2, 1, 3, "C02"),
        "AssayPlate_Greiner_#655090_C02_T0012F001L01A01Z01C01.tif": ("C02", 1, 12, 1, "C01"),
        "Dest210809-141456/Dest210809-141456_K06_T0001F001L01A03Z01C04.tif": ("K06", 1, 1, 1, "C04"),
    },
    "cellomics": {
        "AS_09125_050116030001_D03f00d1.tif": ("D03", 0, 0, 0, "d1"),
        "AS_09047_050428030001_O24f02d2.TIF": ("O24", 2, 0, 0, "d2"),
        "MFGTMP_260306160001_A01f00d0.C01": ("A01", 0, 0, 0, "d0"),
        "icd002235_090127090001_a01f00d1.c01": ("a01", 0, 0, 0, "d1"),
    },
    "scanr": {
        "A1--W00001--P00001--Z00000--T00000--mcherry.tif": ("A1", 1, 0, 0, "mcherry"),
        "data/B2--W00014--P00003--Z00002--T00007--Transmission-CSU.tif": ("B2", 3, 7, 2, "Transmission-CSU"),
    },
    "scanr_embl": {
        "P002--A1--A1--W0001--P002--T00001--Z001--C01.ome.jpeg": ("A1", 2, 1, 1, "C01"),
        "P001--A1--A1/D0004BS000000007-1uM--A1--A1--W0001--P001--T00001--Z001--C02.ome.jpeg": ("A1", 1, 1, 1, "C02"),
        "W0021--B9--empty/P002--B9--empty/20180807_CrispR_20xd1--B9--empty--W0021--P002--T0000--Z000--C01.ome.tif": (
            "B9", 2, 0, 0, "C01",
        ),
        "W0019--B7--gRNA_Scr/P000--B7--gRNA_Scr/20180807--B7--gRNA_Scr--W0019--P000--T0000--Z000--C00.ome.tif": (
            "B7", 0, 0, 0, "C00",
        ),
    },
    "incell": {
        "A - 01(fld 1 wv Green - dsRed z 3).tif": ("A01", 1, 0, 3, "Green - dsRed"),
        "B - 02(fld 12 wv 631 - FarRed).tif": ("B02", 12, 0, 0, "631 - FarRed"),
        "002_CD8V11.PE_B - 2(fld 1 wv Cy3 - Cy3 wix 1).tif": ("B2", 1, 0, 0, "Cy3 - Cy3"),
    },
    "incucyte": {
        "MiaPaCa2-PhaseOriginal_A2_1_03d06h40m.tif": ("A2", 1, (3 * 24 + 6) * 60 + 40, 0, "PhaseOriginal"),
    },
    "bbbc013": {"Channel1-01-A-01.tif": ("A01", 1, 0, 0, "Channel1")},
}  # fmt: skip
"""Names as the instruments and collections give them, with what a person reads in them."""


def listed(*paths):
    return [File(path, 10, 20) for path in paths]


def read(*paths, **settings):
    return pattern.read(Path("plate"), listed(*paths), Images(**settings))


@pytest.mark.parametrize("name", PATTERNS)
def test_names_of_instruments_are_read_as_a_person_reads_them(name):
    images, problems = read(*NAMES[name])
    assert problems == []
    images = images.reindex(columns=[*KEY, "Path"]).fillna({"Metadata_Site": 1, "Metadata_Time": 0, "Metadata_Z": 0})
    assert {row[-1]: tuple(row[:-1]) for row in images.to_numpy().tolist()} == NAMES[name]


@pytest.mark.parametrize("name", PATTERNS)
def test_a_name_fits_one_ready_pattern_and_no_other(name):
    for path in NAMES[name]:
        assert [other for other, text in PATTERNS.items() if re.search(text, path)] == [name]
    assert pattern.detect(Path("plate"), listed(*NAMES[name]))
    Images(pattern=name)


@pytest.mark.parametrize(
    ("folder", "name", "images", "wells", "channels", "unread"),
    [
        ("bbbc013/images", "bbbc013", 96, 48, 2, 0),
        ("vendor_formats/cellomics_naming", "cellomics", 3, 1, 3, 1),
        ("vendor_formats/imagexpress_exported_HTD/9987_Plate_3434", "imagexpress", 36, 2, 3, 0),
        ("vendor_formats/imagexpress_database_layout/Projection-Mix", "imagexpress", 6, 2, 3, 0),
        ("vendor_formats/opera_phenix_harmony/Version1", "operetta", 1, 1, 1, 0),
        ("vendor_formats/yokogawa_cv8000", "yokogawa", 96, 3, 2, 6),
    ],
)
def test_real_folders_fit_one_pattern(folder, name, images, wells, channels, unread):
    folder = DATA / folder
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    files = list_files(folder)
    counts = {other: len(pattern.read(folder, files, Images(pattern=other))[0]) for other in PATTERNS}
    assert {other for other, count in counts.items() if count} == {name}
    found, problems = pattern.read(folder, files, Images())
    assert (len(found), found["Metadata_Well"].nunique(), found["Metadata_Channel"].nunique()) == (
        images,
        wells,
        channels,
    )
    assert len(problems) == unread


def test_every_name_of_bbbc021_is_read_as_its_image_table_says():
    path = DATA / "bbbc021" / "BBBC021_v1_image.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    table = pd.read_csv(path)
    waves = {"DAPI": "w1", "Tubulin": "w2", "Actin": "w4"}
    for channel, wave in waves.items():
        paths = table[f"Image_PathName_{channel}"] + "/" + table[f"Image_FileName_{channel}"]
        images, problems = read(*paths)
        assert problems == []
        assert images["Metadata_Channel"].eq(wave).all()
        assert images["Metadata_Well"].tolist() == table["Image_Metadata_Well_DAPI"].tolist()


def test_thumbnails_are_no_images_and_no_problems():
    thumb = "Projection-Mix_E08_s1_w1_thumbD59B8F66-7743-4113-B6A2-8899FD53C3C8.tif"
    images, problems = read(f"Projection-Mix_E08_s1_w1{GUID}.tif", thumb)
    assert len(images) == 1
    assert problems == []


def test_names_that_cannot_be_read_are_problems_one_each():
    expression = r"^(?P<well>\w+?)_s(?P<site>\w*)_(?P<channel>\w*)\.tif$"
    names = {
        "A01_s1_DNA.tif": None,
        "A02_s_DNA.tif": None,
        "A03_sx_DNA.tif": "site, time or z is not a number",
        "A04_s99999999999_DNA.tif": "site, time or z is not a number",
        "A05_s1_.tif": "the name has no channel",
        "A06-s1-DNA.tif": "the name does not match images.pattern",
        "A06.txt": None,
    }
    images, problems = read(*names, pattern=expression)
    assert images["Metadata_Site"].tolist() == [1, 1]
    assert {path: reason for path, reason, _ in problems} == {name: reason for name, reason in names.items() if reason}


@pytest.mark.parametrize("name", ["r99999999999c1_1.tif", "r0c1_1.tif", "r-c1_1.tif", "r1c_1.tif"])
def test_rows_and_columns_that_are_no_well_are_problems(name):
    expression = r"r(?P<row>[^c]*)c(?P<column>\d*)_(?P<channel>\d)\.tif$"
    images, problems = read("r02c03_1.tif", "rBc4_1.tif", name, pattern=expression)
    found, outside = place(images, 96, ["1"])
    assert found["Metadata_Well"].tolist() == ["B03", "B04"]
    assert [path for path, *_ in [*problems, *outside]] == [name]


def test_pages_that_are_channels_need_no_channel_in_the_name():
    images, problems = read("A01_s2.tif", pattern=r"(?P<well>[A-H]\d\d)_s(?P<site>\d)\.tif$", pages="channel")
    assert images[["Metadata_Well", "Metadata_Site", "Metadata_Channel"]].to_numpy().tolist() == [["A01", 2, ""]]
    assert problems == []


def test_names_that_fit_no_ready_pattern():
    assert not pattern.detect(Path("plate"), listed("picture 1.tif", "picture 2.tif", "A01_s1_DNA.tif"))
    assert not pattern.detect(Path("plate"), listed("notes.txt"))
    with pytest.raises(ProfilingError, match="no ready pattern fits"):
        read("picture 1.tif")


@given(st.lists(st.text(min_size=1, max_size=40), max_size=5), st.sampled_from(list(PATTERNS)))
def test_no_name_breaks_the_reader(texts, name):
    paths = [f"{text}.tif" for text in texts] + [
        f"{path[: len(text)]}{text}{path[len(text) :]}" for text in texts for path in NAMES[name]
    ]
    images, problems = read(*paths, pattern=name)
    found, outside = place(images, 1536, list(images["Metadata_Channel"].unique()))
    thumbs = sum("_thumb" in path.lower() for path in paths)
    others = sum(not path.lower().endswith(pattern.SUFFIXES) for path in paths)
    assert len(found) + len(outside) + len(problems) + thumbs + others == len(paths)


def test_the_time_grows_with_the_number_of_names_not_its_square():
    def seconds(count):
        files = listed(*(f"A01_s{number}_DNA.tif" for number in range(count)))
        times = []
        for _ in range(3):
            start = time.process_time()
            images, _ = pattern.read(Path("plate"), files, Images())
            assert images["Metadata_Site"].iloc[-1] == count - 1
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(64_000) < 60 * seconds(4_000)
