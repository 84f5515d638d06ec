import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from profiling.embeddings import engine as public
from profiling.embeddings import torch_crops, torch_network, torch_transfer
from profiling.embeddings import torch_engine as module
from profiling.embeddings.backbones import load_backbone
from profiling.embeddings.exported import ExportedEngine, export_network
from profiling.embeddings.fields import FieldCells, Scaling
from profiling.embeddings.network import FeatureNetwork
from profiling.embeddings.torch_crops import Range
from profiling.embeddings.torch_engine import IN_FLIGHT, torch_engine
from profiling.errors import ProfilingError
from profiling.settings import Embedding

CPU = torch.device("cpu")
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CHANNELS = 3
SIZE = 48
SETTINGS = Embedding(
    backbone="torchvision:resnet18", weights="untrained", layers=["layer1"], input_size=SIZE, batch_size=8
)
SCALING = Scaling(
    [np.ones((1, 1), np.float32)] * CHANNELS,
    np.float32([100, 0, 50]),
    np.float32([0, 200, 100]),
    np.float32([3000, 4000, 2000]),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(SETTINGS.backbone, SETTINGS.weights, SETTINGS.layers)


def make(backbone, device=CPU, crop=40, scaling=SCALING, **settings):
    return torch_engine(backbone, SETTINGS.model_copy(update=settings), scaling, crop, device)


def field(count, seed=0, shape=(90, 120), masked=False, kind=np.uint16):
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 256 if kind == np.uint8 else 5000, (CHANNELS, *shape)).astype(kind)
    labels = np.kron(rng.integers(0, 20, (9, 12)), np.ones((10, 10))).astype(np.uint32) if masked else None
    return FieldCells(
        planes, rng.random((count, 2)) * np.array(shape), rng.integers(1, 20, count), labels, np.arange(0, count, 4)
    )


PLATE = [field(n, seed) for seed, n in enumerate([0, 3, 0, 11, 1, 0])] + [field(2, 7, (60, 50)), field(0, 8, (20, 30))]
"""No cells, one cell, more than a batch, fields of other sizes and one smaller than the crop."""
COUNTS = [len(cells.centres) for cells in PLATE]


def embed(engine, fields=PLATE):
    results = list(engine.embed_fields(iter(fields)))
    assert [len(result.features) for result in results] == [len(cells.centres) for cells in fields]
    assert {result.features.shape[1] for result in results} <= {engine.width}
    return results


def features(results):
    return np.concatenate([result.features for result in results])


@pytest.fixture(scope="module")
def expected(backbone):
    return embed(make(backbone))


def same(one, other, tolerance=1e-4):
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.parametrize(("composite", "crops"), [(False, [SIZE, (31, 90), None]), (True, [70])])
def test_features_are_those_of_the_cpu_engine(backbone, tmp_path, composite, crops):
    export_network(backbone, SETTINGS.pooling, CHANNELS if composite else 1, SIZE, tmp_path / "network.xml")
    fields = [field(7, 1, masked=True), field(5, 2, kind=np.uint8), field(4, 3, kind=np.float32)]
    settings = {"composite": ["a", "b", "c"]} if composite else {}
    for crop in crops:
        cpu = ExportedEngine(tmp_path / "network.xml", SCALING, crop, composite)
        torch_ = make(backbone, crop=crop, **settings)
        assert torch_.width == cpu.width
        for ours, theirs in zip(embed(torch_, fields), cpu.embed_fields(fields), strict=True):
            same(ours.features, theirs.features)
            assert np.abs(ours.pictures - theirs.pictures).max() < 1e-5


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_features_do_not_depend_on_the_batch_size(backbone, expected, batch_size):
    results = embed(make(backbone, batch_size=batch_size))
    same(features(results), features(expected))
    for ours, theirs in zip(results, expected):
        assert np.array_equal(ours.pictures, theirs.pictures)


def test_features_do_not_depend_on_the_fields_around(backbone, expected):
    alone = [embed(make(backbone), [cells])[0] for cells in PLATE]
    same(features(alone), features(expected))


