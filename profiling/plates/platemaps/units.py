"""Doses: numbers with decimal point or comma, and their units."""

import math
import re
from fractions import Fraction

from profiling.settings import TESTED

MOLAR = {"M": 0, "mM": -3, "uM": -6, "nM": -9, "pM": -12, "fM": -15}
"""Molar units and their power of ten."""
_WORDS = {
    "mol/l": "M", "mmol/l": "mM", "umol/l": "uM", "nmol/l": "nM", "pmol/l": "pM", "molar": "M", "millimolar": "mM",
    "micromolar": "uM", "nanomolar": "nM", "picomolar": "pM", "molesperliter": "M", "mmolesperliter": "mM",
    "umolesperliter": "uM", "nmolesperliter": "nM", "mgperml": "mg/ml", "ugperml": "ug/ml", "ngperml": "ng/ml",
    "percent": "%", "pct": "%",
}  # fmt: skip
_OTHER = re.compile(
    r"(?:[munpfk]?g|i?u|units?|cells|particles|vg|pfu|cfu)/(?:[mun]?l|well|cell)|(?:[munp]?g|[mun]?l)(?:/well)?|"
    r"%(?:\s*\(?[vw]/[vw]\)?)?|ppm|moi|x",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"([-+]?)(\d[\d.,]*|[.,]\d+)(?:[eE]([-+]?\d{1,3}))?\s*(.*)", re.ASCII | re.DOTALL)
_GROUPS = {",": re.compile(r"\d{1,3}(,\d{3})+"), ".": re.compile(r"\d{1,3}(\.\d{3})+")}
_EITHER = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")


def known_unit(text):
    """A unit in its usual spelling (`µM`, `um` and `micromolar` are `uM`), or None for any other text."""
    text = text.strip().replace("µ", "u").replace("μ", "u")
    if text in MOLAR:
        return text
    lower = re.sub(r"[\s_]+", "", text.lower())
    if word := _WORDS.get(lower):
        return word
    if lower in ("mm", "um", "nm", "pm", "fm"):
        return lower[0] + "M"
    return text if _OTHER.fullmatch(text) else None


def unit_of_name(name):
    """Name of a column without its unit, and the unit.

    Parameters
    ----------
    name : str
        `Concentration (µM)`, `dose_um`, `conc [mg/ml]`, `dose in nM`, `mmoles_per_liter`.

    Returns
    -------
    tuple of str and (str or None)
        The whole name where it has no unit; a name that is nothing but a unit is a concentration.
    """
    text = name.strip().lstrip("#").strip()
    whole = text.removeprefix("Metadata_")
    if (whole in MOLAR and whole != "M") or re.sub(r"[\s_]+", "", whole.lower()) in _WORDS:
        return "concentration", known_unit(whole)
    if match := re.fullmatch(r"([^(\[]*)[(\[]([^()\[\]]*)[)\]]", text):
        if unit := known_unit(match[2]):
            return match[1].strip() or "concentration", unit
    elif match := re.fullmatch(r"(.*?[^\s_,-])[\s_,-]+(?:in[\s_]+)?([^\s_,-]+)", text):
        if unit := known_unit(match[2]):
            return match[1], unit
    return name, None


def comma_is_decimal(texts):
    """Whether commas in a column of numbers are decimal ones: True, False, or None where nothing tells.

    `1,000` alone does not tell; `0,5`, `12,5` and `1.000,5` do, and so do `1,000.5` and `0.5`.
    """
    votes = set()
    for text in texts:
        match = _NUMBER.fullmatch(text)
        digits = match[2] if match else ""
        comma, point = digits.rfind(","), digits.rfind(".")
        if comma >= 0 and point >= 0:
            votes.add(comma > point)
        elif (comma >= 0 or point >= 0) and digits.count(",") + digits.count(".") == 1:
            if not _EITHER.fullmatch(digits):
                votes.add(comma >= 0)
        elif comma >= 0 or point >= 0:
            votes.add(point >= 0)
    return votes.pop() if len(votes) == 1 else None


