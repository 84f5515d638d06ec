import heapq
import os
from functools import partial
from pathlib import Path

import cc3d
import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage.segmentation import expand_labels

from profiling.cells import load_segmenter
from profiling.cells.cytoplasm import expand_ring, flood_cells, median_diameter, propagate_cells
from profiling.cells.propagate import propagate

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
WAYS = ("propagate", "watershed", "ring")


def draw_nuclei(seed, shape=(90, 110), count=6, radius=7):
    """Discs that do not overlap, some cut by the border, with labels that leave gaps."""
    rng = np.random.default_rng(seed)
    nuclei = np.zeros(shape, np.uint32)
    for label, centre in enumerate(rng.integers(0, shape[::-1], (count, 2)), 1):
        disc = np.zeros(shape, np.uint8)
        cv2.circle(disc, centre.tolist(), radius, 1, -1)
        if not nuclei[disc > 0].any():
            nuclei[disc > 0] = 3 * label
    return nuclei


def blotches(shape, height, seed=0):
    noise = np.random.default_rng(seed).normal(0, 1, shape)
    return cv2.GaussianBlur(noise, (0, 0), 4) * height + 10


def check_cells(cells, nuclei):
    assert cells.dtype == np.uint32
    assert np.array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
    assert np.array_equal(np.unique(cells), np.unique(nuclei))
    parts = cc3d.connected_components(cells, connectivity=4)
    assert parts.max() == len(np.unique(nuclei)) - (0 in nuclei)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    offset=st.sampled_from([0.0, 4000.0, -500.0]),
    dtype=st.sampled_from(["float32", "float64", "uint16", "int16"]),
    radius=st.sampled_from([0, 2, 7, 15]),
)
def test_every_cell_holds_one_nucleus_and_is_connected(way, seed, height, offset, dtype, radius):
    nuclei = draw_nuclei(seed, radius=radius)
    image = blotches(nuclei.shape, height, seed) + offset
    if "int" in dtype:
        image = image.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    image = image.astype(dtype)
    segment_cells = load_segmenter(nucleus_diameter=None, cells=way).segment_cells
    cells = segment_cells(nuclei, image)
    check_cells(cells, nuclei)
    assert np.array_equal(cells, segment_cells(nuclei.copy(), image.copy()))
    check_cells(segment_cells(nuclei), nuclei)


@pytest.mark.parametrize("way", ["propagate", "watershed"])
def test_a_cell_reaches_no_further_than_a_few_nuclei(way):
    nuclei = np.zeros((300, 300), np.uint32)
    nuclei[140:160, 140:160] = 1
    bright = np.full(nuclei.shape, 1000, np.uint16)
    bright[:20] = 10
    cells = load_segmenter(cells=way).segment_cells(nuclei, bright)
    y, x = np.nonzero(cells)
    assert 45 < np.hypot(y - 149.5, x - 149.5).max() < 75


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("image", [None, np.full((5, 4), 7, np.uint16), np.zeros((5, 4), np.float32)])
def test_tiny_and_full_fields(way, image):
    segment_cells = load_segmenter(cells=way).segment_cells
    for nuclei in (np.zeros((5, 4), np.uint32), np.full((5, 4), 9, np.uint32), np.eye(5, 4, dtype=np.uint32)[::-1]):
        cells = segment_cells(nuclei, image)
        assert np.array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
        assert np.array_equal(np.unique(cells[cells > 0]), np.unique(nuclei[nuclei > 0]))
    pixel = np.ones((1, 1), np.uint32)
    assert segment_cells(pixel, None if image is None else image[:1, :1]).tolist() == [[1]]


@pytest.mark.parametrize("way", ["propagate", "watershed"])
def test_a_dark_channel_leaves_a_rim(way):
    nuclei = draw_nuclei(3)
    dark = np.random.default_rng(0).poisson(4, nuclei.shape).astype(np.uint16) + 200
    cells = load_segmenter(cells=way).segment_cells(nuclei, dark)
    rim = expand_ring(nuclei, 0.1 * median_diameter(nuclei))
    assert (cells >= rim).all()
    assert (cells != rim).mean() < 0.002


