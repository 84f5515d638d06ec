import pandas as pd
import pytest

from profiling.phenotypes.selection import select_cells

FIELD = {"Metadata_Plate": "00123", "Metadata_Site": 1, "Metadata_Time": 0, "Metadata_Z": 0}
CELLS = pd.DataFrame(
    [{**FIELD, "Metadata_Well": well, "Metadata_CellID": i} for i, well in enumerate(["A01", "A01", "A02", "A02"], 1)]
)


def flags(excluded=(), noted=()):
    rows = [{**FIELD, "Metadata_Well": well, "Metadata_Channel": "DNA"} for well in ("A01", "A02")]
    table = pd.DataFrame(rows)
    table["Excluded"] = table["Metadata_Well"].isin(excluded)
    named = table["Metadata_Well"].isin([*excluded, *noted])
    return table.assign(Flags=pd.Series("out of focus", index=table.index).where(named))


def cell_flags(names=None, excluding=None):
    """Flags by cell, and those of them that leave the cell out."""
    names, excluding = pd.Series(names or {}, dtype="str"), pd.Series(excluding or {}, dtype="str")
    cells = CELLS.set_index("Metadata_CellID", drop=False).loc[names.index]
    return cells.assign(Flags=names, ExcludedBy=excluding.reindex(names.index)).reset_index(drop=True)


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
    selected, left_out = select_cells(CELLS.assign(Embedded=True), flags(), cell_flags(), WELLS)
    assert len(selected) == 4
    assert left_out.empty
    assert selected["Flags"].isna().all()
    assert selected["Metadata_Role"].tolist() == ["negative_control"] * 2 + ["treatment"] * 2


BORDER, DEAD = "touches the border of the image", "flagged as dead; outlier"


@pytest.mark.parametrize(
    ("excluded", "embedded", "excluding", "expected"),
    [
        (["A02"], [True] * 4, {}, {"DNA out of focus": 2}),
        ([], [True] * 4, {1: "border"}, {BORDER: 1}),
        (["A02"], [True] * 4, {1: "border", 3: "border"}, {"DNA out of focus": 2, BORDER: 1}),
        ([], [True] * 4, {1: "border", 3: "border", 4: "dead; outlier"}, {BORDER: 2, DEAD: 1}),
        ([], [True, True, True, False], {4: "dead; outlier"}, {}),
    ],
)
def test_selected_and_left_out_cells_add_up(excluded, embedded, excluding, expected):
    cells = CELLS.assign(Embedded=embedded)
    selected, left_out = select_cells(cells, flags(excluded), cell_flags(excluding, excluding), WELLS)
    assert left_out.set_index("Reason")["Cells"].to_dict() == expected
    assert len(selected) + left_out["Cells"].sum() == sum(embedded)


def test_an_excluded_field_without_cells_is_listed_and_a_lost_one_is_not_again():
    cells = CELLS[CELLS["Metadata_Well"].eq("A01")].assign(Embedded=True)
    _, left_out = select_cells(cells, flags(["A02"]), cell_flags(), WELLS)
    assert left_out[["Metadata_Well", "Reason", "Cells"]].to_numpy().tolist() == [["A02", "DNA out of focus", 0]]
    lost = flags(["A02"]).assign(Flags=pd.Series([None, "lost"], dtype="str"))
    assert select_cells(cells, lost, cell_flags(), WELLS)[1].empty


def test_flags_that_are_kept_are_noted_on_the_cells():
    named = cell_flags({2: "mitotic", 3: "border; dead", 4: "irregular"}, {4: "irregular"})
    selected, left_out = select_cells(CELLS.assign(Embedded=True), flags(noted=["A02"]), named, WELLS)
    assert left_out["Reason"].tolist() == ["flagged as irregular"]
    assert selected["Flags"].astype("object").where(selected["Flags"].notna(), None).tolist() == [
        None,
        "mitotic",
        "DNA out of focus; border; dead",
    ]
