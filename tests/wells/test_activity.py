import numpy as np
import pytest
from scipy.stats import kstest

from profiling.wells.activity import activity


def test_active_treatments_are_found_and_the_plate_effect_is_not_one(make_wells):
    treatments = {"DMSO": 8, "taxol": 2, "a@1": 2, "b@1": 2}
    layout = {(p, t): n for p in ("P1", "P2") for t, n in treatments.items()}
    wells = make_wells(layout, effects={"taxol": 4.0, "a@1": 4.0})
    components = wells.filter(like="PC_").columns
    wells.loc[wells["Metadata_Plate"] == "P2", components] += 50
    table = activity(wells).set_index("Metadata_Treatment")
    assert table["Active"].to_dict() == {"a@1": True, "b@1": False, "taxol": True}
    assert table.loc["a@1", "ControlDistance"] == pytest.approx(4 * np.sqrt(5), rel=0.3)
    assert (table["Replicates"] == 4).all() and (table["ControlWells"] == 16).all()
    assert table.loc["a@1", "PValue"] == table.loc["a@1", "AttainablePValue"] == pytest.approx(1 / 2025)  # C(10, 2)²
    assert table.loc["taxol", "Metadata_Role"] == "positive_control"


def test_wells_as_variable_as_controls_have_a_replicate_variance_of_one(make_wells):
    layout = {(p, t): 40 for p in ("P1", "P2") for t in ("DMSO", "a@1")}
    wells = make_wells(layout)
    wells.loc[wells["Metadata_Plate"] == "P2", wells.filter(like="PC_").columns] += 50
    assert activity(wells, permutations=99)["ReplicateVariance"][0] == pytest.approx(1, abs=0.2)


def test_distance_by_hand(make_wells):
    wells = make_wells({("P1", "DMSO"): 3, ("P1", "a@1"): 2}, d=1)
    wells["PC_0001"] = [-1.0, 0, 1, 4, 6]  # controls: mean 0, standard deviation 1
    row = activity(wells).iloc[0]
    assert row["ControlDistance"] == pytest.approx(5) and row["ReplicateVariance"] == pytest.approx(2)
    assert row["PValue"] == pytest.approx(1 / 10)  # C(5, 2) arrangements, none as far apart


@pytest.mark.parametrize("controls, attainable", [(3, 2 / 20), (12, 1 / 301)])
def test_null_p_values_hold_their_level_even_with_few_controls_and_many_components(make_wells, controls, attainable):
    layout = {(f"P{i}", t): n for i in range(250) for t, n in {"DMSO": controls, f"c{i}@1": 3}.items()}
    table = activity(make_wells(layout, d=30), permutations=300)
    p = table["PValue"]
    assert table["AttainablePValue"].to_numpy() == pytest.approx(attainable) and p.min() >= attainable - 1e-9
    # few arrangements give a coarse p, never one that is too small too often
    assert kstest(p, "uniform", alternative="greater").pvalue > 0.001
    assert (p <= 0.1001).mean() == pytest.approx(0.1, abs=0.06)
    assert p.mean() == pytest.approx(0.5 + attainable / 2, abs=0.06)


def test_one_control_well_gives_a_p_but_no_distance(make_wells):
    table = activity(make_wells({("P1", "DMSO"): 1, ("P1", "a@1"): 3}, {"a@1": 9.0}))
    assert np.isnan(table["ControlDistance"][0]) and table["PValue"][0] >= 1 / 4 and not table["Active"][0]


def test_treatments_that_cannot_be_tested_are_listed(make_wells):
    wells = make_wells({("P1", "DMSO"): 4, ("P1", "a@1"): 2, ("P1", "toxic@1"): 2, ("P2", "b@1"): 2})
    toxic = wells["Metadata_Treatment"] == "toxic@1"
    wells.loc[toxic, "FewCells"] = True
    wells.loc[toxic, wells.filter(like="PC_").columns] = np.nan
    table = activity(wells).set_index("Metadata_Treatment")
    assert table["Replicates"].to_dict() == {"a@1": 2, "b@1": 0, "toxic@1": 0}
    assert table["PValue"].notna().to_dict() == {"a@1": True, "b@1": False, "toxic@1": False}
    assert not table["Active"].any()


def test_wells_of_other_roles_are_no_replicates(make_wells):
    wells = make_wells({("P1", "DMSO"): 6, ("P1", "a@1"): 3}, {"a@1": 9.0})
    wells.loc[8, "Metadata_Role"] = "failed"
    wells.loc[8, "PC_0001"] = -1e6
    table = activity(wells)
    assert table["Replicates"].tolist() == [2] and table["PValue"][0] == pytest.approx(1 / 28)  # C(8, 2)


def test_all_wells_of_one_role(make_wells):
    assert len(activity(make_wells({("P1", "DMSO"): 4}))) == 0
    assert activity(make_wells({("P1", "a@1"): 4}))["PValue"].isna().all()


def test_a_broken_component_is_named(make_wells):
    wells = make_wells({("P1", "DMSO"): 4, ("P1", "a@1"): 2})
    wells.loc[1, "PC_0003"] = np.nan
    with pytest.raises(ValueError, match="PC_0003"):
        activity(wells)
