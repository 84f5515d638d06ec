import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.images.read import read_header
from profiling.plates.image_table import index_plate
from profiling.plates.listing import list_files
from profiling.plates.readers import COLUMNS, harmony, read_folder
from profiling.plates.readers.harmony_flatfield import Surface, flatfield, parse_profile, read_profiles
from profiling.plates.readers.harmony_index import read_index
from profiling.plates.wells import normalise_well
from profiling.settings import Images

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
EXPORTS = DATA / "vendor_formats" / "opera_phenix_harmony"
OPERATOR = "Quaxolotl"
HARMONY_5 = "http://www.perkinelmer.com/PEHH/HarmonyV5"
HARMONY_7 = "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7"
COLUMBUS = "http://www.perkinelmer.com/Columbus"


def tags(**elements):
    return "".join(f"<{name}>{text}</{name}>" for name, text in elements.items() if text is not None)


def image(row=1, column=1, field=1, plane=1, time=0, channel=1, *, optics=True, **changes):
    url = f"r{row:02d}c{column:02d}f{field:02d}p{plane:02d}-ch{channel}sk{time + 1}fk1fl1.tiff"
    place = {"URL": url, "Row": row, "Col": column, "FieldID": field, "PlaneID": plane, "TimepointID": time}
    own = {"ChannelID": channel} | ({"ChannelName": f"Alexa {channel}"} if optics else {})
    size = '<ImageResolutionX Unit="m">5E-07</ImageResolutionX>' if optics else ""
    position = f'<PositionX Unit="m">{field}E-05</PositionX><PositionY Unit="m">-2.5E-04</PositionY>'
    elements = tags(**{"id": url, "State": "Ok"} | place | own | {"AcquisitionType": "Confocal"} | changes)
    return f'<Image Version="1">{elements}{size}{position}</Image>'


def document(*images, maps="", namespace=HARMONY_5, doctype=""):
    wells = '<Well><id>0101</id><Row>1</Row><Col>1</Col><Image id="0101K1F1P1R1" /></Well>'
    plate = f'{tags(PlateID="B1", Name="B1", PlateRows=16)}<Well id="0101" />'
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?>{doctype}<EvaluationInputData Version="1" xmlns="{namespace}">'
        f"<User>{OPERATOR}</User><Plates><Plate>{plate}</Plate></Plates><Wells>{wells}</Wells><Maps>{maps}</Maps>"
        f"<Images>{''.join(images)}</Images></EvaluationInputData>"
    )


def export(folder, text, name="Images/Index.idx.xml", files=()):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for file in files:
        (folder / file).touch()
    return folder


def read(folder):
    images, problems, name = read_folder(folder, Images())
    assert name == "harmony"
    return images, problems


def published(version):
    folder = EXPORTS / f"Version{version}"
    name = "Index.xml" if version == 7 else "Index.idx.xml"
    if not (folder / "images" / name).exists():
        pytest.skip(f"the export of {folder.name} is not there")
    return folder, folder / "images" / name


@pytest.mark.parametrize("version", [1, 5, 7])
def test_every_column_of_the_published_load_data_agrees(version):
    folder, path = published(version)
    expected = pd.read_csv(folder / f"load_data_version{version}.csv", dtype="str").iloc[0]
    config = yaml.load((folder / f"config_v{version}.yml").read_text(), Loader=yaml.BaseLoader)
    config = config[0] if isinstance(config, list) else config
    index = read_index(path, image_fields=tuple(config["metadata"]), channel_fields=tuple(config["metadata"]))
    images, _ = read(folder)
    agree = {}
    for i, row in enumerate(images.itertuples()):
        channel = config["channels"][row.Metadata_Channel]
        parent, _, name = row.Path.rpartition("/")
        agree[f"FileName_{channel}"] = expected[f"FileName_{channel}"] == name
        agree[f"PathName_{channel}"] = expected[f"PathName_{channel}"].endswith(f"/{parent}/")
        assert normalise_well(row.Metadata_Well) == expected["Metadata_Well"]
        assert row.Metadata_Site == int(expected["Metadata_Site"])
        assert row.Metadata_Z == int(expected["Metadata_PlaneID"])
        lengths = [float(expected[f"Metadata_{name}"]) for name in ("PositionX", "PositionY", "ImageResolutionX")]
        np.testing.assert_allclose([row.PositionX, row.PositionY, row.PixelSize], np.array(lengths) * 1e6)
        for element, name in config["metadata"].items():
            column = f"Metadata_{name}_{channel}"
            column = column if column in expected else f"Metadata_{name}"
            own = index.images[element][i] or index.channels[index.images["ChannelID"][i]][element]
            text = own if element == "ChannelName" else own.split(" ")[0]
            agree[column] = agree.get(column, True) and text == expected[column]
    agree["Metadata_Plate"] = index.plate["Name"] == expected["Metadata_Plate"]
    agree |= {"Metadata_Well": True, "Metadata_Site": True}
    assert [column for column, agrees in agree.items() if not agrees] == []
    assert set(agree) == set(expected.index)


