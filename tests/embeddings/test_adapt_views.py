import numpy as np
import pytest

torch = pytest.importorskip("torch")


def test_a_view_is_one_of_the_eight_orientations():
    from profiling.embeddings.adapt.views import draw_views

    images = torch.from_numpy(np.random.default_rng(0).random((64, 2, 8, 8), np.float32))
    drawn, again, other = (draw_views(images, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    turned = [torch.rot90(flipped, turns, (2, 3)) for flipped in (images, images.flip(3)) for turns in range(4)]
    which = torch.stack([(drawn == one).all(dim=(1, 2, 3)) for one in turned])
    assert (which.sum(dim=0) == 1).all(), "every view is exactly one of them, both channels turned alike"
    assert which.any(dim=1).all(), "and each of them is drawn"
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, other)
