import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from profiling.cells import load_segmenter, measure_cells
from profiling.cells.flag_jobs import flag
from profiling.cells.flags import NAMES, count_flags, flag_cells, name_cells
from profiling.settings import Flags
from profiling.tables import CELL_KEY, FIELD_KEY, read_table, write_table

FIELD = dict(zip(FIELD_KEY, ("00123", "A01", 1, 0, 0), strict=True))
INTERPHASE = {"area": 400.0, "intensity": 600.0, "solidity": 0.97, "eccentricity": 0.5, "form": 0.9, "border": False}
KNOWN = {
    "debris": {"area": 100.0, "intensity": 300.0},
    "dead": {"area": 120.0, "intensity": 1600.0, "form": 0.95},
    "mitotic": {"area": 240.0, "intensity": 1300.0},
    "irregular": {"area": 700.0, "solidity": 0.8},
    "outlier": {"area": 4000.0},
}


def plate(*odd, count=200):
    """Cell table of a plate of interphase nuclei, followed by odd ones; 100 grey values are background."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame([INTERPHASE] * count + [INTERPHASE | change for change in odd])
    rows.loc[: count - 1, ["area", "intensity"]] *= rng.lognormal(0, (0.2, 0.13), (count, 2))
    return pd.DataFrame(
        {
            **FIELD,
            "Metadata_CellID": np.arange(1, len(rows) + 1),
            "Nuclei_AreaShape_Area": rows["area"],
            "Nuclei_AreaShape_Solidity": rows["solidity"],
            "Nuclei_AreaShape_Eccentricity": rows["eccentricity"],
            "Nuclei_AreaShape_FormFactor": rows["form"],
            "Nuclei_Intensity_MeanIntensity_DNA": rows["intensity"] + 100.0,
            "Cytoplasm_Intensity_MeanIntensity_DNA": 100.0,
            "NucleusTouchesBorder": rows["border"],
            "TouchesBorder": True,
        }
    )


def names_of(cells, **settings):
    found = name_cells(cells, "DNA", Flags(**settings))
    return [[name for name in NAMES if row[name]] for row in found.to_dict("records")]


def test_known_cells_get_their_names_and_interphase_none():
    named = names_of(plate(*KNOWN.values()))
    assert named[-len(KNOWN) :] == [[name] for name in KNOWN]
    assert not any(named[: -len(KNOWN)])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"area": 130.0, "intensity": 1500.0, "eccentricity": 0.92}, ["mitotic"]),  # a metaphase plate from its side
        ({"area": 150.0, "intensity": 1500.0, "form": 0.6}, ["mitotic"]),  # a rosette
        ({"area": 20.0, "intensity": 1200.0}, ["debris", "outlier"]),  # an apoptotic body
        ({"area": 240.0, "intensity": 1300.0, "solidity": 0.8}, ["mitotic"]),  # named by what it is
        ({"area": 80.0, "intensity": 450.0, "border": True}, []),  # cut, not small
        ({"area": 4000.0, "border": True}, []),  # who knows how large
        ({"intensity": 60_000.0, "border": True}, ["outlier"]),  # but bright it is
        ({"intensity": 60_000.0}, ["outlier"]),
        ({"area": 800.0, "intensity": 1300.0}, []),  # bright and large: no condensation
        ({"area": np.nan, "intensity": np.nan, "form": np.nan}, []),
    ],
)
def test_rules(change, expected):
    assert names_of(plate(change))[-1] == expected


def test_names_do_not_depend_on_magnification_gain_and_offset():
    cells = plate(*KNOWN.values())
    other = cells.assign(Nuclei_AreaShape_Area=cells["Nuclei_AreaShape_Area"] * 9)
    for column in ("Nuclei_Intensity_MeanIntensity_DNA", "Cytoplasm_Intensity_MeanIntensity_DNA"):
        other[column] = cells[column] * 0.01 - 50
    assert names_of(other) == names_of(cells)


def test_cut_nuclei_do_not_widen_what_is_usual():
    cut = [{"area": area, "border": True} for area in np.geomspace(2, 400, 300)]
    assert names_of(plate(*cut, KNOWN["outlier"]))[-1] == ["outlier"]


def test_one_whole_nucleus_says_nothing_of_what_is_usual():
    cut = [{"intensity": 200.0 + number, "border": True} for number in range(5)]
    assert not any("outlier" in names for names in names_of(plate(*cut, count=1)))


def test_settings_move_the_limits():
    odd = [{"area": 160.0, "intensity": 450.0}, {"area": 300.0, "intensity": 750.0}, {"solidity": 0.9}]
    odd.append({"area": 1300.0})
    assert names_of(plate(*odd))[-4:] == [[], [], [], []]
    stricter = {"debris_dna": 0.5, "condensed_intensity": 1.2, "minimum_solidity": 0.95, "outlier_mads": 5}
    assert names_of(plate(*odd), **stricter)[-4:] == [["debris"], ["mitotic"], ["irregular"], ["outlier"]]


@pytest.mark.parametrize(
    ("settings", "excluded"),
    [
        ({}, ["border"]),
        ({"border": "keep"}, []),
        ({"border": "keep", "exclude_cells": ["dead", "debris"]}, ["dead", "debris"]),
        ({"exclude_cells": ["outlier"]}, ["border", "outlier"]),
    ],
)
def test_every_flagged_cell_is_listed_whether_kept_or_not(settings, excluded):
    cells = plate(*KNOWN.values(), {"border": True})
    table = flag_cells(cells, "DNA", Flags(**settings)).set_index("Metadata_CellID")
    assert table["Flags"].tolist() == [*KNOWN, "border"]
    assert table["ExcludedBy"].dropna().to_dict() == {
        number: name for number, name in table["Flags"].items() if name in excluded
    }


def test_border_of_the_cell():
    table = flag_cells(plate(KNOWN["dead"]), "DNA", Flags(border="cell", exclude_cells=["dead"]))
    assert len(table) == 201
    assert table["Flags"].iloc[-1] == table["ExcludedBy"].iloc[-1] == "border; dead"


def test_counts_by_well():
    table = flag_cells(plate(*KNOWN.values(), KNOWN["dead"]), "DNA", Flags())
    counts = count_flags(table, ["Metadata_Plate", "Metadata_Well"])
    assert counts.loc["00123", "A01"].to_dict() == {f"Flagged{name.capitalize()}": 1 for name in NAMES} | {
        "FlaggedDead": 2
    }


@pytest.mark.parametrize("count", [0, 1])
def test_plates_without_cells_and_without_signal(tmp_path, count):
    empty = measure_cells(*[np.zeros((4, 4), np.uint32)] * 2, {"DNA": np.zeros((4, 4))})
    segmented = measure_cells(*[np.eye(4, dtype=np.uint32)] * 2, {"DNA": np.zeros((4, 4))})
    table = pd.concat([empty, *[segmented] * count]).assign(**FIELD, CropOutsideImage=False, Embedded=True)
    table = table.assign(ExclusionReason=pd.Series(None, table.index, "str")).astype({"Metadata_Plate": "str"})
    write_table(tmp_path / "cells.parquet", "cells", table.astype({"Metadata_Well": "str"}))
    flag(tmp_path / "cells.parquet", "DNA", Flags(), tmp_path / "out.parquet")
    found = read_table(tmp_path / "out.parquet", "cell_flags")
    assert found["Flags"].tolist() == ["border"] * count
    assert found.columns.tolist() == [*CELL_KEY, "Flags", "ExcludedBy"]


def test_unknown_flags_are_refused_and_the_old_setting_names_its_successor():
    with pytest.raises(ValidationError, match="mitotic"):
        Flags(exclude_cells=["mitosis"])
    with pytest.raises(ValidationError, match=r"exclude_cells: \[outlier\]"):
        Flags(outlier_cells="exclude")


def test_condensed_and_mitotic_cells_of_simulated_wells(simulated_fields):
    """Against the simulator's truth; the limits were chosen on other wells."""
    segmenter = load_segmenter("classical", cells="ring")
    tables = []
    for image, truth, phenotypes in simulated_fields:
        nuclei = segmenter.segment(image)
        table = measure_cells(nuclei, segmenter.segment_cells(nuclei), {"DNA": image})
        table["Phenotype"] = [_majority(truth[nuclei == label], phenotypes) for label in table["Metadata_CellID"]]
        tables.append(table)
    cells = pd.concat(tables, ignore_index=True)
    whole = ~cells["NucleusTouchesBorder"]
    cells = cells.join(name_cells(cells, "DNA", Flags()))[whole]
    for name, phenotype in (("dead", "condensed"), ("mitotic", "mitotic")):
        found, true = cells[name], cells["Phenotype"].eq(phenotype)
        assert (found & true).sum() > 0.75 * max(found.sum(), true.sum()), name
    normal = cells["Phenotype"].eq("normal")
    assert cells.loc[normal, list(NAMES)].to_numpy().mean() < 0.01


def _majority(labels, phenotypes):
    counts = np.bincount(labels)
    counts[0] = 0
    return phenotypes.get(counts.argmax()) if counts.any() else None


@pytest.fixture(scope="module")
def simulated_fields():
    """DNA image, true nuclei and phenotype by label of a few fields of one simulated plate."""
    from profiling.demo.optics import plate_optics
    from profiling.demo.simulate import _field

    fields = []
    for number, phenotype in enumerate(("normal", "normal", "normal", "condensed", "mitotic")):
        well = pd.Series({"phenotype": phenotype, "penetrance": 0.8, "survival": 1.0})
        rng = np.random.default_rng([5, number])
        images, _, nuclei, table = _field(well, plate_optics(0, 432, 5), [1.0, 1.0, 1.0], set(), 432, rng)
        fields.append((images[0], nuclei, table.set_index("Metadata_CellID")["Phenotype"].to_dict()))
    return fields
