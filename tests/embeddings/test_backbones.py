import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from onnx_files import field, write_onnx
from safetensors.torch import save_file

from profiling.embeddings.backbones import BackboneError, backbone_of, load_backbone
from profiling.embeddings.backbones.layouts import Layout
from profiling.embeddings.backbones.names import check_choice
from profiling.embeddings.convert import to_openvino
from profiling.embeddings.network import FeatureNetwork
from profiling.settings import Embedding


@pytest.fixture(scope="module")
def lite0():
    return load_backbone()


def test_the_default_backbone_loads_without_a_network(lite0):
    assert lite0.layers == ["blocks.4"]
    assert len(lite0.mean) == len(lite0.std) == 3
    assert not lite0.network.training
    assert not any(parameter.requires_grad for parameter in lite0.network.parameters())
    assert lite0.licence == "Apache-2.0"


def test_the_weights_hash_is_stable_and_tells_weights_apart(lite0):
    assert load_backbone().sha256 == lite0.sha256
    untrained = [load_backbone(weights="untrained", seed=seed).sha256 for seed in (0, 0, 1)]
    assert untrained[0] == untrained[1]
    assert len({lite0.sha256, *untrained}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet18"}, "'resnet18' is not known; take efficientnet_lite0, torchvision:<model>, timm:"),
        ({"name": "torchvision:"}, "is not known"),
        ({"name": "torchvision:resnet1"}, "torchvision has no model 'resnet1'"),
        ({"name": "torchvision:fcn_resnet50"}, "torchvision has no model 'fcn_resnet50' that classifies images"),
        ({"name": "torchvision:resnet18@NONE"}, "no weights 'NONE' for resnet18; it has IMAGENET1K_V1"),
        ({"name": "torchvision:squeezenet1_0", "weights": "untrained"}, "no linear classifier"),
        ({"name": "timm:no_such_model"}, "timm has no model 'no_such_model'"),
        ({"layers": ["blocks.99"]}, "has no layer 'blocks.99'; it has conv_stem, blocks.0 to blocks.6"),
        ({"layers": ["blocks.5", "blocks.5"]}, "each once"),
        ({"name": "timm:convnext_atto", "weights": "untrained", "layers": ["stage"]}, "some of its layers: .*stages.2"),
        ({"name": "file:net.pt"}, "net.pt may hold a program .* Export the network to ONNX"),
        ({"name": "file:net.pt2"}, "may hold a program"),
        ({"name": "file:net.h5"}, "neither an .onnx file nor a .safetensors"),
        ({"name": "file:nowhere.onnx"}, "there is no file 'nowhere.onnx'"),
        ({"name": "file:nowhere.safetensors"}, "there is no file 'nowhere.safetensors'"),
        ({"name": "file:net.onnx", "weights": "other.pt"}, "has its weights in it"),
        ({"name": "timm:vit_small_patch14_dinov2.lvd142m"}, "input_size 96 is no multiple of 14, .* take 98"),
        ({"name": "torchvision:vit_b_16", "size": 100}, "no multiple of 16"),
        ({"channels": 5}, "composite needs exactly three channels for efficientnet_lite0"),
        ({"name": "timm:resnet18", "channels": 5}, "composite needs exactly three channels for timm:resnet18"),
        ({"mean": [0.5, 0.5]}, "input_mean has 2 values, but efficientnet_lite0 takes 3 channels"),
        ({"weights": "nowhere.pt"}, "embedding.weights: there is no file 'nowhere.pt'"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_named_with_the_remedy(options, message):
    with pytest.raises(BackboneError, match=message):
        load_backbone(**options)


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_weights_file_with_code_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"
    harm = {"weight": Harm(str(marker))}
    torch.save(harm, tmp_path / "a.pt")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(harm, protocol=2))
    for path in (tmp_path / "a.pt", tmp_path / "b.pkl"):
        with pytest.raises(
            BackboneError, match=r"not a weights file that loads without running code .* as \.safetensors"
        ):
            load_backbone(weights=str(path))
    assert not marker.exists()


def test_torchscript_is_refused_as_weights_too(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "net.pt")
    with pytest.raises(BackboneError, match="without running code"):
        load_backbone(weights=str(tmp_path / "net.pt"))


def save(values, path):
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in values.items()}, path)
    else:
        torch.save(values, path)
    return str(path)


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("a.pt", lambda values: {"state_dict": {f"module.{key}": value for key, value in values.items()}, "epoch": 3}),
        ("b.safetensors", lambda values: {f"model.backbone.{key}": value for key, value in values.items()}),
        ("c.pth", lambda values: {
            "student": {f"backbone.{key}": value + 1 for key, value in values.items()},
            "teacher": {f"backbone.{key}": value for key, value in values.items()} | {"head.0.weight": torch.ones(2)},
        }),
    ],
)  # fmt: skip
def test_weights_from_checkpoints_of_several_kinds(tmp_path, name, wrap):
    source = load_backbone(weights="untrained", seed=3)
    path = save(wrap(source.network.state_dict()), tmp_path / name)
    loaded = load_backbone(weights=path)
    assert loaded.sha256 == source.sha256
    assert loaded.licence == "see the source of the file"


