"""`profiling adapt-backbone` on a screen of two small plates, and the training on crops alone."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from safetensors import safe_open
from safetensors.torch import load_file

from profiling.embeddings.adapt import train as training
from profiling.embeddings.adapt.jobs import adapt_backbone
from profiling.embeddings.adapt.settings import adaptation
from profiling.errors import ProfilingError
from profiling.images.illumination import write_flatfield
from profiling.tables import write_table

torch = pytest.importorskip("torch")

PLATES, WELLS, CHANNELS, CELLS = ("P1", "P2"), ("A01", "A02", "A03", "B01", "B02", "B03"), ("DNA", "Actin"), 12
SIDE = 32


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_platemap(results, plate, treatments):
    nothing = {f"Metadata_{name}": None for name in ("Compound", "Unit", "Role")}
    frame = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": WELLS, "Metadata_Batch": plate, **nothing})
    frame = frame.assign(Metadata_Concentration=np.nan, Metadata_Treatment=treatments, Imaged=True, Mapped=True)
    write_table(results / "platemaps" / f"{plate}.parquet", "platemaps", frame)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """Two plates of six wells, a field of twelve cells each; what the embedding and the adaptation read of a screen."""
    folder = tmp_path_factory.mktemp("a screen")
    results = folder / "results"
    plates = [{"plate": plate, "images": plate, "layout": 6} for plate in PLATES]
    config = {"plates": plates, "channels": CHANNELS, "chunks_per_plate": 1}
    config |= {"segmentation": {"nuclei_channel": "DNA"}, "embedding": {"crop": f"{SIDE} px", "input_size": SIDE}}
    results.mkdir()
    (results / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(0)
    for plate in PLATES:
        (folder / plate).mkdir()
        images, cells = [], []
        for well in WELLS:
            key = {
                "Metadata_Plate": plate,
                "Metadata_Well": well,
                "Metadata_Site": 1,
                "Metadata_Time": 0,
                "Metadata_Z": 0,
            }
            for channel in CHANNELS:
                name = f"{well}_{channel}.tif"
                tifffile.imwrite(folder / plate / name, rng.integers(0, 4000, (96, 128)).astype(np.uint16))
                images.append(key | {"Metadata_Channel": channel, "Path": name})
            cells += [key | {"Metadata_CellID": cell + 1} for cell in range(CELLS)]
        numbers = {"Page": 0, "Width": 128, "Height": 96, "FileSize": 1, "Modified": 1, "Planes": 1, "Plane": 0}
        images = pd.DataFrame(images).assign(Dtype="uint16", Status="ok", Reason=None, **numbers)
        images = images.assign(PositionX=np.nan, PositionY=np.nan, PixelSize=np.nan)
        write_table(results / "images" / f"{plate}.parquet", "images", images)
        cells = pd.DataFrame(cells).assign(CropOutsideImage=False, Embedded=True, ExclusionReason=None)
        cells = cells.assign(NucleusTouchesBorder=False, TouchesBorder=False)
        for axis, size in (("Y", 96), ("X", 128)):
            centres = rng.uniform(0, size - 1, len(cells)).astype(np.float32)
            cells[f"Nuclei_Location_Center{axis}"] = centres
            cells[f"BoundingBoxMinimum{axis}"], cells[f"BoundingBoxMaximum{axis}"] = 0, 10
        write_table(results / "cells" / f"{plate}.parquet", "cells", cells)
        limits = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Channel": CHANNELS, "Low": 0.0, "High": 4000.0})
        limits = limits.assign(DarkOffset=0.0, FlatFieldFields=0, LimitFields=6, Reason=None)
        write_table(results / "limits" / f"{plate}.parquet", "limits", limits)
        for channel in CHANNELS:
            path = results / "illumination" / plate / f"{channel}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flatfield(path, np.ones((96, 128), np.float32), 0.0, 0, "")
        write_platemap(results, plate, ["a", "b", "c"] * 2)
    return folder


@pytest.fixture
def own(screen, tmp_path):
    """A copy of the screen that a test may change."""
    return shutil.copytree(screen, tmp_path / "screen")


def settings(**values):
    return adaptation(**{"cells": 64, "judged": 48, "steps": 2, "batch_size": 4, **values})


def run(screen, out, **values):
    return adapt_backbone(screen / "results", out, settings(**values), "cpu")


def equal(first, second):
    return all(torch.equal(values, second[name]) for name, values in first.items())


def test_adapted_weights_load_by_themselves_and_say_what_they_are(own, tmp_path):
    from profiling.embeddings.backbones import load_backbone

    out = tmp_path / "models" / "adapted.safetensors"
    report = run(own, out)
    assert not out.with_suffix(".checkpoint").exists()
    backbone, frozen = load_backbone(f"file:{out}"), load_backbone()
    assert backbone.layers == frozen.layers
    state, before = backbone.network.state_dict(), frozen.network.state_dict()
    changed = {name for name in state if not torch.equal(state[name], before[name])}
    assert changed, "the network has learned"
    assert all(name.startswith(("blocks.3", "blocks.4", "blocks.5")) for name in changed)
    assert not any("running" in name for name in changed)
    with safe_open(out, "pt") as file:
        facts = file.metadata()
    assert facts["backbone"] == "efficientnet_lite0"
    assert facts["start_sha256"] == frozen.sha256
    learned, judged = (json.loads(facts[name]) for name in ("learned_from", "judged_on"))
    assert sorted(learned["plates"] + judged["plates"]) == list(PLATES)
    assert json.loads(out.with_suffix(".json").read_text()) == json.loads(json.dumps(report))
    assert f"backbone: file:{out}" in out.with_suffix(".md").read_text()
    with pytest.raises(ProfilingError, match="is there already"):
        run(own, out)


def test_no_label_is_used_without_being_asked(own, tmp_path):
    run(own, tmp_path / "one.safetensors")
    run(own, tmp_path / "labelled.safetensors", labels="treatment")
    for plate in PLATES:
        write_platemap(own / "results", plate, ["b", "c", "c", "a", "a", "b"])
    report = run(own, tmp_path / "two.safetensors")
    one, two, labelled = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two", "labelled"))
    assert equal(one, two), "other treatments, the same seed: the same weights"
    assert not equal(one, labelled)
    assert set(report["figures"]["adapted"]["retrieval"]) == {"well"}
    figures = json.loads((tmp_path / "labelled.json").read_text())["figures"]["adapted"]["retrieval"]
    assert figures["well"]["treatments"] == 3
    assert figures["well, treatments not learned"]["treatments"] == 1
    with safe_open(tmp_path / "labelled.safetensors", "pt") as file:
        assert "treatments" in file.metadata()["objective"]


def test_messages_name_what_is_wrong(own, tmp_path):
    out = tmp_path / "adapted.safetensors"
    with pytest.raises(ProfilingError, match="config.json"):
        adapt_backbone(tmp_path / "none", out, settings())
    with pytest.raises(ProfilingError, match=r"must end in \.safetensors"):
        run(own, tmp_path / "adapted.pt")
    with pytest.raises(ProfilingError, match="lies in the results"):
        run(own, own / "results" / "models" / "adapted.safetensors")
    with pytest.raises(ProfilingError, match="no plate 'P3'"):
        run(own, out, plates=("P3",))
    with pytest.raises(ProfilingError, match="hold-out.*P3"):
        run(own, out, hold_out=("P3",))
    with pytest.raises(ProfilingError, match="at least two wells"):
        run(own, out, hold_out=PLATES)
    with pytest.raises(ProfilingError, match="steps"):
        settings(steps=0)
    for plate in PLATES:
        write_platemap(own / "results", plate, None)
    with pytest.raises(ProfilingError, match="--labels treatment"):
        run(own, out, labels="treatment")
    for plate in PLATES:
        path = own / "results" / "cells" / f"{plate}.parquet"
        cells = pd.read_parquet(path)
        write_table(path, "cells", cells.assign(Embedded=False, ExclusionReason="no"))
    with pytest.raises(ProfilingError, match="no embedded cell"):
        run(own, out)
    shutil.rmtree(own / "results" / "cells")
    with pytest.raises(ProfilingError, match="no cell table"):
        run(own, out)
    assert not out.exists()


def crops(count=64):
    images = np.random.default_rng(0).integers(0, 65535, (count, 1, 1, SIDE, SIDE // 4)).astype(np.uint16)
    return images.repeat(4, axis=4)  # stripes: a direction that rotations change


def trained(images, checkpoint, **values):
    from profiling.embeddings.backbones import load_backbone

    backbone = load_backbone()
    training.train(backbone, images, None, settings(**values), checkpoint, torch.device("cpu"))
    return backbone


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "EVERY", 2)
    images, steps = crops(), 6
    whole = trained(images, tmp_path / "whole.checkpoint", steps=steps)

    class Stop(Exception):
        pass

    def stop(*given):
        save(*given)
        raise Stop

    save = training._save
    monkeypatch.setattr(training, "_save", stop)
    with pytest.raises(Stop):
        trained(images, tmp_path / "stopped.checkpoint", steps=steps)
    monkeypatch.setattr(training, "_save", save)
    resumed = trained(images, tmp_path / "stopped.checkpoint", steps=steps)
    assert torch.load(tmp_path / "stopped.checkpoint", weights_only=True)["step"] == steps
    assert equal(whole.network.state_dict(), resumed.network.state_dict())
    for other in (dict(steps=steps + 1), dict(steps=steps, seed=1)):
        with pytest.raises(ProfilingError, match="other settings"):
            trained(images, tmp_path / "stopped.checkpoint", **other)
    (tmp_path / "stopped.checkpoint").write_text("no checkpoint")
    with pytest.raises(ProfilingError, match="remove it"):
        trained(images, tmp_path / "stopped.checkpoint", steps=steps)


def test_features_come_nearer_to_their_mean_over_rotations(tmp_path):
    from profiling.embeddings.backbones import load_backbone

    images, device = crops(), torch.device("cpu")

    def distance(backbone):
        features = training.features_of(training.feature_network(backbone, "mean+std", device), images, device)
        return np.square((features - goal) / (goal.std(axis=0) + 0.01)).mean()

    frozen = load_backbone()
    goal = training.features_of(training.feature_network(frozen, "mean+std", device, 4), images, device)
    adapted = trained(images, tmp_path / "run.checkpoint", steps=25, batch_size=8, learning_rate=1e-3)
    assert distance(adapted) < 0.8 * distance(frozen)