def test_images_that_an_aborted_acquisition_lacks_are_unreadable_rows():
    folder, _ = published(1)
    channels = ["HOECHST 33342", "Alexa 568", "Alexa 647", "Alexa 488", "488 long", "Brightfield"]
    images, problems = index_plate("BR00121482", folder, 384, channels, Images(), read_header)
    assert images["Status"].value_counts().to_dict() == {"unreadable": 5, "ok": 1}
    assert images.loc[images["Status"].eq("unreadable"), "Reason"].str.contains("no such file").all()
    assert problems["Reason"].str.contains("5 of the 6 images that the index lists are not in the folder").sum() == 1


def test_places_planes_times_and_lengths(tmp_path):
    text = document(image(), image(16, 24, field=9, plane=3, time=2, channel=4))
    images, problems = read(export(tmp_path, text, files=["Images/r01c01f01p01-ch1sk1fk1fl1.tiff"]))
    key = ["Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_Channel", "Path", "Page"]
    assert images[key].to_numpy().tolist() == [
        ["r01c01", 1, 0, 1, "Alexa 1", "Images/r01c01f01p01-ch1sk1fk1fl1.tiff", 0],
        ["r16c24", 9, 2, 3, "Alexa 4", "Images/r16c24f09p03-ch4sk3fk1fl1.tiff", 0],
    ]
    np.testing.assert_allclose(images[["PositionX", "PositionY", "PixelSize"]], [[10, -250, 0.5], [90, -250, 0.5]])
    assert images["Modified"].gt(0).tolist() == [True, False]
    assert {column: str(kind) for column, kind in images.dtypes.items()} == COLUMNS
    assert [problem[0] for problem in problems] == ["Images/r16c24f09p03-ch4sk3fk1fl1.tiff"]


def test_harmony_7_keeps_its_channels_in_one_of_the_maps(tmp_path):
    """Structure and values as in the export of Harmony 7 that the tests of pe2loaddata hold."""
    profiles = "".join(f'<Entry ChannelID="{n}"><FlatfieldProfile>{{}}</FlatfieldProfile></Entry>' for n in (2, 1))
    names = {1: "Alexa 488", 2: "405ex, 570-630-em)"}
    size = '<ImageResolutionX Unit="m">2.96688132474701E-07</ImageResolutionX><ImageSizeX>2160</ImageSizeX>'
    optics = "".join(f'<Entry ChannelID="{n}">{tags(ChannelName=name)}{size}</Entry>' for n, name in names.items())
    own = {"optics": False, "time": 1, "SequenceID": 1, "GroupID": 1, "FlimID": 1}
    text = document(
        image(channel=1, **own), image(channel=2, **own), maps=f"<Map>{profiles}</Map><Map>{optics}</Map>",
        namespace=HARMONY_7,
    )  # fmt: skip
    images, _ = read(export(tmp_path, text, name="Index.xml"))
    assert images["Metadata_Channel"].tolist() == ["Alexa 488", "405ex, 570-630-em)"]
    assert images["Metadata_Time"].tolist() == [1, 1]
    np.testing.assert_allclose(images["PixelSize"], 0.296688132474701)
    assert images["Path"].iloc[0] == "r01c01f01p01-ch1sk2fk1fl1.tiff"


def test_columbus_images_are_pages_of_a_file(tmp_path):
    pages = [image(plane=n + 1, time=1).replace("<URL>", f'<URL BufferNo="{n}">') for n in range(3)]
    text = re.sub("<URL(.*?)>.*?</URL>", r"<URL\1>001001-1.tif</URL>", document(*pages, namespace=COLUMBUS))
    folder = export(tmp_path, text, name="ImageIndex.ColumbusIDX.xml", files=["001001-1.tif"])
    images, problems = read(folder)
    assert images[["Path", "Page", "Metadata_Z"]].to_numpy().tolist() == [["001001-1.tif", n, n + 1] for n in range(3)]
    assert problems == []


@pytest.mark.parametrize("names", [("DNA", "DNA"), ("DNA", None), ("DNA", "")])
def test_channels_without_a_name_of_their_own_are_numbers(tmp_path, names):
    text = document(*(image(channel=n, ChannelName=name) for n, name in enumerate(names, start=1)))
    assert read(export(tmp_path, text))[0]["Metadata_Channel"].tolist() == ["1", "2"]


