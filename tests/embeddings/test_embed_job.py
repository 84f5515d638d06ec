"""The embedding of a chunk, from files to tables, with a network whose features are known."""

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile
from tiny_network import SIZE, expected, write_backbone

from profiling.cells.jobs import write_labels
from profiling.cells.measure import measure_cells
from profiling.embeddings.crops import cut, resize
from profiling.embeddings.jobs import embed
from profiling.images.illumination import write_flatfield
from profiling.settings import Embedding
from profiling.tables import embedding_matrix, write_table

CHANNELS = ["DNA", "Actin"]
WELLS = ["A01", "A02", "B01"]
SIDE = 80
LIMITS = {"DNA": (5.0, 3000.0), "Actin": (50.0, 4000.0)}
DARK = 10.0
COUNTS = {("A01", 1): 5, ("A01", 2): 0, ("A02", 1): 7, ("A02", 2): 4, ("B01", 1): 1, ("B01", 2): 6}
LOST = ("A02", 1)
SETTINGS = {"device": "cpu", "crop": f"{SIZE} px", "thumbnails_per_well": 3, "dtype": "float32"}


def key(well, site):
    return {
        "Metadata_Plate": "P",
        "Metadata_Well": well,
        "Metadata_Site": site,
        "Metadata_Time": 0,
        "Metadata_Z": 0,
    }


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plate")
    rng = np.random.default_rng(0)
    flat = 1 + rng.random((SIDE, SIDE), dtype=np.float32)
    (folder / "flatfields").mkdir()
    (folder / "labels").mkdir()
    for channel in CHANNELS:
        write_flatfield(folder / "flatfields" / f"{channel}.tif", flat, DARK, 30, "")
    rows, tables, pixels = [], [], {}
    for well in WELLS:
        pages = []
        for site in (1, 2):
            labels = np.zeros((SIDE, SIDE), np.uint32)
            for cell in range(COUNTS[well, site]):
                row, column = divmod(cell, 3)
                labels[row * 26 + 2 : row * 26 + 20, column * 26 + 2 : column * 26 + 18] = cell + 1
            pages.append(
                (
                    {name: getattr(value, "item", lambda v=value: v)() for name, value in key(well, site).items()},
                    labels,
                    labels,
                )
            )
            tables.append(measure_cells(labels, labels, dict.fromkeys(CHANNELS)).assign(**key(well, site)))
            for channel in CHANNELS:
                path = folder / f"{well}_{site}_{channel}.tif"
                pixels[well, site, channel] = rng.integers(0, 4000, (SIDE, SIDE)).astype(np.uint16)
                tifffile.imwrite(path, pixels[well, site, channel], compression="lzw")
                lost = (well, site) == LOST and channel == "Actin"
                facts = {"Metadata_Channel": channel, "Path": path.name, "Page": 0, "Width": SIDE, "Height": SIDE}
                facts |= {"Dtype": "uint16", "FileSize": 1, "Modified": 1, "Planes": 1, "Plane": 0}
                facts |= dict.fromkeys(("PositionX", "PositionY", "PixelSize"), np.nan)
                rows.append({**key(well, site), **facts, "Status": "ok", "Reason": ""})
                if lost:
                    path.write_bytes(b"")
        write_labels(folder / "labels" / f"{well}.tif", pages)
    write_table(folder / "images.parquet", "images", pd.DataFrame(rows).sample(frac=1, random_state=0))
    write_table(folder / "segmented.parquet", "segmented", pd.concat(tables))
    limits = [("P", channel, *LIMITS[channel], DARK, 30, 30, "") for channel in CHANNELS]
    names = "Metadata_Plate Metadata_Channel Low High DarkOffset FlatFieldFields LimitFields Reason".split()
    write_table(folder / "limits.parquet", "limits", pd.DataFrame(limits, columns=names))
    return folder, write_backbone(folder), flat, pixels


def run(plate, out, wells=WELLS, threads=1, **settings):
    folder, backbone, *_ = plate
    out.mkdir()
    cells = pd.read_parquet(folder / "segmented.parquet")
    segmented = out / "segmented.parquet"
    write_table(segmented, "segmented", cells[cells["Metadata_Well"].isin(wells)])
    paths = [out / f"{table}.parquet" for table in ("embeddings", "cells", "thumbnails")]
    embed(
        folder / "images.parquet", folder, folder / "flatfields", folder / "limits.parquet", segmented,
        folder / "labels", backbone, wells, CHANNELS, Embedding(**SETTINGS | settings),
        *paths, threads=threads,
    )  # fmt: skip
    return [pq.read_table(path) for path in paths]


@pytest.fixture(scope="module")
def tables(plate, tmp_path_factory):
    return run(plate, tmp_path_factory.mktemp("out") / "all")