def test_batches_of_a_fixed_size_give_the_same(backbone, expected):
    engine = make(backbone)
    engine.network.fixed = True
    seen = []
    run = engine.network.network
    engine.network.run = lambda images: seen.append(len(images)) or run(images)
    same(features(embed(engine)), features(expected))
    assert set(seen) == {8}
    assert len(seen) == -(-CHANNELS * sum(COUNTS) // 8)


def test_the_same_input_gives_the_same_bits(backbone, expected):
    assert np.array_equal(features(embed(make(backbone))), features(expected))


def test_crops_given_directly_take_the_same_way(backbone, expected, monkeypatch):
    monkeypatch.setattr(public, "load_backbone", lambda *args, **kwargs: backbone)
    embedder = public.load_embedder(device="cpu", batch_size=4)
    for result, cells in zip(expected, PLATE):
        if len(cells.shown):
            same(embedder.embed(result.pictures), result.features[cells.shown])


class Hungry:
    """A function that runs out of memory: above a number of images, or at some calls."""

    def __init__(self, function, images=np.inf, calls=()):
        self.function, self.images, self.calls, self.count = function, images, calls, 0

    def __call__(self, batch, *rest):
        self.count += 1
        if self.count in self.calls or len(batch) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.function(batch, *rest)


@pytest.mark.parametrize("most", [1, 3, 5])
def test_a_batch_that_does_not_fit_is_halved_and_no_cell_is_lost_or_repeated(backbone, expected, most):
    engine = make(backbone)
    engine.network.network = Hungry(engine.network.network, most)
    engine.network.run = None
    same(features(embed(engine)), features(expected))
    assert engine.network.batch_size == {1: 1, 3: 2, 5: 4}[most]


@pytest.mark.parametrize("call", range(1, 7))
def test_memory_that_runs_out_once_anywhere_halves_the_batch(backbone, expected, call):
    engine = make(backbone)
    engine.network.network = Hungry(engine.network.network, calls=[call])
    engine.network.run = None
    results = embed(engine)
    same(features(results), features(expected))
    assert engine.network.batch_size == 4


@pytest.mark.parametrize("step", ["scale", "cut", "resize"])
def test_memory_that_runs_out_while_cutting_halves_the_batch(backbone, expected, monkeypatch, step):
    engine = make(backbone)
    monkeypatch.setattr(module.torch_crops, step, Hungry(getattr(module.torch_crops, step), calls=[2, 4]))
    results = embed(engine)
    same(features(results), features(expected))
    assert all(np.array_equal(ours.pictures, theirs.pictures) for ours, theirs in zip(results, expected))
    assert engine.network.batch_size == 2


def test_a_network_that_does_not_fit_at_all_is_an_error_with_a_remedy(backbone):
    engine = make(backbone)
    engine.network.network = Hungry(engine.network.network, 0)
    engine.network.run = None
    with pytest.raises(ProfilingError, match="cpu does not hold one image of 48 pixels a side: .* take a smaller"):
        embed(engine)


def test_a_field_that_does_not_fit_is_tried_again_and_then_an_error(backbone, expected, monkeypatch):
    place = torch_transfer._place
    monkeypatch.setattr(torch_transfer, "_place", Hungry(place, calls=[1, 5]))
    same(features(embed(make(backbone))), features(expected))
    monkeypatch.setattr(torch_transfer, "_place", Hungry(place, calls=[3, 4]))
    with pytest.raises(ProfilingError, match="a field of 3 channels and 120 × 90 pixels does not fit into the memory"):
        embed(make(backbone))


def test_other_errors_pass_through(backbone):
    def broken():
        yield PLATE[1]
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(make(backbone).embed_fields(broken()))
    engine = make(backbone)
    engine.network.run = lambda images: images @ images.new_zeros(7, 7)
    with pytest.raises(RuntimeError, match="shape|size"):
        embed(engine)


def test_a_consumer_may_stop_early_and_keeps_its_own_mode(backbone):
    results = make(backbone).embed_fields(iter(PLATE))
    next(results)
    next(results)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()
    assert torch.ones(1, requires_grad=True).exp().requires_grad
    results.close()


@pytest.mark.parametrize("cells", [1, 4, 12])
def test_few_fields_are_held_however_many_there_are(backbone, cells):
    taken = 0

    def count():
        nonlocal taken
        for seed in range(40 // cells + 8):
            taken += 1
            yield field(cells, seed)

    images = (IN_FLIGHT + 2) * SETTINGS.batch_size
    most = 3 + -(-images // (CHANNELS * cells))
    for given, _ in enumerate(make(backbone).embed_fields(count()), start=1):
        assert taken - given <= most


def test_an_engine_leaves_the_backbone_as_it_was(backbone):
    before = {name: value.clone() for name, value in backbone.network.state_dict().items()}
    half = features(embed(make(backbone, precision="bf16"), PLATE[:2]))
    after = backbone.network.state_dict()
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == before[name].dtype for name in before)
    full = features(embed(make(backbone), PLATE[:2]))
    assert not np.array_equal(half, full)
    same(half, full, 0.05)


def test_the_first_batch_is_the_power_of_two_that_half_of_the_memory_holds():
    assert torch_network.largest_batch(free=80e9, image=1.3e6) == torch_network.LARGEST_GUESS
    assert torch_network.largest_batch(free=2e9, image=10e6) == 64
    assert torch_network.largest_batch(free=1e6, image=10e6) == 1


class HostCopies(TorchDispatchMode):
    """Notes operations whose tensors lie on several devices."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)]
        if len({tensor.device.type for tensor in tensors}) > 1:
            self.found.append(str(function))
        return out


@pytest.mark.parametrize("pooling", ["mean+std", "mean+std+gem+max+centre"])
def test_nothing_is_copied_from_the_host_while_the_device_works(pooling):
    """On tensors that only claim to be on CUDA: such a copy would stall the device, and forbid the CUDA graph."""
    backbone = load_backbone(SETTINGS.backbone, SETTINGS.weights, SETTINGS.layers, rotations=4)
    network = FeatureNetwork(backbone, pooling)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():

        def cuda(tensor):
            return fake.from_tensor(tensor).to("cuda")

        state = {name: cuda(value) for name, value in network.state_dict().items()}
        planes, corners = cuda(torch.zeros(CHANNELS, 90, 120, dtype=torch.int16)), cuda(torch.zeros(5, 2).long())
        values = Range(*(cuda(torch.ones(CHANNELS, 1, 1)) for _ in range(3)))
        matrices = [cuda(torch.ones(SIZE, 40)) for _ in range(2)]
        with HostCopies() as copies:
            crops = torch_crops.cut(torch_crops.scale(planes, values), corners, (40, 40))
            labels = torch_crops.cut(planes[:1].int(), corners, (40, 40))
            torch_crops.mask_neighbours(crops, labels, corners[:, 0].int())
            images = torch_crops.resize(crops, matrices).reshape(-1, 1, SIZE, SIZE)
            features = torch.func.functional_call(network, state, (images,))
    assert features.device.type == "cuda"
    assert len(features) == 5 * CHANNELS
    assert copies.found == []


@pytest.mark.gpu
@CUDA
@pytest.mark.parametrize("size", [96, 128])
def test_a_gpu_gives_the_features_of_the_cpu(size):
    lite0 = load_backbone()
    fields = [field(40, seed, (300, 400)) for seed in range(3)]
    gpu, cpu = (
        features(embed(make(lite0, torch.device(device), 96, batch_size=None, input_size=size), fields))
        for device in ("cuda", "cpu")
    )
    cosine = (gpu * cpu).sum(1) / np.linalg.norm(gpu, axis=1) / np.linalg.norm(cpu, axis=1)
    assert cosine.min() >= 0.999
    same(gpu, cpu, 1e-3)


@pytest.mark.gpu
@CUDA
def test_a_gpu_replays_a_graph_with_the_bits_of_another_run(backbone):
    engines = [make(backbone, torch.device("cuda")) for _ in range(2)]
    first, second = (features(embed(engine)) for engine in engines)
    assert engines[0].network.run is not engines[0].network.network, "no graph was recorded"
    assert np.array_equal(first, second)
    plain = make(backbone, torch.device("cuda"))
    plain.network.run = plain.network.network
    same(features(embed(plain)), first)


@pytest.mark.gpu
@CUDA
def test_a_gpu_that_is_full_gets_smaller_batches(backbone):
    fields = [field(60, seed, (300, 400)) for seed in range(3)]
    expected = features(embed(make(backbone, torch.device("cuda"), batch_size=16), fields))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 400e6) / total)
    try:
        engine = make(backbone, torch.device("cuda"), batch_size=4096)
        same(features(embed(engine, fields)), expected)
        assert engine.network.batch_size < 4096
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
