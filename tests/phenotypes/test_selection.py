import pandas as pd
import pytest

from profiling.phenotypes.selection import select_cells
from profiling.settings import Flags

FIELD = {"Metadata_Plate": "00123", "Metadata_Site": 1, "Metadata_Time": 0, "Metadata_Z": 0}


def cells(border=(False, False, False, False)):
    wells = ["A01", "A01", "A02", "A02"]
    rows = [{**FIELD, "Metadata_Well": well, "Metadata_CellID": i} for i, well in enumerate(wells, start=1)]
    facts = {
        "Embedded": True,
        "NucleusTouchesBorder": border,
        "TouchesBorder": True,
        "Nuclei_AreaShape_Area": [300.0, 310.0, 290.0, 305.0],
        "Nuclei_Intensity_MeanIntensity_DNA": [500.0, 510.0, 490.0, 505.0],
    }
    return pd.DataFrame(rows).assign(**facts)


def flags(excluded=(), noted=()):
    rows = [{**FIELD, "Metadata_Well": well, "Metadata_Channel": "DNA"} for well in ("A01", "A02")]
    table = pd.DataFrame(rows)
    table["Excluded"] = table["Metadata_Well"].isin(excluded)
    named = table["Metadata_Well"].isin([*excluded, *noted])
    return table.assign(Flags=pd.Series("out of focus", index=table.index).where(named))


WELLS = pd.DataFrame(
    {
        "Metadata_Plate": "00123",
        "Metadata_Well": ["A01", "A02"],
        "Metadata_Role": ["negative_control", "treatment"],
        "Imaged": True,
        "Mapped": True,
    }
)


def test_nothing_is_left_out_of_a_clean_plate():
    selected, left_out = select_cells(cells(), flags(), WELLS, Flags(), "DNA")
    assert len(selected) == 4
    assert left_out.empty
    assert selected["Flags"].isna().all()
    assert selected["Metadata_Role"].tolist() == ["negative_control"] * 2 + ["treatment"] * 2


@pytest.mark.parametrize(
    ("setting", "excluded", "border", "expected"),
    [
        ({}, ["A02"], (False,) * 4, {"DNA out of focus": 2}),
        ({}, [], (True, False, False, False), {"touches the border of the image": 1}),
        ({"border": "cell"}, [], (False,) * 4, {"touches the border of the image": 4}),
        ({}, ["A02"], (True, False, True, False), {"DNA out of focus": 2, "touches the border of the image": 1}),
    ],
)
def test_selected_and_left_out_cells_add_up(setting, excluded, border, expected):
    selected, left_out = select_cells(cells(border), flags(excluded), WELLS, Flags(**setting), "DNA")
    assert left_out.set_index("Reason")["Cells"].to_dict() == expected
    assert len(selected) + left_out["Cells"].sum() == 4


def test_flags_that_are_kept_are_noted_on_the_cells():
    settings = Flags(border="keep")
    selected, left_out = select_cells(cells((True, False, False, False)), flags(noted=["A02"]), WELLS, settings, "DNA")
    assert left_out.empty
    assert selected["Flags"].iloc[2:].tolist() == ["DNA out of focus; touches the border of the image"] * 2