@pytest.mark.parametrize("content", [{"other": torch.zeros(1)}, [torch.zeros(1)], torch.zeros(3)])
def test_weights_of_another_model_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match="weights.pt: .* of the network's .* the first is conv_stem.weight"):
        load_backbone(weights=str(tmp_path / "weights.pt"))


def test_weights_of_another_shape_are_refused(tmp_path):
    values = load_backbone().network.state_dict()
    values["conv_stem.weight"] = torch.zeros(2, 3, 3, 3)
    torch.save(values, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match=r"conv_stem.weight has another shape \(\(2, 3, 3, 3\) in the file"):
        load_backbone(weights=str(tmp_path / "weights.pt"))


def test_a_network_of_very_many_channels_is_refused_before_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", None)
    save_file({"conv1.weight": torch.zeros(64, 300_000, 0, 0)}, tmp_path / "a.safetensors")
    with pytest.raises(BackboneError, match="a.safetensors: its first layer has 300000 input channels"):
        load_backbone("timm:resnet18", str(tmp_path / "a.safetensors"))
    onnx(tmp_path / "a.onnx", 65)
    with pytest.raises(BackboneError, match="a.onnx: its input has 65 channels"):
        load_backbone(f"file:{tmp_path}/a.onnx", size=32)


def test_a_safetensors_file_that_says_what_it_is_loads_by_itself(tmp_path):
    source = load_backbone(weights="untrained", seed=5)
    path = tmp_path / "adapted.safetensors"
    values = {key: value.contiguous() for key, value in source.network.state_dict().items()}
    save_file(values, path, metadata={"backbone": "efficientnet_lite0", "layers": json.dumps(["blocks.3"])})
    loaded = load_backbone(f"file:{path}")
    assert (loaded.sha256, loaded.layers, loaded.weights) == (source.sha256, ["blocks.3"], "file")
    assert load_backbone(f"file:{path}", layers=["blocks.4"]).layers == ["blocks.4"]
    for layers in ("5", "true", '"layer3"', '["blocks.3", "blocks.3"]', "[]", "[" * 200_000):
        save_file(values, path, metadata={"backbone": "efficientnet_lite0", "layers": layers})
        with pytest.raises(BackboneError, match="no JSON list of names"):
            load_backbone(f"file:{path}")
    broken = {
        key: value.float() * float("nan") if value.is_floating_point() else value for key, value in values.items()
    }
    save_file(broken, path, metadata={"backbone": "efficientnet_lite0"})
    with pytest.raises(BackboneError, match="not finite"):
        load_backbone(f"file:{path}")
    for metadata in (None, {"backbone": f"file:{path}"}):
        save_file(values, path, metadata=metadata)
        with pytest.raises(BackboneError, match="does not say in its metadata which network it belongs to"):
            load_backbone(f"file:{path}")


def vit_weights(channels, size=224):
    torch.manual_seed(channels)
    return timm.create_model("vit_tiny_patch16_224", in_chans=channels, img_size=size, num_classes=0).eval()


