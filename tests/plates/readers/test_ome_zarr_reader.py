import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.images import read_header, read_image
from profiling.plates.image_table import index_plate
from profiling.plates.listing import list_files
from profiling.plates.readers import ome_zarr, read_folder
from profiling.settings import Images

pytestmark = pytest.mark.filterwarnings("ignore")  # pytest undoes the filters of the reader
DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
DOCUMENTS = DATA / "vendor_formats" / "ome_zarr_hcs_metadata"
PIXELS = np.random.default_rng(0).poisson(300, (2, 3, 20, 30)).astype(np.uint16)  # c, z, y, x
SCALE = [1.0, 2.0, 0.5, 0.65]


def write_group(path, version, content):
    if version == "0.4":
        zarr.create_group(path, zarr_format=2).attrs.update(content)
    else:
        zarr.create_group(path, zarr_format=3).attrs["ome"] = {"version": version, **content}


def write_plate(path, version="0.4", wells=("A/1", "B/12"), fields=2, labels=("DNA", "Actin"), unit="micrometer"):
    rows, columns = (sorted({well.split("/")[side] for well in wells}) for side in (0, 1))
    places = [
        {"path": well, "rowIndex": rows.index(well.split("/")[0]), "columnIndex": columns.index(well.split("/")[1])}
        for well in wells
    ]
    names = {"rows": [{"name": row} for row in rows], "columns": [{"name": column} for column in columns]}
    write_group(path, version, {"plate": {"version": version, **names, "wells": places, "acquisitions": [{"id": 0}]}})
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space", "unit": unit} for name in "zyx")]
    for well in wells:
        images = [{"path": str(field), "acquisition": 0} for field in range(fields)]
        write_group(path / well, version, {"well": {"images": images, "version": version}})
        for field in range(fields):
            moved = [
                {"type": "scale", "scale": SCALE},
                {"type": "translation", "translation": [0, 0, 7.0, 100 * field]},
            ]
            multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": moved}]}
            omero = {"channels": [{"label": label} for label in labels]}
            image = path / well / str(field)
            write_group(image, version, {"multiscales": [multiscale], "omero": omero})
            format_ = 2 if version == "0.4" else 3
            zarr.create_array(image / "0", data=PIXELS + field, chunks=(1, 1, 20, 30), zarr_format=format_)
            write_group(image / "labels", version, {"labels": ["nuclei"]})
    return path


def read(folder):
    return ome_zarr.read(folder, list_files(folder), Images())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("nested", ["", "screen.ome.zarr"])
def test_plate_as_written(tmp_path, version, nested):
    folder = tmp_path / "plate"
    write_plate(folder / nested, version)
    assert ome_zarr.detect(folder, list_files(folder))
    images, problems, name = read_folder(folder, Images())
    assert name == "ome_zarr" and problems == []
    assert len(images) == 2 * 2 * 2 * 3
    assert set(images["Metadata_Well"]) == {"A1", "B12"}
    assert set(images["Metadata_Site"]) == {1, 2} and set(images["Metadata_Time"]) == {0}
    row = images.query("Metadata_Well == 'B12' and Metadata_Site == 2 and Metadata_Channel == 'Actin'").iloc[2]
    assert (row["Path"], row["Page"], row["Metadata_Z"]) == (f"{nested}/B/12/1".lstrip("/"), 5, 2)
    assert row["PixelSize"] == 0.65
    assert row["PositionX"] == pytest.approx(100 + 14.5 * 0.65) and row["PositionY"] == pytest.approx(7 + 9.5 * 0.5)
    assert (images["FileSize"] > 0).all() and (images["Modified"] > 0).all()
    np.testing.assert_array_equal(read_image(folder / row["Path"], row["Page"]), PIXELS[1, 2] + 1)


def test_names_and_units(tmp_path):
    images, _ = read(write_plate(tmp_path / "a", labels=("DNA", "DNA"), unit="nanometer", fields=1))
    assert set(images["Metadata_Channel"]) == {"0", "1"}
    assert images["PixelSize"].unique() == pytest.approx([0.00065])
    images, _ = read(write_plate(tmp_path / "b", labels=("DNA",), unit=None, fields=1))
    assert set(images["Metadata_Channel"]) == {"0", "1"}
    assert images[["PixelSize", "PositionX", "PositionY"]].isna().all(axis=None)
    # rows by numbers, columns by letters
    images, _ = read(write_plate(tmp_path / "c", wells=("2/C", "3/C"), fields=1))
    assert set(images["Metadata_Well"]) == {"C2", "C3"}


def test_what_was_not_acquired_is_not_lost(tmp_path):
    plate = write_plate(tmp_path / "plate", wells=("A/1", "A/2", "A/3"))
    shutil.rmtree(plate / "A/2")
    shutil.rmtree(plate / "A/3/1")
    (plate / "A/1/0/.zattrs").write_text('{"multiscales": [')
    images, problems = read(plate)
    assert len(images) == 3 * 2 * 2 * 3 and not images.duplicated(["Path", "Page"]).any()
    assert [path for path, _, _ in problems] == ["A/2"]
    table, _ = index_plate("P", plate, 96, ["DNA", "Actin"], Images(z=0), read_header)
    lost = table[table["Status"] != "ok"]
    assert set(lost["Path"]) == {"A/2/0", "A/2/1", "A/3/1", "A/1/0"} and set(lost["Status"]) == {"unreadable"}
    assert lost.set_index("Path").loc["A/1/0", "Reason"].str.contains("damaged").all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_plates_that_contradict_themselves(tmp_path, version):
    plate = write_plate(tmp_path / "plate", version, wells=("A/1", "A/2"), fields=1)
    document = plate / ome_zarr.GROUPS[version]
    text = document.read_text()
    for old, new, words in (
        ('"A/2"', '"A/1"', "said to lie in|twice"),
        (f'"version": "{version}"', '"version": "0.6"', "version '0.6' is not known"),
        ('"wells"', '"walls"', "plate.wells: Field required"),
    ):
        assert old in text
        document.write_text(text.replace(old, new))
        with pytest.raises(ProfilingError, match=words) as error:
            read(plate)
        assert str(document) in str(error.value)


