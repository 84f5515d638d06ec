import numpy as np
import pytest
from scipy.stats import kstest

from profiling.wells.enrichment import COLUMNS, enrichment

LAYOUT = {(p, t): n for p in ("P1", "P2") for t, n in {"DMSO": 6, "taxol": 2, "a@1": 1, "a@10": 1}.items()}


def test_a_filled_cluster_is_found_and_doses_are_pooled(make_wells):
    wells = make_wells(LAYOUT, effects={"a@1": 2.0, "a@10": 2.0})
    table = enrichment(wells, permutations=999).set_index(["Metadata_Compound", "Cluster"])
    assert set(table.index.get_level_values(0)) == {"a", "taxol"}
    hit = table.loc[("a", 1)]
    treated = wells["Metadata_Compound"] == "a"
    control = wells["Metadata_Compound"] == "DMSO"
    assert hit["Wells"] == 4 and hit["ControlWells"] == 12
    assert hit["Share"] == pytest.approx(wells.loc[treated, "ClusterShare_01"].mean())
    assert hit["ControlShare"] == pytest.approx(wells.loc[control, "ClusterShare_01"].mean())
    expected = np.log2((hit["Share"] + 0.005) / (hit["ControlShare"] + 0.005))
    assert hit["Log2Enrichment"] == pytest.approx(expected)
    # 784 arrangements = C(8, 2)², all of them used
    assert hit["PValue"] == hit["AttainablePValue"] == pytest.approx(1 / 784)
    assert (table.loc["taxol", "PValue"] > 0.05).all() and (table["QValue"] >= table["PValue"]).all()


def test_a_plate_effect_is_no_enrichment(make_wells):
    wells = make_wells(LAYOUT).drop(index=[6])  # one taxol well less on the first plate
    shifted = wells.copy()
    shifted.loc[wells["Metadata_Plate"] == "P2", "ClusterShare_01"] += 0.3
    plain, other = enrichment(wells, 999), enrichment(shifted, 999)
    np.testing.assert_allclose(plain["PValue"], other["PValue"])
    np.testing.assert_allclose(plain["Share"] - plain["ControlShare"], other["Share"] - other["ControlShare"])


def test_null_p_values_are_uniform(make_wells):
    # a plate for every compound: tests that share controls are not independent
    layout = {(f"P{i}", t): n for i in range(250) for t, n in {"DMSO": 8, f"c{i}@1": 3}.items()}
    table = enrichment(make_wells(layout), permutations=200)
    p = table.loc[table["Cluster"] == 1, "PValue"]  # C(11, 3) = 165 arrangements
    assert kstest(p, "uniform").pvalue > 0.001 and (p <= 0.1).mean() == pytest.approx(0.1, abs=0.06)


def test_one_control_well_cannot_give_a_small_p(make_wells):
    wells = make_wells({("P1", "DMSO"): 1, ("P1", "a@1"): 4}, effects={"a@1": 9.0})
    table = enrichment(wells)
    assert (table["AttainablePValue"] >= 1 / 5).all() and (table["PValue"] >= 1 / 5).all()


def test_compound_without_controls_on_its_plate_is_listed_untested(make_wells):
    wells = make_wells({("P1", "DMSO"): 3, ("P1", "a@1"): 2, ("P2", "b@1"): 2})
    table = enrichment(wells).set_index("Metadata_Compound")
    assert table.loc["b", "PValue"].isna().all() and (table.loc["b", "Wells"] == 0).all()
    assert table.loc["a", "QValue"].notna().all()


def test_wells_of_other_roles_do_not_count(make_wells):
    wells = make_wells({("P1", "DMSO"): 6, ("P1", "a@1"): 3})
    wells.loc[8, "Metadata_Role"] = "empty"
    assert (enrichment(wells)["Wells"] == 2).all()


def test_nothing_to_test(make_wells):
    wells = make_wells({("P1", "DMSO"): 4})
    assert len(enrichment(wells)) == 0 and list(enrichment(wells).columns) == COLUMNS
    few = make_wells({("P1", "DMSO"): 4, ("P1", "a@1"): 2}).assign(FewCells=True)
    assert enrichment(few)["PValue"].isna().all()
