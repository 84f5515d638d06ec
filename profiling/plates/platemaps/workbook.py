"""Excel workbooks (.xlsx) as text, as a person sees the cells."""

import datetime
import io
import re
import warnings
import zipfile
from xml.parsers import expat

from profiling.errors import ProfilingError

LARGEST_CONTENT = 128_000_000
"""Bytes that a workbook may unpack to."""
LONGEST_TAG = 2_000_000
"""Bytes of a tag, comment or text; parsers read a long one from its beginning again for every few kilobytes."""
MOST_SHEETS, MOST_CELLS = 200, 2_000_000
MOST_EMPTY_ROWS = 10_000
"""A stray cell further below does not belong to the table above."""

# Nothing here goes back over what it has read: a file could be made to keep it busy for hours.
_NO_VALUE = re.compile(
    rb'<c\b(?![^<>]*\bt="str")[^<>]*+>\s*+<f\b[^<>]*+(?:(?<=/)>|>[^<]*+</f>)\s*+(?:(?:<v\s*+/>|<v>\s*+</v>)\s*+)?+</c>'
)
_ZEROS = re.compile(r"0{2,}")
_LITERAL_UNIT = re.compile(r'(?:General|[#0?,.]+)(?:\s|\\|_.)*"([^"]+)"')


def read_workbook(data, path):
    """Sheets of an Excel workbook.

    Formulas give the value that Excel saved with them. Numbers are written as a person sees them where their format
    carries meaning: leading zeros (``00000``), percent, a unit in quotes; otherwise in full precision. A date is
    ISO 8601.

    Parameters
    ----------
    data : bytes
        The file.
    path : str or Path
        For messages.

    Returns
    -------
    list of tuple
        Name and rows of cells (lists of str) of each sheet.

    Raises
    ------
    ProfilingError
        If it is no sound workbook, has formulas without values (as programs write them that cannot calculate), or
        unpacks to more than a plate map can need.
    """
    import openpyxl  # its import takes longer than reading most plate maps as text

    sheets, cells = [], 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(set(names)) < len(names):
                raise ProfilingError(f"{path}: it has a part twice; save it again as .xlsx or CSV")
            if sum(member.file_size for member in archive.infolist()) > LARGEST_CONTENT:
                raise _too_large(path)
            counts, lengths = zip(*(_examine(archive, name, path) for name in names))
            # Several sheets can be the same part.
            if sum(counts) > MOST_SHEETS or sum(counts) * max(lengths) > 4 * LARGEST_CONTENT:
                raise _too_large(path)
            sheets_of_cells = [name for name in names if name.startswith("xl/worksheets/")]
            if any(_NO_VALUE.search(archive.read(name)) for name in sheets_of_cells):
                raise ProfilingError(
                    f"{path}: it has formulas without values; open it in a spreadsheet program and save it again"
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about drop-down lists and colours
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs write a size that is wrong
                rows, filled = [], 0
                for row in sheet.iter_rows():
                    if len(rows) - filled > MOST_EMPTY_ROWS:
                        break
                    texts = [_text(cell) for cell in row]
                    while texts and not texts[-1]:
                        texts.pop()
                    rows.append(texts)
                    filled = len(rows) if texts else filled
                    cells += 1 + len(row)
                    if cells > MOST_CELLS:
                        raise _too_large(path)
                sheets.append((sheet.title, rows[:filled]))
    except ProfilingError:
        raise
    except Exception as error:  # the library checks little, so that a damaged file can fail anywhere in it
        raise ProfilingError(
            f"{path}: not a sound .xlsx workbook ({type(error).__name__}: {error}); save it again as .xlsx or CSV"
        ) from None
    return sheets


def _examine(archive, name, path):
    """Number of sheets that a part of a workbook names, and the bytes of it that are XML.

    Refused are a long tag and a document type, whose entities can be a few bytes that unpack to gigabytes.
    """
    parser = expat.ParserCreate()
    count, last, size = 0, 0, 2**16

    def token(*_):
        nonlocal last
        if parser.CurrentByteIndex - last > LONGEST_TAG:
            raise _too_large(path)
        last = parser.CurrentByteIndex

    def element(tag, _):
        nonlocal count
        count += tag.rpartition(":")[2] == "sheet"
        token()

    def document_type(*_):
        raise ProfilingError(
            f"{path}: it declares a document type, which no spreadsheet program writes; save it as .xlsx or CSV"
        )

    parser.StartDoctypeDeclHandler, parser.StartElementHandler = document_type, element
    parser.EndElementHandler = parser.CharacterDataHandler = token
    parser.CommentHandler = parser.ProcessingInstructionHandler = token
    with archive.open(name) as part:
        try:
            while block := part.read(size):
                parser.Parse(block, False)
                size *= 2
        except ProfilingError:
            raise
        except (expat.ExpatError, ValueError, LookupError):  # a picture, or damage that is reported when it is read
            pass
        if part.tell() - last > LONGEST_TAG:
            raise _too_large(path)
        return count, part.tell()


def _too_large(path):
    return ProfilingError(f"{path}: the workbook is too large for a plate map; save the wells alone as .xlsx or CSV")


def _text(cell):
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip().encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, cell.number_format or "")
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _number(value, number_format):
    first = number_format.partition(";")[0]
    if "%" in first and '"' not in first:
        return f"{value * 100:.12g}%"
    if _ZEROS.fullmatch(first) and value == int(value):
        return f"{int(value):0{len(first)}d}"
    text = str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.15g}"
    if match := _LITERAL_UNIT.fullmatch(first):
        return f"{text} {match[1].strip()}"
    return text
