import sys
import time

import numpy as np
import pytest
import tifffile

from benchmarks import speed
from benchmarks.naive_loop import _read, _write, cut_field, run_network
from benchmarks.speed import NETWORKS, take_turns
from profiling.settings import Embedding


def test_the_naive_loop_cuts_masks_and_scales_each_cell(tmp_path):
    plane = np.arange(400, dtype=np.uint16).reshape(20, 20)
    paths = [tmp_path / f"{index}.tif" for index in range(3)]
    for index, path in enumerate(paths):
        tifffile.imwrite(path, plane * (index + 1), compression="lzw")
    labels = np.zeros((20, 20), np.uint32)
    labels[4:8, 4:8], labels[12:, 12:] = 1, 2
    first, second = cut_field(paths, labels, np.array([[6.0, 6.0], [19.0, 19.0]]), [1, 2], 8)
    assert first.shape == second.shape == (3, 8, 8)
    assert (first[:, :2] == 0).all() and (first[:, 6:] == 0).all()
    assert first.max(axis=(1, 2)) == pytest.approx([1, 1, 1])
    assert np.allclose(first[0], first[2], atol=1e-6)  # each crop has limits of its own
    assert (second[0] > 0).sum() > 40  # what lies outside is a reflection, with its labels


def test_crops_from_disk_are_resized_for_the_network():
    crops = [np.full((3, 16, 16), value, np.float16) for value in (0.25, 0.5)]
    features = run_network(iter(crops), lambda batch: batch.mean((2, 3)), 8)
    assert np.allclose(features, [[0.25] * 3, [0.5] * 3])


def test_crops_come_back_from_disk_as_half_floats(tmp_path):
    crop = np.random.default_rng(0).random((16, 16))
    with open(tmp_path / "crops", "w+b") as file:
        size = _write(file, crop)
        file.seek(0)
        assert np.array_equal(_read(file, size, 16), crop.astype(np.float16))


def test_the_fastest_turn_counts():
    waits = iter([0.05, 0.0, 0.0])

    def step():
        end = time.process_time() + next(waits)
        while time.process_time() < end:
            pass
        return 7

    seconds, counts = take_turns({"step": step}, 2)
    assert seconds["step"] < 0.04
    assert counts == {"step": 7}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_that_are_measured_are_valid_settings(name):
    settings = Embedding(**{"crop": "96 px", **NETWORKS[name]})
    assert settings.precision == name.split()[-1]
    assert (settings.composite is None) == ("channels" in name)


STUB = """
import json, sys
import numpy as np
images, nuclei, cells = (np.load(f"{sys.argv[1]}/{name}.npy") for name in ("images", "nuclei", "cells"))
assert images.shape == (3, 90 + 128, 2 * 80 + 128) and images.dtype == np.uint16
assert nuclei.shape == cells.shape == images.shape[1:]
assert not cells[:64].any() and not cells[:, -64:].any()
assert (cells[nuclei > 0] == nuclei[nuclei > 0]).all()
count = len(np.unique(nuclei)) - 1
for slower in (1, 0):
    for times in (1, 4):
        seconds = {"extraction": 2 + times * count / 100, "features": 3 + times * count / 50 + slower, "loading": times}
        print(json.dumps({"cells": times * count, "bytes": times * count * 1000, **seconds}))
"""


def test_the_peer_is_asked_for_all_cells_and_its_start_is_subtracted(tmp_path, monkeypatch, capsys):
    cells = np.repeat(np.arange(9, dtype=np.uint32).reshape(3, 3), 30, 0).repeat(30, 1)[:, :80]
    nuclei = np.where(np.indices(cells.shape).sum(0) % 3 == 0, cells, 0)
    image = np.arange(3 * cells.size, dtype=np.uint16).reshape(3, *cells.shape)
    monkeypatch.setattr(speed, "read_masked_fields", lambda _: iter([(image, nuclei, cells)] * 2))
    (tmp_path / "stub.py").write_text(STUB)
    monkeypatch.setattr(speed, "PEER_WORKER", tmp_path / "stub.py")
    assert speed.measure_peer(sys.executable, None, 1) == pytest.approx(1 / (1 / 100 + 1 / 50))
    said = capsys.readouterr().out
    assert "scPortrait, 16 cells" in said
    assert "extraction 100 (2.0 s), features 50 (3.0 s); 1.0 kB" in said