def test_several_plates_and_none(tmp_path):
    write_plate(tmp_path / "a.zarr", fields=1)
    write_plate(tmp_path / "b.zarr", fields=1)
    with pytest.raises(ProfilingError, match=r"2 OME-Zarr plates \(a.zarr, b.zarr\)"):
        read(tmp_path)
    write_group(tmp_path / "c" / "image.zarr", "0.4", {"multiscales": []})
    assert not ome_zarr.detect(tmp_path / "c", list_files(tmp_path / "c"))
    with pytest.raises(ProfilingError, match="no OME-Zarr plate"):
        read(tmp_path / "c")


def documents(*patterns):
    found = sorted(path for pattern in patterns for path in DOCUMENTS.glob(pattern) if not path.name.startswith("."))
    return found or [None]


def place_document(path, folder):
    """The document in the place of a plate's or well's; the conformance suite's 0.6rc0 is told to be 0.5."""
    content = json.loads(path.read_text())
    content = content.get("attributes", content)
    content = content.get("ome", content)
    if not content.keys() & {"plate", "well"}:
        content = {"plate": content}
    version = "0.4" if "v04" in path.parts else "0.5"
    if "well" in content:
        write_group(folder, version, {"plate": {
            "rows": [{"name": "A"}], "columns": [{"name": "1"}],
            "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
        }})  # fmt: skip
        folder = folder / "A" / "1"
    if version == "0.5":
        content = content | {"version": content.get("version", "0.5").replace("0.6rc0", "0.5")}
    write_group(folder, version, {})
    document = folder / ome_zarr.GROUPS[version]
    document.write_text(json.dumps(content if version == "0.4" else {"attributes": {"ome": content}}))
    return content, version


VALID = ("ngff-spec/tests/**/valid/*/*.json", "ngff-spec/examples/*_strict/*.json", "ome-zarr-models-py/v0[45]/*.json")
INVALID = ("ngff-spec/tests/**/invalid/*/*.json", "ome-zarr-models-py/v06/*.json")


@pytest.mark.parametrize("path", documents(*VALID), ids=lambda path: path and path.stem)
def test_valid_documents_are_read(tmp_path, path):
    if path is None:
        pytest.skip(f"the documents are not in {DATA}")
    content, version = place_document(path, tmp_path / "plate")
    # valid documents without images: the first thing amiss is what they name
    wells = [well["path"] for well in content.get("plate", {"wells": [{"path": "A/1"}]})["wells"]]
    images = [image["path"] for image in content.get("well", {"images": [{"path": "0"}]})["images"]]
    assert list(ome_zarr._wells(tmp_path / "plate", version)) == wells
    if "well" in content:
        assert list(ome_zarr._fields(tmp_path / "plate" / "A" / "1", version)) == images
    with pytest.raises(ProfilingError, match="is there|no such"):
        read(tmp_path / "plate")


@pytest.mark.parametrize("path", documents(*INVALID), ids=lambda path: path and path.stem)
def test_invalid_documents_and_unknown_versions_are_refused(tmp_path, path):
    if path is None:
        pytest.skip(f"the documents are not in {DATA}")
    place_document(path, tmp_path / "plate")
    with pytest.raises(
        ProfilingError, match="not a valid OME-Zarr|is not known|said to lie in|cannot be the path|twice"
    ):
        read(tmp_path / "plate")


def mutate(value, chance):
    """A JSON value with parts taken out, doubled or replaced."""
    if chance.random() < 0.05:
        return chance.choice(
            [None, -1, 10**30, 1.5, "", "x", "../..", [], {}, True, float("nan"), "\ud800", [[]], 2**63]
        )
    if isinstance(value, dict):
        return {chance.choice([key, key, key + "x"]) if chance.random() < 0.02 else key: mutate(item, chance)
                for key, item in value.items() if chance.random() > 0.02}  # fmt: skip
    if isinstance(value, list):
        return [mutate(item, chance) for item in value for _ in range(chance.choice([1] * 30 + [0, 2]))]
    return value


@pytest.fixture(scope="module")
def whole_plates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {version: write_plate(folder / version, version, fields=1) for version in ("0.4", "0.5")}


@given(seed=st.integers(0, 2**32), version=st.sampled_from(["0.4", "0.5"]), noise=st.binary(max_size=60))
def test_damaged_documents_raise_nothing_else(tmp_path_factory, whole_plates, seed, version, noise):
    chance = random.Random(seed)
    plate = tmp_path_factory.getbasetemp() / "mutated"
    shutil.rmtree(plate, ignore_errors=True)
    shutil.copytree(whole_plates[version], plate)
    documents = [".zattrs", "A/1/.zattrs", "A/1/0/.zattrs", "A/1/0/0/.zarray", "B/12/0/.zattrs"]
    for name in chance.sample(documents, chance.choice([1, 2])):
        document = plate / (name if version == "0.4" else str(Path(name).with_name("zarr.json")))
        if chance.random() < 0.2:
            document.write_bytes(noise)
        else:
            document.write_text(json.dumps(mutate(json.loads(document.read_text()), chance)))
    try:
        images, _ = read(plate)
    except ProfilingError:
        return
    assert not images.empty
    for path in images["Path"].unique():
        try:
            read_header(plate / path)
        except ProfilingError:
            pass
