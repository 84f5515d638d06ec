import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.listing import File, list_files
from profiling.plates.readers import imagexpress
from profiling.plates.readers.htd import Description, read_htd
from profiling.settings import Images

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
VENDOR = DATA / "vendor_formats"
has_exports = pytest.mark.skipif(not VENDOR.is_dir(), reason=f"the vendors' exports are not in {DATA}")
GUID = "1E78EB12-BD0D-4D94-A6AD-3FF28BB1B105"
GUID_OF_DIGITS = "17654C10-92F1-4DFD-98AA-6A01BBD77557"
ONE_FIELD = ["Metadata_Well", "Metadata_Site", "Metadata_Time"]


def htd(wells=(("A", 2),), sites=1, waves=("DAPI", "FITC"), times=1, steps=0, rows=2, columns=3):
    flags = {
        row: ["TRUE" if (chr(64 + row), column + 1) in wells else "FALSE" for column in range(columns)]
        for row in range(1, rows + 1)
    }
    lines = ['"HTSInfoFile", Version 1.0', '"Description", "1t, 2w\x82\x81DAPI"', f'"TimePoints", {times}']
    lines += [
        f'"ZSeries", {"TRUE" if steps else "FALSE"}',
        f'"ZSteps", {steps}',
        f'"XWells", {columns}',
        f'"YWells", {rows}',
    ]
    lines += [f'"WellsSelection{row}", {", ".join(values)}' for row, values in flags.items()]
    lines += [
        f'"Sites", {"TRUE" if sites > 1 else "FALSE"}',
        f'"SiteSelection1", {", ".join(["TRUE"] * sites + ["FALSE"])}',
    ]
    lines += [f'"Waves", {"TRUE" if len(waves) > 1 else "FALSE"}', f'"NWavelengths", {len(waves)}']
    lines += [f'"WaveName{number}", "{name}"' for number, name in enumerate(waves, 1)]
    lines += [f'"WaveCollect{number}", 1' for number in range(1, len(waves) + 1)]
    return "\r\n".join([*lines, '"EndFile"', ""]).encode("latin-1")


def write_image(path, step=None, projection=False):
    tags = '<prop id="spatial-calibration-state" type="bool" value="on"/>'
    tags += '<prop id="spatial-calibration-x" type="float" value="0.65"/>'
    tags += '<prop id="spatial-calibration-units" type="string" value="um"/>'
    tags += f'<custom-prop id="Z Step" type="float" value="{step}"/>' if step else ""
    tags += '<custom-prop id="Z Projection Method" type="string" value="Maximum"/>' if projection else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros((2, 2), np.uint16), description=f"<MetaData>{tags}</MetaData>", metadata=None)


def read(folder):
    return imagexpress.read(folder, list_files(folder), Images())


def read_names(*names):
    return imagexpress.read(Path("/nowhere"), [File(name, 7, 8) for name in names], Images())


def planes(images):
    rows = images.groupby(["Metadata_Channel", "Metadata_Z", "Projection"])["FileSize"].agg(
        lambda sizes: sizes.gt(0).sum()
    )
    return {key: int(count) for key, count in rows.items()}


@has_exports
def test_export_of_stacks_projections_and_single_planes_as_counted_by_hand():
    folder = VENDOR / "imagexpress_exported_HTD" / "9987_Plate_3434"
    assert imagexpress.detect(folder, list_files(folder))

    images, problems = read(folder)

    assert problems == []
    assert sorted(images.groupby(ONE_FIELD).size().index) == [
        ("B02", 1, 1),
        ("B02", 2, 1),
        ("B03", 1, 1),
        ("B03", 2, 1),
    ]
    # The description: "DAPI: 3z + MIP, FITC: MIP, Texas Red: 1z, Cy5: 1z"; the copy at hand lacks ZStep_3 and Cy5.
    assert planes(images) == {
        ("DAPI", 0, True): 4,
        ("DAPI", 1, False): 4,
        ("DAPI", 2, False): 4,
        ("DAPI", 3, False): 0,
        ("FITC", 0, True): 4,
        ("Texas Red", 1, False): 4,
        ("Cy5", 1, False): 0,
    }
    lost = images.query(
        "Metadata_Channel == 'DAPI' and Metadata_Z == 3 and Metadata_Well == 'B03' and Metadata_Site == 2"
    )
    assert lost["Path"].tolist() == ["TimePoint_1/ZStep_3/9987_B03_s2_w1.TIF"]
    assert set(images.loc[images["FileSize"].gt(0), "PixelSize"]) == {1.3672}


