"""Overlays: outlines that separate objects, the fields a person should look at, and files that went bad."""

import io

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from profiling.cells.jobs import write_labels
from profiling.cells.overlay_jobs import draw, overlays
from profiling.cells.overlays import GREYS, choose_fields, corner_wells, draw_overlay, encode_png, outlines, stretch
from profiling.config import Config
from profiling.errors import ProfilingError
from profiling.images import fields as image_fields
from profiling.images.illumination import write_flatfield
from profiling.plates.wells import plate_wells
from profiling.schemas import TABLES
from profiling.settings import Overlays
from profiling.tables import FIELD_KEY, write_table

NUCLEI, CELLS = GREYS, GREYS + 1


@given(arrays(np.uint32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 3)))
def test_what_outlines_leave_of_objects_never_touches(labels):
    outline = outlines(labels)
    assert not outline[labels == 0].any()
    for a, b, out_a, out_b in (
        (labels[:-1], labels[1:], outline[:-1], outline[1:]),
        (labels[:, :-1], labels[:, 1:], outline[:, :-1], outline[:, 1:]),
    ):
        assert not ((a != b) & ~out_a & ~out_b).any()


def test_between_touching_objects_the_line_is_one_pixel_wide():
    labels = np.zeros((8, 12), np.uint32)
    labels[2:6, 2:6], labels[2:6, 6:10] = 1, 2
    assert outlines(labels)[3].tolist() == [bool(int(c)) for c in "001000100100"]


def test_outlines_are_drawn_after_reduction():
    labels = np.zeros((1500, 2400), np.uint32)
    labels[300:900, 400:1000] = 7
    cells = np.zeros_like(labels)
    cells[200:1000, 200:1400] = 7
    image = np.where(labels, 900, 100).astype(np.float32)
    picture = draw_overlay(image, labels, cells, side=600)
    assert picture.shape == (375, 600)
    assert np.flatnonzero(picture[150] == NUCLEI).tolist() == [100, 249]
    assert np.flatnonzero(picture[150] == CELLS).tolist() == [50, 349]
    assert draw_overlay(image[:50, :80], labels[:50, :80], cells[:50, :80], side=600).shape == (50, 80)


def test_contrast_is_that_of_the_objects_not_of_noise():
    noise = np.random.default_rng(0).normal(100, 5, (200, 200)).astype(np.float32)
    nuclei = noise.copy()
    nuclei[50:70, 50:70] += 150
    assert stretch(noise).mean() < 0.35
    assert stretch(nuclei)[50:70, 50:70].min() > 0.8 > 0.4 > np.median(stretch(nuclei))
    constant = stretch(np.full((20, 20), 7, np.float32))
    assert np.isfinite(constant).all() and constant.max() == 0


def test_a_picture_opens_in_colours_told_apart():
    picture = np.array([[0, GREYS - 1, NUCLEI, CELLS]], np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(encode_png(picture))).convert("RGB")).astype(int)[0]
    assert (np.ptp(shown[:2], axis=1) == 0).all()
    yellow = shown[:, 0] - shown[:, 2]
    assert yellow[2] > 100 and yellow[3] < -100
    assert encode_png(picture) == encode_png(picture.copy())


@pytest.mark.parametrize(
    ("wells", "corners"),
    [
        (plate_wells(384), ["A01", "A24", "P01", "P24"]),
        ([w for w in plate_wells(96) if w[0] not in "AH" and w[1:] not in ("01", "12")], ["B02", "B11", "G02", "G11"]),
        (["C05"], ["C05"]),
        (["AF48", "B03", "A04"], ["B03", "A04", "AF48"]),
        ([], []),
    ],
    ids=["whole plate", "margin left out", "one well", "a few wells", "none"],
)
def test_corner_wells_are_the_outermost_with_images(wells, corners):
    assert sorted(corner_wells(wells[::-1])) == sorted(corners)


