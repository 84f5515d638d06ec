"""An edit of the configuration reruns what it touches, nothing else."""

import os
import shutil

import pytest
import yaml
from small_screen import make_screen
from starts import planned, snakemake, write_config

from profiling.cells.learned.weights import SHIPPED, read_weights, write_weights
from profiling.config import RULES, SECTIONS, Config

pytestmark = pytest.mark.xdist_group("simulated")

AFTER_WELLS = {"treatments", "enrichment", "activity"}
AFTER_FEATURES = {"clusters", "map", "phenotypes", "wells", "screen_wells"} | AFTER_WELLS
AFTER_CELLS = {"scale", "reduce", "features", "failures"} | AFTER_FEATURES
AFTER_LIMITS = {"embed", "merge_cells", "flags"} | AFTER_CELLS
AFTER_SEGMENTATION = {"merge_fields", "overlays"} | AFTER_LIMITS
AFTER_ILLUMINATION = {"limits", "segment"} | AFTER_SEGMENTATION
AFTER_IMAGES = {"quality", "merge_quality", "usable", "illumination", "platemap"} | AFTER_ILLUMINATION
ALWAYS = {"configuration", "report", "provenance"}
EDITS = {
    "images": ({"pattern": r"(?P<well>[A-Z]\d\d)_s(?P<site>\d+)_(?P<channel>\w+)\.tif$"}, {"images"} | AFTER_IMAGES),
    "quality": ({"bit_depth": 14}, {"quality", "merge_quality", "usable", "flags"} | AFTER_CELLS),
    "illumination": ({"dark": 90}, {"illumination"} | AFTER_ILLUMINATION),
    "limits": ({"high": 99.5}, {"limits"} | AFTER_LIMITS),
    "segmentation": ({"nucleus_diameter": "16 um"}, {"segment"} | AFTER_SEGMENTATION),
    "tiles": ({"size": "100 px"}, set()),
    "overlays": ({"worst_sites": 2}, {"overlays"}),
    "embedding": ({"crop": "50 um", "pooling": "mean"}, {"backbone"} | AFTER_LIMITS),
    "platemap": (
        {
            "concentration_unit": "nM",
            "role_rules": [{"column": "compound", "matches": "^noco", "role": "positive_control"}],
        },
        {"platemap"} | AFTER_CELLS,
    ),
    "flags": ({"focus_mads": 3}, {"flags"} | AFTER_CELLS),
    "normalisation": ({"clip": 8}, {"scale", "reduce", "features", "failures"} | AFTER_FEATURES),
    "reduction": ({"components": 20}, {"reduce", "features", "failures"} | AFTER_FEATURES),
    "clusters": ({"k": 10}, {"clusters", "phenotypes", "wells", "screen_wells"} | AFTER_WELLS),
    "map": ({"perplexity": 20}, {"map", "phenotypes", "wells", "screen_wells"} | AFTER_WELLS),
    "wells": ({"minimum_cells": 5}, {"wells", "screen_wells"} | AFTER_WELLS),
    "statistics": ({"alpha": 0.1}, {"enrichment", "activity"}),
    "report": ({"cells_per_cluster": 4}, set()),
    "max_failed_images": (0.2, {"usable", "flags"} | AFTER_CELLS),
    "models": ("frozen", {"frozen_models"} | AFTER_CELLS - {"scale", "reduce", "clusters", "map"}),
    "unit": ("tile", {"units", "backbone"} | AFTER_SEGMENTATION - {"overlays"}),
    "seed": (7, {"clusters", "map", "phenotypes", "wells", "screen_wells", "enrichment", "activity", "treatments"}),
}
"""Section → an edit of it and the rules that run for it; those of ALWAYS follow."""

NOT_HERE = {"make_images", "segment", "units", "backbone", "precision", "frozen_models"}
"""Rules that this screen or an edit of it does not have, or that run only where other keys are left out."""


def test_every_key_has_an_entry():
    assert set(EDITS) == (set(SECTIONS) | {"seed", "max_failed_images", "unit", "models"})
    assert set(RULES) == set(Config.model_fields)
    for section, (_, rules) in EDITS.items():
        assert set(RULES[section]) <= rules | {"report"} | NOT_HERE, section


@pytest.mark.parametrize("section", EDITS)
def test_an_edit_reruns_exactly_what_it_touches(simulated, section):
    edits_rerun(simulated, section)


@pytest.mark.parametrize(
    "sections",
    [
        ("quality", "segmentation"),
        ("quality", "embedding"),
        ("quality", "overlays"),
        ("max_failed_images", "limits"),
        ("flags", "clusters", "statistics"),
        ("illumination", "wells"),
    ],
    ids=" ".join,
)
def test_edits_at_once_rerun_what_each_of_them_touches(simulated, sections):
    """A job that follows a rerun through `ancient` files alone is not asked whether it was edited (Snakemake 9.27)."""
    edits_rerun(simulated, *sections)


