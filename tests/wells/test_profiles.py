import numpy as np
import pandas as pd
import pytest

from profiling.wells.profiles import treatment_profiles, well_profiles


def cells():
    return pd.DataFrame(
        {
            "Metadata_Plate": "00123",
            "Metadata_Well": ["B01", "A01", "A01", "A01", "A01"],
            "Metadata_Site": [1, 1, 1, 2, 2],
            "Metadata_CellID": [1, 1, 2, 1, 2],
            "Metadata_Compound": ["taxol", None, None, None, None],
            "Metadata_Treatment": ["taxol", None, None, None, None],
            "Metadata_Donor": "D1",
            "Metadata_Object": [1, 2, 3, 4, 5],
            "PC_0001": [7.0, 1, 2, 3, 10],
            "Cluster": np.array([2, 1, 1, 1, 3], dtype=np.int16),
        }
    )


def test_means_shares_and_counts_by_hand():
    table = well_profiles(cells(), k=3, minimum_cells=2)
    assert table["Metadata_Well"].tolist() == ["A01", "B01"]
    assert table["PC_0001"].tolist() == [4, 7]
    assert table.filter(like="ClusterShare").to_numpy().tolist() == [[0.75, 0, 0.25], [0, 1, 0]]
    assert table["Metadata_CellCount"].tolist() == [4, 1] and table["FewCells"].tolist() == [False, True]
    assert table["Metadata_Donor"].tolist() == ["D1", "D1"]
    assert not {"Metadata_Site", "Metadata_CellID", "Metadata_Object", "Cluster"} & set(table.columns)
    assert table.columns.str.startswith("Metadata_").tolist() == sorted(
        table.columns.str.startswith("Metadata_"), reverse=True
    )
    assert well_profiles(cells(), statistic="median")["PC_0001"].tolist() == [2.5, 7]


def test_row_order_does_not_matter():
    shuffled = cells().sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(well_profiles(cells(), k=3), well_profiles(shuffled, k=3))


def test_listed_wells_without_cells_have_a_row():
    wells = pd.DataFrame(
        {
            "Metadata_Plate": "00123",
            "Metadata_Well": ["A01", "B01", "C01"],
            "Metadata_Treatment": ["x", "taxol", "y"],
            "Metadata_CellCount": [9, 5, 0],
        }
    )
    table = well_profiles(cells(), wells, k=3, minimum_cells=1)
    assert table["Metadata_CellCount"].tolist() == [9, 5, 0]
    assert table["Metadata_ProfiledCells"].tolist() == [4, 1, 0]
    assert table["FewCells"].tolist() == [False, False, True]
    assert table["Metadata_Treatment"].tolist() == ["x", "taxol", "y"]
    assert table.filter(regex="^(PC|Cluster)").iloc[2].isna().all()

    empty = well_profiles(cells().head(0), wells, k=3)
    assert empty["Metadata_ProfiledCells"].tolist() == [0, 0, 0] and empty["PC_0001"].isna().all()
    with pytest.raises(ValueError, match="not listed: 00123 B01"):
        well_profiles(cells(), wells[wells["Metadata_Well"] != "B01"])
    with pytest.raises(ValueError, match="twice in the list: 00123 C01"):
        well_profiles(cells(), pd.concat([wells, wells.tail(1)]))


def test_no_cells_at_all():
    table = well_profiles(cells().head(0), k=3)
    assert len(table) == 0 and {"PC_0001", "ClusterShare_03", "FewCells"} <= set(table.columns)


def test_bad_cells_are_refused_by_name():
    with pytest.raises(ValueError, match="PC_0001"):
        well_profiles(cells().assign(PC_0001=np.nan))
    with pytest.raises(ValueError, match="Cluster from 1 to 2"):
        well_profiles(cells(), k=2)
    with pytest.raises(ValueError, match="Metadata_Compound differs within well A01 of plate 00123"):
        well_profiles(cells().assign(Metadata_Compound=list("abbbc")))


def test_treatments_average_wells_not_cells_and_leave_out_few_cells(make_wells):
    wells = make_wells({("P1", "a@1"): 2, ("P2", "a@1"): 1, ("P1", "b@1"): 1, ("P1", "DMSO"): 2})
    wells["Metadata_CellCount"] = [10, 1000, 30, 1, 50, 50]
    wells["FewCells"] = wells["Metadata_CellCount"] < 5
    table = treatment_profiles(wells).set_index("Metadata_Treatment")
    assert table["Metadata_Replicates"].to_dict() == {"DMSO": 2, "a@1": 3, "b@1": 0}
    assert table.loc["a@1", "PC_0001"] == pytest.approx(wells["PC_0001"][:3].mean())
    assert table.loc["a@1", "Metadata_CellCount"] == 1040 and table.loc["b@1", "Metadata_CellCount"] == 0
    assert np.isnan(table.loc["b@1", "PC_0001"]) and table.loc["b@1", "Metadata_Compound"] == "b"
    assert table.filter(like="ClusterShare").loc[["a@1", "DMSO"]].sum(axis=1).to_numpy() == pytest.approx(1)
    assert "Metadata_Plate" not in table


def test_wells_of_roles_in_no_test_are_no_replicates(make_wells):
    wells = make_wells({("P1", "a@1"): 3, ("P1", "b@1"): 2, ("P1", "DMSO"): 1})
    wells.loc[[0, 3, 4], "Metadata_Role"] = "failed"
    table = treatment_profiles(wells).set_index("Metadata_Treatment")
    assert table["Metadata_Replicates"].to_dict() == {"DMSO": 1, "a@1": 2, "b@1": 2}
    assert table["Metadata_Role"].to_dict() == {"DMSO": "negative_control", "a@1": "treatment", "b@1": "failed"}
    assert table.loc["a@1", "PC_0001"] == pytest.approx(wells["PC_0001"][1:3].mean())


def test_wells_without_treatment_are_not_lost(make_wells):
    wells = make_wells({("P1", "a@1"): 2, ("P1", "DMSO"): 1})
    wells.loc[0, "Metadata_Treatment"] = None
    table = treatment_profiles(wells)
    assert table["Metadata_Replicates"].sum() == 3 and table["Metadata_Treatment"].isna().sum() == 1
