import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.degradation import SWEEPS
from benchmarks.labelled_fields import Field, choose_fields, list_fields, read_fields
from benchmarks.segmentation import brief, evaluate, main, summarise, summarise_errors
from benchmarks.segmentation_kinds import link_fields
from profiling.cells import load_segmenter
from profiling.cells.cytoplasm import median_diameter

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PROFILING_DATA", ROOT.parent / "shared" / "data"))


def discs(centres, radius=9, shape=(120, 150), noise=4.0, seed=0):
    """Discs on noisy background, (H, W) uint16, and their labels."""
    labels = np.zeros(shape, np.uint8)
    for number, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, radius, number, -1)
    image = 100 + 400 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1)
    return (image + np.random.default_rng(seed).normal(0, noise, shape)).round().astype(np.uint16), labels


def field(centres=((30, 30), (80, 40), (110, 90)), seed=0, **options):
    return Field(f"field{seed}", seed, *discs(centres, seed=seed, **options))


@pytest.fixture
def folder(tmp_path):
    """Four fields of two sizes in three groups."""
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for number, (shape, group) in enumerate([((120, 150), 0), ((120, 150), 0), ((120, 150), 5), ((100, 110), 7)]):
        image, labels = discs([(30, 30), (80, 40)][: 1 + number % 2], shape=shape, seed=number)
        cv2.imwrite(str(tmp_path / "images" / f"f{number}.png"), image)
        cv2.imwrite(str(tmp_path / "labels" / f"f{number}.png"), labels)
        with (tmp_path / "index.csv").open("a") as index:
            index.write("image,field_group\n" if number == 0 else "")
            index.write(f"f{number},{group}\n")
    return tmp_path


def test_fields_are_chosen_by_group_kind_and_number(folder):
    fields = list_fields(folder)
    assert fields["Group"].tolist() == [0, 0, 5, 7]
    assert choose_fields(fields, holdout=5)["Image"].tolist() == ["f0", "f1", "f2"]
    assert choose_fields(fields, groups=["7", "5"])["Image"].tolist() == ["f2", "f3"]
    assert choose_fields(fields, kind="100x110")["Image"].tolist() == ["f3"]
    assert choose_fields(fields, limit=2)["Image"].tolist() == ["f0", "f3"]
    assert list_fields(folder, "none")["Group"].tolist() == ["f0", "f1", "f2", "f3"]
    with pytest.raises(ValueError, match="no groups 9"):
        choose_fields(fields, groups=["9"])
    with pytest.raises(ValueError, match="No field"):
        choose_fields(fields, kind="1x1")
    with pytest.raises(ValueError, match="integers"):
        choose_fields(list_fields(folder, "none"), holdout=5)


def test_a_folder_with_gaps_is_refused(folder):
    (folder / "labels" / "f1.png").unlink()
    with pytest.raises(ValueError, match=r"f1\.png"):
        list_fields(folder)