def test_a_name_listed_in_another_case_is_found(tmp_path):
    folder = export(tmp_path, document(image()), files=["Images/R01C01F01P01-CH1SK1FK1FL1.TIFF"])
    images, problems = read(folder)
    assert images["Path"].tolist() == ["Images/R01C01F01P01-CH1SK1FK1FL1.TIFF"]
    assert problems == []


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"Row": None}, "Row is missing or no whole number"),
        ({"Col": "1.5"}, "Col is missing or no whole number"),
        ({"FieldID": "-1"}, "FieldID is missing or no whole number"),
        ({"ChannelID": ""}, "ChannelID is missing or no whole number"),
        ({"PlaneID": "٣"}, "PlaneID is missing or no whole number"),
        ({"TimepointID": "9" * 5000}, "TimepointID is missing or no whole number"),
        ({"URL": ""}, "the index names no file"),
        ({"URL": "../../secret.tiff"}, "outside the export"),
        ({"URL": "C:\\data\\a.tiff"}, "outside the export"),
        ({"URL": "https://host/a.tiff"}, "outside the export"),
    ],
)
def test_an_image_without_a_place_is_a_problem_and_the_others_stay(tmp_path, changes, reason):
    text = document(image(), image(field=2, **changes), image(field=2, **changes))
    images, problems = read(export(tmp_path, text, files=["Images/r01c01f01p01-ch1sk1fk1fl1.tiff"]))
    assert images["Metadata_Site"].tolist() == [1]
    ((path, said, remedy),) = problems
    assert path == "Images/Index.idx.xml"
    assert reason in said
    assert "(2 images" in said
    assert remedy
    only, _ = read(export(tmp_path, document(image(**changes))))
    assert len(only) == 0


def test_a_state_other_than_ok_is_said_and_the_image_stays(tmp_path):
    text = document(image(), image(field=2, State="Failed"), image(field=3, State="Failed"))
    names = [f"Images/r01c01f{site:02d}p01-ch1sk1fk1fl1.tiff" for site in (1, 2, 3)]
    images, problems = read(export(tmp_path, text, files=names))
    assert len(images) == 3
    assert [problem[:2] for problem in problems] == [
        ("Images/r01c01f02p01-ch1sk1fk1fl1.tiff", "the instrument marks it 'Failed', not Ok (2 images)")
    ]


def test_several_exports_in_a_folder_are_named(tmp_path):
    for name in ("plate 1/Images/Index.idx.xml", "plate 2/Images/index.XML"):
        export(tmp_path, document(image()), name=name)
    with pytest.raises(ProfilingError, match="2 exports .*plate 1/Images.*plate 2/Images.*one of them"):
        read(tmp_path)


def test_of_two_indexes_in_a_folder_the_idx_is_read(tmp_path):
    export(tmp_path, document(image()), name="Index.xml")
    export(tmp_path, document(image(), image(field=2)), name="Index.idx.xml")
    assert len(read(tmp_path)[0]) == 2


def test_another_index_xml_is_not_taken(tmp_path):
    export(tmp_path, "<html><body/></html>", name="Index.xml")
    assert not harmony.detect(tmp_path, list_files(tmp_path))
    with pytest.raises(ProfilingError, match="holds no index of Harmony"):
        harmony.read(tmp_path, list_files(tmp_path), Images())


def test_an_index_without_images_is_an_error(tmp_path):
    with pytest.raises(ProfilingError, match="lists no images"):
        read(export(tmp_path, document()))


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY b "aaaa"><!ENTITY a "&b;&b;&b;&b;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://host/x.dtd">',
    ],
)
def test_entities_are_refused(tmp_path, doctype):
    text = document(image(ChannelName="&a;"), doctype=doctype)
    with pytest.raises(ProfilingError, match="declares a document type"):
        read(export(tmp_path, text))


