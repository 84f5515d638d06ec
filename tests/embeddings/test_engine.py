import numpy as np
import pytest
import torch

from profiling.embeddings import load_embedder

SIZE = 64
WIDTH = 448  # four statistics of 112 feature maps


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def embedder():
    return load_embedder(device="cpu")


def crops(count, channels=2, seed=0):
    return np.random.default_rng(seed).random((count, channels, SIZE, SIZE), dtype=np.float32)


def batched(embedder, batch_size):
    from dataclasses import replace

    return replace(embedder, batch_size=batch_size)


def test_embeddings_do_not_depend_on_the_batch_size(embedder):
    given = crops(9)
    one, seven, many = (batched(embedder, size).embed(given) for size in (1, 7, 256))
    assert one.shape == (9, 2 * WIDTH)
    assert one.dtype == np.float32
    scale = np.abs(one).max()
    assert np.abs(one - seven).max() <= 1e-4 * scale
    assert np.abs(one - many).max() <= 1e-4 * scale


def test_the_same_crops_give_the_same_embeddings(embedder):
    assert np.array_equal(embedder.embed(crops(3)), embedder.embed(crops(3)))


def test_a_channel_goes_through_alone_and_features_follow_the_channels(embedder):
    given = crops(4, channels=3)
    alone = [embedder.embed(given[:, [channel]]) for channel in range(3)]
    tolerance = 1e-4 * max(np.abs(part).max() for part in alone)
    assert np.allclose(embedder.embed(given), np.hstack(alone), atol=tolerance)
    assert np.allclose(embedder.embed(given[:, [2, 0, 1]]), np.hstack([alone[i] for i in (2, 0, 1)]), atol=tolerance)
    assert not np.allclose(alone[0], alone[1], atol=tolerance)


def test_a_composite_of_equal_channels_is_that_channel(embedder):
    composite = load_embedder(device="cpu", composite=True)
    given = crops(3, channels=3)
    assert composite.embed(given).shape == (3, WIDTH)
    grey = np.repeat(given[:, :1], 3, axis=1)
    expected = embedder.embed(given[:, :1])
    assert np.allclose(composite.embed(grey), expected, atol=1e-4 * np.abs(expected).max())
    assert not np.allclose(composite.embed(given), expected, atol=1e-2)
    with pytest.raises(ValueError, match=r"expected \(N, 3, S, S\)"):
        composite.embed(crops(2, channels=2))


@pytest.mark.parametrize("channels", [1, 3])
def test_no_crops_give_no_rows_of_the_same_width(embedder, channels):
    assert embedder.embed(crops(0, channels)).shape == (0, channels * WIDTH)


def test_no_crops_for_a_composite():
    assert load_embedder(device="cpu", composite=True).embed(crops(0, 3)).shape == (0, WIDTH)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_crops_give_finite_embeddings(embedder, value):
    assert np.isfinite(embedder.embed(np.full((2, 1, SIZE, SIZE), value, dtype=np.float32))).all()


def test_crops_of_another_shape_are_refused(embedder):
    with pytest.raises(ValueError, match=r"shape \(2, 64, 64\), expected \(N, C, S, S\)"):
        embedder.embed(np.zeros((2, 64, 64)))


def test_layers_and_pooling_by_setting():
    both = load_embedder(device="cpu", layers=["blocks.2", "blocks.5"], pooling="mean")
    first, second = (load_embedder(device="cpu", layers=[name], pooling="mean") for name in ("blocks.2", "blocks.5"))
    given = crops(2, channels=1)
    assert np.allclose(both.embed(given), np.hstack([first.embed(given), second.embed(given)]), atol=1e-5)
    assert second.embed(given).shape == (2, 192)


def test_an_untrained_torchvision_model_gives_the_width_of_its_default_layer():
    embedder = load_embedder("torchvision:resnet18", device="cpu", weights="untrained")
    assert embedder.embed(crops(2, channels=1)).shape == (2, 4 * 256)


def test_bf16_stays_close_to_fp32(embedder):
    half = load_embedder(device="cpu", precision="bf16").embed(crops(4))
    full = embedder.embed(crops(4))
    cosine = (half * full).sum(1) / np.linalg.norm(half, axis=1) / np.linalg.norm(full, axis=1)
    assert half.dtype == np.float32
    assert cosine.min() > 0.98