@has_exports
def test_export_without_sites_and_wavelengths_in_the_names():
    images, problems = read(VENDOR / "imagexpress_exported_HTD" / "9987_Plate_3420")
    assert images[[*ONE_FIELD, "Metadata_Channel", "Path"]].to_numpy().tolist() == [
        ["B02", 1, 1, "DAPI", "TimePoint_1/9987_B02.TIF"]
    ]
    assert problems == []


@has_exports
def test_database_folders_as_counted_by_hand():
    images, problems = read(VENDOR / "imagexpress_database_layout" / "Projection-Mix")
    assert planes(images) == {(f"w{wave}", 0, True): 2 for wave in (1, 2, 3)} and problems == []
    assert set(images["Metadata_Well"]) == {"E07", "E08"} and not images["Path"].str.contains("thumb").any()

    images, problems = read(VENDOR / "imagexpress_database_layout" / "1well-3C-2S-Zmix-T")
    assert len(images) == 12 and problems == []
    assert sorted(images.groupby(ONE_FIELD).size().items()) == [
        (("C07", site, time), 3) for site in (1, 2) for time in (1, 2)
    ]
    assert images.groupby("Metadata_Channel")["Projection"].all().to_dict() == {"w1": False, "w2": True, "w3": True}


@has_exports
def test_a_folder_of_two_exports_is_an_error_that_names_them():
    for folder in ("imagexpress_exported_HTD", "imagexpress_database_layout"):
        with pytest.raises(ProfilingError, match="2 exports .*3420|2 exports .*1697") as caught:
            read(VENDOR / folder)
        assert "let the plate's `images` name the folder of one" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "well", "site", "channel"),
    [
        ("9987_B02.TIF", "B02", 1, "w1"),
        ("9987_B02_w2.tif", "B02", 1, "w2"),
        ("BSF018292-1A_P24_s9_w2.tif", "P24", 9, "w2"),
        (f"IXMtest_A01_s1_w1{GUID}.tif", "A01", 1, "w1"),
        (f"Week1_150607_B02_s1_w1{GUID_OF_DIGITS}.tif", "B02", 1, "w1"),
        (f"HTS_A01_s12_w11{GUID}.tif", "A01", 12, "w11"),
        (f"0005_A01_s1_[{GUID}].tif", "A01", 1, "w1"),
        ("a_A01_plate_af48_s2_w3.TIF", "AF48", 2, "w3"),
        ("A01_s2_w3.tiff", "A01", 2, "w3"),
    ],
)
def test_names(name, well, site, channel):
    images, problems = read_names(name)
    found = images[["Metadata_Well", "Metadata_Site", "Metadata_Channel", "Path", "FileSize", "Modified"]]
    assert found.to_numpy().tolist() == [[well, site, channel, name, 7, 8]] and problems == []


def test_other_names_are_one_problem_and_thumbnails_none():
    images, problems = read_names(
        "P_A01_s1_w1.TIF", f"P_A01_s1_w1_thumb{GUID}.tif", "P_A01_s1_thumb.tif", "a.tif", "b.tif", "P.xdce"
    )
    assert images["Path"].tolist() == ["P_A01_s1_w1.TIF"]
    assert [(path, reason[:8]) for path, reason, _ in problems] == [("a.tif", "2 images")]
    for only in ("a.tif", "P_A01_s1_thumb.tif"):
        with pytest.raises(ProfilingError, match="no image has a name|nothing but thumbnails"):
            read_names(only)


