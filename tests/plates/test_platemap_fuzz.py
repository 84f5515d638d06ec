"""No input whatsoever ends in anything but a plate map or our own error."""

import io
import zipfile

import openpyxl
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.plates.platemap import describe_platemap
from profiling.plates.platemaps.barcodes import barcode_maps
from profiling.settings import PlateMap

CELLS = st.sampled_from(
    ["", "well", "compound", "dose", "unit", "role", "plate", "row", "col", "Plate_Well", "A1", "A01", "B2", "AF48"]
    + ["Z99", "P1_A1", "1", "2", "3", "A", "B", "1,5", "1.000", "1,000", "10 uM", "0.1%", "nM", "uM", "-1", "1e999"]
    + ["nan", "inf", "#", "# x", "sep=;", '"', "x;y", "a|b", "\t", "\x0b", "\x85", "dose (uM)", "broad_sample", "trt"]
    + ["P1", "٣", "²", "1-Mar", "\r"]
)
TABLES = st.lists(st.lists(CELLS, max_size=8), max_size=12)
SETTINGS = st.sampled_from(
    [
        {},
        {"concentration_unit": "uM", "role_rules": [{"column": "compound", "matches": "a", "role": "empty"}]},
        {"columns": {"row": "A", "column": "B", "compound": "1"}},
        {"columns": {"compound": "well", "unit": "", "plate": ""}, "keep": ["A1"]},
    ]
)


def attempt(path, settings=None, compounds=None):
    try:
        wells, _ = describe_platemap(path, "P1", 96, PlateMap(**(settings or {})), compounds)
        assert not wells["Metadata_Well"].duplicated().any()
        assert wells["Metadata_Concentration"].dropna().ge(0).all()
    except ProfilingError as error:
        assert str(path) in str(error) or (compounds and str(compounds) in str(error))
    try:
        barcode_maps(path)
    except ProfilingError:
        pass


@hypothesis_settings(max_examples=100)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=100).map(lambda tail: b"well,compound\nA1," + tail)))
@example(b"PK\x03\x04" + b"\0" * 60)
@example("well,compound\nA1,\ud800".encode("utf-16-le", "surrogatepass"))
def test_any_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "map.csv"
    path.write_bytes(data)
    attempt(path)


@hypothesis_settings(max_examples=100)
@given(TABLES, st.sampled_from(",;\t|"), SETTINGS, st.booleans())
@example([["well", "compound", "compound", "dose"], ["A1", "a", "b", "1"]], ",", {}, True)
@example([["well", "1", "2"], ["A", "x", "y"]], ",", {}, True)
def test_any_cells(tmp_path_factory, table, separator, settings, joined):
    path = tmp_path_factory.mktemp("fuzz") / "map.csv"
    path.write_text("\n".join(separator.join(row) for row in table), encoding="utf-8")
    attempt(path, settings, path if joined else None)


def small_workbook():
    book = openpyxl.Workbook()
    for row in [["well", "compound", "dose"], ["A1", "taxol", 1.5], ["B2", "DMSO", None]]:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


WORKBOOK = small_workbook()
with zipfile.ZipFile(io.BytesIO(WORKBOOK)) as archive:
    PARTS = {name: archive.read(name) for name in archive.namelist()}


@given(st.sampled_from(sorted(PARTS)), st.integers(0, 10_000), st.binary(max_size=12), st.integers(0, 40))
def test_any_damage_inside_a_workbook(tmp_path_factory, name, position, noise, cut):
    path = tmp_path_factory.mktemp("fuzz") / "map.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for part, data in PARTS.items():
            place = position % (len(data) + 1)
            archive.writestr(part, data[:place] + noise + data[place + cut :] if part == name else data)
    attempt(path)


@given(st.integers(0, len(WORKBOOK)))
def test_a_workbook_cut_anywhere(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("fuzz") / "map.xlsx"
    path.write_bytes(WORKBOOK[:length])
    attempt(path)
