import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from profiling.embeddings.crops import resize_matrix
from profiling.embeddings.cutter import Cutter
from profiling.embeddings.fields import FieldCells, Scaling
from profiling.embeddings.torch_crops import cut, reflect, resize, resizing, scale, to_range
from profiling.embeddings.torch_engine import TorchEngine
from profiling.embeddings.torch_transfer import upload_fields

CPU = torch.device("cpu")


class NoNetwork:
    """In the place of a network: the images themselves, flattened, are the features."""

    device, batch_size = CPU, 4

    def prepare(self, shape):
        return int(np.prod(shape))

    def __call__(self, images):
        return images.flatten(1)


@st.composite
def fields(draw):
    """A field with cells anywhere on it, its scaling, its crop and the size that the network sees."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    kind = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    planes = rng.integers(0, 256 if kind == np.uint8 else 65536, (2, height, width)).astype(kind)
    if kind == np.float32:
        planes -= 1000.5
    if draw(st.booleans()):
        planes = planes[:, ::-1, ::-1]  # not contiguous
    count = draw(st.integers(0, 9))
    centres = rng.random((count, 2)) * [height - 1, width - 1]
    corners = np.array([(0, 0), (height - 1, width - 1)], float)
    centres[: 2 * (count > 3)] = corners[: 2 * (count > 3)]
    labels = rng.integers(0, 4, (height, width)).astype(np.uint32) if draw(st.booleans()) else None
    field = FieldCells(planes, centres, rng.integers(1, 4, count), labels, np.arange(0, count, 3))
    top = float(planes.max())
    shape = draw(st.sampled_from([(1, 1), (height, width)]))
    flats = [rng.uniform(1, 2, shape).astype(np.float32), np.ones((1, 1), np.float32)]
    scaling = Scaling(flats, np.float32([3, 0]), np.float32([0, 0.1 * top]), np.float32([0.6 * top + 1, top + 1]))
    sides = st.integers(1, 64)
    return field, scaling, draw(st.none() | sides | st.tuples(sides, sides)), draw(st.integers(4, 48))


@given(fields())
def test_images_are_those_of_the_cpu_engine(given_field):
    """Borders, several reflections, masks, shrinking, enlarging, rectangles, whole fields, all types of pixels."""
    field, scaling, crop, size = given_field
    expected = np.empty((len(field.centres), 2, size, size), np.float32)
    if len(expected):
        Cutter(scaling, crop, size).field(field)(0, len(expected), expected)
    engine = TorchEngine(NoNetwork(), scaling, crop, size)
    (result,) = engine.embed_fields([field])
    assert result.features.shape == (len(expected), 2 * size * size)
    assert np.abs(result.features.reshape(expected.shape) - expected).max(initial=0) <= 1e-5
    assert result.pictures.shape == expected[field.shown].shape
    assert np.abs(result.pictures - expected[field.shown]).max(initial=0) <= 1e-5


@given(st.integers(1, 9), st.integers(0, 60))
def test_reflection_is_that_of_numpy(length, pad):
    expected = np.pad(np.arange(length), pad, mode="reflect")
    assert reflect(torch.arange(-pad, length + pad), length).tolist() == expected.tolist()


def test_every_value_of_uint16_arrives_as_itself():
    values = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    field = FieldCells(values, np.zeros((0, 2)), np.zeros(0, int), None, np.zeros(0, int))
    (placed,) = upload_fields([field], 8, CPU)
    scaling = Scaling([np.ones((1, 1), np.float32)], np.zeros(1), np.zeros(1), np.float32([65536]))
    assert placed.planes.dtype == torch.int16
    assert np.array_equal(scale(placed.planes, to_range(scaling, CPU)).numpy() * 65536, values)


def test_what_was_uploaded_does_not_share_memory_with_the_caller():
    planes = np.full((1, 8, 8), 7, np.uint8)
    (placed,) = upload_fields([FieldCells(planes, np.zeros((1, 2)), np.ones(1, int), None, np.zeros(0, int))], 4, CPU)
    planes[:] = 0
    assert (placed.planes == 7).all()


@pytest.mark.parametrize(("shape", "size"), [((128, 128), 96), ((50, 31), 64), ((300, 200), 64), ((9, 200), 32)])
def test_resizing_is_that_of_torch(shape, size):
    crops = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(crops, (size, size), mode="bilinear", antialias=True)
    assert (resize(crops, resizing(shape, size, CPU)) - expected).abs().max() < 1e-5
    assert resizing((size, size), size, CPU) is None
    assert resize_matrix(5, 3).shape == (3, 5)


def test_a_cut_touches_only_the_window():
    field = torch.arange(2 * 6 * 7, dtype=torch.float32).reshape(2, 6, 7)
    crop = cut(field, torch.tensor([[1, 2]]), (3, 4))
    assert torch.equal(crop[0], field[:, 1:4, 2:6])