@pytest.mark.parametrize("way", ["propagate", "watershed"])
@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.01, 50), offset=st.floats(-500, 5000), seed=st.integers(0, 1000))
def test_gain_and_offset_hardly_change_the_cells(way, gain, offset, seed):
    nuclei = draw_nuclei(seed)
    image = blotches(nuclei.shape, 300, seed).clip(0) + (expand_ring(nuclei, 12) > 0) * 400
    segment_cells = load_segmenter(cells=way).segment_cells
    assert (segment_cells(nuclei, image) != segment_cells(nuclei, image * gain + offset)).mean() < 0.01


def test_larger_pixels_give_the_same_cells():
    nuclei = draw_nuclei(5, shape=(180, 220), radius=14)
    image = blotches(nuclei.shape, 300, 5) + (expand_ring(nuclei, 30) > 0) * 400
    fine = propagate_cells(nuclei, image)
    nuclei = cv2.resize(nuclei.astype(np.float32), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST).astype(np.uint32)
    coarse = propagate_cells(nuclei, cv2.resize(image, None, fx=3, fy=3))
    assert (fine != coarse[1::3, 1::3]).mean() < 0.03


def two_cells(inner=1000, border=1000, right=1000):
    """Nuclei at columns 30-50 and 100-120 of one band of foreground, whose border lies at columns 58-62."""
    nuclei = np.zeros((80, 160), np.uint32)
    nuclei[30:50, 30:50], nuclei[30:50, 100:120] = 1, 2
    image = np.full(nuclei.shape, 100.0)
    image[10:70, 10:60], image[10:70, 60:150] = inner, right
    image[10:70, 58:62] = border
    return nuclei, image


@pytest.mark.parametrize("way", ["propagate", "watershed"])
def test_cells_meet_in_the_dark_valley(way):
    nuclei, image = two_cells(border=400)
    cells = load_segmenter(cells=way).segment_cells(nuclei, image)
    assert (cells[40, 52:56] == 1).all()
    assert (cells[40, 64:148] == 2).all()
    assert not cells[:5].any()


@pytest.mark.parametrize("border, right", [(3000, 1000), (1000, 500)], ids=["bright membrane", "step"])
def test_propagation_also_meets_at_bright_membranes_and_steps(border, right):
    nuclei, image = two_cells(border=border, right=right)
    row = propagate_cells(nuclei, image)[40]
    assert (row[52:57] == 1).all()
    assert (row[64:142] == 2).all()
    halfway = propagate_cells(nuclei, image, regularisation=100)[40]
    assert (halfway[62:72] == 1).all()


def test_a_dim_cell_does_not_take_its_bright_neighbours_outskirts():
    columns = np.arange(151)
    knots, heights = [10, 40, 75, 110, 140], [300, 10_000, 300, 1000, 300]  # two domes, a valley at column 75
    image = np.zeros((81, 151), np.float32)
    image[10:70] = np.exp(np.interp(columns, knots, np.log(heights)))
    nuclei = np.zeros(image.shape, np.uint32)
    nuclei[30:50, 30:50], nuclei[30:50, 100:120] = 1, 2
    cells = propagate_cells(nuclei, image)
    assert (cells[40, 50:62] == 1).all()
    assert (cells[40, 78:100] == 2).all()
    plain = propagate(image / image.max(), nuclei.astype(np.int32), image > 0, 0.0)
    assert plain[40, 61] == 2  # what the logarithm is for


