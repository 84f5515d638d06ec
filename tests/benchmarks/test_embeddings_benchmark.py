import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.embeddings import ROWS, main, read_crops, scale_crops, segment_crops, shape_features
from benchmarks.probe import (
    accuracies,
    choose_and_confirm,
    cluster_agreement,
    linear_probe,
    plate_error,
    predict_across,
)
from profiling.settings import Embedding

NUMBERS = np.repeat(np.arange(10), 20)
PLATES = np.char.add("P", NUMBERS.astype(str))
Y = np.tile(["a", "b"], 100)


def informative(seed=0, shift=3.0):
    x = np.random.default_rng(seed).normal(size=(200, 6))
    x[:, 0] += shift * (Y == "a")
    return x


@pytest.fixture
def folder(tmp_path):
    """Large and small discs on twelve plates."""
    rng, rows = np.random.default_rng(0), []
    for number in range(48):
        phenotype = ("large", "small")[number % 2]
        crop = rng.integers(0, 12, (64, 64)).astype(np.uint8)
        cv2.circle(crop, (32, 32), 18 if phenotype == "large" else 8, 150, -1)
        (tmp_path / phenotype).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / phenotype / f"{number}.png"), crop)
        rows.append({"phenotype": phenotype, "plate": f"P{number // 4}", "file": f"{number}.png"})
    pd.DataFrame(rows).to_csv(tmp_path / "index.csv", index=False)
    return tmp_path


def test_plates_tell_the_probe_nothing():
    """Features that give away the plate, and each plate a phenotype of its own: chance at best on other plates."""
    y = np.where(NUMBERS % 2 == 0, "a", "b")
    x = np.eye(10)[NUMBERS]
    assert accuracies(y, predict_across(x, y, PLATES, linear_probe()))[1] <= 0.6
    assert accuracies(Y, predict_across(informative(), Y, PLATES, linear_probe()))[0] > 0.9


def test_balanced_accuracy_weighs_phenotypes_alike():
    y = np.array(["a"] * 9 + ["b"])
    assert accuracies(y, np.array(["a"] * 10)) == (0.9, 0.5)


def test_error_grows_when_plates_differ():
    right = np.random.default_rng(0).random(200) < 0.7
    scattered = np.where(right, Y, "c")
    by_plate = np.where(NUMBERS < 7, Y, "c")  # whole plates go wrong
    assert plate_error(Y, by_plate, PLATES)[0] == pytest.approx(np.sqrt(0.7 * 0.3 / 10), rel=0.2)
    assert plate_error(Y, scattered, PLATES)[0] < 0.5 * plate_error(Y, by_plate, PLATES)[0]
    assert plate_error(Y, Y, PLATES) == (0, 0)


def test_clusters_that_are_phenotypes_agree():
    assert cluster_agreement(informative(shift=40), Y, starts=3, seeds=(0,)) == (1, 1)
    assert abs(cluster_agreement(informative(shift=0), Y, starts=3, seeds=(0,))[0]) < 0.1


def test_choice_is_confirmed_on_plates_it_did_not_see():
    features = {"good": informative(shift=4), "noise": informative(1, shift=0)}
    found = choose_and_confirm(features, Y, PLATES, linear_probe(), splits=3)
    assert [name for name, _ in found] == ["good"] * 3
    assert all(confirmed["good"][0] > 0.9 > 0.7 > confirmed["noise"][0] for _, confirmed in found)


def test_limits_of_a_plate_undo_its_exposure():
    crops = np.random.default_rng(0).integers(0, 100, (6, 16, 16)).astype(np.uint8)
    crops[3:] = 2 * crops[:3]
    plates = np.repeat(["P1", "P2"], 3)
    scaled = scale_crops(crops, plates, "plate")
    np.testing.assert_allclose(scaled[:3], scaled[3:], atol=1e-5)
    np.testing.assert_allclose(scale_crops(crops, plates), crops / np.float32(255), atol=1e-6)


def test_shape_is_that_of_the_nucleus_in_the_middle():
    crop = np.full((1, 64, 64), 5, np.uint8)
    cv2.circle(crop[0], (32, 32), 9, 150, -1)
    cv2.circle(crop[0], (60, 8), 12, 250, -1)
    labels, own = segment_crops(crop)
    assert labels[0, 32, 32] == own[0] > 0
    assert shape_features(crop, labels, own)[0, 0] == pytest.approx((labels == own[0]).sum())  # the area
    empty = np.zeros_like(crop)
    assert not shape_features(empty, *segment_crops(empty)).any()


def test_table_from_a_folder(folder, capsys, tmp_path):
    settings = '{"layers": ["blocks.1"], "input_size": 32, "pooling": "mean+std", "neighbours": "mask"}'
    main([str(folder), "--rows", "--settings", settings, "--seeds", "1", "--no-clusters",
          "--choose", "2", "--table", str(tmp_path / "t.csv")])  # fmt: skip
    table = pd.read_csv(tmp_path / "t.csv", index_col=0)
    assert table.loc[settings, "accuracy"] == 1 and table.loc[settings, "bytes"] == 2 * 2 * 24
    assert "the best of the first half" in capsys.readouterr().out


def test_unusable_folders_are_named(folder):
    index = pd.read_csv(folder / "index.csv")
    index.drop(columns="plate").to_csv(folder / "index.csv", index=False)
    with pytest.raises(ValueError, match=r"index\.csv.*plate"):
        read_crops(folder)
    index.assign(file="none.png").to_csv(folder / "index.csv", index=False)
    with pytest.raises(ValueError, match=r"none\.png is no image"):
        read_crops(folder)
    index.to_csv(folder / "index.csv", index=False)
    cv2.imwrite(str(folder / "small" / "47.png"), np.zeros((32, 32), np.uint8))
    with pytest.raises(ValueError, match=r"47\.png differs"):
        read_crops(folder)


def test_every_row_is_a_valid_setting():
    assert all(Embedding(**row.settings).layers for row in ROWS.values())
