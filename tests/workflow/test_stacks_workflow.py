"""Stacks through the workflow: one image is made of each, and everything later sees no stack."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from starts import planned, snakemake, write_config

from profiling.images.read import read_image
from profiling.tables import read_table

PATTERN = r"(?P<well>[A-Z]\d\d)_s(?P<site>\d)_z(?P<z>\d)_(?P<channel>\w+)\.tif$"
SHARP = 2


def nuclei(seed, z):
    rng = np.random.default_rng(seed)
    image = np.zeros((256, 256))
    image[tuple(rng.integers(20, 236, (2, 12)))] = 1
    image = gaussian_filter(image, 4 + 4 * abs(z - SHARP))
    return (200 + 4e6 * image + rng.normal(0, 5, image.shape)).clip(0, 65535).astype(np.uint16)


@pytest.fixture
def screen(tmp_path):
    (tmp_path / "images").mkdir()
    for seed, well in enumerate(("A01", "B02")):
        for z in (1, 2, 3):
            for channel in ("DNA", "Actin"):
                tifffile.imwrite(tmp_path / "images" / f"{well}_s1_z{z}_{channel}.tif", nuclei(seed, z))
    write_config(tmp_path, config(z="focus"))
    return tmp_path


def config(**images):
    return {
        "plates": [{"plate": "P", "images": "images", "layout": 6}],
        "channels": ["DNA", "Actin"],
        "chunks_per_plate": 2,
        "segmentation": {"engine": "classical", "cells_channel": "Actin"},
        "images": {"pattern": PATTERN, **images},
    }


def test_the_sharpest_plane_is_segmented_and_a_corrupt_plate_stops_before(screen):
    snakemake(screen, "results/fields/P.parquet", "results/config.json")
    images = read_table(screen / "results" / "images" / "P.parquet", "images")
    assert images[["Planes", "Plane", "Metadata_Z"]].drop_duplicates().to_numpy().tolist() == [[3, SHARP, 0]]
    path = screen / "results" / "chunks" / "P" / images.loc[images["Metadata_Well"].eq("B02"), "Path"].iloc[0]
    np.testing.assert_array_equal(read_image(path), nuclei(1, SHARP))
    fields = read_table(screen / "results" / "fields" / "P.parquet", "fields")
    assert fields["Segmented"].all()
    assert fields["CellCount"].gt(5).all()
    assert planned(screen, "results/fields/P.parquet") == set()

    draw = [str(Path(sys.executable).with_name("profiling")), "draw", "P", "A01", "--out", "drawn"]
    subprocess.run(draw, cwd=screen, check=True)
    assert list((screen / "drawn").iterdir())

    rescan = [str(Path(sys.executable).with_name("profiling")), "rescan"]
    assert b"unchanged" in subprocess.run(rescan, cwd=screen, capture_output=True, check=True).stderr
    tifffile.imwrite(screen / "images" / "A01_s1_z2_DNA.tif", nuclei(7, SHARP)[:, ::-1], compression="zlib")
    subprocess.run(rescan, cwd=screen, check=True)
    assert planned(screen, "results/fields/P.parquet") >= {"make_images", "merge_images", "illumination", "segment"}

    for well in ("A01", "B02"):
        for channel in ("DNA", "Actin"):
            (screen / "images" / f"{well}_s1_z2_{channel}.tif").write_bytes(b"")
    write_config(screen, config(z=SHARP))
    assert snakemake(screen, "results/flags/P.parquet", check=False).returncode
    log = (screen / "logs" / "usable" / "P.log").read_text()
    assert "plate P: 4 of 4 images failed, more than max_failed_images (0.5) allows" in log
    assert "is empty" in log
    assert not (screen / "results" / "flags" / "P.parquet").exists()


def test_a_stack_without_a_decision_is_an_error_that_names_the_setting(screen):
    write_config(screen, config())
    assert snakemake(screen, "results/images/P.parquet", check=False).returncode
    assert "say in images.z what becomes of them" in (screen / "logs" / "images" / "P.log").read_text()
