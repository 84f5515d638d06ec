import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import SIZE, expected, write_network

from profiling.embeddings.exported import ExportedEngine
from profiling.embeddings.fields import FieldCells, Scaling

SCALING = Scaling([np.ones((1, 1), np.float32)] * 2, *np.array([[0, 0], [0, 0], [255, 255]], np.float32))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "backbone.xml"
    write_network(path)
    return path


@pytest.fixture(scope="module")
def engines(network):
    options = ((1, 16), (1, 1), (2, 6))
    return [ExportedEngine(network, SCALING, SIZE, threads=threads, batch_size=size) for threads, size in options]


def make_field(seed, count):
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256, (2, 40, 40)).astype(np.uint8)
    centres = rng.integers(8, 32, (count, 2)).astype(float)
    shown = np.sort(rng.permutation(count)[: count // 3])
    return FieldCells(planes, centres, np.arange(count), None, shown)


def crops_of(field):
    starts = field.centres.astype(int) - SIZE // 2
    cut = [field.planes[:, row : row + SIZE, column : column + SIZE] for row, column in starts]
    return np.array(cut, np.float64).reshape(-1, 2, SIZE, SIZE) / 255


@settings(max_examples=20)
@given(st.lists(st.integers(0, 20), max_size=8))
def test_features_come_in_order_whatever_shares_a_batch(engines, counts):
    fields = [make_field(seed, count) for seed, count in enumerate(counts)]
    for engine in engines:
        results = list(engine.embed_fields(iter(fields)))
        assert len(results) == len(fields)
        for field, result in zip(fields, results):
            crops = crops_of(field)
            assert result.features.shape == (len(crops), engine.width) == (len(crops), 6)
            assert np.allclose(result.features, expected(crops), atol=1e-5)
            assert np.allclose(result.pictures, crops[field.shown], atol=1e-6)


def test_sparse_fields_share_batches(network):
    engine = ExportedEngine(network, SCALING, SIZE, batch_size=32)
    runs = []

    class Counted:
        def __init__(self, request):
            self.request = request

        def __getattr__(self, name):
            if name == "start_async":
                runs.append(name)
            return getattr(self.request, name)

    engine.requests = [Counted(request) for request in engine.requests]
    assert len(list(engine.embed_fields(make_field(seed, 1) for seed in range(32)))) == 32
    assert len(runs) == 2  # 64 images of two channels


def test_a_field_is_not_held_longer_than_its_batch(network):
    engine = ExportedEngine(network, SCALING, SIZE, threads=2, batch_size=8)
    asked = 0

    def fields():
        nonlocal asked
        for seed in range(60):
            asked += 1
            yield make_field(seed, 4)

    for done, _ in enumerate(engine.embed_fields(fields()), start=1):
        assert asked - done <= 4  # three batches in work and the one at hand


def test_an_engine_that_was_left_early_can_be_used_again(network):
    engine = ExportedEngine(network, SCALING, SIZE, threads=2, batch_size=4)
    results = engine.embed_fields(make_field(seed, 9) for seed in range(9))
    next(results)
    results.close()
    field = make_field(3, 5)
    (result,) = engine.embed_fields([field])
    assert result.features == pytest.approx(expected(crops_of(field)), abs=1e-5)


def test_an_error_while_reading_is_passed_on(network):
    def fields():
        yield make_field(0, 9)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(ExportedEngine(network, SCALING, SIZE, threads=2).embed_fields(fields()))


def test_channels_go_through_together_in_a_composite(tmp_path):
    write_network(tmp_path / "two.xml", channels=2)
    engine = ExportedEngine(tmp_path / "two.xml", SCALING, SIZE, composite=True)
    field = make_field(0, 21)
    (result,) = engine.embed_fields([field])
    assert engine.width == 3
    assert result.features == pytest.approx(expected(crops_of(field)).reshape(-1, 2, 3).mean(axis=1), abs=1e-5)
