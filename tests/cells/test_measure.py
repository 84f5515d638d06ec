import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops

from profiling.cells import cell_columns, measure_cells

PROPERTIES = {
    "Area": "area",
    "Perimeter": "perimeter",
    "MajorAxisLength": "axis_major_length",
    "MinorAxisLength": "axis_minor_length",
    "Eccentricity": "eccentricity",
    "Solidity": "solidity",
    "Extent": "extent",
    "EquivalentDiameter": "equivalent_diameter_area",
}


def random_labels(seed, shape=(40, 50), count=7):
    """Random, mostly convex, touching and partly disconnected objects; some labels are missing."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    rows, columns = np.indices(shape)
    for label in range(1, count + 1):
        row, column = rng.uniform((0, 0), shape)
        slant, long, short = rng.uniform(-1, 1), *rng.uniform(0.6, 9, 2)
        inside = ((rows - row) / long) ** 2 + ((columns - column - slant * (rows - row)) / short) ** 2 <= 1
        labels[inside] = label * 3
    return labels


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_agrees_with_regionprops(seed):
    labels = random_labels(seed)
    image = np.random.default_rng(seed).gamma(2, 100, labels.shape)
    table = measure_cells(labels, labels, {"DNA": image}).set_index("Metadata_CellID")
    regions = regionprops(labels, image)
    assert table.index.tolist() == [region.label for region in regions]
    for region in regions:
        row = table.loc[region.label]
        for name, attribute in PROPERTIES.items():
            np.testing.assert_allclose(
                row[f"Nuclei_AreaShape_{name}"],
                getattr(region, attribute),
                rtol=1e-4,
                atol=2e-3,
                err_msg=name,
            )
        if region.eccentricity > 0.1:
            turn = row["Nuclei_AreaShape_Orientation"] - np.degrees(region.orientation)
            assert min(turn % 180, -turn % 180) < 0.01
        values = image[labels == region.label]
        expected = {
            "MeanIntensity": values.mean(),
            "StdIntensity": values.std(),
            "IntegratedIntensity": values.sum(),
            "MinIntensity": values.min(),
            "MaxIntensity": values.max(),
            "MassDisplacement": np.hypot(*np.subtract(region.centroid_weighted, region.centroid)),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(row[f"Cells_Intensity_{name}_DNA"], value, rtol=1e-4, atol=1e-4)
        box = row[[f"BoundingBox{side}{axis}" for side in ("Minimum", "Maximum") for axis in "YX"]]
        assert tuple(box.astype(int)) == region.bbox
        centre = row["Nuclei_Location_CenterY"], row["Nuclei_Location_CenterX"]
        np.testing.assert_allclose(centre, region.centroid, rtol=1e-5)
        touches = region.bbox[0] == 0 or region.bbox[1] == 0
        touches |= region.bbox[2] == labels.shape[0] or region.bbox[3] == labels.shape[1]
        assert row["TouchesBorder"] == touches


def test_known_square():
    cells = np.zeros((20, 20), np.uint32)
    nuclei = cells.copy()
    cells[4:14, 2:12] = 5
    nuclei[6:10, 4:8] = 5
    image = np.where(nuclei > 0, 10.0, 2.0)
    row = measure_cells(nuclei, cells, {"DNA": image}).iloc[0]
    assert row["Metadata_CellID"] == 5
    assert (row["Nuclei_Location_CenterX"], row["Nuclei_Location_CenterY"]) == (5.5, 7.5)
    assert row["Cytoplasm_AreaShape_Area"] == 84
    assert row["Cytoplasm_Intensity_MeanIntensity_DNA"] == 2
    assert row["Nuclei_Intensity_IntegratedIntensity_DNA"] == 160
    assert row["Cells_AreaShape_Perimeter"] == 36
    assert row["Cells_AreaShape_FormFactor"] == pytest.approx(4 * np.pi * 100 / 36**2)
    assert row["Cells_AreaShape_Solidity"] == 1
    assert row["Cells_Intensity_MassDisplacement_DNA"] == pytest.approx(np.hypot(1, 1) * 128 / 328)
    assert not row["TouchesBorder"]


def test_columns_and_types_do_not_depend_on_the_cells():
    channels = {"DNA": np.ones((8, 8), np.uint16), "GFP": None}
    labels = np.zeros((8, 8), np.uint32)
    labels[2:5, 2:6] = 1
    expected = list(cell_columns(["DNA", "GFP"]).items())
    for image in (labels, labels * 0):
        table = measure_cells(image, image, channels)
        assert [(name, str(dtype)) for name, dtype in table.dtypes.items()] == expected
        assert len(table) == image.max()


def test_missing_channel_and_empty_cytoplasm_are_nan():
    nuclei = np.zeros((12, 12), np.uint32)
    nuclei[1:4, 1:4], nuclei[7:9, 7:9], nuclei[11, 0] = 1, 2, 3
    cells = nuclei.copy()
    cells[6:10, 6:10] = 2
    table = measure_cells(nuclei, cells, {"DNA": np.ones(nuclei.shape), "GFP": None})
    assert table.filter(regex="_GFP$").isna().all(axis=None)
    assert table["Cytoplasm_AreaShape_Area"].tolist() == [0, 12, 0]
    assert table["Cytoplasm_Intensity_MeanIntensity_DNA"].isna().tolist() == [True, False, True]
    assert table["Nuclei_AreaShape_FormFactor"].isna().tolist() == [False, False, True]
    assert table["TouchesBorder"].tolist() == [False, False, True]


def test_mismatches_are_named():
    labels = np.ones((4, 4), np.uint32)
    with pytest.raises(ValueError, match="DNA"):
        measure_cells(labels, labels, {"DNA": np.ones((4, 5))})
    with pytest.raises(ValueError, match="different labels"):
        measure_cells(labels, labels * 2, {})
