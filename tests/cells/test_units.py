"""Fields and tiles in the place of cells."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiling.cells.flag_jobs import flag
from profiling.cells.unit_jobs import units
from profiling.cells.units import BOX, list_units
from profiling.embeddings.crops import cut
from profiling.embeddings.cutter import Cutter
from profiling.embeddings.fields import FieldCells, Scaling
from profiling.embeddings.reading import crop_centres, crop_sides
from profiling.errors import ProfilingError
from profiling.settings import Embedding, Flags, Tiles
from profiling.tables import CELL_KEY, FIELD_KEY, read_table, write_table


def image_table(*fields, channels=("DNA", "Actin")):
    """Rows of an image table: a well a field, of (width, height), or None where all images are lost."""
    rows = []
    for number, size in enumerate(fields):
        for channel in channels:
            key = ("P1", f"A{number + 1:02d}", 1, 0, 0, channel)
            rows.append((*key, *(size or (None, None)), *(("ok", None) if size else ("missing", "no file"))))
    table = pd.DataFrame(rows, columns=[*FIELD_KEY, "Metadata_Channel", "Width", "Height", "Status", "Reason"])
    path = [None if status == "missing" else "a.tif" for status in table["Status"]]
    table = table.assign(Path=path, Page=0, Dtype="uint16", FileSize=1, Modified=0, Planes=1)
    return table.assign(**dict.fromkeys(["PositionX", "PositionY", "PixelSize", "Plane"], np.nan))


def boxes(units):
    return units[BOX].to_numpy().tolist()


def test_a_grid_of_complete_tiles_lies_in_the_middle_of_the_field():
    units, fields = list_units(image_table((101, 50)), 40)
    assert boxes(units) == [[10, 5, 50, 45], [50, 5, 90, 45]]
    assert units["Metadata_CellID"].tolist() == [1, 2]
    assert fields[["Segmented", "CellCount"]].to_numpy().tolist() == [[True, 2]]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=4), st.integers(1, 25))
def test_tiles_are_disjoint_complete_and_leave_less_than_a_tile(sizes, tile):
    units, fields = list_units(image_table(*sizes), tile)
    assert not units.duplicated(CELL_KEY).any()
    for (width, height), (_, field) in zip(sizes, fields.iterrows(), strict=True):
        mine = units[units["Metadata_Well"].eq(field["Metadata_Well"])]
        cover = np.zeros((height, width), int)
        for left, top, right, bottom in boxes(mine):
            assert (right - left, bottom - top) == (tile, tile) and min(left, top) >= 0
            assert right <= width and bottom <= height
            cover[top:bottom, left:right] += 1
        assert cover.max() <= 1 and cover.sum() == (height // tile) * (width // tile) * tile**2
        assert len(mine) == field["CellCount"] and field["Segmented"] == (len(mine) > 0)
        assert mine["Metadata_CellID"].tolist() == list(range(1, len(mine) + 1))
        if len(mine):
            rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
            assert abs(rows[0] - (height - 1 - rows[-1])) <= 1 and abs(columns[0] - (width - 1 - columns[-1])) <= 1


def test_what_holds_no_unit_is_a_row_with_its_reason():
    table = image_table((64, 48), None, (20, 90))
    table.loc[table["Metadata_Well"].eq("A01") & table["Metadata_Channel"].eq("Actin"), ["Status", "Width"]] = (
        "missing",
        None,
    )
    units, fields = list_units(table)
    assert boxes(units) == [[0, 0, 64, 48], [0, 0, 20, 90]], "one channel that is there gives the field's size"
    assert fields["Reason"].isna().tolist() == [True, False, True]
    assert fields["Reason"][1] == "channel Actin is lost: no file"
    _, fields = list_units(table, 32)
    assert fields["CellCount"].tolist() == [2, 0, 0]
    assert fields["Reason"][2] == "its 20 × 90 px hold no tile of 32 px; lower tiles.size"


def test_the_tables_of_a_chunk_fit_their_schemas_and_no_unit_is_flagged(tmp_path):
    write_table(tmp_path / "images.parquet", "images", image_table((64, 48), (64, 48), None))
    out = [tmp_path / name for name in ("cells.parquet", "fields.parquet", "labels")]
    units(tmp_path / "images.parquet", ["A02", "A03"], "tile", Tiles(size="16 px"), *out)
    found = read_table(out[0], "segmented")
    assert set(found["Metadata_Well"]) == {"A02"} and len(found) == 12
    assert read_table(out[1], "fields")["CellCount"].tolist() == [12, 0]
    assert list(out[2].iterdir()) == []
    cells = found.assign(CropOutsideImage=False, Embedded=True, ExclusionReason=pd.Series(None, found.index, "str"))
    write_table(tmp_path / "all.parquet", "cells", cells)
    flag(tmp_path / "all.parquet", "DNA", Flags(exclude_cells=["debris"], border="cell"), tmp_path / "flags.parquet")
    assert len(read_table(tmp_path / "flags.parquet", "cell_flags")) == 0
    with pytest.raises(ProfilingError, match="plate P1: no field holds a tile of 49 × 49 px, the largest has 64 × 48"):
        units(tmp_path / "images.parquet", ["A03"], "tile", Tiles(size="49 px"), *out)


def test_the_crop_of_a_tile_is_its_own_pixels_and_that_of_a_field_all_of_them():
    planes = np.random.default_rng(0).integers(0, 4096, (2, 50, 101)).astype(np.uint16)
    flats = {"DNA": (np.ones((50, 101), np.float32), 0.0)}
    tiles, _ = list_units(image_table((101, 50)), 15)
    sides = crop_sides(Embedding(), tiles, flats)
    assert sides == (15, 15)
    crops = cut(planes, crop_centres(tiles), sides)
    assert len(crops) == 18
    for crop, (left, top, right, bottom) in zip(crops, boxes(tiles), strict=True):
        np.testing.assert_array_equal(crop, planes[:, top:bottom, left:right])


def test_a_whole_field_is_squeezed_each_axis_by_its_own_factor():
    rows, columns = np.mgrid[:50, :101].astype(np.float32)
    flats = {"rows": (np.ones((50, 101), np.float32), 0.0)}
    whole, _ = list_units(image_table((101, 50)))
    assert crop_sides(Embedding(), whole, flats) is None
    scaling = Scaling([np.ones((1, 1), np.float32)] * 2, *(np.array([v, v], np.float32) for v in (0, 0, 128)))
    image = np.empty((1, 2, 20, 20), np.float32)
    field = FieldCells(np.stack([rows, columns]), crop_centres(whole), np.array([1]), None, np.array([], int))
    Cutter(scaling, None, 20).field(field)(0, 1, image)
    middle = slice(2, -2)  # a filter that is cut off at the edge is not symmetric
    for ramp, length in ((image[0, 0].mean(axis=1), 50), (image[0, 1].mean(axis=0), 101)):
        expected = ((np.arange(20) + 0.5) * length / 20 - 0.5) / 128
        np.testing.assert_allclose(ramp[middle], expected[middle], atol=1e-3)