def test_detection_takes_certain_names_only(tmp_path):
    def detect(*names):
        return imagexpress.detect(tmp_path, [File(name, 7, 8) for name in names])

    assert detect(f"P_A01_s1_w1{GUID}.tif") and detect("TimePoint_1/P_A01_s1_w1.TIF", "TimePoint_1/a.tif")
    assert not detect("P_A01_s1_w1.TIF") and not detect("TimePoint_1/img_000.tif") and not detect()
    (tmp_path / "notes.htd").write_text("hello")
    assert not imagexpress.detect(tmp_path, list_files(tmp_path))
    (tmp_path / "notes.htd").write_bytes(htd())
    assert imagexpress.detect(tmp_path, list_files(tmp_path))


def test_description_is_read(tmp_path):
    path = tmp_path / "P.HTD"
    path.write_bytes(htd(wells=[("A", 2), ("B", 3)], sites=4, waves=("DAPI", "Texas Red"), times=2, steps=5))
    assert read_htd(path) == Description(["A02", "B03"], 4, {1: "DAPI", 2: "Texas Red"}, 2, 5)
    path.write_bytes(htd(waves=("DAPI",)).replace(b'WaveCollect1", 1', b'WaveCollect1", 0'))
    assert read_htd(path) == Description(["A02"], 1, {}, 1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a plate description"),
        (htd().replace(b'"TimePoints", 1', b'"TimePoints", many'), "TimePoints is 'many'"),
        (htd().replace(b'"NWavelengths", 2', b'"NWavelengths", 99999999999'), "NWavelengths is '99999999999'"),
        (htd(columns=49, wells=[("A", 49)]), "selects row 1, column 49"),
    ],
)
def test_what_is_wrong_with_a_description_is_said(tmp_path, content, message):
    (tmp_path / "P.htd").write_bytes(content)
    (tmp_path / "P_A02_s1_w1.TIF").touch()
    with pytest.raises(ProfilingError, match=message) as caught:
        read(tmp_path)
    assert "P.htd" in str(caught.value) and "copy" in str(caught.value)


def test_what_the_description_promises_and_is_not_there_is_a_row_with_its_path(tmp_path):
    (tmp_path / "P.HTD").write_bytes(htd(wells=[("A", 2), ("B", 3)], sites=2, times=2))
    write_image(tmp_path / "TimePoint_1" / "P_A02_s1_w1.TIF")
    images, problems = read(tmp_path)
    there = images["FileSize"].gt(0)
    assert len(images) == 2 * 2 * 2 * 2 and there.sum() == 1 and problems == []
    expected = [
        f"TimePoint_{t}/P_{w}_s{s}_w{c}.TIF" for t in (1, 2) for w in ("A02", "B03") for s in (1, 2) for c in (1, 2)
    ]
    assert sorted(images["Path"]) == expected
    assert set(images["Metadata_Channel"]) == {"DAPI", "FITC"}
    assert images.loc[there, "PixelSize"].tolist() == [0.65]


def test_promised_images_of_a_database_are_one_problem(tmp_path):
    (tmp_path / "P.HTD").write_bytes(htd(wells=[("A", 2), ("B", 3)]))
    (tmp_path / f"P_A02_w1{GUID}.TIF").touch()
    images, problems = read(tmp_path)
    assert len(images) == 1 and [reason for _, reason, _ in problems] == [
        "3 images that the plate description (.HTD) promises are not there"
    ]


def test_channels_are_numbers_where_names_are_alike(tmp_path):
    (tmp_path / "P.HTD").write_bytes(htd(waves=("FITC", "FITC")))
    for wave in (1, 2):
        (tmp_path / f"P_A02_w{wave}.TIF").touch()
    assert sorted(read(tmp_path)[0]["Metadata_Channel"]) == ["w1", "w2"]