def propagate_slowly(image, seeds, mask, regularisation):
    """Dijkstra's algorithm with a queue, a step at a time; the distance and the label of every pixel."""
    padded = np.pad(image.astype(float), 1, mode="edge")
    distance = np.where(seeds > 0, 0.0, np.inf)
    labels = seeds.copy()
    queue = [(0.0, *place) for place in np.argwhere(seeds > 0).tolist()]
    while queue:
        length, i, j = heapq.heappop(queue)
        if length > distance[i, j]:
            continue
        for k, m in np.ndindex(3, 3):
            row, column = i + k - 1, j + m - 1
            if not (0 <= row < image.shape[0] and 0 <= column < image.shape[1] and mask[row, column]):
                continue
            change = np.abs(padded[i : i + 3, j : j + 3] - padded[row : row + 3, column : column + 3]).sum()
            steps = abs(row - i) + abs(column - j)
            total = length + np.sqrt(change**2 + steps * regularisation**2)
            if total < distance[row, column]:
                distance[row, column], labels[row, column] = total, labels[i, j]
                heapq.heappush(queue, (total, row, column))
    return labels


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), regularisation=st.sampled_from([0.0, 0.05, 1.0, 30.0]))
@example(seed=1, regularisation=0.0)
def test_propagation_is_the_shortest_path_of_jones_carpenter_and_golland(seed, regularisation):
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.random((24, 30), np.float32), (0, 0), 1.0)
    seeds = (draw_nuclei(seed, image.shape, count=5, radius=2) // 3).astype(np.int32)
    mask = cv2.GaussianBlur(rng.random(image.shape), (0, 0), 1.5) > 0.48
    labels = propagate(image, seeds, mask, regularisation)
    assert np.array_equal(labels, propagate_slowly(image, seeds, mask | (seeds > 0), regularisation))


def test_propagation_over_an_even_image_without_distance_reaches_everything():
    seeds = np.zeros((6, 8), np.int32)
    seeds[2, 3] = 5
    mask = np.ones(seeds.shape, bool)
    mask[:, 6] = False
    labels = propagate(np.zeros(seeds.shape, np.float32), seeds, mask, 0.0)
    assert (labels[:, :6] == 5).all()
    assert not labels[:, 6:].any()


def test_stricter_threshold_gives_smaller_cells():
    nuclei, image = draw_nuclei(2), blotches((90, 110), 300, 2)
    for grow in (propagate_cells, flood_cells):
        loose, strict = ((grow(nuclei, image, factor) > 0).sum() for factor in (0.5, 2.0))
        assert strict < loose


def test_ring_is_the_expansion_to_the_nearest_nucleus():
    nuclei = draw_nuclei(11, shape=(200, 240), count=12, radius=12)
    ours, reference = expand_ring(nuclei, 8), expand_labels(nuclei, 8)
    assert np.array_equal(ours > 0, reference > 0)
    assert (ours != reference).mean() < 0.002
    image = blotches(nuclei.shape, 300)
    assert np.array_equal(load_segmenter(cells="ring", ring=8).segment_cells(nuclei, image), ours)
    assert np.array_equal(load_segmenter(cells="propagate", ring=8).segment_cells(nuclei), ours)


def test_wrong_settings_are_named():
    nuclei = draw_nuclei(0)
    load = partial(load_segmenter, "classical")
    with pytest.raises(ValueError, match="propagate, watershed, ring"):
        load(cells="voronoi")
    with pytest.raises(ValueError, match="classical.*'smoothing'.*threshold, threshold_correction"):
        load(smoothing=3)
    with pytest.raises(ValueError, match="regularisation"):
        load(regularisation=-1)
    with pytest.raises(ValueError, match="ring"):
        load(ring=0)
    with pytest.raises(ValueError, match="NaN"):
        load().segment_cells(nuclei, np.full(nuclei.shape, np.nan))
    with pytest.raises(ValueError, match="shape"):
        load().segment_cells(nuclei, np.zeros((3, 3)))


@pytest.mark.skipif(not (DATA / "bbbc013").exists(), reason=f"no public data in {DATA}")
@pytest.mark.parametrize("way", ["propagate", "watershed"])
def test_real_cells(way):
    dna = sorted((DATA / "bbbc013" / "images").glob("Channel2-*.tif"))[20]
    gfp = next(dna.parent.glob(dna.name.replace("Channel2", "Channel1")))
    segmenter = load_segmenter("classical", nucleus_diameter=None, cells=way)
    nuclei = segmenter.segment(cv2.imread(str(dna), cv2.IMREAD_UNCHANGED))
    cells = segmenter.segment_cells(nuclei, cv2.imread(str(gfp), cv2.IMREAD_UNCHANGED))
    assert 150 < nuclei.max() < 210
    check_cells(cells, nuclei)
    assert 2 < (cells > 0).sum() / (nuclei > 0).sum() < 8