def scored(scores):
    """Fields table of one site a well from {well: score}; None: not segmented."""
    rows = pd.DataFrame(
        {"Metadata_Well": list(scores), "SegmentationScore": pd.Series(list(scores.values()), dtype=float)}
    )
    rows = rows.assign(Metadata_Plate="P", Metadata_Site=1, Metadata_Time=0, Metadata_Z=0)
    return rows.assign(Segmented=rows["SegmentationScore"].notna())


def test_the_lowest_scores_are_chosen_ties_by_key_and_no_score_is_no_low_score():
    inner = {"C04": 0.3, "C02": 0.3, "C03": 0.3, "B02": None, "B03": 0.1, "B04": 0.9}
    corners = {"A01": 0.05, "A06": 0.99, "D01": None, "D06": 0.98}
    chosen = choose_fields(scored(inner | corners), worst_sites=4).set_index("Metadata_Well")["Chosen"]
    assert chosen.to_dict() == {
        "A01": "corner well; lowest score",
        "A06": "corner well",
        "B02": "not segmented",
        "B03": "lowest score",
        "C02": "lowest score",
        "C03": "lowest score",
        "D01": "corner well; not segmented",
        "D06": "corner well",
    }
    assert list(chosen.index) == sorted(chosen.index)
    assert "lowest score" not in set(choose_fields(scored(inner), worst_sites=0)["Chosen"])


def test_nothing_to_choose_from():
    assert choose_fields(scored({}), worst_sites=4).empty


SIDE = 60
WELLS = ("A01", "A06", "B02", "B03", "D01", "D06")
CHANNELS = ("DNA", "Actin", "Other")


@pytest.fixture
def screen(tmp_path):
    """A plate that was segmented: `images`, `results` and two chunks of labels; B03 could not be segmented."""
    results = tmp_path / "results"
    fields = scored(dict.fromkeys(WELLS, 0.5) | {"B02": 0.2, "B03": None})
    fields = fields.assign(CellCount=fields["Segmented"].astype(int), Reason=None)
    fields.loc[fields["Metadata_Well"] == "B03", "Reason"] = "channel DNA is needed"
    write_table(results / "fields" / "P.parquet", "fields", fill("fields", fields))
    images = fields[FIELD_KEY].merge(pd.DataFrame({"Metadata_Channel": CHANNELS}), how="cross")
    names = images["Metadata_Well"] + "_" + images["Metadata_Channel"] + ".tif"
    write_table(
        results / "images" / "P.parquet", "images", fill("images", images.assign(Path=names, Page=0, Status="ok"))
    )
    yy, xx = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(yy - 30, xx - 30)
    nuclei, cells = (distance < 8).astype(np.uint32), (distance < 20).astype(np.uint32)
    rng = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    for name in names:
        pixels = rng.normal(200, 5, (SIDE, SIDE)) + 800 * nuclei
        tifffile.imwrite(tmp_path / "images" / name, pixels.astype(np.uint16))
    for channel in CHANNELS:
        path = results / "illumination" / "P" / f"{channel}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_flatfield(path, np.ones((SIDE, SIDE), np.float32), 0, 24, "")
    for position, field in enumerate(fields.to_dict("records")):
        if field["Segmented"]:
            key = {name: field[name] for name in FIELD_KEY}
            path = results / "labels" / "P" / str(1 + position % 2) / f"{field['Metadata_Well']}.tif"
            write_labels(path, [({**key, "Metadata_Site": 2}, cells, cells), (key, nuclei, cells)])
    config = Config(plates=[{"plate": "P", "images": "images", "layout": 24}], channels=CHANNELS, chunks_per_plate=2,
                    segmentation={"cells_channel": "Actin"})  # fmt: skip
    (results / "config.json").write_text(config.model_dump_json())
    return tmp_path


def fill(name, rows):
    """Give the rows all columns of the table, null where they have none."""
    fixed = [column.name for column in TABLES[name].columns if not column.pattern]
    return rows.reindex(columns=fixed).astype({c: "object" for c in fixed if c not in rows})


