import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.listing import list_files
from profiling.plates.readers import bts, yokogawa
from profiling.settings import Images

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
EXPORT = DATA / "vendor_formats" / "yokogawa_cv8000"
NAMESPACE = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'
DETAIL = (
    f'<bts:MeasurementDetail {NAMESPACE} bts:MeasurementSettingFileName="s.mes">'
    '<bts:MeasurementChannel bts:Ch="1" bts:HorizontalPixelDimension="0.65"/>'
    '<bts:MeasurementChannel bts:Ch="2" bts:HorizontalPixelDimension="0.325"/></bts:MeasurementDetail>'
)
SETTING = (
    f"<bts:MeasurementSetting {NAMESPACE}><bts:WellSequence><bts:TargetWell bts:Row='1' bts:Column='1'>true"
    "</bts:TargetWell></bts:WellSequence><bts:ChannelList><bts:Channel bts:Ch='1' bts:Target='DNA'/>"
    "<bts:Channel bts:Ch='2' bts:Target='ER'/></bts:ChannelList></bts:MeasurementSetting>"
)


def record(well=(1, 1), field=1, channel=1, z=1, time=1, timeline=1, action=1, name=None, **more):
    row, column = well
    plane = f"T{time:04d}F{field:03d}L{timeline:02d}A{action:02d}Z{z:02d}C{channel:02d}"
    name = name or f"P_{chr(64 + row)}{column:02d}_{plane}.tif"
    numbers = {"Row": row, "Column": column, "FieldIndex": field, "Ch": channel, "ZIndex": z, "TimePoint": time}
    numbers |= {"TimelineIndex": timeline, "ActionIndex": action, "X": -1.5, "Y": 2, **more}
    attributes = " ".join(f'bts:{key}="{value}"' for key, value in numbers.items())
    return f'<bts:MeasurementRecord bts:Type="IMG" {attributes}>{name}</bts:MeasurementRecord>'


def failure(row, column, text="AF Error"):
    return f'<bts:MeasurementRecord bts:Type="ERR" bts:Row="{row}" bts:Column="{column}">{text}</bts:MeasurementRecord>'


def document(*records):
    return f"<bts:MeasurementData {NAMESPACE}>{''.join(records)}</bts:MeasurementData>"


def write(folder, *records, files=(), detail=DETAIL, setting=SETTING):
    folder.mkdir(exist_ok=True)
    (folder / "MeasurementData.mlf").write_text(document(*records), encoding="utf-8-sig")
    (folder / "MeasurementDetail.mrf").write_text(detail)
    (folder / "s.mes").write_text(setting)
    for name in files:
        (folder / name).write_bytes(b"12345")


def read(folder):
    return yokogawa.read(folder, list_files(folder), Images())


@pytest.mark.skipif(not EXPORT.is_dir(), reason=f"the vendors' exports are not in {DATA}")
def test_cv8000_export_as_counted_by_hand():
    files = list_files(EXPORT)
    assert yokogawa.detect(EXPORT, files)

    images, problems = yokogawa.read(EXPORT, files, Images())

    assert problems == []  # neither the dark (DC_) nor the shading (SC_) images are plate images
    assert len(images) == 96  # 3 wells, 4 fields, 2 channels, 4 planes
    counts = images.groupby(["Metadata_Well", "Metadata_Channel"])["Path"].nunique()
    assert counts.to_dict() == {(well, channel): 16 for well in ("D08", "E03", "F08") for channel in ("405", "488")}
    assert set(images["Metadata_Z"]) == {1, 2, 3, 4} and set(images["Metadata_Time"]) == {1}
    assert not images["Projection"].any() and set(images["PixelSize"]) == {0.325}
    last = images.query(
        "Metadata_Well == 'F08' and Metadata_Site == 4 and Metadata_Channel == '488' and Metadata_Z == 3"
    )
    name = "CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack"
    assert last["Path"].tolist() == [f"{name}_20230918_135839/{name}/{name}_F08_T0001F004L01A02Z03C02.tif"]
    assert (last["PositionX"].item(), last["PositionY"].item()) == (82.8, -247.0)
    assert last["FileSize"].item() == 11764


