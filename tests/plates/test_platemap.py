import os
from pathlib import Path

import pandas as pd
import pytest

from profiling.errors import ProfilingError
from profiling.plates.platemap import join_platemap, read_platemap
from profiling.settings import PlateMap
from profiling.tables import as_table

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))


def read(tmp_path, text, plate="00123", layout=96, suffix=".csv", **settings):
    path = tmp_path / f"map{suffix}"
    path.write_text(text, encoding="utf-8")
    return read_platemap(path, plate, layout, PlateMap(**settings))


def columns_of(table, *names):
    return table[[f"Metadata_{name}" for name in names]].to_numpy().tolist()


@pytest.mark.parametrize(
    "header",
    [
        "well,compound,concentration,unit,role",
        "Well,Compound,Dose,Unit,Role",
        "Metadata_Well,Metadata_Compound,Metadata_Concentration,Metadata_Unit,Metadata_Role",
        "well_position,broad_sample,mmoles_per_liter,dose_unit,pert_type",
        "\ufeffWell,treatment,conc,units,control_type",
        " WellID , Perturbation , DOSE , concentration_unit , TYPE ",
    ],
)
def test_usual_column_names(tmp_path, header):
    wells = read(tmp_path, f"{header}\nb3,taxol,0.50,uM,trt\na1,DMSO,,,negcon\nA002,,,,\n")
    assert wells["Metadata_Well"].tolist() == ["A01", "A02", "B03"]
    assert wells["Metadata_Role"].tolist() == ["negative_control", "empty", "treatment"]
    assert wells["Metadata_Treatment"].fillna("-").tolist() == ["DMSO", "-", "taxol@0.5uM"]
    assert wells["Metadata_Concentration"].fillna(-1).tolist() == [-1, -1, 0.5]
    assert wells["Metadata_Unit"].fillna("-").tolist() == ["-", "-", "uM"]


def test_tab_separated(tmp_path):
    wells = read(tmp_path, 'well\tcompound\nA1\t"a, b"\n', suffix=".tsv")
    assert wells["Metadata_Compound"].tolist() == ["a, b"]


def test_columns_roles_and_further_columns_by_setting(tmp_path):
    wells = read(
        tmp_path,
        "pos,stuff,well,moa\nA01,nothing,X,none\nA02,taxol,X,tubulin\nA03,mystery,X,\n",
        columns={"well": "pos", "compound": "stuff"},
        roles={"nothing": "negative_control", "taxol": "positive_control"},
        keep=["moa"],
    )
    assert columns_of(wells, "Well", "Compound", "Role") == [
        ["A01", "nothing", "negative_control"],
        ["A02", "taxol", "positive_control"],
        ["A03", "mystery", "treatment"],
    ]
    assert wells["Metadata_moa"].fillna("-").tolist() == ["none", "tubulin", "-"]


@pytest.mark.parametrize(
    ("compound", "role", "expected"),
    [
        ("dmso", "", "negative_control"),
        ("Vehicle", "", "negative_control"),
        ("taxol", "", "treatment"),
        ("taxol", "PosCon", "positive_control"),
        ("taxol", "negcon", "negative_control"),
        ("", "", "empty"),
        ("", "blank", "empty"),
    ],
)
def test_roles(tmp_path, compound, role, expected):
    wells = read(tmp_path, f"well,compound,role\nA1,{compound},{role}\n")
    assert wells["Metadata_Role"].tolist() == [expected]


