"""One plate from images to report, held against the truth of the simulator."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from profiling.cells.jobs import read_labels
from profiling.tables import read_cells, read_embeddings

PLATE = "00123"
pytestmark = pytest.mark.xdist_group("simulated")
CELL = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_CellID"]


def table(screen, name):
    folder = screen / "results" / name
    return pd.read_parquet(folder / f"{PLATE}.parquet" if folder.is_dir() else f"{folder}.parquet")


def true_phenotypes(screen):
    """Simulated phenotype of each segmented cell: that of the true nucleus which overlaps it most."""
    truth = pd.read_parquet(screen / "demo" / "truth" / "cells.parquet")
    names = truth.set_index(["Metadata_Well", "Metadata_Site", "Metadata_CellID"])["Phenotype"]
    rows = []
    for path in sorted((screen / "results" / "labels" / PLATE).glob("*/*.tif")):
        found = read_labels(path, 1, "Nuclei")
        true = tifffile.imread(screen / "demo/truth/labels" / PLATE / f"{path.stem}_s1_nuclei.tif")
        overlap = np.zeros((found.max() + 1, true.max() + 1))
        np.add.at(overlap, (found, true), 1)
        for cell in range(1, len(overlap)):
            best = overlap[cell, 1:].argmax() + 1 if overlap.shape[1] > 1 else 0
            if best and overlap[cell, best] > 0.5 * overlap[cell].sum():
                rows.append((PLATE, path.stem, 1, cell, names[path.stem, 1, best]))
    return pd.DataFrame(rows, columns=[*CELL, "Phenotype"])


def test_segmentation_agrees_with_the_truth(simulated):
    hits = lost = extra = 0
    for path in sorted((simulated / "results" / "labels" / PLATE).glob("*/*.tif")):
        found = read_labels(path, 1, "Nuclei")
        true = tifffile.imread(simulated / "demo/truth/labels" / PLATE / f"{path.stem}_s1_nuclei.tif").astype(int)
        overlap = np.zeros((found.max() + 1, true.max() + 1))
        np.add.at(overlap, (found, true), 1)
        union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
        iou = (overlap / np.maximum(union, 1))[1:, 1:]
        matched = (iou[linear_sum_assignment(-iou)] >= 0.5).sum()
        hits, lost, extra = hits + matched, lost + iou.shape[1] - matched, extra + iou.shape[0] - matched
    assert hits / (hits + lost + extra) > 0.75


def test_counts_are_conserved(simulated):
    cells, embeddings = read_cells(simulated / "results"), read_embeddings(simulated / "results")
    failures = table(simulated, "failures")
    features, phenotypes, wells = (table(simulated, n) for n in ("features", "phenotypes", "wells"))
    keys, matrix = embeddings
    assert len(cells) == cells["Embedded"].sum() + cells["ExclusionReason"].notna().sum()
    assert len(keys) == len(matrix) == cells["Embedded"].sum()
    assert np.isfinite(matrix).all()
    assert len(features) + failures.loc[failures["Stage"].eq("features"), "Cells"].sum() == len(keys)
    assert features[CELL].equals(phenotypes[CELL])
    assert wells["Metadata_CellCount"].sum() == len(cells)
    assert wells["Metadata_ProfiledCells"].sum() == len(features)
    shares = wells.filter(like="ClusterShare_").sum(axis=1)
    assert np.allclose(shares[wells["Metadata_ProfiledCells"] > 0], 1, atol=1e-5)
    assert phenotypes["Metadata_Plate"].unique().tolist() == [PLATE]


def test_every_planted_failure_is_listed_and_nothing_else_is_lost(simulated):
    failures = table(simulated, "failures")
    flags = table(simulated, "flags")
    trouble = pd.read_csv(simulated / "demo" / "truth" / "trouble.csv")
    for kind, well in trouble[["kind", "well"]].drop_duplicates().to_numpy():
        rows = failures[failures["Metadata_Well"].eq(well)]
        flagged = flags.loc[flags["Metadata_Well"].eq(well), "Flags"].fillna("")
        if kind in ("truncated", "missing"):
            channel = trouble.loc[trouble["kind"].eq(kind), "channel"].iloc[0]
            assert channel in set(rows["Metadata_Channel"].dropna()), kind
            assert rows["Reason"].str.len().min() > 10
            assert rows["Remedy"].notna().all()
        elif kind == "map_only":
            assert "platemap" in set(rows["Stage"])
        else:
            assert flagged.str.contains(kind.replace("_", " ")).any(), kind
    spoilt = set(trouble["well"])
    lost = failures[failures["Stage"].isin(["images", "quality", "segmentation", "embedding", "platemap"])]
    assert set(lost["Metadata_Well"]) <= spoilt


def test_clusters_separate_the_phenotypes(simulated):
    phenotypes = table(simulated, "phenotypes").merge(true_phenotypes(simulated), on=CELL)
    assert len(phenotypes) > 500
    assert homogeneity_score(phenotypes["Phenotype"], phenotypes["Cluster"]) >= 0.6

    features = table(simulated, "features").merge(true_phenotypes(simulated), on=CELL)
    k = features["Phenotype"].nunique()
    labels = KMeans(k, n_init=100, random_state=0).fit_predict(features.filter(regex="^PC_"))
    assert adjusted_rand_score(features["Phenotype"], labels) >= 0.6


def test_active_treatments_are_those_with_a_phenotype(simulated):
    wells = table(simulated, "wells")
    enrichment = table(simulated, "enrichment")
    controls = wells["Metadata_Role"].eq("negative_control").sum()
    assert enrichment["ControlWells"].max() == controls
    tested = enrichment["PValue"].dropna()
    assert ((tested > 0) & (tested <= 1)).all()
    assert (enrichment["AttainablePValue"].dropna() <= enrichment["PValue"].dropna() + 1e-12).all()


def test_a_second_start_has_nothing_to_do_and_the_report_opens_from_disk(simulated):
    report = (simulated / "results" / "report.html").read_text()
    assert "DEMO" in report or PLATE in report
    for reference in ('src="http', 'href="http', "<script src", "<link"):
        assert reference not in report
