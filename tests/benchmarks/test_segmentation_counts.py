from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.segmentation_counts import compare_marks, draw_picture

MARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "bbbc013_nuclei.csv"


def test_every_disagreement_is_counted_once(tmp_path):
    labels = np.zeros((60, 80), np.uint32)
    labels[5:15, 5:15] = 1  # one mark
    labels[5:15, 30:60] = 2  # two marks
    labels[40:50, 5:15] = 3  # no mark
    labels[40:50, 60:70] = 4  # its mark is 2 px beside
    cv2.imwrite(str(tmp_path / "a.png"), labels.astype(np.uint8))
    places = [(10, 10), (10, 35), (10, 55), (45, 58), (30, 30)]  # the last one on background
    marks = pd.DataFrame(places, columns=["row", "column"]).assign(image="a.png", unsure=0)
    row = compare_marks(marks, lambda image: labels, tmp_path).iloc[0]
    assert row[["by eye", "engine", "missed", "merged", "unmarked"]].tolist() == [5, 4, 1, 1, 1]
    assert row["difference"] == row["unmarked"] - row["missed"] - row["merged"] == -1


def test_pictures_to_mark_show_no_outlines():
    image = np.random.default_rng(0).integers(0, 200, (20, 30)).astype(np.uint8)
    plain, drawn = draw_picture(image), draw_picture(image, np.eye(20, 30, dtype=np.uint32))
    assert (plain[..., 0] == plain[..., 1]).all() and (drawn[..., 0] != drawn[..., 1]).any()


def test_marks_are_one_a_nucleus():
    marks = pd.read_csv(MARKS)
    assert marks["image"].nunique() == 10
    assert marks["row"].between(0, 639).all() and marks["column"].between(0, 639).all()
    for _, field in marks.groupby("image"):
        places = field[["row", "column"]].to_numpy()
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        assert distance[np.triu_indices(len(places), 1)].min() > 5