def test_a_network_of_five_channels_takes_a_composite_of_five(tmp_path):
    source = vit_weights(5, 64)
    weights = save({f"encoder.{key}": value for key, value in source.state_dict().items()}, tmp_path / "five.pth")
    name, images = "timm:vit_tiny_patch16_224", torch.rand(2, 5, 64, 64)
    with pytest.raises(BackboneError, match="nothing says how its input was normalised; set embedding.input_mean"):
        load_backbone(name, weights, size=64, channels=5)
    settings = Embedding(
        backbone=name, weights=weights, input_size=64, input_mean=[0.5], input_std=[0.25], composite=list("ABCDE"),
        pooling="mean", tokens="class",
    )  # fmt: skip
    backbone = backbone_of(settings)
    assert (backbone.channels, backbone.mean) == (5, (0.5,) * 5)
    with torch.inference_mode():
        expected = source.forward_features((images - 0.5) / 0.25)[:, 0]
        features = FeatureNetwork(backbone, settings.pooling)(images)
    assert torch.allclose(features, expected, atol=1e-5)
    for channels in (1, 3):
        with pytest.raises(BackboneError, match="takes 5 channels together; list"):
            load_backbone(name, weights, size=64, channels=channels, mean=[0.5], std=[0.25])


def test_a_network_of_one_channel_takes_each_alone_at_another_size(tmp_path):
    weights = save(vit_weights(1).state_dict(), tmp_path / "one.safetensors")
    backbone = load_backbone("timm:vit_tiny_patch16_224", weights, size=64, channels=1, scaling="crop")
    assert (backbone.channels, backbone.layouts) == (1, [Layout("tokens", 1)])
    with torch.inference_mode():
        assert FeatureNetwork(backbone, "mean")(torch.rand(2, 1, 64, 64)).shape == (2, 2 * 192)


def test_an_untrained_network_takes_as_many_channels_as_the_composite():
    assert load_backbone("timm:convnext_atto", "untrained", size=64, channels=4).channels == 4
    assert load_backbone("timm:convnext_atto", "untrained", size=64, channels=1).channels == 3


def test_a_class_token_that_is_not_there_is_missed():
    with pytest.raises(BackboneError, match="has no class token at patch_embed; set embedding.tokens to mean"):
        load_backbone("timm:vit_tiny_patch16_224", "untrained", ["patch_embed"], size=64, tokens="class")


NETWORKS = [
    ("torchvision:resnet18", 64, ["layer3"], Layout("map")),
    ("timm:convnext_atto", 64, ["stages.2"], Layout("map")),
    ("timm:vit_small_patch14_reg4_dinov2.lvd142m", 56, ["blocks.1"], Layout("tokens", 5)),
]


@pytest.mark.parametrize(("name", "size", "layers", "layout"), NETWORKS)
def test_families_of_networks_survive_the_export(name, size, layers, layout):
    import openvino as ov

    backbone = load_backbone(name, "untrained", layers, size=size, rotations=4)
    assert backbone.layouts == [layout]
    images, pooling = torch.rand(3, 1, size, size), "mean+std+gem+centre"
    with torch.inference_mode():
        expected = FeatureNetwork(backbone, pooling)(images).numpy()
    model = ov.compile_model(to_openvino(backbone, pooling, 1, size), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert np.abs(model([images.numpy()])[0] - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("torchvision:resnet50", ["layer3"]),
        ("torchvision:efficientnet_v2_s", ["features.5"]),
        ("torchvision:mobilenet_v3_small", ["last"]),
        ("torchvision:regnet_y_400mf", ["trunk_output.block3"]),
        ("timm:mobilenetv3_small_050", ["blocks.4"]),
        ("timm:vit_tiny_patch16_224", ["norm"]),
        ("timm:swin_tiny_patch4_window7_224", ["layers.2"]),
        ("torchvision:vit_b_16", ["encoder.ln"]),
    ],
)
def test_default_layers_are_there(name, layers):
    assert load_backbone(name, "untrained", size=64).layers == layers


def test_layers_that_give_nothing_to_pool_are_refused():
    with pytest.raises(BackboneError, match="'blocks.0.attn.attn_drop' is not run"):
        load_backbone("timm:vit_tiny_patch16_224", "untrained", ["blocks.0.attn.attn_drop"], size=64)
    with pytest.raises(BackboneError, match="does not take images of 32 px"):
        load_backbone("torchvision:inception_v3", "untrained", size=32)


def onnx(path, channels=2, **options):
    weights = np.random.default_rng(0).normal(size=(4, channels, 3, 3)).astype(np.float32)
    write_onnx(path, weights, **options)
    return weights