def test_images_of_another_plate_are_left_out_or_an_error(tmp_path):
    for name in ("P_A02_w1.TIF", "Q_A02_w1.TIF"):
        (tmp_path / name).touch()
    with pytest.raises(ProfilingError, match="2 exports .'P', 'Q'."):
        read(tmp_path)
    (tmp_path / "P.HTD").write_bytes(htd(waves=("DAPI",)))
    images, problems = read(tmp_path)
    assert images["Path"].tolist() == ["P_A02_w1.TIF"] and [path for path, _, _ in problems] == ["Q_A02_w1.TIF"]


def test_projections_lie_beside_the_steps_of_a_database_and_single_planes_in_the_first(tmp_path):
    write_image(tmp_path / f"P_A01_s1_w1{GUID}.tif", projection=True)
    for step in (1, 2):
        write_image(tmp_path / f"ZStep_{step}" / f"P_A01_s1_w1{GUID}.tif", step=step)
    write_image(tmp_path / "ZStep_1" / f"P_A01_s1_w2{GUID}.tif", step=1)
    images, _ = read(tmp_path)
    assert planes(images) == {("w1", 0, True): 1, ("w1", 1, False): 1, ("w1", 2, False): 1, ("w2", 1, False): 1}


def test_copies_are_found_although_a_file_is_damaged_and_doubt_is_said(tmp_path):
    for step in (0, 1, 2, 3):
        for well in ("A01", "A02"):
            write_image(tmp_path / f"ZStep_{step}" / f"P_{well}_s1_w1.TIF", step=1)
    (tmp_path / "ZStep_3" / "P_A01_s1_w1.TIF").write_bytes(b"II*\x00")
    (tmp_path / "ZStep_1" / "P_A02_s1_w1.TIF").unlink()
    images, problems = read(tmp_path)
    assert sorted(images["Path"]) == ["ZStep_0/P_A02_s1_w1.TIF", "ZStep_1/P_A01_s1_w1.TIF"] and problems == []
    for path in tmp_path.rglob("*.TIF"):
        path.write_bytes(b"II*\x00")
    images, problems = read(tmp_path)
    assert len(images) == 7 and "no file of w1 says" in problems[0][1]


@settings(max_examples=25)
@given(
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 40),
            st.sampled_from(["\r\n", '"', ",", "TRUE", "9999", "-1", "²", "\x00", ""]),
        ),
        min_size=1,
        max_size=4,
    ),
    noise=st.none() | st.binary(max_size=200),
)
def test_no_damage_crashes_the_parser(tmp_path_factory, cuts, noise):
    folder = tmp_path_factory.mktemp("damaged")
    text = htd(wells=[("A", 2), ("B", 1)], sites=3, waves=("DAPI", "FITC"), times=2, steps=3).decode("latin-1")
    for place, length, piece in cuts:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + length :]
    (folder / "P.HTD").write_bytes(text.encode("latin-1") if noise is None else b'"HTSInfoFile"' + noise)
    write_image(folder / "TimePoint_1" / "ZStep_2" / "P_A02_s1_w1.TIF", step=2)
    try:
        images, _ = read(folder)
    except ProfilingError as error:
        assert ".HTD" in str(error)
    else:
        assert "TimePoint_1/ZStep_2/P_A02_s1_w1.TIF" in set(images["Path"])


letters = st.text("AZaz09_[]-. éß", max_size=12)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(letters, st.sampled_from(["", "_A01", "_s1", "_w1", f"_w2{GUID}", "_thumb"]), letters), max_size=6
    )
)
def test_every_image_is_a_row_a_thumbnail_or_a_problem(names):
    paths = sorted({f"{head}{middle}{tail}.tif" for head, middle, tail in names})
    try:
        images, problems = read_names(*paths, "P_A01_s1_w1.tif")
    except ProfilingError as error:
        assert "exports" in str(error)
        return
    strange = sum(int(reason.split()[0]) for _, reason, _ in problems)
    thumbnails = sum("_thumb" in path for path in paths)
    assert len(paths) + 1 - thumbnails <= len(images) + strange <= len(paths) + 1
