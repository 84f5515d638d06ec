"""Plate maps with a table of compounds and one of barcodes, as JUMP and LINCS have them."""

import os
from pathlib import Path

import pytest

from profiling.errors import ProfilingError
from profiling.plates.platemap import describe_platemap
from profiling.plates.platemaps.barcodes import barcode_maps
from profiling.settings import PlateMap

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
MAP = "well_position\tbroad_sample\tsolvent\nA01\tBRD-1\tDMSO\nA02\t\tDMSO\nA03\tBRD-3\tDMSO\n"
TABLE = "broad_sample,pert_iname,moa,pert_type,control_type\nBRD-1,taxol,tubulin,trt,NA\nNA,DMSO,NA,control,negcon\n"


def read(tmp_path, table=TABLE, **settings):
    (tmp_path / "map.txt").write_text(MAP)
    (tmp_path / "compounds.csv").write_text(table)
    return describe_platemap(tmp_path / "map.txt", "P1", 96, PlateMap(**settings), tmp_path / "compounds.csv")


def test_compounds_are_joined_and_unknown_ones_named_but_kept(tmp_path):
    wells, notes = read(tmp_path, keep=["moa", "pert_iname"])
    assert wells["Metadata_Compound"].tolist() == ["BRD-1", "DMSO", "BRD-3"]
    assert wells["Metadata_Role"].tolist() == ["treatment", "negative_control", "treatment"]
    assert wells["Metadata_pert_iname"].fillna("-").tolist() == ["taxol", "DMSO", "-"]
    assert len(notes) == 1 and "1 compounds of plate P1 are not in" in notes[0] and notes[0].endswith(": BRD-3")


def test_the_compound_may_be_named_by_the_joined_table(tmp_path):
    wells, _ = read(tmp_path, columns={"compound": "pert_iname"})
    assert wells["Metadata_Compound"].fillna("-").tolist() == ["taxol", "DMSO", "-"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "drug,moa\nBRD-1,x\n",
            r"compounds.csv: no column to join it to .*map.txt by; give the compound's column one name",
        ),
        ("who,moa\nBRD-1,x\n", r"compounds.csv: no compound column such as compound or broad_sample"),
        (TABLE + "BRD-1,other,x,trt,\n", r"compound 'BRD-1' stands twice with different values \(rows 2, 4\)"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path, table, message):
    with pytest.raises(ProfilingError, match=message):
        read(tmp_path, table)


def test_a_row_that_repeats_does_not_matter(tmp_path):
    wells, _ = read(tmp_path, TABLE + "BRD-1,taxol,tubulin,trt,NA\n")
    assert len(wells) == 3


def test_barcodes_name_the_maps(tmp_path):
    (tmp_path / "platemap").mkdir()
    (tmp_path / "platemap" / "M1.txt").touch()
    (tmp_path / "M2.xlsx").touch()
    table = tmp_path / "barcode_platemap.csv"
    table.write_text("Assay_Plate_Barcode,Plate_Map_Name,Batch\n00123,M1,1\n1E10,M2,1\n7,M3,1\n00123,M1,2\n,M4,1\n")
    maps = barcode_maps(table)
    folder = tmp_path / "platemap"
    assert maps == {"00123": folder / "M1.txt", "1E10": tmp_path / "M2.xlsx", "7": folder / "M3.txt"}
    table.write_text("Plate_Map_Name\tAssay_Plate_Barcode\nM1\tP1\nM2\tP1\n")
    with pytest.raises(ProfilingError, match=r"barcode_platemap.csv: plate P1 has two plate maps \(rows 2, 3\)"):
        barcode_maps(table)
    table.write_text("Plate_Map_Name,Barcode\n../../M1,P1\n")
    with pytest.raises(ProfilingError, match=r"row 2: '../../M1' is not the name of a plate map"):
        barcode_maps(table)
    table.write_text("plate,well\nP1,A1\n")
    with pytest.raises(ProfilingError, match=r"no columns Assay_Plate_Barcode and Plate_Map_Name"):
        barcode_maps(table)


def real(*parts):
    path = DATA.joinpath("platemaps", *parts)
    if not path.exists():
        pytest.skip(f"no {path}; name the data folder in PROFILING_DATA")
    return path


def test_the_map_of_jump_moa():
    folder = real("JUMP-MOA")
    compounds = folder / "JUMP-MOA_compound_metadata.tsv"
    settings = PlateMap(keep=["moa"], columns={"compound": "pert_iname"})
    wells, notes = describe_platemap(folder / "JUMP-MOA_compound_platemap.tsv", "P1", 384, settings, compounds)
    assert notes == []
    assert wells["Metadata_Role"].value_counts().to_dict() == {"treatment": 360, "negative_control": 24}
    treated = wells[wells["Metadata_Role"].eq("treatment")]
    assert treated["Metadata_Compound"].value_counts().unique().tolist() == [4]
    assert set(wells.loc[wells["Metadata_Role"].eq("negative_control"), "Metadata_Compound"]) == {"DMSO"}
    assert treated["Metadata_moa"].nunique() == 47


def test_the_maps_of_lincs():
    folder = real("lincs", "2016_04_01_a549_48hr_batch1")
    maps = barcode_maps(folder / "barcode_platemap.csv")
    assert len(maps) == 140
    assert len(set(maps.values())) == 28
    rule = {"column": "broad_sample", "empty": True, "role": "negative_control"}
    settings = PlateMap(role_rules=[rule], columns={"unit": ""}, concentration_unit="uM")
    there = sorted({path for path in maps.values() if path.exists()})
    assert [path.stem for path in there] == [f"C-7161-01-LM6-00{number}" for number in (1, 2, 3)]
    for path in there:
        wells, notes = describe_platemap(path, "SQ", 384, settings)
        assert notes == []
        assert wells["Metadata_Role"].value_counts().to_dict() == {"treatment": 360, "negative_control": 24}
        assert wells["Metadata_Compound"].nunique() == 59
    assert "BRD-K18678457-003-02-8@0.0411523uM" in set(
        describe_platemap(there[1], "", 384, settings)[0]["Metadata_Treatment"]
    )