def test_image_and_labels_of_different_size_are_refused(folder):
    cv2.imwrite(str(folder / "labels" / "f3.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(ValueError, match="f3"):
        list(read_fields(list_fields(folder)))


def test_known_answers_of_a_whole_evaluation():
    truth = np.zeros((20, 60), np.uint8)
    truth[:, 0:10], truth[:, 20:30], truth[:, 40:50] = 1, 2, 3
    image = np.zeros(truth.shape, np.uint8)
    whole = truth.astype(np.uint32)
    two_of_three = np.where(whole == 3, 0, whole)
    two_of_three[:, 27:30] = 0  # IoU 0.7
    predictions = {"a": whole, "b": two_of_three, "empty": np.zeros_like(whole)}
    fields = [Field("a", "x", image, truth), Field("b", "x", image, truth), Field("empty", "y", image, truth * 0)]
    calls = []

    def segment(field):
        calls.append(field.name)
        return predictions[field.name]

    table = evaluate(iter(fields), segment)
    assert calls == ["a", "a", "b", "empty"]  # the first one warms up
    assert table["AP50"].tolist() == [1, 2 / 3, 1]
    assert table["AP75"].tolist() == [1, 1 / 4, 1]
    result = summarise(table).set_index("IoU")
    assert result.loc[0.5].tolist() == pytest.approx([8 / 9, (5 / 6 + 1) / 2, 5 / 6])
    errors = summarise_errors(table)
    assert (errors["true"], errors["predicted"], errors["missed"]) == (6, 5, 1)
    assert errors["count error a field"] == pytest.approx(1 / 3)
    assert errors["matched IoU"] == pytest.approx((4 + 0.7) / 5)
    assert brief({"all": table})["AP75"].tolist() == pytest.approx([0.75])


@pytest.mark.parametrize("name", SWEEPS)
def test_first_step_leaves_a_field_as_it_is(name):
    sweep = SWEEPS[name]
    same = sweep.degrade(field(), sweep.steps[0], np.random.default_rng(0), lambda rng: field(seed=1))
    assert np.allclose(same.image, field().image, rtol=1e-5)
    assert np.array_equal(same.truth, field().truth)


def test_steps_are_in_units_of_the_nuclei():
    rng = np.random.default_rng(0)
    clean = field(noise=0)
    noisy = SWEEPS["noise"].degrade(clean, 0.5, rng, None)
    assert (noisy.image - clean.image).std() == pytest.approx(200, rel=0.02)  # half of the contrast, 400
    assert median_diameter(clean.truth) == pytest.approx(18, abs=1)
    large = SWEEPS["scale"].degrade(clean, 2, rng, None)
    assert large.image.shape == large.truth.shape == (240, 300)
    assert median_diameter(large.truth) == pytest.approx(2 * median_diameter(clean.truth), rel=0.01)
    small = SWEEPS["scale"].degrade(clean, 0.35, rng, None)
    assert set(np.unique(small.truth)) == {0, 1, 2, 3}
    bent = SWEEPS["gamma"].degrade(clean, 2.5, rng, None).image
    assert (bent.min(), bent.max()) == pytest.approx((clean.image.min(), clean.image.max()))
    assert np.median(bent) <= np.median(clean.image)


@given(st.integers(0, 200), st.sampled_from([1, 3]))
def test_pasted_nuclei_are_in_the_image_and_in_the_truth(seed, guests):
    def other(rng):
        return field([tuple(rng.integers(5, 115, 2)) for _ in range(4)], seed=int(rng.integers(1000)), noise=1)

    host = field(noise=1)
    full = SWEEPS["density"].degrade(host, guests, np.random.default_rng(seed), other)
    assert np.array_equal(full.truth[host.truth > 0], host.truth[host.truth > 0])
    new = (full.truth > 0) & (host.truth == 0)
    assert full.image.shape == host.image.shape
    core = cv2.erode(new.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert (full.image[core] > host.image[core] + 200).all()
    far = cv2.dilate((full.truth > 0).astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
    assert np.allclose(full.image[far], host.image[far], atol=1)


def test_command_line_writes_the_table(folder, tmp_path, capsys):
    main([str(folder), "--diameter", "18", "--holdout", "5", "--by", "kind", "--table", str(tmp_path / "t.csv")])
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["Image"].tolist() == ["f0", "f1", "f2"]
    assert (table["AP75"] == 1).all()
    printed = capsys.readouterr().out
    assert "120x150" in printed and "3 fields, 4 true and 4 predicted objects" in printed


def test_command_line_sweeps(folder, tmp_path, capsys):
    main([str(folder), "--diameter", "18", "--sweep", "scale", "--table", str(tmp_path / "t.parquet")])
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert table["Step"].unique().tolist() == list(SWEEPS["scale"].steps)
    assert table.groupby("Step")["AP50"].mean()[[1.0, 2.0]].tolist() == [1, 1]  # a given diameter follows the scale
    assert "coverage" in capsys.readouterr().out


def test_masks_from_elsewhere_are_judged(folder, capsys):
    main([str(folder), "--predicted", str(folder / "labels")])
    assert "0 missed, 0 spurious; mean IoU of matches 1.000" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "FOLDER"),
        (["x", "--table", "t.txt"], r"\.csv or \.parquet"),
        (["x", "--sweep", "noise", "--predicted", "y"], "labelled fields and an engine"),
    ],
)
def test_wrong_arguments_are_told(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.skipif(not (DATA / "dsb2018").exists(), reason=f"no public data in {DATA}")
def test_quality_on_public_nuclei():
    fields = choose_fields(list_fields(DATA / "dsb2018" / "train"), limit=30)
    segmenter = load_segmenter("classical", nucleus_diameter=None)
    result = summarise(evaluate(read_fields(fields), lambda field: segmenter.segment(field.image)))
    precision = result.set_index("IoU")["AP, mean over images"]
    assert precision[0.5] > 0.72
    assert precision[0.75] > 0.56


def test_specks_below_a_share_of_the_median_nucleus_are_ignored():
    truth = discs([(30, 30), (80, 40), (110, 90)])[1]
    predicted = truth.copy()
    truth[100:104, 20:24] = 7  # annotated, not found
    predicted[60:64, 120:124] = 9  # found, not annotated
    truth[10:15, 100:105] = 11  # below the limit, found by something above it
    predicted[10:15, 100:106] = 11
    one = Field("f", 0, truth, truth)
    strict, lenient = (evaluate([one], lambda _: predicted, smallest).iloc[0] for smallest in (0, 28 / 253))
    assert strict["AP50"] == pytest.approx(4 / 6)
    assert lenient["AP50"] == 1
    assert (lenient["TrueObjects"], lenient["PredictedObjects"]) == (3, 3)


def test_a_kind_that_is_held_out_is_not_trained_on(folder, tmp_path):
    """In a process of its own, as training starts workers."""
    command = [sys.executable, "-m", "benchmarks.segmentation_kinds", folder, tmp_path / "out"]
    done = subprocess.run([*command, "--kinds", "100x110", "--steps", "1"], cwd=ROOT, capture_output=True, text=True)
    assert "kind unseen, all" in done.stdout, done.stderr
    trained = tmp_path / "out" / "without 100x110" / "fields"
    assert sorted(path.stem for path in (trained / "images").iterdir()) == ["f0", "f1", "f2"]
    with pytest.raises(ValueError, match="holds other fields"):
        link_fields(list_fields(folder), trained)
