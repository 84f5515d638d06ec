"""Doses with their units, and roles by rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from profiling.errors import ProfilingError
from profiling.plates.platemap import describe_platemap, read_platemap
from profiling.plates.platemaps.units import MOLAR, convert, known_unit, parse_dose, unit_of_name
from profiling.settings import PlateMap


def read(tmp_path, text, **settings):
    (tmp_path / "map.csv").write_text(text, encoding="utf-8")
    return read_platemap(tmp_path / "map.csv", "P1", 96, PlateMap(**settings))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", (1.5, None)), ("1,5", (1.5, None)), ("0,123", (0.123, None)), ("1.5 uM", (1.5, "uM")),
        ("10nM", (10, "nM")), ("1e-6 M", (1e-6, "M")), ("3,3 µM", (3.3, "uM")), ("3 μm", (3, "uM")),
        ("0.1%", (0.1, "%")),
        ("0.5 % v/v", (0.5, "% v/v")), ("1,000.5", (1000.5, None)), ("1.000,5", (1000.5, None)), (".5", (0.5, None)),
        ("1,234,567", (1234567, None)), ("5 µg/mL", (5, "ug/mL")), ("2 mmol/L", (2, "mM")), ("+2", (2, None)),
        ("-0.0", (0, None)), ("1E3", (1000, None)),
    ],
)  # fmt: skip
def test_doses(text, expected):
    assert parse_dose(text) == expected


def test_a_comma_is_read_as_its_column_tells(tmp_path):
    rows = "well;compound;dose\nA1;a;1,000\nA2;a;{}\n"
    assert read(tmp_path, rows.format("0,5"))["Metadata_Concentration"].tolist() == [1, 0.5]
    assert read(tmp_path, rows.format("2.5"))["Metadata_Concentration"].tolist() == [1000, 2.5]


@given(st.floats(1e-9, 1e9), st.sampled_from(list(MOLAR)), st.sampled_from(list(MOLAR)))
def test_conversions_are_exact_and_reversible(number, unit, target):
    there, _ = convert(number, unit, target)
    back, _ = convert(there, target, unit)
    assert back == pytest.approx(number, rel=1e-15)
    assert convert(10.0, "nM", "uM") == (0.01, "uM")
    assert convert(5.0, "mg/ml", "uM") == (5.0, "mg/ml")


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("Concentration (µM)", "uM"), ("conc [nM]", "nM"), ("dose_um", "uM"), ("Dose in nM", "nM"), ("uM", "uM"),
        ("Metadata_mmoles_per_liter", "mM"), ("mg_per_ml", "mg/ml"), ("dose", None), ("Dose (final)", None),
    ],
)  # fmt: skip
def test_a_unit_in_the_name_of_the_column(tmp_path, header, unit):
    assert unit_of_name(header)[1] == unit
    if header != "Dose (final)":
        wells = read(tmp_path, f"well,compound,{header}\nA1,a,2\nA2,DMSO,\n")
        assert wells["Metadata_Unit"].fillna("-").tolist() == [unit or "-", "-"]
        assert wells["Metadata_Treatment"].tolist() == [f"a@2{unit or ''}", "DMSO"]


def test_units_are_converted_to_one(tmp_path):
    text = "well,drug,dose,unit\nA1,a,10,nM\nA2,a,1,µM\nA3,b,2e-6,M\nA4,DMSO,0.1,%\nA5,c,3,mg/ml\n"
    wells = read(tmp_path, text, concentration_unit="µM")
    assert wells["Metadata_Treatment"].tolist() == ["a@0.01uM", "a@1uM", "b@2uM", "DMSO@0.1%", "c@3mg/ml"]
    assert read(tmp_path, "well,drug,dose\nA1,a,3\n", concentration_unit="nM")["Metadata_Unit"].tolist() == ["nM"]
    no_dose = read(tmp_path, "well,drug,dose,unit\nA1,a,10,nM\nA2,a,0,\n")
    assert no_dose["Metadata_Treatment"].tolist() == ["a@10nM", "a"]
    stock = "well,drug,mmoles_per_liter\nA1,a,3\n"
    assert read(tmp_path, stock, concentration_unit="uM")["Metadata_Treatment"].tolist() == ["a@3000uM"]
    wells = read(tmp_path, stock, concentration_unit="uM", columns={"unit": ""})
    assert wells["Metadata_Treatment"].tolist() == ["a@3uM"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "A1,a,1,nM\nA2,b,1,uM\nA3,a,1,uM\n",
            r"a has doses in nM and uM \(rows 2, 4\); set platemap.concentration_unit",
        ),
        ("A1,a,1,nM\nA2,a,1,mg/ml\n", r"a has doses in nM and mg/ml \(rows 2, 3\); give them in one unit"),
        ("A1,a,1,nM\nA2,b,1,\nA3,DMSO,1,\n", r"dose has no unit in row 3, but nM elsewhere; add the unit"),
        ("A1,a,1 nM,uM\n", r"row 2: dose '1 nM' is in nM, but its column is in uM; keep one unit"),
    ],
)
def test_units_that_contradict_are_named_with_their_rows(tmp_path, rows, message):
    with pytest.raises(ProfilingError, match=r"map\.csv.*" + message):
        read(tmp_path, "well,compound,dose,unit\n" + rows)


def test_compounds_in_different_units_are_noted(tmp_path):
    (tmp_path / "map.csv").write_text("well,compound,dose,unit\nA1,a,1,nM\nA2,b,1,uM\n")
    wells, notes = describe_platemap(tmp_path / "map.csv", "P1", 96, PlateMap())
    assert wells["Metadata_Unit"].tolist() == ["nM", "uM"]
    assert len(notes) == 1 and "in nM, of others in uM; platemap.concentration_unit" in notes[0]


def test_the_first_rule_that_fits_wins_before_names_and_columns(tmp_path):
    text = "well,compound,role,solvent\nA1,,trt,DMSO\nA2,taxol,trt,DMSO\nA3,tax2,,DMSO\nA4,b,neg,DMSO\nA5,c,pos,DMSO\n"
    rules = [
        {"column": "compound", "empty": True, "role": "negative_control"},
        {"column": "compound", "equals": "taxol", "role": "positive_control"},
        {"column": "compound", "matches": "^tax", "role": "empty"},
        {"column": "solvent", "equals": "dmso", "role": "empty"},
    ]
    wells = read(tmp_path, text, role_rules=rules, roles={"taxol": "treatment", "b": "treatment"})
    roles = ["negative_control", "positive_control", "empty", "treatment", "positive_control"]
    assert wells["Metadata_Role"].tolist() == roles
    assert wells["Metadata_Compound"].tolist() == ["DMSO", "taxol", "tax2", "b", "c"]
    with pytest.raises(ProfilingError, match=r"no column 'moa' \(platemap.role_rules, rule 1\); it has well, compound"):
        read(tmp_path, text, role_rules=[{"column": "moa", "empty": True, "role": "empty"}])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "x", "role": "empty"}, "exactly one of equals, matches and empty"),
        ({"column": "x", "equals": "a", "empty": True, "role": "empty"}, "exactly one of"),
        ({"column": "x", "matches": "(", "role": "empty"}, "matches is not a regular expression"),
        ({"column": "x", "equals": "a", "role": "poison"}, "'negative_control', 'positive_control'"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(rule, message):
    with pytest.raises(ValidationError, match=message):
        PlateMap(role_rules=[rule])


def test_units_are_known_in_their_usual_spellings():
    assert [known_unit(text) for text in ("µM", "μM", "um", "UM", "Micromolar", "M", "m", "furlong")] == [
        "uM", "uM", "uM", "uM", "uM", "M", None, None,
    ]  # fmt: skip
