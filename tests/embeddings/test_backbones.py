import pickle

import pytest
import torch
from torch import nn

from profiling.embeddings.backbones import BackboneError, load_backbone
from profiling.embeddings.network import pool, run_layers


@pytest.fixture(scope="module")
def lite0():
    return load_backbone()


def test_the_default_backbone_loads_without_a_network(lite0):
    assert lite0.layers == ["blocks.5"]
    assert len(lite0.mean) == len(lite0.std) == 3
    assert not lite0.network.training
    assert not any(parameter.requires_grad for parameter in lite0.network.parameters())
    assert lite0.licence == "Apache-2.0"


def test_the_weights_hash_is_stable_and_tells_weights_apart(lite0):
    assert load_backbone().sha256 == lite0.sha256
    untrained = [load_backbone(weights="untrained", seed=seed).sha256 for seed in (0, 0, 1)]
    assert untrained[0] == untrained[1]
    assert len({lite0.sha256, *untrained}) == 3


def full_forward(network, batch, layers):
    """Outputs of the layers from a forward pass that runs to its end."""
    found, modules = {}, dict(network.named_modules())
    hooks = [
        modules[name].register_forward_hook(lambda module, given, output, name=name: found.update({name: output}))
        for name in layers
        if name != "last"
    ]
    found["last"] = network(batch)
    for hook in hooks:
        hook.remove()
    return [found[name] for name in layers]


@pytest.mark.parametrize(
    "layers", [["blocks.5"], ["blocks.2", "blocks.4"], ["blocks.4", "blocks.2"], ["blocks.5", "last"]]
)
def test_stopping_early_gives_what_a_full_pass_gives(lite0, layers):
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        early = run_layers(lite0.network, batch, layers)
        full = full_forward(lite0.network, batch, layers)
    assert len(early) == len(layers)
    assert all(torch.equal(one, other) for one, other in zip(early, full))


def test_nothing_after_the_last_layer_is_computed_and_no_hook_stays():
    ran = []

    class Step(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            ran.append(self.name)
            return x + 1

    network = nn.Sequential(Step("a"), Step("b"), Step("c"))
    [out] = run_layers(network, torch.zeros(1, 2), ["1"])
    assert ran == ["a", "b"]
    assert torch.equal(out, torch.full((1, 2), 2.0))
    assert network(torch.zeros(1, 2)).max() == 3


def test_pooling():
    output = torch.tensor([[[[1.0, 3.0], [1.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    assert pool(output, "mean").tolist() == [[2, 5]]
    assert pool(output, "mean+std").tolist() == [[2, 5, 1, 0]]
    tokens = output.flatten(2).transpose(1, 2)
    assert torch.equal(pool(tokens, "mean+std"), pool(output, "mean+std"))
    assert torch.equal(pool(output[:, :, 0, 0], "mean+std"), output[:, :, 0, 0])
    assert pool(output[:, :, :1, :1], "mean+std").isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet18"}, "'resnet18' is not known; take efficientnet_lite0, torchvision:<model> or"),
        ({"name": "torchvision:"}, "is not known"),
        ({"name": "torchvision:resnet1"}, "torchvision has no model or weights resnet1"),
        ({"name": "torchvision:resnet18@NONE"}, "torchvision has no model or weights resnet18@NONE"),
        ({"name": "timm:no_such_model"}, "timm has no model 'no_such_model'"),
        ({"layers": ["blocks.99"]}, r"has no layer 'blocks.99'; some of its layers: .*blocks\.5"),
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
        with pytest.raises(BackboneError, match="not a weights file that loads without running code"):
            load_backbone(weights=str(path))
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    from safetensors.torch import save_file

    source = load_backbone(weights="untrained", seed=3)
    path = tmp_path / f"weights.{suffix}"
    values = source.network.state_dict()
    if suffix == "pt":
        torch.save({"state_dict": {f"module.{key}": value for key, value in values.items()}}, path)
    else:
        save_file({key: value.contiguous() for key, value in values.items()}, path)
    assert load_backbone(weights=str(path)).sha256 == source.sha256


@pytest.mark.parametrize("content", [{"other": torch.zeros(1)}, [torch.zeros(1)], torch.zeros(3)])
def test_weights_of_another_model_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match="weights.pt: "):
        load_backbone(weights=str(tmp_path / "weights.pt"))


def test_weights_of_another_shape_are_refused(tmp_path):
    values = load_backbone().network.state_dict()
    values["conv_stem.weight"] = torch.zeros(2, 3, 3, 3)
    torch.save(values, tmp_path / "weights.pt")
    with pytest.raises(BackboneError, match="conv_stem.weight"):
        load_backbone(weights=str(tmp_path / "weights.pt"))


def test_a_torchvision_model():
    backbone = load_backbone("torchvision:resnet18", weights="untrained")
    assert backbone.layers == ["layer3"]
    batch = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        [middle] = run_layers(backbone.network, batch, backbone.layers)
        [last] = run_layers(backbone.network, batch, ["last"])
    assert middle.shape == (2, 256, 4, 4)
    assert last.shape == (2, 512)
