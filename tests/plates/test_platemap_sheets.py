"""Files as programs write them: separators, encodings, line ends, Excel workbooks."""

import datetime
import io
import re
import zipfile

import openpyxl
import pytest

from profiling.errors import ProfilingError
from profiling.plates.platemap import read_platemap
from profiling.plates.platemaps.sheets import read_sheets
from profiling.settings import PlateMap

ROWS = [
    ["Well", "Compound", "Concentration (µM)", "Plate"],
    ["A01", "α-amanitin, 99%", "1.5", "00123"],
    ["A02", "1E10", "0.25", "00123"],
    ["A03", "5''-x", "10", "00123"],
]


def read(path, plate="00123", **settings):
    return read_platemap(path, plate, 96, PlateMap(**settings))


def delimited(rows, separator, decimal="."):
    rows = [rows[0], *([a, b, dose.replace(".", decimal), plate] for a, b, dose, plate in rows[1:])]
    quoted = [[f'"{cell}"' if separator in cell else cell for cell in row] for row in rows]
    return [separator.join(row) for row in quoted]


SEPARATORS = [(",", "."), (";", "."), (";", ","), ("\t", ","), ("|", "."), (",", ",")]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize(
    ("separator", "decimal", "encoding", "end"),
    [(*separator, "utf-8", end) for separator in SEPARATORS for end in ("\n", "\r\n", "\r")]
    + [(";", ",", encoding, "\r\n") for encoding in ENCODINGS],
)
def test_text_is_read_whatever_wrote_it(tmp_path, separator, decimal, encoding, end):
    lines = delimited(ROWS, separator, decimal)
    (tmp_path / "map.dat").write_bytes(end.join([*lines, "", separator * 3, ""]).encode(encoding))
    wells = read(tmp_path / "map.dat")
    assert wells["Metadata_Treatment"].tolist() == ["α-amanitin, 99%@1.5uM", "1E10@0.25uM", "5''-x@10uM"]


def test_latin_text_comments_titles_and_empty_columns(tmp_path):
    text = "# made by hand, 3 May\nExperiment;µ-screen\n\n;Well;Naïve;Dose;;\n;A1;é;1,25 µM;;\n;B2;DMSO;;;\n;;;;;\n"
    (tmp_path / "map.csv").write_bytes(text.encode("cp1252"))
    wells = read(tmp_path / "map.csv", columns={"compound": "Naïve"})
    assert wells["Metadata_Treatment"].tolist() == ["é@1.25uM", "DMSO"]
    with pytest.raises(ProfilingError, match=r"row 5: Dose 'x'"):
        (tmp_path / "bad.csv").write_bytes(text.replace("1,25 µM", "x").encode("cp1252"))
        read(tmp_path / "bad.csv", columns={"compound": "Naïve"})


