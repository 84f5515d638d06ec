"""The demo screen: what is written, that it repeats, and that truth and images agree."""

from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import gaussian_filter
from skimage.measure import label as components

from profiling.demo import simulate
from profiling.demo.cells import paint_field
from profiling.demo.design import CHANNELS, plan_trouble, plate_map
from profiling.demo.jobs import simulate_once
from profiling.demo.optics import OFFSET, SATURATION, flat_field, plate_optics
from profiling.demo.population import PHENOTYPES, draw_population
from profiling.errors import ProfilingError

SCREEN = {"plates": ("A", "B"), "rows": 2, "columns": 4, "sites": 1, "size": 128, "seed": 3}


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    simulate(folder, **SCREEN)
    return folder


@pytest.fixture(scope="module")
def fields():
    """One field of each phenotype at full penetrance, before the microscope."""
    return {name: paint_field(400, name, 1.0, 1.0, np.random.default_rng(5)) for name in PHENOTYPES}


def read(path):
    return tifffile.imread(path)


def contents(folder):
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_whatever_the_workers(tmp_path):
    small = SCREEN | {"plates": ("A",), "size": 64}
    simulate(tmp_path / "one", **small)
    simulate(tmp_path / "two", **small, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") != {}


def test_another_seed_gives_another_field():
    one, other = (paint_field(120, "normal", 0.0, 1.0, np.random.default_rng(seed))[0] for seed in (1, 2))
    assert (one != other).mean() > 0.5


def test_every_image_of_the_plate_map_is_there_but_the_lost_ones(screen):
    wells = pd.read_csv(screen / "platemap.csv")
    trouble = pd.read_csv(screen / "truth" / "trouble.csv", dtype={"site": "Int64"})
    map_only = trouble[trouble["kind"] == "map_only"]
    missing = trouble[trouble["kind"] == "missing"]
    expected = {
        f"{row.plate}_{row.well}_s1_{channel}.tif"
        for row in wells.itertuples()
        for channel in CHANNELS
        if (row.plate, row.well) not in set(zip(map_only["plate"], map_only["well"]))
    }
    expected -= {f"{row.plate}_{row.well}_s{row.site}_{row.channel}.tif" for row in missing.itertuples()}
    assert len(missing) == len(map_only) == 1
    assert {path.name for path in (screen / "images").rglob("*.tif")} == expected


def test_trouble_is_what_it_says(screen, tmp_path):
    trouble = pd.read_csv(screen / "truth" / "trouble.csv")
    assert trouble.groupby("kind")["well"].nunique().to_dict() == dict.fromkeys(
        ("truncated", "missing", "out_of_focus", "blank", "map_only"), 1
    )
    assert trouble.groupby("well")["kind"].nunique().eq(1).all()
    roles = pd.read_csv(screen / "platemap.csv").merge(trouble, on=["plate", "well"])["role"]
    assert set(roles) == {"treatment"}

    def images(kind):
        rows = trouble[trouble["kind"] == kind]
        return [
            screen / "images" / row.plate / f"{row.plate}_{row.well}_s{row.site:.0f}_{row.channel}.tif"
            for row in rows.itertuples()
        ]

    with pytest.raises(Exception):  # noqa: B017  (tifffile's decoders raise errors of several kinds)
        read(images("truncated")[0])
    assert not images("missing")[0].exists()
    blank = [read(path).astype(float) for path in images("blank")]
    assert all(image.std() < 0.15 * (image.mean() - OFFSET) + 8 for image in blank)

    # Without trouble the same seed takes the same pictures, these fields in focus.
    clean = tmp_path / "images"
    simulate(tmp_path, **SCREEN, trouble=False)
    assert len(list(clean.rglob("*.tif"))) == 2 * 8 * 3
    assert pd.read_csv(tmp_path / "truth" / "trouble.csv").empty

    def detail(image):
        return np.abs(np.diff(gaussian_filter(image.astype(float), 1.5), axis=0)).mean()

    for path in images("out_of_focus"):
        assert detail(read(path)) < 0.85 * detail(read(clean / path.relative_to(screen / "images")))
    spoilt = {path for kind in trouble["kind"].unique() if kind != "map_only" for path in images(kind)}
    for path in set((screen / "images").rglob("*.tif")) - spoilt:
        assert path.read_bytes() == (clean / path.relative_to(screen / "images")).read_bytes()


def test_labels_and_cell_table_agree(screen):
    cells = pd.read_parquet(screen / "truth" / "cells.parquet")
    paths = sorted((screen / "truth" / "labels").rglob("*_cells.tif"))
    fields = cells.groupby(["Metadata_Plate", "Metadata_Well", "Metadata_Site"])
    assert len(paths) == 2 * 8 - 1  # one well is only in the plate map
    assert set(cells["Phenotype"]) <= set(PHENOTYPES)
    for path in paths:
        plate, (well, site, _) = path.parent.name, path.stem.split("_")
        whole, nuclei = read(path), read(path.with_name(f"{well}_{site}_nuclei.tif"))
        ids = np.unique(nuclei[nuclei > 0])
        assert np.array_equal(np.unique(whole[whole > 0]), ids)
        assert np.array_equal(nuclei[nuclei > 0], whole[nuclei > 0])
        key = (plate, well, int(site[1:]))
        if ids.size == 0:
            assert key not in fields.groups
            continue
        table = fields.get_group(key).set_index("Metadata_CellID")
        assert np.array_equal(table.index, ids)
        label = ids[len(ids) // 2]
        y, x = np.nonzero(nuclei == label)
        assert table.loc[label, ["CentroidY", "CentroidX"]].tolist() == pytest.approx([y.mean(), x.mean()])


def test_images_are_twelve_bits_with_a_camera_offset(screen):
    cells = pd.read_csv(screen / "platemap.csv")
    well = cells.loc[cells["role"] == "negative_control", "well"].iloc[0]
    for channel in CHANNELS:
        path = screen / "images" / "A" / f"A_{well}_s1_{channel}.tif"
        with tifffile.TiffFile(path) as tiff:
            assert tiff.pages[0].compression.name == "LZW"
        image = read(path)
        assert image.dtype == np.uint16 and image.shape == (128, 128)
        assert OFFSET < image.min() and image.max() <= SATURATION
        assert (image == SATURATION).mean() < 1e-3


def test_flat_fields_and_plate_effect(screen):
    for size in (64, 301):
        flat = flat_field(size, np.random.default_rng(size))
        corners = flat[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert flat.max() == 1 and flat.dtype == np.float32
        assert 0.65 < corners.min() and 0.70 < corners.mean() < 0.80
    first, second = plate_optics(0, 8, 3), plate_optics(1, 8, 3)
    for channel in CHANNELS:
        saved = read(screen / "truth" / "flatfields" / "A" / f"{channel}.tif")
        assert np.array_equal(saved, plate_optics(0, 128, 3)[channel][0])
        for one, other in zip(first[channel][1:], second[channel][1:]):
            assert 1.14 < max(one, other) / min(one, other) < 1.26


def test_plate_map_holds_every_dose_and_controls_apart():
    layout = plate_map(("P1", "P2"), 4, 6, seed=1)
    for _, plate in layout.groupby("plate"):
        assert plate["role"].value_counts().to_dict() == {
            "treatment": 18,
            "negative_control": 4,
            "positive_control": 2,
        }
        assert not plate.loc[plate["role"] == "treatment", ["compound", "concentration"]].duplicated().any()
        columns = plate.loc[plate["role"] == "negative_control", "well"].str[1:].astype(int)
        assert columns.isin([1, 6]).sum() == 2
    controls = layout[layout["role"] != "treatment"].groupby("plate")["well"].agg(set)
    assert controls["P1"] != controls["P2"]
    doses = layout.query("penetrance > 0 and role == 'treatment'").sort_values("concentration")
    assert doses.groupby("compound")["penetrance"].apply(lambda p: p.is_monotonic_increasing).all()


def test_layouts_too_small_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rows"):
        plate_map(("P",), 1, 6, seed=0)
    with pytest.raises(ValueError, match="five treatment wells"):
        plan_trouble(plate_map(("P",), 2, 3, seed=0), 1, seed=0)
    with pytest.raises(ProfilingError, match="five treatment wells.*give other --rows"):
        simulate_once(tmp_path / "screen", **SCREEN | {"columns": 3})
    assert not (tmp_path / "screen").exists()


def test_penetrance_and_survival_are_those_asked_for():
    def counts(phenotype, penetrance, survival):
        cells = draw_population(1024, phenotype, penetrance, survival, np.random.default_rng(0))
        return len(cells), (cells["Phenotype"] == phenotype).mean()

    all_cells, _ = counts("normal", 0.0, 1.0)
    few_cells, _ = counts("normal", 0.0, 0.3)
    _, share = counts("translocated", 0.8, 1.0)
    assert few_cells / all_cells == pytest.approx(0.3, abs=0.08)
    assert share == pytest.approx(0.8, abs=0.07)


def _per_cell(field, phenotype):
    """Area, DNA, reporter ratio and so on of the cells of a phenotype."""
    light, cells, nuclei, population = field
    cytoplasm = np.where(nuclei > 0, 0, cells)
    n = len(population) + 1

    def mean(image, labels):
        return np.bincount(labels.ravel(), image.ravel(), n)[1:] / np.bincount(labels.ravel(), minlength=n)[1:]

    with np.errstate(invalid="ignore"):
        table = pd.DataFrame(
            {
                "CellArea": np.bincount(cells.ravel(), minlength=n)[1:],
                "NuclearArea": np.bincount(nuclei.ravel(), minlength=n)[1:],
                "DNA": mean(light[0], nuclei),
                "ActinSpread": np.sqrt(mean(light[1] ** 2, cells) / mean(light[1], cells) ** 2 - 1),
                "ReporterRatio": mean(light[2], nuclei) / mean(light[2], cytoplasm),
                "Content": population["Cycle"],
                "TotalDNA": np.bincount(nuclei.ravel(), light[0].ravel(), n)[1:],
            }
        )
    inner = population[["Y", "X"]].sub(200).abs().max(axis=1) < 150
    return table[(population["Phenotype"] == phenotype) & inner]


def test_phenotypes_have_their_physical_effect(fields):
    medians = pd.DataFrame({name: _per_cell(field, name).median() for name, field in fields.items()})
    normal = medians["normal"]
    assert medians.loc["NuclearArea", "condensed"] < 0.5 * normal["NuclearArea"]
    assert medians.loc["DNA", "condensed"] > 2 * normal["DNA"]
    assert medians.loc["CellArea", "multinucleate"] > 1.5 * normal["CellArea"]
    assert medians.loc["NuclearArea", "multinucleate"] > 1.7 * normal["NuclearArea"]
    assert medians.loc["ActinSpread", "texture"] > 1.2 * normal["ActinSpread"]
    assert medians.loc["CellArea", "mitotic"] < 0.5 * normal["CellArea"]
    assert normal["ReporterRatio"] < 0.7 and medians.loc["ReporterRatio", "translocated"] > 3


def test_dna_follows_the_cell_cycle(fields):
    cells = _per_cell(fields["normal"], "normal")
    g1, g2 = (cells.loc[cells["Content"] == content, "TotalDNA"].median() for content in (1.0, 2.0))
    assert g2 / g1 == pytest.approx(2.0, abs=0.25)


def test_several_nuclei_of_one_cell_share_a_label(fields):
    _, _, nuclei, population = fields["multinucleate"]
    counts = [components(nuclei == i + 1).max() for i in np.flatnonzero(population["Phenotype"] == "multinucleate")]
    assert np.mean(np.array(counts) >= 2) > 0.5
