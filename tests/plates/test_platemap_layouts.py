"""Grids of rows and columns, alone or several, in text files and workbooks."""

import csv

import openpyxl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.platemap import read_platemap
from profiling.plates.wells import LAYOUTS, plate_wells, row_letters, well_name
from profiling.settings import PlateMap


def read(path, layout=96, plate="P1", **settings):
    return read_platemap(path, plate, layout, PlateMap(**settings))


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def grid(values, layout, title, corner=True, columns=None, rows=None):
    """A block as people draw it; `values`: well → text."""
    rows, columns = rows or range(1, LAYOUTS[layout][0] + 1), columns or range(1, LAYOUTS[layout][1] + 1)
    block = [] if corner else [[title]]
    block.append([title if corner else "", *columns])
    return block + [[row_letters(row), *(values.get(well_name(row, column), "") for column in columns)] for row in rows]


COMPOUNDS = st.sampled_from(["taxol", "DMSO", "1,2-x", 'a"b', "12", "3.5", "A", "B", "été", "", "  "])
DOSES = st.sampled_from(["", "0", "1", "2", "3", "0.5", "10 nM", "2 nM"])


@st.composite
def plates(draw):
    layout = draw(st.sampled_from([6, 12, 24, 96, 384]))
    wells = draw(st.lists(st.sampled_from(plate_wells(layout)), min_size=1, max_size=30, unique=True))
    return layout, {well: (draw(COMPOUNDS), draw(DOSES), draw(st.sampled_from(["trt", "", "pos"]))) for well in wells}


@hypothesis_settings(max_examples=25)
@given(plates(), st.booleans(), st.sampled_from(["Dose", "Concentration (nM)", "conc_nM"]))
def test_a_table_and_its_grids_say_the_same(tmp_path_factory, plate, corner, dose):
    layout, content = plate
    content = {well: (name, "" if "n" in dose and "nM" not in number else number, role)
               for well, (name, number, role) in content.items()}  # fmt: skip
    numbers = [number for _, number, _ in content.values() if number]
    if len({"nM" in number for number in numbers}) > 1:
        content = {well: (name, number.removesuffix(" nM"), role) for well, (name, number, role) in content.items()}
    folder = tmp_path_factory.mktemp("maps")
    columns = ["compound", dose, "role"]
    table = [["well", *columns], *([well, *values] for well, values in content.items())]
    blocks = []
    for number, column in enumerate(columns):
        blocks += grid({well: values[number] for well, values in content.items()}, layout, column, corner) + [[]]
    expected = read(write(folder / "table.csv", table), layout)
    found = read(write(folder / "grids.csv", blocks), layout)
    written = [well for well, values in content.items() if any(text.strip() for text in values)]
    expected = expected[expected["Metadata_Well"].isin(written)].reset_index(drop=True)
    assert found.equals(expected)


@pytest.mark.parametrize("layout", [6, 12, 24, 48, 96, 384, 1536])
def test_every_layout(tmp_path, layout):
    wells = {well: f"cpd {number}" for number, well in enumerate(plate_wells(layout))}
    found = read(write(tmp_path / "map.csv", grid(wells, layout, "")), layout)
    assert dict(zip(found["Metadata_Well"], found["Metadata_Compound"], strict=True)) == wells


def test_blocks_beside_and_below_each_other_with_titles_and_notes(tmp_path):
    text = (
        "Screen 7,,,,,,,,\n"
        "compound:,,,,,Dose (µM),,,\n"
        ",2,3,4,,,2,3,4\n"
        "B,taxol,dmso,,,B,1,2,\n"
        "C,taxol,noc,,,C,2,3,\n"
        ",,,,,,,,\n"
        "Cell line,,,,,,,,\n"
        "\n"
        "row,2,3,4\n"
        "b,HeLa,U2OS,U2OS\n"
        "c,HeLa,U2OS,\n"
        "checked by hand\n"
    )
    (tmp_path / "map.csv").write_text(text, encoding="utf-8")
    found = read(tmp_path / "map.csv", keep=["Cell line"])
    assert found["Metadata_Well"].tolist() == ["B02", "B03", "B04", "C02", "C03"]
    assert found["Metadata_Treatment"].fillna("-").tolist() == ["taxol@1uM", "dmso@2uM", "-", "taxol@2uM", "noc@3uM"]
    assert found["Metadata_Cell_line"].tolist() == ["HeLa", "U2OS", "U2OS", "HeLa", "U2OS"]
    assert found["Metadata_Role"].tolist() == ["treatment", "negative_control", "empty", "treatment", "treatment"]


