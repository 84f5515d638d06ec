"""Frozen models: a screen whose components, clusters and map are those of another one."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import CONFIG, PLATES, run_screen

from profiling.cli import main
from profiling.config import load_config
from profiling.config_files import unlike_models
from profiling.phenotypes.basis import basis, differences
from profiling.phenotypes.models import load_arrays, save_arrays
from profiling.results.verify import verify
from profiling.settings import Embedding, Normalisation
from profiling.tables import CELL_KEY, read_table

pytestmark = pytest.mark.xdist_group("results")
FITTED = ("models/reduction.npz", "models/clusters.npz", "models/map.npz", "clusters.parquet")
OF_SCREEN = ("wells", "treatments", "enrichment", "activity", "variance", "failures")
OF_PLATE = ("features/{}.parquet", "phenotypes/{}.parquet", "chunks/{}/wells.parquet", "chunks/{}/left_out.parquet")
SECOND = PLATES[1]


def without_fits(screen, folder):
    """A copy of a screen without anything that was fitted on it or made with that; its plates are still scaled."""
    shutil.copytree(screen, folder, ignore=shutil.ignore_patterns(".snakemake"))
    results = folder / "results"
    of_plates = [name.format(plate) for name in OF_PLATE for plate in PLATES]
    for name in (*FITTED, *(f"{name}.parquet" for name in OF_SCREEN), *of_plates, "config.json", "report.html"):
        (results / name).unlink()
    return folder


@pytest.fixture(scope="module")
def frozen(small_screen, tmp_path_factory):
    """One plate of the small screen with the models of the whole one, then the other plate added."""
    screen = without_fits(small_screen, tmp_path_factory.mktemp("frozen") / "a screen")
    config = CONFIG | {"models": os.path.relpath(small_screen / "results", screen), "clusters": {"k": 9}}
    first = run_screen(screen, config | {"plates": CONFIG["plates"][:1]})
    # Snakemake's records are not copied, so that it sees no edit: what the whole screen is in is made again.
    for name in ("config.json", "report.html", *(f"{name}.parquet" for name in OF_SCREEN)):
        (screen / "results" / name).unlink()
    added = run_screen(screen, config)
    return screen, first, added


def phenotypes(screen, plate):
    return read_table(screen / "results" / "phenotypes" / f"{plate}.parquet", "phenotypes")


def test_nothing_is_fitted_and_a_new_plate_runs_nothing_of_others(frozen):
    _, first, added = frozen
    assert [job.rule for job in first if job.rule in ("reduce", "clusters", "map", "scale")] == []
    assert "frozen_models" in {job.rule for job in first}
    assert not [job for job in added if any(PLATES[0] in output for output in job.outputs)]
    once = {job.rule for job in added if not any(SECOND in output for output in job.outputs)}
    assert once == {
        "configuration",
        "screen_wells",
        "treatments",
        "enrichment",
        "activity",
        "failures",
        "report",
        "provenance",
    }


@pytest.mark.parametrize("plate", PLATES)
def test_components_and_clusters_are_those_of_the_screen_that_was_fitted(small_screen, frozen, plate):
    screen, *_ = frozen
    for name in ("features", "phenotypes"):
        here, there = (
            pd.read_parquet(folder / "results" / name / f"{plate}.parquet") for folder in (screen, small_screen)
        )
        shared = [column for column in there if not column.startswith("Map_")]
        pd.testing.assert_frame_equal(here[shared], there[shared], check_exact=True)


def test_every_cell_has_a_place_and_those_of_the_map_their_own(small_screen, frozen):
    screen, *_ = frozen
    known = load_arrays(small_screen / "results/models/map.npz")
    places = phenotypes(screen, PLATES[0])[["Map_1", "Map_2"]].to_numpy()
    assert np.isfinite(places).all() and len(places)
    on_map = phenotypes(small_screen, PLATES[0])["Map_1"].notna().to_numpy()
    assert np.isin(places[on_map], known["coordinates"]).all()


def test_a_frozen_screen_verifies(frozen):
    assert verify(frozen[0] / "results") == []


def test_models_of_other_settings_are_refused_before_a_job_runs(small_screen):
    given = CONFIG | {"models": "results"}
    assert unlike_models(load_config(given), small_screen) == []
    other = given | {"embedding": CONFIG["embedding"] | {"crop": "31 px"}, "normalisation": {"clip": 7}}
    told = unlike_models(load_config(other), small_screen)
    assert [line.split(",")[0] for line in told[:-1]] == [
        f'models: embedding.crop: "{CONFIG["embedding"]["crop"]}" in the models',
        "models: normalisation.clip: 10.0 in the models",
    ]
    (small_screen / "models").mkdir()
    assert unlike_models(load_config(given | {"models": "models"}), small_screen) == []
    (small_screen / "models").rmdir()


def placed(results, tmp_path, settings, features=None):
    out = tmp_path / "phenotypes.parquet"
    features = features or results / f"features/{SECOND}.parquet"
    words = ["phenotypes", "--features", features, "--frozen", "--out", out]
    words += ["--clusters", results / "models/clusters.npz", "--map", results / "models/map.npz"]
    assert main([*map(str, words), "--settings", json.dumps(settings)]) == 0
    return read_table(out, "phenotypes")


def other_map(results, tmp_path):
    """A folder whose map has cells of the same keys, but not the same cells."""
    shutil.copytree(results, tmp_path / "other", ignore=shutil.ignore_patterns("labels", "chunks"))
    arrays = load_arrays(results / "models/map.npz")
    save_arrays(tmp_path / "other/models/map.npz", **arrays | {"components": arrays["components"][::-1]})
    return tmp_path / "other", arrays


def test_a_cell_of_the_same_key_is_not_the_same_cell(small_screen, tmp_path):
    results, arrays = other_map(small_screen / "results", tmp_path)
    table = placed(results, tmp_path, {"placed_per_plate": 7})
    mine = pd.DataFrame({name: arrays[name] for name in CELL_KEY}).assign(x=arrays["coordinates"][:, 0])
    both = table.dropna(subset="Map_1").merge(mine, on=CELL_KEY)
    assert len(both) == 7 and not both["Map_1"].eq(both["x"]).any()
    assert table.dropna(subset="Map_1")["Metadata_Well"].nunique() >= 5, "spread over the wells"


def test_all_are_placed_where_asked(small_screen, tmp_path):
    results, _ = other_map(small_screen / "results", tmp_path)
    assert placed(results, tmp_path, {"placed_per_plate": 0, "place_all": True})["Map_1"].notna().all()


def features_with(screen, tmp_path, change):
    """Features of the second plate after a change of its scaler."""
    results = screen / "results"
    arrays = load_arrays(results / "models/scalers" / f"{SECOND}.npz")
    change(arrays)
    save_arrays(tmp_path / "scaler.npz", **arrays)
    words = ["features", "--scaler", tmp_path / "scaler.npz", "--reduction", results / "models/reduction.npz"]
    for option in ("embeddings", "cells", "flags", "cell-flags", "platemap"):
        folder = {"cell-flags": "cell_flags", "platemap": "platemaps"}.get(option, option)
        words += [f"--{option}", results / folder / f"{SECOND}.parquet"]
    status = main([*map(str, words), "--out", f"{tmp_path}/f.parquet", "--out-left", f"{tmp_path}/left.parquet"])
    if status:
        return None, None
    return read_table(tmp_path / "f.parquet", "features"), read_table(tmp_path / "left.parquet", "failures")


def test_a_feature_without_spread_on_a_new_plate_is_zero_and_listed(small_screen, tmp_path):
    flat = 3
    reduction = load_arrays(small_screen / "results/models/reduction.npz")
    column = np.flatnonzero(np.flatnonzero(reduction["usable"]) == flat)[0]
    before, left_before = features_with(small_screen, tmp_path, lambda arrays: None)
    table, left = features_with(small_screen, tmp_path, lambda arrays: arrays["mad"].__setitem__(flat, 0.0))
    # What the feature added to each component is gone, and nothing else.
    taken = before.filter(like="PC_").to_numpy() - table.filter(like="PC_").to_numpy()
    loading = reduction["components"][:, column]
    z = taken @ loading / (loading @ loading)
    assert np.allclose(taken, np.outer(z, loading), atol=1e-4) and np.std(z) > 0.1
    added = left[~left["Reason"].isin(left_before["Reason"])]
    assert len(added) == 1 and "1 of the" in added["Reason"].iloc[0] and "Embedding_DNA[3]" in added["Reason"].iloc[0]
    assert left["Cells"].sum() == left_before["Cells"].sum()


def test_a_plate_on_which_no_feature_has_spread_is_left_out(small_screen, tmp_path):
    table, left = features_with(small_screen, tmp_path, lambda arrays: arrays["mad"].fill(0.0))
    assert table.empty
    assert left["Reason"].str.contains("not normalised: no feature of the models has spread").sum() == 1
    for place_all in (False, True):
        settings = {"place_all": place_all}
        assert placed(small_screen / "results", tmp_path, settings, tmp_path / "f.parquet").empty


def test_a_plate_embedded_otherwise_than_the_models_is_refused_by_name(small_screen, tmp_path, capsys):
    def change(arrays):
        arrays["basis"] = str(arrays["basis"]).replace("64 px", "80 px")

    assert features_with(small_screen, tmp_path, change) == (None, None)
    assert 'embedding.crop: "64 px" in the models, "80 px" in this screen' in capsys.readouterr().err


def take(source, tmp_path, *arguments, embedding=None, channels=CONFIG["channels"], normalisation="{}", sha="ab" * 32):
    (tmp_path / "backbone.json").write_text(json.dumps({"sha256": sha}))
    words = ["frozen-models", "--from", source, "--backbone", tmp_path / "backbone.json", "--channels", *channels]
    words += ["--embedding", json.dumps(embedding or CONFIG["embedding"]), "--normalisation", normalisation]
    return main([*map(str, words), "--out", str(tmp_path / "results"), *arguments])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha": "cd" * 32}, 'weights: "ababababababababab'),
        ({"channels": ["DNA", "Reporter", "Actin"]}, "channels: ["),
        ({"embedding": {"crop": "80 px"}}, 'embedding.crop: "64 px" in the models, "80 px" in this screen'),
        (
            {"embedding": {"crop": "64 px", "pooling": "mean"}},
            'embedding.pooling: the default in the models, "mean" in this',
        ),
        ({"normalisation": '{"clip": 5}'}, "normalisation.clip: 10.0 in the models, 5.0 in this screen"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_misfit_is_refused_by_name(small_screen, tmp_path, capsys, changes, message):
    assert take(small_screen / "results", tmp_path, **changes) == 1
    said = capsys.readouterr().err
    assert message in said and "do not fit this screen" in said
    assert not (tmp_path / "results").exists()


def test_what_changes_no_number_is_no_misfit(small_screen, tmp_path):
    embedding = CONFIG["embedding"] | {"device": "cpu", "dtype": "float32", "thumbnails_per_well": 9}
    normalisation = '{"minimum_wells": 1, "cells_per_well": 20}'
    assert take(small_screen / "results", tmp_path, embedding=embedding, normalisation=normalisation) == 0
    for name in FITTED:
        assert (tmp_path / "results" / name).read_bytes() == (small_screen / "results" / name).read_bytes()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("reduction", lambda arrays: arrays.pop("basis"), "do not say what they were fitted on"),
        ("clusters", lambda arrays: arrays.pop("reduction"), "do not say what they were fitted on"),
        ("reduction", lambda arrays: arrays["mean"].__iadd__(1), "belong to other principal components"),
        ("map", None, "is not a whole file of arrays"),
    ],
    ids=["an older reduction", "older clusters", "a refit in between", "a file cut off"],
)
def test_models_that_cannot_be_used_are_refused_with_a_message(small_screen, tmp_path, capsys, file, change, message):
    for name in FITTED:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(small_screen / "results" / name, tmp_path / "source" / name)
    path = tmp_path / "source/models" / f"{file}.npz"
    if change:
        arrays = load_arrays(path)
        change(arrays)
        save_arrays(path, **arrays)
    else:
        path.write_bytes(path.read_bytes()[:100])
    assert take(tmp_path / "source", tmp_path) == 1
    assert message in capsys.readouterr().err


def test_units_are_compared():
    cells = basis(["DNA"], "ab", Embedding(), Normalisation())
    assert differences(cells, basis(["DNA"], "ab", Embedding(), Normalisation(), "field")) == [
        'unit: "cell" in the models, "field" in this screen'
    ]


def test_verify_finds_models_of_another_fit(small_screen, tmp_path):
    shutil.copytree(small_screen / "results", tmp_path / "results")
    path = tmp_path / "results/models/reduction.npz"
    arrays = load_arrays(path)
    save_arrays(path, **arrays | {"mean": arrays["mean"] + 1})
    found = {finding.file for finding in verify(tmp_path / "results") if "other principal components" in finding.what}
    assert found == {"models/clusters.npz", "models/map.npz", *(f"features/{plate}.parquet" for plate in PLATES)}
