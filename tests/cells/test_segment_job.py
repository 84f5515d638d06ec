"""A segmentation job from image files to its tables and label images."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from profiling.cells.jobs import read_labels, segment, write_labels
from profiling.images.illumination import write_flatfield
from profiling.settings import Segmentation
from profiling.tables import FIELD_KEY, read_table, write_table

SIDE = 256
FLAT = np.broadcast_to(np.linspace(1, 1.2, SIDE, dtype=np.float32), (SIDE, SIDE))


def discs(radius=12):
    """Twelve discs in a grid."""
    y, x = np.indices((SIDE, SIDE))
    return np.hypot(y % 64 - 32, x % 80 - 40) < radius


def run(folder, fields, **settings):
    """Segment fields (well, site, image or None where the file is absent), and read what was written.

    With `cells_channel`, its image stands behind that of the nuclei.
    """
    rows, channels = [], ["DNA", "Actin"] if "cells_channel" in settings else ["DNA"]
    for well, site, channel, image in ((*field[:2], *one) for field in fields for one in zip(channels, field[2:])):
        path = folder / f"{well}_{site}_{channel}.tif"
        if image is not None:
            tifffile.imwrite(path, image)
        row = {"Metadata_Plate": "P", "Metadata_Well": well, "Metadata_Site": site, "Metadata_Time": 0, "Metadata_Z": 0}
        row |= {"Metadata_Channel": channel, "Path": path.name, "Page": 0, "Width": SIDE, "Height": SIDE}
        row |= {"Dtype": "uint8", "FileSize": 1, "Modified": 1, "Planes": 1, "Plane": 0, "Status": "ok", "Reason": ""}
        rows.append(row | dict.fromkeys(("PositionX", "PositionY", "PixelSize"), np.nan))
    write_table(folder / "images.parquet", "images", pd.DataFrame(rows))
    (folder / "flats").mkdir()
    for channel in channels:
        write_flatfield(folder / "flats" / f"{channel}.tif", FLAT, 0, 24, "")
    segment(
        folder / "images.parquet", folder, folder / "flats", sorted({well for well, *_ in fields}), channels,
        Segmentation(**settings), folder / "cells.parquet", folder / "fields.parquet", folder / "labels",
    )  # fmt: skip
    return read_table(folder / "cells.parquet", "segmented"), read_table(folder / "fields.parquet", "fields")


def test_every_field_has_its_labels_and_a_lost_one_its_reason(tmp_path):
    image = np.random.default_rng(0).normal(50 + 120 * discs(), 3).astype(np.uint8)
    cells, fields = run(tmp_path, [("A01", 1, image), ("A01", 2, None), ("A01", 3, image), ("B02", 1, None)])
    assert fields["CellCount"].tolist() == [12, 0, 12, 0]
    assert fields["Segmented"].tolist() == [True, False, True, False]
    assert fields["Reason"].notna().tolist() == [False, True, False, True]
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["A01.tif"]
    for site in (1, 3):
        labels = read_labels(tmp_path / "labels" / "A01.tif", site, "Nuclei")
        assert labels.max() == 12 and ((labels > 0) == discs()).mean() > 0.98
    assert cells.groupby("Metadata_Site").size().tolist() == [12, 12]
    with pytest.raises(KeyError):
        read_labels(tmp_path / "labels" / "A01.tif", 2)


def test_labels_are_found_by_site_time_and_plane(tmp_path):
    keys = [(site, time, z) for site in (1, 2) for time in (0, 1) for z in (0, 1)]
    pages = []
    for number, place in enumerate(keys):
        nuclei = np.full((8, 8), 10 * number, np.uint32)
        key = dict(zip(FIELD_KEY, ("P", "A01", *place), strict=True))
        pages.append((key, nuclei, nuclei + 1))
    write_labels(tmp_path / "A01.tif", pages)
    for number, (site, time, z) in enumerate(keys):
        for compartment, expected in (("Nuclei", 10 * number), ("Cells", 10 * number + 1)):
            labels = read_labels(tmp_path / "A01.tif", site, compartment, time=time, z=z)
            assert (labels == expected).all()


def test_an_error_names_the_site(tmp_path, monkeypatch):
    monkeypatch.setattr("profiling.cells.jobs.measure_field", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as error:
        run(tmp_path, [("B02", 3, np.zeros((SIDE, SIDE), np.uint8))])
    assert "well B02 site 3" in error.value.__notes__[0]


@pytest.mark.parametrize("engine", ["classical", "nuclei"])
def test_an_empty_field_is_empty_and_one_of_dim_nuclei_is_not_however_8_bits_are_stored(tmp_path, engine):
    """0 with the odd 1, which corrected is no integer any more: nothing but rounding tells it from objects."""
    rng = np.random.default_rng(0)
    dark, dim = (rng.poisson(0.05 + 2 * light, (SIDE, SIDE)) for light in (0, discs()))
    stored = [np.uint8(1), np.uint16(257), np.float32(1 / 255)]
    fields = [(f"A0{1 + n}", 1, (dark * unit).astype(unit.dtype)) for n, unit in enumerate(stored)]
    _, fields = run(tmp_path, [*fields, ("B01", 1, dim.astype(np.uint8))], engine=engine)
    assert fields["CellCount"].tolist() == [0, 0, 0, 12]
    assert fields["SegmentationScore"].tolist()[:3] == [1, 1, 1] and fields["SegmentationScore"][3] > 0.5


def test_a_dark_stain_of_an_8_bit_camera_gives_rims_and_a_dim_one_cells(tmp_path):
    rng = np.random.default_rng(0)
    nuclei = rng.normal(50 + 120 * discs(12), 3).astype(np.uint8)
    dark, dim = (rng.poisson(0.05 + light * discs(22)).astype(np.uint8) for light in (0, 3))
    cells, _ = run(tmp_path, [("A01", 1, nuclei, dark), ("A02", 1, nuclei, dim)], cells_channel="Actin")
    area = cells.groupby("Metadata_Well")["Cells_AreaShape_Area"].sum()
    assert area["A01"] < 1.5 * discs(12).sum()
    assert area["A02"] == pytest.approx(discs(22).sum(), rel=0.1)