def test_a_blank_well_of_a_grid_is_not_in_the_map_unless_a_rule_says_so(tmp_path):
    path = write(tmp_path / "map.csv", grid({"A01": "taxol"}, 6, "compound"))
    assert read(path, 6)["Metadata_Well"].tolist() == ["A01"]
    rules = [{"column": "compound", "empty": True, "role": "negative_control"}]
    found = read(path, 6, role_rules=rules)
    assert found["Metadata_Role"].tolist() == ["treatment"] + ["negative_control"] * 5


def test_sheets_of_a_workbook_are_columns(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "Compound"
    values = {
        "Compound": {"A01": "taxol", "H12": 17},
        "Concentration (nM)": {"A01": 2.5, "H12": 100},
        "moa": {"A01": "x"},
    }
    for title, wells in values.items():
        sheet = book[title] if title in book.sheetnames else book.create_sheet(title)
        for row in grid(wells, 96, ""):
            sheet.append(row)
    book.save(tmp_path / "map.xlsx")
    found = read(tmp_path / "map.xlsx", keep=["moa"])
    assert found["Metadata_Treatment"].tolist() == ["taxol@2.5nM", "17@100nM"]
    assert found["Metadata_moa"].fillna("-").tolist() == ["x", "-"]
    book["Concentration (nM)"]["C4"] = "much"
    book.save(tmp_path / "map.xlsx")
    with pytest.raises(ProfilingError, match=r"sheet 'Concentration \(nM\)', row 4: .*'much' is not a number"):
        read(tmp_path / "map.xlsx")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (lambda: grid({}, 6, "") + [[]] + grid({}, 6, "dose"), r"row 1: the grid has no title; write what it holds"),
        (lambda: grid({}, 6, "drug") + [[]] + grid({}, 6, "drug"), r"row 6: well A01 stands twice in the grids 'drug'"),
        (lambda: grid({"C04": "x"}, 12, "compound"), r"row 2: well 'A04' lies outside a 6-well plate"),
        (lambda: grid({"A01": "much"}, 6, "dose") + [[]] + grid({}, 6, "drug"), r"row 2: dose 'much' is not a number"),
    ],
)
def test_a_grid_that_cannot_be_read_is_named_with_its_row(tmp_path, blocks, message):
    with pytest.raises(ProfilingError, match=r"map\.csv, " + message):
        read(write(tmp_path / "map.csv", blocks()), 6)


def test_numbers_in_a_table_are_no_grid(tmp_path):
    rows = [["Row", "Col", "Replicate", "Compound"], *([letter, 1, 2, letter * 3] for letter in "ABCD")]
    found = read(write(tmp_path / "map.csv", rows))
    assert found["Metadata_Well"].tolist() == ["A01", "B01", "C01", "D01"]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("Row,Column,Content", ["2,3,taxol", "3,12,x"]),
        ("Well,Content", ["B3,taxol", "C12,x"]),
        ("well_row;well_col;drug", ["B;03;taxol", "c;12;x"]),
        ("row,col,drug", ['"""B""","""03""",taxol', "C,12.0,x"]),
        ("Plate_Well\tJCP2022", ["P1_B03\ttaxol", "P1:C12\tx", "P2_B03\ty"]),
        ("Metadata_Plate,Well Name,Compound Name", ["P1,b3,taxol", "P1,C012,x", "P2,B03,y"]),
        ("ImageMetadata_Plate,Image_Metadata_Well,pert_iname", ["P1,r02c03,taxol", "P1,c-12,x"]),
    ],
)
def test_wells_and_plates_by_other_names(tmp_path, header, rows):
    (tmp_path / "map.txt").write_text("\n".join([header, *rows]))
    found = read(tmp_path / "map.txt")
    assert found[["Metadata_Well", "Metadata_Compound"]].to_numpy().tolist() == [["B03", "taxol"], ["C12", "x"]]
    assert found["Metadata_Role"].eq("treatment").all()


def test_equal_rows_are_used_once_and_noted(tmp_path, caplog):
    text = "well,compound\nA1,a\nB1,b\nA1,a\n"
    (tmp_path / "map.csv").write_text(text)
    with caplog.at_level("WARNING", logger="profiling"):
        assert len(read(tmp_path / "map.csv")) == 2
    assert "row 4 repeat another row" in caplog.text