def test_a_well_that_is_left_out_is_segmented_and_embedded_no_more(simulated):
    path = simulated / "config.yaml"
    original = path.read_text()
    config = yaml.safe_load(original)
    config["plates"][0]["exclude"] = ["B02"]
    try:
        write_config(simulated, config)
        assert planned(simulated) >= {"quality", "segment", "embed"} | AFTER_CELLS
        write_config(simulated, yaml.safe_load(original) | {"chunks_per_plate": 3})
        assert planned(simulated) >= {"quality", "segment", "embed"} | AFTER_CELLS
    finally:
        path.write_text(original)


def edits_rerun(simulated, *sections):
    """Check that edits of sections rerun what `EDITS` says of them, no more and no less."""
    path = simulated / "config.yaml"
    original = path.read_text()
    config, expected = yaml.safe_load(original), set()
    for section in sections:
        edit, rules = EDITS[section]
        config[section] = {**config.get(section, {}), **edit} if isinstance(edit, dict) else edit
        expected |= rules
        if section == "models":
            shutil.copytree(simulated / "results", simulated / edit, dirs_exist_ok=True)
    try:
        write_config(simulated, config)
        assert planned(simulated) == expected | ALWAYS
    finally:
        path.write_text(original)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"device": "cpu", "batch_size": 7}, set()),
        ({"crop": "50 um"}, AFTER_LIMITS),
        ({"thumbnails_per_well": 5}, AFTER_LIMITS),
        ({"precision": "auto"}, {"precision"} | AFTER_LIMITS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_an_edit_of_the_embedding_reruns_no_more_than_it_touches(simulated, edit, expected):
    path = simulated / "config.yaml"
    original = path.read_text()
    config = yaml.safe_load(original)
    config["embedding"] = {**config.get("embedding", {}), **edit}
    try:
        write_config(simulated, config)
        assert planned(simulated) == expected | ALWAYS
    finally:
        path.write_text(original)


def test_comments_order_and_defaults_rerun_nothing(simulated):
    path = simulated / "config.yaml"
    original = path.read_text()
    config = dict(reversed(yaml.safe_load(original).items()))
    config["clusters"] = {"n_init": 10, **config["clusters"]}
    try:
        path.write_text("# a comment\n" + yaml.safe_dump(config, sort_keys=False))
        assert planned(simulated) == set()
    finally:
        path.write_text(original)


def test_a_corrected_plate_map_reruns_no_pixel_work(simulated):
    path = simulated / "demo" / "platemap.csv"
    original = path.read_text()
    try:
        path.write_text(original.replace("nocodazole", "colchicine"))
        assert planned(simulated) == {"platemap", "report", "provenance"} | AFTER_CELLS
    finally:
        path.write_text(original)


@pytest.mark.parametrize(
    ("target", "file", "rule"), [("all", "report.html", "report"), ("embedded", "overlays/00123.parquet", "overlays")]
)
def test_a_check_that_is_done_again_hides_nothing_that_is_missing(simulated, target, file, rule, tmp_path):
    missing = simulated / "results" / file
    kept = shutil.move(missing, tmp_path)
    try:
        assert planned(simulated, "--forcerun", "usable", "--", target) >= {"usable", rule}
    finally:
        shutil.move(kept, missing)


def test_a_moved_screen_is_up_to_date(simulated, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(simulated, moved, symlinks=True)
    assert planned(moved) == set()


def test_other_weights_segment_anew_whatever_the_time_of_their_file(tmp_path):
    """As `mv`, `cp -p` and `rsync -t` leave them; the file is too large for Snakemake to compare it by content."""
    screen = make_screen(tmp_path, segmentation={"weights": "mine.safetensors"})
    path = screen / "mine.safetensors"
    shutil.copy(SHIPPED, path)
    target = "results/chunks/P-1/1/segmented.parquet"
    snakemake(screen, "--", target)
    assert planned(screen, "--", target) == set()
    weights = read_weights(path)
    write_weights(path, {name: values * 1.01 for name, values in weights.items()}, {})
    os.utime(path, (1, 1))
    assert planned(screen, "--", target) == {"segment"}


def test_another_plate_map_is_read_whatever_the_time_of_its_file(tmp_path):
    screen = make_screen(tmp_path)
    target = "results/platemaps/P-1.parquet"
    snakemake(screen, "--", target)
    assert planned(screen, "--", target) == set()
    path = screen / "demo" / "platemap.csv"
    path.write_text(path.read_text().replace("barasertib", "colchicine"))
    os.utime(path, (1, 1))
    assert planned(screen, "--", target) == {"platemap"}
