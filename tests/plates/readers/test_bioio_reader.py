import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from profiling.errors import ProfilingError
from profiling.images import ImageError, read_header, read_image
from profiling.images.bioio_planes import SUFFIXES
from profiling.plates.listing import list_files
from profiling.plates.readers import bioio as reader
from profiling.settings import Images

PIXELS = np.random.default_rng(0).poisson(300, (2, 1, 2, 3, 24, 32)).astype(np.uint16)  # scene, t, c, z, y, x


class StandIn:
    """As much of bioio's BioImage as is used, over arrays; by the documentation of bioio 3.6."""

    def __init__(self, path, reader):
        text = open(path).read()
        if not text:
            raise RuntimeError("not a\nfile of this kind")
        self.scenes = tuple(text.split("|"))
        self.channel_names = ["DNA", "Actin"]
        self.physical_pixel_sizes = SimpleNamespace(Z=None, Y=0.65, X=0.65)
        self.dtype = PIXELS.dtype
        self.set_scene(0)

    def set_scene(self, index):
        self.pixels = PIXELS[index] if index == 0 else PIXELS[index, :, :, :2]
        self.dims = SimpleNamespace(order="TCZYX", **dict(zip("TCZYX", self.pixels.shape)))

    def get_image_dask_data(self, order, T, C, Z):
        assert order == "YX"
        return SimpleNamespace(compute=lambda scheduler: self.pixels[T, C, Z])


@pytest.fixture
def stand_in(monkeypatch):
    for name in ("bioio", "bioio_czi", "bioio_nd2", "bioio_lif"):
        module = ModuleType(name)
        module.BioImage, module.Reader = StandIn, object
        monkeypatch.setitem(sys.modules, name, module)


def read(folder, **settings):
    return reader.read(folder, list_files(folder), Images(**settings))


def places(images):
    return images[["Path", "Metadata_Well", "Metadata_Site"]].drop_duplicates().to_numpy().tolist()


@pytest.mark.parametrize(
    ("scenes", "wells"),
    [
        ("P1-A1|P2-B12", [["A1", 1], ["B12", 1]]),
        ("A01_0001|A01_0002", [["A01", 1], ["A01", 2]]),
        ("TileScan 1/A/1/R1|TileScan 1/AA/24/R1", [["A1", 1], ["AA24", 1]]),
        ("P1|P2", [["C7", 1], ["C7", 2]]),
        ("Image:0|Image:1", [["C7", 1], ["C7", 2]]),
    ],
)
def test_wells_in_the_names_of_scenes_or_of_the_file(tmp_path, stand_in, scenes, wells):
    (tmp_path / "screen_C7.ND2").write_text(scenes)
    images, problems = read(tmp_path)
    assert problems == [] and places(images) == [["screen_C7.ND2", *well] for well in wells]


def test_pages_count_over_scene_channel_and_z(tmp_path, stand_in):
    path = tmp_path / "plate.czi"
    path.write_text("P1-A1|P2-A1")
    assert reader.detect(tmp_path, list_files(tmp_path))
    images, _ = read(tmp_path)
    assert images["Page"].tolist() == list(range(6 + 4)) and (images["PixelSize"] == 0.65).all()
    for row in images.itertuples():
        channel = ["DNA", "Actin"].index(row.Metadata_Channel)
        expected = PIXELS[row.Metadata_Site - 1, 0, channel, row.Metadata_Z]
        np.testing.assert_array_equal(read_image(path, row.Page), expected)
    assert read_header(path) == {"width": 32, "height": 24, "dtype": "uint16", "pages": 10}
    for page in (10, -1):
        with pytest.raises(ImageError, match=f"no page {page}"):
            read_image(path, page)


def test_files_that_cannot_be_read_or_placed(tmp_path, stand_in):
    (tmp_path / "A01.lif").write_text("Series 1")
    (tmp_path / "A02.lif").touch()
    (tmp_path / "notes.lif").write_text("Series 1")
    images, problems = read(tmp_path)
    assert places(images) == [["A01.lif", "A01", 1]]
    assert [path for path, _, _ in problems] == ["A02.lif", "notes.lif"]
    assert problems[0][1] == "truncated or damaged (not a file of this kind)"
    images, _ = read(tmp_path, reader="bioio", pattern=r"(?P<channel>)(?P<row>[A-H])(?P<column>\d\d)\.lif$")
    assert places(images) == [["A01.lif", "A01", 1]]
    (tmp_path / "A01.lif").unlink()
    with pytest.raises(ProfilingError, match="notes.lif: neither"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_missing_package_is_named(tmp_path, monkeypatch, suffix):
    monkeypatch.setitem(sys.modules, "bioio", None)
    path = tmp_path / f"A01{suffix}"
    path.write_bytes(b"a file of another kind")
    words = f"{suffix} files are read by bioio and bioio-{suffix[1:]}, .*" + re.escape(
        'pip install "profiling[vendors]"'
    )
    for action in (lambda: read(tmp_path), lambda: read_image(path), lambda: read_header(path)):
        with pytest.raises(ProfilingError, match=words):
            action()


def test_a_czi_file(tmp_path):
    pytest.importorskip("bioio_czi", reason="the extra `vendors` is not installed")
    from pylibCZIrw import czi

    path = tmp_path / "plate.czi"
    with czi.create_czi(str(path)) as file:
        for scene, channel, z in np.ndindex(2, 2, 3):
            plane = {"C": channel, "Z": z, "T": 0}
            file.write(PIXELS[scene, 0, channel, z][..., None], plane=plane, scene=scene, location=(100 * scene, 0))
        names = {0: "DNA", 1: "Actin"}
        file.write_metadata("x" * 400, channel_names=names, scale_x=6.5e-7, scale_y=6.5e-7)
    # The writer does not name the scenes, as the microscope does: put that into its XML without changing its length.
    content = path.read_bytes()
    named = "".join(f'<Scene Index="{n}" Name="P1"><Shape Name="A{n + 1}"/></Scene>' for n in range(2))
    named = f"<Dimensions><S><Scenes>{named}</Scenes></S>".encode()
    content = content.replace(b"<Dimensions>", named, 1)
    content = content.replace(b"x" * 400, b"x" * (400 - len(named) + len(b"<Dimensions>")), 1)
    path.write_bytes(content)
    images, problems = read(tmp_path)
    assert problems == [] and places(images) == [["plate.czi", "A1", 1], ["plate.czi", "A2", 1]]
    assert (images["PixelSize"] == 0.65).all()
    for row in images.itertuples():
        channel = ["DNA", "Actin"].index(row.Metadata_Channel)
        expected = PIXELS[int(row.Metadata_Well[1]) - 1, 0, channel, row.Metadata_Z]
        np.testing.assert_array_equal(read_image(path, row.Page), expected)
    whole = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(ImageError):
            read_image(path)
