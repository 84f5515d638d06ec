import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.listing import list_files
from profiling.plates.readers import read_folder, table
from profiling.settings import Images

TABLE = pd.DataFrame(
    {
        "well": ["A01", "A01", "B12"],
        "site": [1, 2, 1],
        "channel": ["DNA", "DNA", "DNA"],
        "path": ["a/1.tif", "a/2.tif", "b/ü 3.tif"],
        "time": [0, 0, 4],
        "z": [7, 7, 8],
        "page": [0, 1, 2],
        "position_x": [0.5, -1.25, None],
        "PixelSize": [0.65, 0.65, 0.65],
    }
)


def folder_of(folder, images=TABLE, name="images.csv", **options):
    for path in TABLE["path"]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"1234567")
    if name.endswith(".parquet"):
        images.to_parquet(folder / name, **options)
    else:
        images.to_csv(folder / name, **{"index": False, **options})
    return folder


def read(folder, **options):
    images, problems, name = read_folder(folder, Images(**options))
    assert (name, problems) == ("table", [])
    return images


def check(images):
    assert images["Metadata_Well"].tolist() == ["A01", "A01", "B12"]
    assert images["Metadata_Channel"].tolist() == ["DNA"] * 3
    assert images["Path"].tolist() == TABLE["path"].tolist()
    assert images["FileSize"].tolist() == [7] * 3
    for column, name in (("Site", "site"), ("Time", "time"), ("Z", "z")):
        assert images[f"Metadata_{column}"].tolist() == TABLE[name].tolist()
    assert images["Page"].tolist() == TABLE["page"].tolist()
    np.testing.assert_array_equal(images["PositionX"], TABLE["position_x"])
    np.testing.assert_array_equal(images["PixelSize"], TABLE["PixelSize"])


@pytest.mark.parametrize(
    ("change", "name", "options"),
    [
        (lambda images: images, "images.csv", {}),
        (lambda images: images, "below/images.TSV", {"sep": "\t"}),
        (lambda images: images, "images.csv", {"sep": ";", "decimal": ","}),
        (lambda images: images, "images.csv", {"encoding": "utf-16"}),
        (lambda images: images, "images.csv", {"encoding": "cp1252"}),
        (lambda images: images, "images.csv", {"encoding": "utf-8-sig", "quoting": 1}),
        (lambda images: images, "images.parquet", {}),
        (lambda images: images.set_index("well"), "images.parquet", {}),
        (lambda images: images.astype({"site": float, "well": "category"}), "images.parquet", {}),
        (lambda images: images.add_prefix("Metadata_"), "images.csv", {}),
        (lambda images: images.rename(columns={"well": "Well Name", "path": "File", "z": "Plane"}), "l.csv", {}),
        (lambda images: images.assign(well=["A", 1, "B"], col=[1, 1, 12]).rename(columns={"well": "Row"}), "x.csv", {}),
        (lambda images: images.assign(folder="/old/a").replace({"path": r".*/(.*)"}, r"\1", regex=True)
            .assign(folder=["/old/a", "/old/a", "/old/b"]), "x.csv", {}),
        (lambda images: images.assign(path="C:\\plates\\7\\" + images["path"].str.replace("/", "\\")), "x.csv", {}),
        (lambda images: images.assign(comment="x", Well="H12"), "x.csv", {}),
    ],
)  # fmt: skip
def test_however_the_table_is_written_the_images_are_the_same(tmp_path, change, name, options):
    (tmp_path / "below").mkdir()
    images = read(folder_of(tmp_path, change(TABLE), name, **options))
    check(images.assign(Metadata_Well=images["Metadata_Well"].replace({"A1": "A01", "r1c1": "A01"})))


def test_what_a_table_need_not_say(tmp_path):
    images = read(folder_of(tmp_path, TABLE[["well", "channel", "path"]][1:]))
    columns = ["Metadata_Site", "Metadata_Time", "Metadata_Z", "Page", "Projection"]
    assert images[columns].drop_duplicates().to_numpy().tolist() == [[1, 0, 0, 0, False]]
    assert images[["PositionX", "PixelSize"]].isna().all(axis=None)


def test_tables_of_several_plates_and_files_elsewhere(tmp_path):
    both = pd.concat([TABLE.assign(barcode="00123"), TABLE.assign(barcode="1E10")])
    check(read(folder_of(tmp_path / "00123", both)))
    with pytest.raises(ProfilingError, match=r"lists 2 plates \(00123, 1E10\)"):
        read(folder_of(tmp_path / "other", both))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    TABLE.assign(path=str(tmp_path / "00123") + "/" + TABLE["path"]).to_csv(elsewhere / "images.csv", index=False)
    with pytest.raises(ProfilingError, match=r"images.csv, line 2: .*a/1.tif is not below .* \(3 such files\)"):
        read(elsewhere)
    assert read(elsewhere, outside=True)["Path"].tolist() == [str(tmp_path / "00123" / path) for path in TABLE["path"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images.assign(site=["1", "2.5", "3"]), "line 3: Site '2.5' is not a whole number; correct it"),
        (lambda images: images.assign(PixelSize=["a", 1, 2]), "line 2: PixelSize 'a' is not a number; correct it"),
        (lambda images: images.assign(path=["a/1.tif", "", "c"]), "line 3: has no path; complete it"),
        (
            lambda images: images.drop(columns="channel"),
            "needs the columns well .* channel and path; it has well, site",
        ),
        (lambda images: images.assign(path=["a/1.tif", "A/1.TIF", "b"]), "A/1.TIF would both be a/1.tif"),
        (lambda images: images.assign(path=["x", "y", "z"]), "line 2: x is not below"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, change, message):
    folder_of(tmp_path, change(TABLE))
    with pytest.raises(ProfilingError, match=message):
        table.read(tmp_path, list_files(tmp_path), Images(table="images.csv"))


def test_one_of_several_tables_must_be_named_and_a_plate_map_is_none(tmp_path):
    folder_of(tmp_path, TABLE[["well", "site"]], "platemap.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing")
    (tmp_path / "broken.csv").write_bytes(b"\0\1\2")
    assert not table.detect(tmp_path, list_files(tmp_path))
    folder_of(tmp_path, TABLE, "images.parquet")
    assert table.detect(tmp_path, list_files(tmp_path))
    folder_of(tmp_path, TABLE, "images.csv")
    assert table.detect(tmp_path, list_files(tmp_path))
    with pytest.raises(ProfilingError, match="name one in images.table"):
        read_folder(tmp_path, Images())
    with pytest.raises(ProfilingError, match=r"more than one table of images \(images.csv, images.parquet\)"):
        table.read(tmp_path, list_files(tmp_path), Images())


def parquet_bytes():
    buffer = io.BytesIO()
    TABLE.to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "sound"), [("i.csv", TABLE.to_csv(index=False).encode()), ("i.parquet", parquet_bytes())]
)
@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_no_table_breaks_the_reader(tmp_path, name, sound, data):
    start = data.draw(st.integers(0, len(sound)))
    piece = data.draw(st.binary(max_size=10))
    folder_of(tmp_path, name="first.csv")
    (tmp_path / "first.csv").unlink()
    (tmp_path / name).write_bytes(sound[:start] + piece + sound[start + data.draw(st.integers(0, 12)) :])
    files = list_files(tmp_path)
    table.detect(tmp_path, files)
    try:
        images, _ = table.read(tmp_path, files, Images(table=name))
    except ProfilingError as error:
        assert name in str(error)
    else:
        assert not images["Path"].str.startswith(("/", "../")).any()