@pytest.mark.parametrize("plate", ["00123", "1E10", "123", "NA"])
def test_rows_of_the_plate_are_taken_and_plates_stay_strings(tmp_path, plate):
    text = "Assay_Plate_Barcode,well,compound\n00123,A1,a\n1E10,A1,b\n123,A1,c\nNA,A1,d\n"
    wells = read(tmp_path, text, plate)
    assert wells["Metadata_Compound"].tolist() == [dict(zip(["00123", "1E10", "123", "NA"], "abcd"))[plate]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("well,compound,dose\nA1,a,1\nA2,b,lots\n", r"map\.csv, row 3: dose 'lots' is not a number"),
        ("well,compound,dose\nA1,a,\"1,000\"\n", r"row 2: dose '1,000' may be 1000 or 1\.000; write one of them"),
        ("well,compound,dose\nA1,a,-6\n", r"row 2: dose '-6' is below 0; a concentration is needed, not its log"),
        ("well,compound,dose\nA1,a,3 foo\n", r"row 2: dose '3 foo' .* put the unit into a column of its own"),
        ("well,compound\nA1,1,2-dichloroethane\n", r"row 2: 3 cells where the header has 2; put values .* quotation"),
        ("well,compound\nA1,\"taxol\nA2,dmso\n", r"row 2: quotation marks do not match"),
        ("well,compound\nA1,2024-03-01\n", r"row 2: compound '2024-03-01' is a date, into which a spreadsheet"),
        ("well,compound\nA1,1-Mar\n", r"row 2: compound '1-Mar' is a date"),
        ("plate,well,compound\n123,A1,a\n", r"a spreadsheet turned 00123 into 123: format the column as text"),
        ("Plate_Well,compound\nP1-A1,a\nnowhere,b\n", r"row 3: Plate_Well 'nowhere' is not a plate and a well"),
        ("well,compound\nA1,a\nB2,b\na01,c\n", r"map\.csv: well A01 stands twice \(rows 2, 4\)"),
        ("well,compound\nA1,a\nH13,b\n", r"map\.csv, row 3: well 'H13' lies outside a 96-well plate"),
        ("well,compound\nA1,a\n,b\n", r"row 3: '' is not a well name"),
        ("well,stuff\nA1,a\n", r"no compound column among well, stuff; name it in platemap\.columns\.compound"),
        ("place,compound\nA1,a\n", r"no well column among place, compound"),
        ("plate,well,compound\nP1,A1,a\nP2,A1,a\n", r"no row of plate 00123 \(plates there: P1, P2\)"),
        ("plate,well,compound\nP1,A9,a\n00123,A1,a\n00123,A1,b\n", r"well A01 stands twice \(rows 3, 4\)"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_row(tmp_path, text, message):
    with pytest.raises(ProfilingError, match=message):
        read(tmp_path, text)


def test_settings_that_do_not_fit_the_file_are_named(tmp_path):
    text = "well,compound\nA1,a\n"
    with pytest.raises(ProfilingError, match=r"no column 'moa' \(platemap\.keep\); it has well, compound"):
        read(tmp_path, text, keep=["moa"])
    with pytest.raises(ProfilingError, match=r"no column 'conc' \(platemap\.columns\.concentration\)"):
        read(tmp_path, text, columns={"concentration": "conc"})
    with pytest.raises(ValueError, match=r"roles: 'poison' is none of negative_control"):
        read(tmp_path, text, roles={"a": "poison"})


def test_wells_on_one_side_only_are_listed_and_none_is_dropped(tmp_path):
    platemap = read(tmp_path, "well,compound,moa\nA1,a,x\nB2,b,y\n", keep=["moa"])
    wells, problems = join_platemap("00123", None, ["A01", "A01", "C03"], platemap, ["moa"])
    assert wells["Metadata_Well"].tolist() == ["A01", "B02", "C03"]
    assert wells["Imaged"].tolist() == [True, False, True]
    assert wells["Mapped"].tolist() == [True, True, False]
    assert wells["Metadata_Batch"].unique().tolist() == ["00123"]
    assert problems["Metadata_Well"].tolist() == ["C03", "B02"]
    assert problems["Reason"].str.contains("plate map").all()
    table = as_table("platemaps", wells)
    assert table["Metadata_Compound"].to_pylist() == ["a", "b", None]
    assert table["Metadata_moa"].to_pylist() == ["x", "y", None]


def test_a_plate_without_a_plate_map(tmp_path):
    wells, problems = join_platemap("00123", "7", ["B02", "A01"], None, ["moa"])
    table = as_table("platemaps", wells)
    assert table["Metadata_Well"].to_pylist() == ["A01", "B02"]
    assert table["Metadata_Batch"].to_pylist() == ["7", "7"]
    assert table["Mapped"].to_pylist() == [False, False]
    assert table["Metadata_Concentration"].null_count == table["Metadata_moa"].null_count == 2
    assert problems.empty


def test_the_map_of_a_real_plate():
    path = DATA / "bbbc013" / "platemap.csv"
    if not path.exists():
        pytest.skip(f"no {path}; name the data folder in PROFILING_DATA")
    wells = read_platemap(path, "BBBC013", 96, PlateMap(keep=["csv_dose_ordinal"]))
    assert len(wells) == 48
    assert set(wells["Metadata_Well"].str[0]) == set("ABEF")
    roles = wells["Metadata_Role"].value_counts()
    assert (roles["negative_control"], roles["positive_control"], roles["treatment"]) == (6, 4, 36)
    treated = wells[wells["Metadata_Role"].eq("treatment")]
    assert set(treated["Metadata_Compound"]) == {"Wortmannin", "LY294002"}
    assert treated.groupby("Metadata_Treatment").size().eq(2).all()
    assert "Wortmannin@0.98nM" in set(treated["Metadata_Treatment"])
    assert wells.loc[wells["Metadata_Role"].eq("negative_control"), "Metadata_Treatment"].eq("none").all()
    assert isinstance(wells["Metadata_csv_dose_ordinal"].iloc[0], str)
    assert pd.api.types.is_float_dtype(wells["Metadata_Concentration"])