def test_every_cell_is_embedded_or_has_a_reason(plate, tables):
    embeddings, cells, thumbnails = (table.to_pandas() for table in tables)
    assert len(cells) == sum(COUNTS.values())
    lost = (cells["Metadata_Well"] == LOST[0]) & (cells["Metadata_Site"] == LOST[1])
    assert (cells["Embedded"] == ~lost).all()
    assert cells.loc[lost, "ExclusionReason"].str.startswith("channel Actin is lost: ").all()
    assert cells.loc[~lost, "ExclusionReason"].isna().all()
    keys = list(key("A01", 1)) + ["Metadata_CellID"]
    assert cells.loc[cells["Embedded"], keys].reset_index(drop=True).equals(embeddings[keys])
    assert (thumbnails.groupby("Metadata_Well").size() <= 3).all()
    assert set(thumbnails["Metadata_Well"]) == set(WELLS)


@pytest.mark.parametrize("neighbours", ["keep", "mask"])
def test_features_are_those_of_the_crops(plate, tmp_path, neighbours):
    folder, _, flat, pixels = plate
    table, cells, _ = run(plate, tmp_path / "out", neighbours=neighbours, crop=f"{SIZE * 2} px")
    cells = cells.to_pandas()
    matrix = embedding_matrix(table)
    position = 0
    for (well, site), rows in cells[cells["Embedded"]].groupby(["Metadata_Well", "Metadata_Site"]):
        scaled = [
            np.clip(((pixels[well, site, name] - DARK) / flat - low) / (high - low), 0, 1)
            for name, (low, high) in LIMITS.items()
        ]
        centres = rows[["Nuclei_Location_CenterY", "Nuclei_Location_CenterX"]].to_numpy()
        crops = cut(np.stack(scaled), centres, SIZE * 2)
        if neighbours == "mask":
            labels = np.zeros((SIDE, SIDE), int)
            for cell in range(COUNTS[well, site]):
                row, column = divmod(cell, 3)
                labels[row * 26 + 2 : row * 26 + 20, column * 26 + 2 : column * 26 + 18] = cell + 1
            around = cut(labels[None], centres, SIZE * 2)
            crops = crops * ((around == 0) | (around == rows["Metadata_CellID"].to_numpy()[:, None, None, None]))
        features = matrix[position : position + len(rows)]
        position += len(rows)
        assert np.allclose(features, expected(resize(crops.astype(np.float32), SIZE)), atol=1e-5)
    assert position == len(matrix)


def test_chunks_threads_and_the_order_of_rows_change_nothing(plate, tables, tmp_path):
    first, rest = (run(plate, tmp_path / str(index), wells) for index, wells in enumerate((WELLS[:1], WELLS[1:])))
    threads = run(plate, tmp_path / "threads", threads=2)
    for whole, one, other, threaded in zip(tables, first, rest, threads):
        assert whole.num_rows == one.num_rows + other.num_rows
        assert whole.slice(0, one.num_rows).equals(one)
        assert whole.slice(one.num_rows).equals(other)
        assert whole.equals(threaded)


def test_a_well_is_a_row_group_and_duckdb_reads_half_floats(plate, tmp_path):
    embeddings, cells, _ = run(plate, tmp_path / "out", dtype="float16")
    path = tmp_path / "out" / "embeddings.parquet"
    file = pq.ParquetFile(path)
    wells = [file.read_row_group(index)["Metadata_Well"].unique().to_pylist() for index in range(file.num_row_groups)]
    assert wells == [[well] for well in WELLS]
    read = duckdb.sql(f"select Metadata_CellID, Embedding_DNA from '{path}'").fetchnumpy()
    assert np.allclose(np.stack(read["Embedding_DNA"]), embedding_matrix(embeddings, ["DNA"]), atol=1e-3)


def test_crops_that_leave_the_image_are_flagged_where_they_are(plate, tmp_path):
    _, cells, _ = run(plate, tmp_path / "out", crop="40 px")
    cells = cells.to_pandas()
    cells = cells[cells["Embedded"]]
    centres = cells[["Nuclei_Location_CenterY", "Nuclei_Location_CenterX"]].to_numpy()
    inside = ((np.rint(centres) >= 20) & (np.rint(centres) <= SIDE - 20)).all(axis=1)
    assert (cells["CropOutsideImage"] == ~inside).all()
    assert set(cells["CropOutsideImage"]) == {False, True}


def test_no_cells_give_empty_tables_of_the_same_columns(plate, tables, tmp_path):
    nothing = run(plate, tmp_path / "out", wells=["C05"])
    for table, full in zip(nothing, tables):
        assert table.num_rows == 0
        assert table.schema.equals(full.schema)