def test_records_whose_files_are_not_there_stay_rows_and_converted_files_are_found(tmp_path):
    first, second = "P_A01_T0001F001L01A01Z01C01.tif", "P_A01_T0001F001L01A01Z01C02.tif"
    write(tmp_path, record(channel=1), record(channel=2), files=["P_A01_T0001F001L01A01Z01C01.PNG"])
    images, problems = read(tmp_path)
    assert dict(zip(images["Path"], images["FileSize"], strict=True)) == {first[:-4] + ".PNG": 5, second: 0}
    assert dict(zip(images["Metadata_Channel"], images["PixelSize"], strict=True)) == {"DNA": 0.65, "ER": 0.325}
    assert problems == []


def test_a_well_with_an_error_and_no_image_is_said_and_has_the_rows_of_another(tmp_path):
    fields = [record(field=field, channel=channel) for field in (1, 2) for channel in (1, 2)]
    write(tmp_path, *fields, failure(2, 3, "AF Error at B03"), failure(1, 1, "AF Error at A01"))
    images, problems = read(tmp_path)
    lost = images[images["Metadata_Well"].eq("B03")]
    assert lost["Path"].str.slice(0, 17).unique().tolist() == ["P_B03_T0001F001L0", "P_B03_T0001F002L0"]
    assert lost["FileSize"].eq(0).all() and len(lost) == len(images) / 2 == 4
    assert [reason for _, reason, _ in problems] == [
        "the instrument reports: AF Error at B03",
        "the instrument reports: AF Error at A01",
    ]


def test_selected_wells_without_a_record_and_images_without_one_are_said_once(tmp_path):
    setting = SETTING.replace(
        "</bts:WellSequence>", "<bts:TargetWell bts:Row='16' bts:Column='24'>true</bts:TargetWell></bts:WellSequence>"
    )
    extra = ["P_A02_T0001F001L01A01Z01C01.tif", "P_A02_T0001F002L01A01Z01C01.tif", "SC_BP445-45_M01_CH01.tif"]
    write(tmp_path, record(), files=extra, setting=setting)
    _, problems = read(tmp_path)
    assert [(path, reason[:8]) for path, reason, _ in problems] == [
        (extra[0], "2 images"),
        ("MeasurementData.mlf", "1 wells "),
    ]
    assert "P24" in problems[1][1]


def test_one_channel_of_two_actions_is_two_and_a_projection_stays_in_its_channel(tmp_path):
    stack = [record(channel=1, z=z, Action="3D") for z in (1, 2)]
    projections = [
        record(channel=1, Action="3D", ZImageProcessing=kind, name=f"P_A01_{kind}.tif")
        for kind in ("Minimum", "Maximum")
    ]
    single = [record(channel=2, action=2), record(channel=2, action=3)]
    write(tmp_path, *stack, *projections, *single)
    images, problems = read(tmp_path)
    found = images[["Metadata_Channel", "Metadata_Z", "Projection"]].apply(tuple, axis=1).tolist()
    assert sorted(found) == [
        ("A02C02", 1, False),
        ("A03C02", 1, False),
        ("DNA", 0, True),
        ("DNA", 1, False),
        ("DNA", 2, False),
    ]
    assert images.loc[images["Projection"], "Path"].tolist() == ["P_A01_Maximum.tif"]
    assert [path for path, _, _ in problems] == ["P_A01_Minimum.tif"]


def test_channels_have_numbers_where_targets_are_alike_or_the_setting_file_is_lost(tmp_path):
    write(tmp_path, record(channel=1), record(channel=2), setting=SETTING.replace("ER", "DNA"))
    assert read(tmp_path)[0]["Metadata_Channel"].tolist() == ["C01", "C02"]
    (tmp_path / "s.mes").unlink()
    images, problems = read(tmp_path)
    assert images["Metadata_Channel"].tolist() == ["C01", "C02"] and "s.mes is not there" in problems[0][1]


def test_timelines_of_different_wells_count_from_one_and_of_one_well_go_on(tmp_path):
    records = [record(well=(1, 1), timeline=1, time=time) for time in (1, 2)]
    records += [record(well=(1, 2), timeline=2, time=time) for time in (3, 4)]
    records += [record(well=(1, 3), timeline=timeline, time=time) for timeline, time in ((1, 1), (2, 4))]
    write(tmp_path, *records)
    images, _ = read(tmp_path)
    times = images.groupby("Metadata_Well")["Metadata_Time"].agg(list).to_dict()
    assert times == {"A01": [1, 2], "A02": [1, 2], "A03": [1, 4]}