def test_an_index_broken_off_anywhere_is_an_error(tmp_path):
    whole = document(*(image(field=n) for n in range(1, 20))).encode()
    for tenth in range(1, 10):
        export(tmp_path, whole[: len(whole) * tenth // 10])
        with pytest.raises(ProfilingError, match="broken off, at line 1"):
            read(tmp_path)


WHOLE = document(
    image(), image(1, 2, channel=2), image(40, 99, field=7),
    maps='<Map><Entry ChannelID="1"><ChannelName>DNA</ChannelName></Entry></Map>',
)  # fmt: skip
ELEMENT = re.compile(r"<(\w+)[^<>/]*>[^<>]*</\1>")
TEXTS = st.one_of(
    st.text(max_size=20), st.integers().map(str), st.floats().map(str), st.sampled_from(["1e999", "9" * 5000, "\\..\\"])
)


@st.composite
def broken(draw, whole):
    """A document with some of its elements removed, doubled, renamed or with another text, or cut."""
    text = whole
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.sampled_from(list(ELEMENT.finditer(text)) or [re.search("", text)]))
        element = place[0]
        others = ["", element * 2, element.replace("Row", "URL"), "<Image>", "</Image>", "<Images/>"]
        if OPERATOR not in element:
            others.append(re.sub(">.*?<", lambda _: f">{draw(TEXTS)}<", element, count=1))
        text = text[: place.start()] + draw(st.sampled_from(others)) + text[place.end() :]
    return text.encode("utf-8", "surrogatepass")[: draw(st.sampled_from([None, None, None, 900]))]


@given(broken(WHOLE) | st.binary(max_size=300))
@example(WHOLE.encode())
@example(WHOLE.replace("utf-8", "utf-7").encode())
@example(WHOLE.replace("utf-8", OPERATOR).encode())
@example(WHOLE.replace("</User>", "").encode())
@example(WHOLE.removeprefix("\ufeff").replace("utf-8", "utf-16").encode("utf-16"))
def test_no_content_raises_another_error_or_tells_the_operator(content):
    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder), content, name="Index.idx.xml")
        try:
            images, problems, _ = read_folder(Path(folder), Images(reader="harmony"))
        except ProfilingError as error:
            said = str(error)
        else:
            said = images.to_csv() + str(problems)
            assert not images["Path"].str.contains(r"(?:^|/)\.\.(?:/|$)|^/").any()
        assert OPERATOR not in said


def test_the_operator_of_a_real_export_is_nowhere(caplog):
    folder, path = published(5)
    operator = re.search("<User>(.*)</User>", path.read_text("utf-8-sig"))[1]
    images, problems = read(folder)
    profiles = read_profiles(path)
    assert operator not in images.to_csv() + str(problems) + str(profiles) + str(read_index(path)) + caplog.text


def test_flat_field_of_a_value_computed_by_hand():
    surface = Surface(((2.0,), (0.5, -1.0), (1.0, 4.0, 3.0)), size=(4, 2), origin=(1.5, 0.5), scale=(1.0, 2.0))
    flat = flatfield(surface, (2, 4))
    assert flat.shape == (2, 4)
    assert flat.dtype == np.float32
    # The upper right pixel: x = (3 - 1.5) * 1 = 1.5 and y = (0 - 0.5) * 2 = -1.
    assert flat[0, 3] == 2 + 0.5 * 1.5 - 1 * -1 + 1 * 1.5**2 + 4 * 1.5 * -1 + 3 * (-1) ** 2
    plane = surface._replace(coefficients=surface.coefficients[:2])
    unbinned = flatfield(plane, (20, 40)).reshape(2, 10, 4, 10)
    np.testing.assert_allclose(unbinned.mean(axis=(1, 3)), flatfield(plane, (2, 4)), rtol=1e-6)


def test_flat_field_profiles_of_a_real_export():
    _, path = published(1)
    profiles = read_profiles(path)
    assert list(profiles) == ["1", "2", "3", "4", "5", "6"]
    assert profiles["6"].background is None and profiles["6"].foreground is None
    assert profiles["5"].mean == 443.50754
    assert profiles["5"].background.coefficients[2] == (-1.3621, -0.0908, -1.0758)
    assert profiles["5"].background.size == (1080, 1080)


def test_the_background_surface_follows_the_real_image_better_than_any_turn_of_it():
    folder, path = published(1)
    surface = flatfield(read_profiles(path)["5"].background, (1080, 1080))
    pixels = tifffile.imread(folder / "images" / "r01c01f01p01-ch5sk1fk1fl1.tiff")

    def tiles(values, share):
        return np.percentile(values.reshape(12, 90, 12, 90), share, axis=(1, 3)).ravel()

    background = tiles(pixels, 10)
    turned = [turn[::up, ::left] for turn in (surface, surface.T) for up in (1, -1) for left in (1, -1)]
    agreement = [np.corrcoef(background, tiles(turn, 50))[0, 1] for turn in turned]
    assert np.argmax(agreement) == 0
    assert agreement[0] > 0.99


UNEVEN = "Coefficients: [[1], [2]], Dims: [1, 1], Origin: [0, 0], Scale: [1, 1]"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 5000, '{A: "', "{Background: 3}", "{Background: {Profile: {Type: Spline}}}"]
    + [f"{{Background: {{Profile: {{Type: Polynomial, {UNEVEN}}}}}}}"],
)
def test_a_profile_of_another_form_is_an_error(text):
    with pytest.raises(ProfilingError, match="unknown form"):
        parse_profile(text)


@given(st.text(alphabet='{}[]:,." \\-+eINFNaTypeProfilegroundBack0123456789', max_size=60))
def test_no_profile_raises_another_error(text):
    try:
        assert isinstance(parse_profile(text).mean, float)
    except ProfilingError:
        pass