def run(screen, **settings):
    results = screen / "results"
    out = results / "overlays" / "P.parquet"
    labels = [results / "labels" / "P" / chunk for chunk in "12"]
    overlays(
        results / "images" / "P.parquet", screen / "images", results / "illumination" / "P",
        results / "fields" / "P.parquet", labels, ["DNA", "Actin"], Overlays(**settings), out,
    )  # fmt: skip
    return pd.read_parquet(out).set_index("Metadata_Well")


def shown(picture):
    return np.asarray(Image.open(io.BytesIO(picture)))


def test_chosen_fields_are_drawn_and_nothing_else_is_read(screen, monkeypatch):
    read = []
    original = image_fields.read_image
    monkeypatch.setattr(image_fields, "read_image", lambda path, page: read.append(path.name) or original(path, page))
    table = run(screen, worst_sites=1)
    assert table["Chosen"].to_dict() == {
        "A01": "corner well", "A06": "corner well", "B02": "lowest score", "B03": "not segmented",
        "D01": "corner well", "D06": "corner well",
    }  # fmt: skip
    assert sorted(read) == sorted(f"{w}_{c}.tif" for w in WELLS if w != "B03" for c in ("DNA", "Actin"))
    picture = shown(table.loc["B02", "Picture"])
    assert picture.shape == (SIDE, SIDE)
    assert np.flatnonzero(picture[30] == NUCLEI).tolist() == [23, 37]
    assert np.flatnonzero(picture[30] == CELLS).tolist() == [11, 49]
    assert table.loc["B03", "Reason"] == "channel DNA is needed" and table.loc["B03", "Picture"] is None
    assert table["Reason"].isna().tolist() == table["Picture"].notna().tolist()


def test_files_that_went_bad_are_rows_with_a_reason(screen):
    labels = screen / "results" / "labels" / "P"
    (screen / "images" / "A01_DNA.tif").unlink()
    (screen / "images" / "A06_Actin.tif").write_bytes(b"")
    tifffile.imwrite(screen / "images" / "B02_DNA.tif", np.zeros((9, 9), np.uint16))
    next(labels.glob("*/D01.tif")).unlink()
    path = next(labels.glob("*/D06.tif"))
    path.write_bytes(path.read_bytes()[:200])
    reasons = run(screen)["Reason"]
    assert "A01_DNA.tif" in reasons["A01"]
    assert "9 × 9" in reasons["B02"]
    assert "no label image of well D01" in reasons["D01"]
    assert "D06.tif cannot be read" in reasons["D06"]
    assert pd.isna(reasons["A06"]), "the outlines need no channel of the cell bodies"


def test_a_well_of_choice_is_written_as_png(screen, tmp_path):
    draw(screen / "results", "P", ["b2", "D06"], None, 30, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["P_B02_s1.png", "P_D06_s1.png"]
    assert Image.open(tmp_path / "out" / "P_B02_s1.png").size == (30, 30)


@pytest.mark.parametrize(
    ("plate", "wells", "sites", "words"),
    [
        ("Q", ["A01"], None, "no plate 'Q'"),
        ("P", ["E01"], None, "outside a 24-well plate"),
        ("P", ["A02"], None, "no images of A02"),
        ("P", ["A01"], [3], "no site 3"),
        ("P", ["B03"], None, "no field could be drawn"),
    ],
)
def test_what_cannot_be_drawn_is_said(screen, tmp_path, plate, wells, sites, words):
    with pytest.raises(ProfilingError, match=words):
        draw(screen / "results", plate, wells, sites, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_draw_into_a_file(screen, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfilingError, match="file is a file"):
        draw(screen / "results", "P", ["B02"], None, None, tmp_path / "file")


def test_draw_outside_a_screen(tmp_path):
    with pytest.raises(ProfilingError, match="working directory of a screen"):
        draw(tmp_path / "results", "P", ["A01"], None, None, tmp_path)