def test_an_onnx_file(tmp_path):
    import openvino as ov

    weights = onnx(tmp_path / "net.onnx")
    images = torch.rand(3, 2, 32, 32)
    options = {"size": 32, "channels": 2, "mean": [0.5], "std": [0.2, 0.3]}
    backbone = load_backbone(f"file:{tmp_path}/net.onnx", layers=["vector", "map"], **options)
    assert backbone.layouts == [Layout("vector"), Layout("map")]
    assert load_backbone(f"file:{tmp_path}/net.onnx", **options).layouts == [Layout("vector")]
    model = ov.compile_model(to_openvino(backbone, "mean+std", 2, 32), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    features = model([images.numpy()])[0]
    given = (images - 0.5) / torch.tensor([0.2, 0.3]).view(2, 1, 1)
    maps = torch.relu(torch.nn.functional.conv2d(given, torch.from_numpy(weights))).flatten(2)
    expected = torch.cat([maps.mean(2), maps.mean(2), maps.std(2, unbiased=False)], dim=1)
    assert np.abs(features - expected.numpy()).max() <= 1e-4 * float(expected.max())
    with pytest.raises(BackboneError, match="ONNX file, which runs on the CPU only"):
        FeatureNetwork(backbone, "mean")


def test_the_hash_of_an_onnx_file_is_that_of_the_file(tmp_path):
    import hashlib

    path = tmp_path / "net.onnx"
    onnx(path, 3)
    hashed = load_backbone(f"file:{path}", size=32, scaling="crop").sha256
    assert hashed == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "entries",
    [
        [field(1, "location") + field(2, "w.bin")],
        [field(2, "w.bin") + field(1, "location")],
        [b"\x0a\x88\x00location" + field(2, "w.bin")],
        [field(1, "location") + field(5, 0) + field(2, "w.bin")],
        [field(1, "location") + field(2, "a/../../w.bin")],
        [field(1, "location") + field(2, "*/_ORT_MEM_ADDR_/*"), field(1, "offset") + field(2, "4096")],
    ],
)
def test_an_onnx_file_whose_weights_are_elsewhere_is_refused_however_it_says_so(tmp_path, entries):
    (tmp_path / "net").mkdir()
    weights = onnx(tmp_path / "net" / "net.onnx", external=entries)
    for folder in (tmp_path, tmp_path / "net"):
        weights.tofile(folder / "w.bin")
    with pytest.raises(BackboneError, match="weights are in another file"):
        load_backbone(f"file:{tmp_path}/net/net.onnx", size=32, channels=2, scaling="crop")


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf\n "])
def test_a_graph_of_openvino_in_two_files_is_no_onnx_file(tmp_path, before):
    import openvino as ov

    path = tmp_path / "net.onnx"
    onnx(path)
    ov.save_model(ov.Core().read_model(path), tmp_path / "net.xml")
    path.write_bytes(before + (tmp_path / "net.xml").read_bytes())
    with pytest.raises(BackboneError, match="no ONNX file but XML"):
        load_backbone(f"file:{path}", size=32, channels=2, scaling="crop")


def test_onnx_files_that_cannot_be_used(tmp_path):
    path = tmp_path / "net.onnx"
    onnx(path)
    for options, message in [
        ({"channels": 2}, "nothing says how its input was normalised"),
        ({"channels": 3}, "takes 2 channels together; list so many"),
        ({"channels": 1}, "takes 2 channels together; list them"),
        ({"layers": ["other"]}, "no tensor 'other'; its outputs, then others: last, vector, .*map"),
    ]:
        with pytest.raises(BackboneError, match=message):
            load_backbone(f"file:{path}", size=32, **options)
    onnx(path, batch=1, flat=True)
    with pytest.raises(BackboneError, match="does not take|depends on the others of the batch"):
        load_backbone(f"file:{path}", size=32, channels=2, scaling="crop")
    path.write_bytes(b"nothing")
    with pytest.raises(BackboneError, match="no ONNX file that OpenVINO can read"):
        load_backbone(f"file:{path}", size=32)


def test_a_choice_is_checked_without_torch():
    code = (
        "import sys; from profiling.settings import Embedding; Embedding(backbone='timm:vit_tiny_patch16_224'); "
        "assert not {'torch', 'timm', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    check_choice("timm:vit_tiny_patch16_224", weights="a.pt", layers=["norm"], input_size=64, channels=7)
