from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from profiling.embeddings.backbones import BackboneError, load_backbone
from profiling.embeddings.backbones.layouts import Layout, layout_of
from profiling.embeddings.network import FeatureNetwork, Prepare, centre_weights, pool, run_layers


@pytest.fixture(scope="module")
def lite0():
    return load_backbone()


def images(count=2, channels=1, size=64):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


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
    with torch.inference_mode():
        early = run_layers(lite0.network, images(channels=3), layers)
        full = full_forward(lite0.network, images(channels=3), layers)
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


def test_pooling_of_known_values():
    output = torch.tensor([[[[1.0, 3.0], [1.0, 3.0]], [[5.0, 5.0], [5.0, 5.0]]]])
    assert pool(output, "mean").tolist() == [[2, 5]]
    assert pool(output, "mean+std").tolist() == [[2, 5, 1, 0]]
    assert pool(output, "max+mean").tolist() == [[3, 5, 2, 5]]
    assert pool(output, "gem")[0] == pytest.approx([14 ** (1 / 3), 5])
    assert pool(-output, "gem").tolist() == [[0, 0]], "of the positive part"
    assert pool(output, "centre")[0] == pytest.approx([2, 5, 1, 0]), "all positions are as far from the middle"
    assert pool(output[:, :, :1, :1], "mean+gem+std+max+centre").isfinite().all()
    assert torch.equal(pool(output[:, :, 0, 0], "mean+std"), output[:, :, 0, 0])


def test_centred_pooling_weighs_the_middle():
    weights = centre_weights(5, 5).view(5, 5)
    assert weights.sum() == pytest.approx(1)
    assert weights.argmax() == 12
    assert torch.allclose(weights, weights.flip(0))
    assert torch.allclose(weights, weights.T)
    # A neighbour of one position: (0.2 / 0.15)² / 2 in the exponent.
    assert weights[2, 3] / weights[2, 2] == pytest.approx(np.exp(-((0.2 / 0.15) ** 2) / 2))
    output = torch.zeros(1, 1, 5, 5)
    output[0, 0, 2, 2] = 1
    middle = float(weights[2, 2])
    assert pool(output, "centre")[0] == pytest.approx([middle, (middle * (1 - middle)) ** 0.5])


def test_maps_and_tokens_of_the_same_values_pool_alike():
    maps = images(2, 3, 4)
    pooling = "mean+std+gem+max+centre"
    expected = pool(maps, pooling, Layout("map"))
    patches = maps.flatten(2).transpose(1, 2)
    assert torch.allclose(pool(maps.permute(0, 2, 3, 1), pooling, Layout("map_last")), expected)
    assert torch.allclose(pool(patches, pooling, Layout("tokens")), expected)
    # Two grids that hold the same: a channel-adaptive network's tokens of two channels.
    assert torch.allclose(pool(torch.cat([patches, patches], 1), pooling, Layout("tokens", 0, 2)), expected, atol=1e-6)


def test_registers_and_the_class_token_are_no_patches():
    patches = images(2, 3, 4).flatten(2).transpose(1, 2)
    prefix = torch.full((2, 5, 3), 100.0)
    prefix[:, 0] = 7
    tokens, layout = torch.cat([prefix, patches], dim=1), Layout("tokens", 5)
    mean = pool(patches, "mean")
    assert torch.allclose(pool(tokens, "mean", layout, "mean"), mean)
    assert torch.equal(pool(tokens, "mean", layout, "class"), torch.full((2, 3), 7.0))
    assert torch.allclose(pool(tokens, "mean", layout, "both"), torch.cat([torch.full((2, 3), 7.0), mean], dim=1))


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((1, 512), {}, Layout("vector")),
        ((1, 96, 6, 6), {}, Layout("map")),
        ((1, 6, 6, 96), {}, Layout("map_last")),
        ((1, 8, 8, 8), {}, Layout("map")),
        ((1, 8, 8, 8), {"channels_last": True}, Layout("map_last")),
        ((1, 197, 192), {"prefix": 1}, Layout("tokens", 1)),
        ((1, 201, 192), {"prefix": 5}, Layout("tokens", 5)),
        ((1, 196, 192), {"prefix": 1}, Layout("tokens", 0)),
        ((1, 197, 192), {}, Layout("tokens", 1)),
        ((1, 5 * 196 + 1, 384), {"channels": 5}, Layout("tokens", 1, 5)),
        ((1, 6, 5, 96), {}, None),
        ((1, 2, 3, 4, 5), {}, None),
    ],
)
def test_layouts(shape, options, expected):
    assert layout_of(shape, **options) == expected


@pytest.mark.parametrize("rotations", [4, 8])
def test_features_averaged_over_rotations_do_not_change_with_the_rotation(lite0, rotations):
    network = FeatureNetwork(replace(lite0, rotations=rotations), "mean+std+centre")
    given = images(3)
    with torch.inference_mode():
        expected = network(given)
        turned = network(given.transpose(2, 3).flip(2))
        mirrored = network(given.flip(3))
        once = FeatureNetwork(lite0, "mean+std+centre")(given)
    scale = expected.abs().max()
    assert expected.shape == once.shape
    assert (turned - expected).abs().max() <= 1e-5 * scale
    assert (once - expected).abs().max() > 1e-2 * scale
    assert ((mirrored - expected).abs().max() <= 1e-5 * scale) == (rotations == 8)


def test_input_scaled_by_crop_forgets_gain_and_offset():
    backbone = load_backbone(scaling="crop", size=64)
    given = images(2)
    prepared = Prepare(backbone)(given)
    assert prepared.mean((2, 3)).abs().max() < 1e-5 and (prepared.std((2, 3)) - 1).abs().max() < 1e-2
    network = FeatureNetwork(backbone, "mean")
    with torch.inference_mode():
        expected, changed, flat = network(given), network(0.3 * given + 0.2), network(torch.full_like(given, 0.4))
    assert (changed - expected).abs().max() <= 1e-3 * expected.abs().max()
    assert flat.isfinite().all()


def test_half_precision_leaves_the_backbone_as_it_is(lite0):
    with torch.inference_mode():
        half = FeatureNetwork(lite0, "mean", half=True)(images())
        full = FeatureNetwork(lite0, "mean")(images())
    assert next(lite0.network.parameters()).dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.1 * full.abs().max()


def test_a_channel_is_repeated_for_colours_only(lite0):
    with pytest.raises(BackboneError, match="takes 5 channels together, not 1; list them as composite"):
        Prepare(replace(lite0, channels=5, mean=(0.0,) * 5, std=(1.0,) * 5))(images(channels=1))
    with pytest.raises(BackboneError, match="takes 3 channels together, not 2"):
        Prepare(lite0)(images(channels=2))
    batch = Prepare(lite0)(images(channels=1))
    assert torch.allclose(
        batch * torch.tensor(lite0.std).view(3, 1, 1) + torch.tensor(lite0.mean).view(3, 1, 1),
        images(channels=1).expand(-1, 3, -1, -1),
    )


@pytest.mark.parametrize("pooling", ["median", "mean+mean", "", "mean+"])
def test_unknown_pooling_is_refused(pooling):
    with pytest.raises(BackboneError, match="pooling: "):
        pool(torch.zeros(1, 2, 3, 3), pooling)