def test_a_separator_may_be_named_as_excel_does(tmp_path):
    (tmp_path / "map.csv").write_text("sep=|\nwell|compound\nA1|a;b,c\n")
    assert read(tmp_path / "map.csv")["Metadata_Compound"].tolist() == ["a;b,c"]


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_says_what_its_reader_sees(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    cells = ["00123", 123, 0.001, 1e10, "1E10", 0.1 + 0.2, 10, 2.5, True, datetime.date(2024, 3, 1), "  x ", None, 7]
    formats = {1: "00000", 2: "0.0%", 6: '0.0" uM"', 7: '0.0\\ "nM"'}
    for number, value in enumerate(cells):
        cell = sheet.cell(number + 1, 1, value)
        cell.number_format = formats.get(number, cell.number_format)
    book.save(tmp_path / "map.xlsx")
    [(name, rows)] = read_sheets(tmp_path / "map.xlsx")
    expected = ["00123", "00123", "0.1%", "10000000000", "1E10", "0.3", "10 uM", "2.5 nM", "TRUE", "2024-03-01", "x"]
    assert name == "Sheet"
    assert rows == [[text] for text in expected] + [[], ["7"]]


def test_the_sheet_with_the_plate_map_is_found(tmp_path):
    notes = [["Experiment 7"], ["by hand"]]
    first = [["Layout"], [], ["Well", "Drug", "Dose"], ["A1", "taxol", 1.5]]
    own = [["Well", "Drug", "Dose"], ["A1", "nocodazole", 2]]
    path = workbook(tmp_path / "map.xlsx", Notes=notes, Map=first, P2=own)
    assert read(path)["Metadata_Treatment"].tolist() == ["taxol@1.5"]
    assert read(path, "P2")["Metadata_Treatment"].tolist() == ["nocodazole@2"]
    assert read(path, sheet="P2")["Metadata_Treatment"].tolist() == ["nocodazole@2"]
    with pytest.raises(ProfilingError, match=r"no sheet 'Doses' \(platemap.sheet\); it has Notes, Map, P2"):
        read(path, sheet="Doses")
    broken = workbook(tmp_path / "broken.xlsx", Notes=notes, Map=[*first, ["A2", "x", "much"]])
    with pytest.raises(ProfilingError, match=r"broken.xlsx, sheet 'Map', row 5: Dose 'much' is not a number"):
        read(broken)


def rewritten(path, name, change):
    """The workbook with one of its parts changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            data = old.read(member)
            new.writestr(member, change(data) if member == name else data)
    path.write_bytes(out.getvalue())
    return path


SHEET = "xl/worksheets/sheet1.xml"
BOMB = b'<!DOCTYPE x [<!ENTITY a "0123456789">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 10) for k in range(9)
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"<v>", b"<v>x"),
        lambda data: BOMB + b"]>" + data.replace(b"<sheetData>", b"<sheetData><row><c><v>&j;</v></c></row>"),
        lambda data: b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + data.replace(b"taxol", b"&e;"),
        lambda data: data + b" " * 130_000_000,
        lambda data: data.replace(b"<sheetData>", b"<!--" + b"x" * 50_000_000 + b"--><sheetData>"),
        lambda data: data.replace(b"<sheetData>", b"<sheetData " + b" " * 50_000_000),
    ],
    ids=["cut", "numbers", "entities", "external", "zip bomb", "comment", "tag"],
)
def test_a_damaged_or_hostile_workbook_is_refused(tmp_path, change):
    path = workbook(tmp_path / "map.xlsx", Map=[["Well", "Drug", "Dose"], ["A1", "taxol", 1.5]])
    with pytest.raises(ProfilingError, match=r"map\.xlsx: .*(not a sound|too large|document type)"):
        read(rewritten(path, SHEET, change))


@pytest.mark.parametrize(("sheets", "blanks"), [(201, 0), (30, 20_000_000)])
def test_a_workbook_that_names_a_sheet_again_and_again_is_refused(tmp_path, sheets, blanks):
    path = workbook(tmp_path / "map.xlsx", Map=[["Well", "Drug"], ["A1", "taxol"]])
    rewritten(path, "xl/workbook.xml", lambda data: re.sub(rb"<sheet [^>]*>", lambda tag: tag[0] * sheets, data))
    rewritten(path, SHEET, lambda data: data + b" " * blanks)
    with pytest.raises(ProfilingError, match=r"map\.xlsx: the workbook is too large"):
        read(path)


def test_a_workbook_with_a_part_twice_is_refused(tmp_path):
    path = workbook(tmp_path / "map.xlsx", Map=[["Well", "Drug"], ["A1", "taxol"]])
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(SHEET, archive.read(SHEET))
    with pytest.raises(ProfilingError, match=r"map\.xlsx: it has a part twice"):
        read(path)


def test_a_workbook_made_to_be_searched_for_hours_is_read_at_once(tmp_path):
    path = workbook(tmp_path / "map.xlsx", Map=[["Well", "Drug"], ["A1", "taxol"]])
    rewritten(path, SHEET, lambda data: data.replace(b"<sheetData>", b"<!--" + b"<c " * 500_000 + b"--><sheetData>"))
    assert read(path)["Metadata_Compound"].tolist() == ["taxol"]


def test_a_cell_far_away_and_a_wrong_size_do_no_harm(tmp_path):
    path = workbook(tmp_path / "map.xlsx", Map=[["Well", "Drug"], ["A1", "taxol"]])
    book = openpyxl.load_workbook(path)
    book.active["XFD1048576"] = "stray"
    book.save(path)
    rewritten(
        path, SHEET, lambda data: data.replace(b"A1:XFD1048576", b"A1:A1").replace(b'r="1048576"', b'r="999999999"')
    )
    assert read(path)["Metadata_Compound"].tolist() == ["taxol"]


def test_formulas_without_values_are_refused(tmp_path):
    path = workbook(tmp_path / "map.xlsx", Map=[["Well", "Drug"], ["A1", '="tax"&"ol"']])
    with pytest.raises(ProfilingError, match=r"map\.xlsx: it has formulas without values; open it in a spreadsheet"):
        read(path)
    rewritten(
        path, SHEET, lambda data: data.replace(b"</f><v></v>", b"</f><v>taxol</v>").replace(b"<v />", b"<v>taxol</v>")
    )
    rewritten(path, SHEET, lambda data: data.replace(b'<c r="B2">', b'<c r="B2" t="str">'))
    assert read(path)["Metadata_Compound"].tolist() == ["taxol"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no well column"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"old \(.xls\) or protected Excel workbook; save it as plain .xlsx"),
        (b"PK\x03\x04 and nothing else", r"not a sound .xlsx workbook .*; save it again as .xlsx or CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "neither a text table"),
        (b"\xff\xfea", "neither a text table"),
        (b'well,compound\n"' + b"x" * 200_000 + b'",a', "row 2: quotation marks do not match or a cell is too long"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    path = tmp_path / "map.xlsx"
    path.write_bytes(content)
    with pytest.raises(ProfilingError, match=r"map\.xlsx.*" + message):
        read(path)


def test_absent_files_folders_and_large_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(ProfilingError, match=r"absent\.csv: cannot be read .*; correct its path"):
        read(tmp_path / "absent.csv")
    with pytest.raises(ProfilingError, match="is not a file"):
        read(tmp_path)
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(65_000_000)
    with pytest.raises(ProfilingError, match=r"large\.csv: 65 MB is too large for a plate map"):
        read(tmp_path / "large.csv")


def test_a_file_is_parsed_once_until_it_changes(tmp_path, monkeypatch):
    import profiling.plates.platemaps.sheets as sheets

    parsed = []
    original = sheets.split_cells
    monkeypatch.setattr(sheets, "split_cells", lambda text, path: parsed.append(path) or original(text, path))
    path = tmp_path / "map.csv"
    path.write_text("plate,well,compound\n" + "".join(f"P{k},A1,c{k}\n" for k in range(20)))
    assert [read(path, f"P{k}")["Metadata_Compound"][0] for k in range(20)] == [f"c{k}" for k in range(20)]
    assert len(parsed) == 1
    path.write_text("plate,well,compound\nP0,A1,corrected\n")
    assert read(path, "P0")["Metadata_Compound"].tolist() == ["corrected"]
