import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_a_view_is_one_of_the_eight_orientations(monkeypatch):
    from profiling.embeddings.adapt import views

    for name in ("GAIN", "OFFSET", "NOISE"):
        monkeypatch.setattr(views, name, 0.0)
    images = torch.from_numpy(np.random.default_rng(0).random((64, 2, 8, 8), np.float32))
    drawn = views.draw_views(images, torch.Generator().manual_seed(0))
    turned = [torch.rot90(flipped, turns, (2, 3)) for flipped in (images, images.flip(3)) for turns in range(4)]
    which = torch.stack([(drawn == one).all(dim=(1, 2, 3)) for one in turned])
    assert (which.sum(dim=0) == 1).all(), "every view is exactly one of them, both channels turned alike"
    assert which.any(dim=1).all(), "and each of them is drawn"


def test_brightness_is_kept_nearly_and_a_seed_gives_the_same_views():
    from profiling.embeddings.adapt.views import draw_views

    images = torch.full((200, 1, 8, 8), 0.5)
    one, two, other = (draw_views(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    means = one.mean(dim=(1, 2, 3))
    assert 0.01 < means.std() < 0.05, "gain and offset move the brightness of a crop by a few percent of the scale"
