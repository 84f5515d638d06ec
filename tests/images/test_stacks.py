import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from profiling.images.read import read_image
from profiling.images.stack_jobs import make_images
from profiling.images.stacks import maximum_projection, sharpest_plane
from profiling.settings import Images
from profiling.tables import read_table, write_table

CHANNELS = ["DNA", "Actin"]
FOCUS = {"DNA": 2, "Actin": 3}
"""Which of the planes 1, 2, 3 is sharp."""


def pattern(seed, blur=0.0):
    image = np.random.default_rng(seed).random((96, 128)) > 0.97
    return (gaussian_filter(gaussian_filter(image.astype(float), 2), blur) * 20000 + 100).astype(np.uint16)


@pytest.fixture
def stack(tmp_path):
    """One field, three planes in DNA and Actin; the last well has a single plane of Actin."""
    rows = []
    for well in ("A01", "B02"):
        for seed, channel in enumerate(CHANNELS):
            for z in [1] if (well, channel) == ("B02", "Actin") else [1, 2, 3]:
                name = f"{well}_{channel}_{z}.tif"
                tifffile.imwrite(tmp_path / name, pattern(seed, 3 * abs(z - FOCUS[channel])))
                rows.append((well, channel, z, name))
    table = pd.DataFrame(rows, columns=["Metadata_Well", "Metadata_Channel", "Metadata_Z", "Path"])
    return table.assign(
        Metadata_Plate="P", Metadata_Site=1, Metadata_Time=0, Page=0, Width=128, Height=96, Dtype="uint16",
        FileSize=1, Modified=7, PositionX=1.5, PositionY=2.5, PixelSize=0.5, Planes=1, Plane=None,
        Status="ok", Reason=None,
    ).astype({"Reason": "str"})  # fmt: skip


def made(stack, folder, z, **settings):
    key = ["Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z", "Metadata_Channel"]
    planes = folder / "chunks" / "planes.parquet"
    write_table(planes, "images", stack.sort_values(key))
    out = folder / "chunks" / "1"
    make_images(planes, folder, ["A01", "B02"], Images(z=z), "DNA", out / "images.parquet", out / "images", **settings)
    images = read_table(out / "images.parquet", "images").set_index(["Metadata_Well", "Metadata_Channel"])
    return images, lambda *key: read_image(folder / "chunks" / images.loc[key, "Path"])


def test_maximum(stack, tmp_path):
    images, read = made(stack, tmp_path, "maximum")
    brightest = np.max([pattern(1, 3 * abs(z - 3)) for z in (1, 2, 3)], axis=0)
    np.testing.assert_array_equal(read("A01", "Actin"), brightest)
    np.testing.assert_array_equal(read("B02", "Actin"), pattern(1, 6))
    assert images["Planes"].sort_index().tolist() == [3, 3, 1, 3]
    assert images["Metadata_Z"].eq(0).all()
    assert images["Plane"].isna().all()
    assert images[["PositionX", "PixelSize", "Modified"]].drop_duplicates().to_numpy().tolist() == [[1.5, 0.5, 7]]


def test_focus_is_chosen_by_one_channel_for_all(stack, tmp_path):
    images, read = made(stack, tmp_path, "focus", threads=2)
    assert images["Plane"].sort_index().tolist() == [2, 2, 1, 2]
    np.testing.assert_array_equal(read("A01", "DNA"), pattern(0))
    np.testing.assert_array_equal(read("A01", "Actin"), pattern(1, 3))


def test_a_lost_plane_loses_a_projection_but_not_the_focus(stack, tmp_path):
    (tmp_path / "A01_DNA_3.tif").write_bytes(b"II*\0")
    projected, _ = made(stack, tmp_path, "maximum")
    assert projected["Status"].to_dict()["A01", "DNA"] == "unreadable"
    assert "A01_DNA_3.tif" in projected.loc[("A01", "DNA"), "Reason"]
    assert projected["Status"].value_counts()["ok"] == 3
    focused, _ = made(stack, tmp_path, "focus")
    assert focused["Status"].eq("ok").all()
    assert focused.loc[("A01", "DNA"), "Plane"] == 2


def test_a_lost_channel_stays_missing_and_a_lost_reference_is_said(stack, tmp_path):
    lost = stack["Metadata_Well"].eq("A01") & stack["Metadata_Channel"].eq("DNA")
    stack.loc[lost, ["Status", "Reason", "Path"]] = ["missing", "no file of this field and channel", None]
    images, _ = made(stack, tmp_path, "focus")
    assert images["Status"].to_dict()["A01", "Actin"] == "unreadable"
    assert "no plane of DNA, which chooses the plane" in images.loc[("A01", "Actin"), "Reason"]
    assert images["Status"].to_dict()["B02", "DNA"] == "ok"
    stack.loc[stack["Metadata_Well"].eq("B02") & stack["Metadata_Channel"].eq("DNA"), "Status"] = "missing"
    images, _ = made(stack, tmp_path, "focus")
    assert images["Status"].to_dict()["B02", "Actin"] == "ok"
    assert images["Status"].to_dict()["A01", "DNA"] == "missing"


def test_the_same_planes_give_the_same_table(stack, tmp_path):
    first, _ = made(stack, tmp_path, "maximum", threads=2)
    second, _ = made(stack, tmp_path, "maximum")
    pd.testing.assert_frame_equal(first, second)


def test_planes_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="planes of the stack differ"):
        maximum_projection([np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)])


def test_the_sharpest_plane():
    planes = [pattern(0, 4), pattern(0, 1), pattern(0, 2)]
    assert sharpest_plane(planes) == 1
    assert sharpest_plane([None, planes[0], None]) == 1
    assert sharpest_plane([None, None]) is None
    blank = np.full((96, 96), 5, np.uint16)
    assert sharpest_plane([blank, blank, blank]) == 1
    assert sharpest_plane([blank, planes[0], blank]) == 1