def parse_dose(text, comma_decimal=None):
    """Number and unit of a dose.

    Parameters
    ----------
    text : str
        `1.5`, `1,5`, `1.5 uM`, `10nM`, `1e-6 M`, `0.1%`, `1,000.5`.
    comma_decimal : bool, optional
        What :func:`comma_is_decimal` says of its column, for texts such as `1,000`.

    Returns
    -------
    tuple of float and (str or None)

    Raises
    ------
    ValueError
        If the text is no such dose, is negative or may be one of two numbers; the message says why.
    """
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise ValueError("is not a number")
    sign, digits, power, rest = match.groups()
    number = float(f"{_plain(digits, comma_decimal)}e{power or 0}")
    if sign == "-" and number:
        raise ValueError("is below 0; a concentration is needed, not its logarithm")
    if not math.isfinite(number):
        raise ValueError("is too large for a number")
    unit = known_unit(rest) if rest else None
    if rest and unit is None:
        raise ValueError(f"is not a number and a unit known here ({rest!r}); put the unit into a column of its own")
    return number, unit


def _plain(digits, comma_decimal):
    """Digits with a decimal point and nothing between thousands."""
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma < 0 and point < 0:
        return digits
    last = "," if comma > point else "."
    other = "." if last == "," else ","
    whole, _, part = digits.rpartition(last)
    if digits.count(last) > 1:
        if _GROUPS[last].fullmatch(digits):
            return digits.replace(last, "")
    elif other in digits:
        if _GROUPS[other].fullmatch(whole):
            return f"{whole.replace(other, '')}.{part}"
    elif last == "." and comma_decimal is not True or not _EITHER.fullmatch(digits):
        return f"{whole or 0}.{part}"
    elif last == "," and comma_decimal is not None:
        return f"{whole}.{part}" if comma_decimal else whole + part
    else:
        raise ValueError(f"may be {whole}{part} or {whole}.{part}; write one of them")
    raise ValueError("is not a number")


def convert(number, unit, target):
    """A dose in another molar unit, correctly rounded; unchanged where one of the units is not molar."""
    if unit not in MOLAR or target not in MOLAR or unit == target:
        return number, unit
    power = MOLAR[unit] - MOLAR[target]
    # A tenth has no exact float: 10 nM must be 0.01 uM, not 0.010000000000000002.
    scale = Fraction(10) ** power
    return float(Fraction(repr(number)) * scale), target


def unlike_units(wells):
    """Compounds whose doses are in several units, so that equal doses of different plates would not be replicates.

    Parameters
    ----------
    wells : pandas.DataFrame
        Of one or several plates: Metadata_Plate, Metadata_Compound, Metadata_Concentration, Metadata_Unit,
        Metadata_Role. Only wells that are tested and have a dose count.

    Returns
    -------
    list of (str, str, str)
        By compound: its name, its units with a plate each, and what to do.
    """
    dosed = wells[wells["Metadata_Concentration"].gt(0) & wells["Metadata_Role"].isin(TESTED)]
    dosed = dosed.fillna({"Metadata_Unit": "no unit"}).sort_values("Metadata_Plate", kind="stable")
    dosed = dosed.drop_duplicates(["Metadata_Compound", "Metadata_Unit"])
    found = []
    for compound, plates in dosed[dosed["Metadata_Compound"].duplicated(keep=False)].groupby("Metadata_Compound"):
        where = ", ".join(f"{row.Metadata_Unit} on plate {row.Metadata_Plate}" for row in plates.itertuples())
        molar = plates["Metadata_Unit"].isin([*MOLAR, "no unit"]).all()
        remedy = "set platemap.concentration_unit to convert them" if molar else "give them in one unit"
        found.append((compound, where, remedy))
    return found