@pytest.mark.parametrize("name", ["../P.tif", "/etc/P.tif", "..\\P.tif", "C:\\P.tif", " "])
def test_records_that_name_no_file_below_the_folder_are_left_out(tmp_path, name):
    write(tmp_path, record(), record(field=2, name=name))
    images, problems = read(tmp_path)
    assert images["Metadata_Site"].tolist() == [1] and "1 image records name no file" in problems[0][1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged or cut short"),
        (document(failure(1, 1, "AF Error at A01")), "records no image but 1 errors .the first: AF Error at A01"),
        (document(record())[:-10], "damaged or cut short"),
        ("<Index/>", "holds <Index> and not <MeasurementData>"),
        (document(record(), record(channel=2)).replace('bts:Ch="2"', 'bts:Ch="two"'), "image record 2 has Ch='two'"),
        (document(record()).replace('bts:Row="1" ', ""), "image record 1 has Row=nothing"),
        ('<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + document(record(name="&b;")), "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + document(record()), "document type"),
        ('<?xml version="1.0" encoding="no-such"?>' + document(record()), "damaged or cut short"),
    ],
)
def test_what_is_wrong_with_the_records_is_said(tmp_path, text, message):
    write(tmp_path)
    (tmp_path / "MeasurementData.mlf").write_text(text)
    with pytest.raises(ProfilingError, match=message) as caught:
        read(tmp_path)
    assert "MeasurementData.mlf" in str(caught.value)


def test_none_and_two_measurements_are_errors_that_name_the_remedy(tmp_path):
    (tmp_path / "MeasurementDetail.mrf").write_text(DETAIL)
    assert not yokogawa.detect(tmp_path, list_files(tmp_path))
    with pytest.raises(ProfilingError, match="has no MeasurementData.mlf; copy it"):
        read(tmp_path)
    for name in ("one", "two"):
        write(tmp_path / name, record())
    with pytest.raises(
        ProfilingError, match="2 measurements .one/MeasurementData.mlf, two/MeasurementData.mlf.*`images`"
    ):
        read(tmp_path)


VALID = {
    "MeasurementData.mlf": document(record(Action="3D"), record(channel=2, ZImageProcessing="Sum"), failure(1, 2)),
    "MeasurementDetail.mrf": DETAIL,
    "s.mes": SETTING,
}
pieces = st.sampled_from(
    [
        '"',
        "<",
        ">",
        "&",
        "&lt;",
        "-1",
        "99999999999999999999",
        "1e999",
        "nan",
        "\x00",
        "²",
        "true",
        "",
        "<bts:Channel/>",
        "Row",
    ]
)


@given(
    name=st.sampled_from(sorted(VALID)),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), pieces), min_size=1, max_size=4),
    noise=st.none() | st.binary(max_size=200),
)
def test_no_damage_crashes_the_parsers(tmp_path_factory, name, cuts, noise):
    folder = tmp_path_factory.mktemp("damaged")
    for other, text in VALID.items():
        (folder / other).write_text(text)
    text = VALID[name]
    for place, length, piece in cuts:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + length :]
    (folder / name).write_bytes(text.encode() if noise is None else noise)
    try:
        images, _ = read(folder)
    except ProfilingError as error:
        assert name in str(error)
    else:
        assert not images["Path"].str.contains("..", regex=False).any()


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 60), st.integers(1, 9)), min_size=1, max_size=5, unique=True)
)
def test_every_record_is_a_row(tmp_path_factory, keys):
    folder = tmp_path_factory.mktemp("records")
    records = [
        record(well=(row, column), field=field, name=f"{row}-{column}-{field}.tif") for row, column, field in keys
    ]
    (folder / "MeasurementData.mlf").write_text(document(*records))
    images, errors = bts.read_records(folder / "MeasurementData.mlf")
    assert images[["Row", "Column", "FieldIndex"]].apply(tuple, axis=1).tolist() == keys and errors == []
    write(folder, *records)
    assert len(read(folder)[0]) == len(keys)
