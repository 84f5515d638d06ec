import random
import re

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from profiling.errors import ProfilingError
from profiling.images import read_header, read_image
from profiling.plates.image_table import index_plate
from profiling.plates.listing import list_files
from profiling.plates.readers import ome_tiff
from profiling.plates.readers.ome_xml import read_ome_xml
from profiling.settings import Images

PIXELS = np.random.default_rng(0).poisson(300, (2, 3, 20, 30)).astype(np.uint16)  # c, z, y, x
OME = {
    "Channel": {"Name": ["DNA", "Actin"]},
    "PhysicalSizeX": 650.0,
    "PhysicalSizeXUnit": "nm",
    "Plane": {
        "PositionX": [1.5] * 6,
        "PositionXUnit": ["mm"] * 6,
        "PositionY": [-2.0] * 6,
        "PositionYUnit": ["mm"] * 6,
    },
}
PLATE = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:companion">
 <Plate ID="Plate:0" Name="P1">
  <Well ID="Well:0" Row="0" Column="0">
   <WellSample ID="WellSample:0" Index="1"><ImageRef ID="Image:0"/></WellSample>
   <WellSample ID="WellSample:1" Index="0" PositionX="3" PositionXUnit="mm" PositionY="4" PositionYUnit="mm">
    <ImageRef ID="Image:1"/></WellSample>
  </Well>
  <Well ID="Well:1" Row="27" Column="1">
   <WellSample ID="WellSample:2" Index="2"><ImageRef ID="Image:2"/></WellSample></Well>
 </Plate>
 {images}
 <StructuredAnnotations><XMLAnnotation><Value><Image ID="Image:9"/><Well Row="a"/></Value></XMLAnnotation>
 </StructuredAnnotations>
</OME>"""
IMAGE = """<Image ID="Image:{number}"><Pixels DimensionOrder="XYZCT" SizeC="2" SizeZ="2" SizeT="1" SizeX="30" SizeY="20"
 Type="uint16" PhysicalSizeX="0.65">
 <Channel ID="c" Name="DNA"/><Channel ID="d" Name="ER"/>
 <TiffData FirstC="0" FirstZ="0" IFD="2" PlaneCount="2"><UUID FileName="f{number}.tif">urn:uuid:{number}</UUID>
 </TiffData>
 <TiffData FirstC="1" FirstZ="1" IFD="1"><UUID FileName="F{number}.TIF">urn:uuid:{number}</UUID></TiffData>
 <TiffData FirstC="1" IFD="0"><UUID FileName="other/g{number}.tif">urn:uuid:{number}</UUID></TiffData>
 </Pixels></Image>"""
COMPANION = PLATE.replace("{images}", "".join(IMAGE.format(number=number) for number in range(3)))


def read(folder, **settings):
    return ome_tiff.read(folder, list_files(folder), Images(**settings))


def write_ome(path, pixels=PIXELS, axes="CZYX", **metadata):
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": axes, **OME, **metadata})
    return path


def test_companion_file_of_a_plate(tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "plate.companion.ome").write_text(COMPANION, encoding="utf-8")
    for name in ("f0.tif", "F1.tif", "f2.tif"):  # g0 to g2 were never written
        tifffile.imwrite(tmp_path / "export" / name, PIXELS.reshape(6, 20, 30)[:4], photometric="minisblack")
    assert ome_tiff.detect(tmp_path, list_files(tmp_path))
    images, problems = read(tmp_path)
    assert problems == [] and len(images) == 3 * 4
    assert set(zip(images["Metadata_Well"], images["Metadata_Site"])) == {("r1c1", 1), ("r1c1", 2), ("r28c2", 1)}
    first = images.query("Metadata_Well == 'r1c1' and Metadata_Site == 1").set_index(["Metadata_Channel", "Metadata_Z"])
    assert first["Path"].to_dict() == {
        ("DNA", 0): "export/F1.tif",
        ("DNA", 1): "export/F1.tif",
        ("ER", 1): "export/F1.tif",
        ("ER", 0): "export/other/g1.tif",
    }
    assert first["Page"].to_dict() == {("DNA", 0): 2, ("DNA", 1): 3, ("ER", 1): 1, ("ER", 0): 0}
    assert (first["PositionX"] == 3000).all() and (first["PixelSize"] == 0.65).all()
    assert images.query("Metadata_Site == 2")["PositionX"].isna().all()
    assert (images["FileSize"].eq(0) == images["Path"].str.contains("other")).all()
    table, _ = index_plate("P", tmp_path, 1536, ["DNA", "ER"], Images(z=0, reader="ome_tiff"), read_header)
    assert set(table["Metadata_Well"]) == {"A01", "AB02"}
    assert table.query("Status != 'ok'")["Reason"].str.contains("no such file").sum() == 3


def test_metadata_of_every_file_with_wells_in_the_names(tmp_path):
    write_ome(tmp_path / "A01_s1.ome.tif")
    write_ome(tmp_path / "A01_s2.ome.tif", PIXELS.swapaxes(0, 1), "ZCYX")
    write_ome(tmp_path / "B03_s1.ome.tif", Channel={"Name": ["DNA", "DNA"]})
    assert ome_tiff.detect(tmp_path, list_files(tmp_path))
    images, problems = read(tmp_path)
    assert problems == [] and len(images) == 3 * 6
    for row in images.itertuples():
        channel = {"DNA": 0, "Actin": 1, "0": 0, "1": 1}[row.Metadata_Channel]
        np.testing.assert_array_equal(read_image(tmp_path / row.Path, row.Page), PIXELS[channel, row.Metadata_Z])
    assert set(images.query("Metadata_Well == 'B03'")["Metadata_Channel"]) == {"0", "1"}
    assert (images["PixelSize"] == 0.65).all()
    assert (images["PositionX"] == 1500).all() and (images["PositionY"] == -2000).all()


def test_several_images_in_a_file_are_sites_and_a_renamed_file_is_known(tmp_path):
    with tifffile.TiffWriter(tmp_path / "first.ome.tif", ome=True) as tiff:
        for field in range(3):
            tiff.write(PIXELS + field, metadata={"axes": "CZYX", **OME})
    (tmp_path / "first.ome.tif").rename(tmp_path / "P1_C05.ome.tif")
    images, problems = read(tmp_path)
    assert problems == [] and set(images["Metadata_Site"]) == {1, 2, 3} and set(images["Metadata_Well"]) == {"C05"}
    row = images.query("Metadata_Site == 3 and Metadata_Channel == 'Actin' and Metadata_Z == 2").iloc[0]
    np.testing.assert_array_equal(read_image(tmp_path / row["Path"], row["Page"]), PIXELS[1, 2] + 2)


def test_imagej_stacks_and_plain_pages(tmp_path):
    stack = PIXELS.swapaxes(0, 1)[None]  # t, z, c, y, x
    tifffile.imwrite(
        tmp_path / "A1.tif", stack, imagej=True, resolution=(2, 2), metadata={"axes": "TZCYX", "unit": "um"}
    )
    tifffile.imwrite(tmp_path / "A2.tif", PIXELS[:, 0])
    images, _ = read(tmp_path, pages="channel")
    by_well = images.groupby("Metadata_Well").size()
    assert by_well.to_dict() == {"A1": 6, "A2": 2}
    for row in images.itertuples():
        expected = PIXELS[int(row.Metadata_Channel), row.Metadata_Z]
        np.testing.assert_array_equal(read_image(tmp_path / row.Path, row.Page), expected)
    assert (images.query("Metadata_Well == 'A1'")["PixelSize"] == 0.5).all()
    # without the setting the pages of A2 are not known to be anything: the first, and index_plate says so
    assert (read(tmp_path)[0]["Metadata_Well"] == "A2").sum() == 1


def test_channel_in_the_name_and_z_in_the_pages(tmp_path):
    for channel in range(2):
        tifffile.imwrite(tmp_path / f"x_A01_s3_w{channel + 1}.tif", PIXELS[channel], photometric="minisblack")
    images, problems = read(tmp_path, pages="z")
    assert problems == [] and len(images) == 6
    assert set(images["Metadata_Channel"]) == {"w1", "w2"} and set(images["Metadata_Site"]) == {3}
    with pytest.raises(ProfilingError, match="both its name and its pages say the channel"):
        read(tmp_path, pages="channel")


def test_a_damaged_file_keeps_its_rows(tmp_path):
    for well in ("A01", "A02", "A03"):
        write_ome(tmp_path / f"{well}.ome.tif")
    (tmp_path / "A02.ome.tif").write_bytes((tmp_path / "A02.ome.tif").read_bytes()[:60])
    (tmp_path / "notes.tif").write_bytes(b"")
    images, problems = read(tmp_path)
    assert images.groupby("Metadata_Well").size().to_dict() == {"A01": 6, "A02": 6, "A03": 6}
    assert [path for path, _, _ in problems] == ["notes.tif"]
    with pytest.raises(ProfilingError, match=r"no TIFF file can be placed.*\n  only.tif: cannot be read as TIFF"):
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "only.tif").write_bytes(b"II*\0")
        read(tmp_path / "bad")


def test_each_file_describes_its_own_well(tmp_path):
    for number, (row, column) in enumerate([(0, 0), (0, 0), (7, 11)]):
        plate = (
            f'<OME><Plate ID="Plate:0"><Well Row="{row}" Column="{column}"><WellSample ID="WellSample:0" Index="0">'
            '<ImageRef ID="Image:0"/></WellSample></Well></Plate><Image ID="Image:0"><Pixels DimensionOrder="XYCZT" '
            'SizeC="2" SizeZ="3" SizeT="1" SizeX="30" SizeY="20" Type="uint16"><TiffData/></Pixels></Image></OME>'
        )
        pages = PIXELS.swapaxes(0, 1).reshape(6, 20, 30)
        tifffile.imwrite(tmp_path / f"{number}.ome.tif", pages, description=plate, metadata=None)
    images, problems = read(tmp_path)
    assert problems == [] and len(images) == 18
    places = images.drop_duplicates("Path")[["Path", "Metadata_Well", "Metadata_Site"]].to_numpy().tolist()
    assert places == [["0.ome.tif", "r1c1", 1], ["1.ome.tif", "r1c1", 2], ["2.ome.tif", "r8c12", 1]]
    row = images.query("Metadata_Channel == '1' and Metadata_Z == 1").iloc[0]
    np.testing.assert_array_equal(read_image(tmp_path / row["Path"], row["Page"]), PIXELS[1, 1])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<OME ", "<!DOCTYPE OME [<!ENTITY a 'aaaa'>]><OME ", "document type"),
        ("<OME ", "<!DOCTYPE OME SYSTEM 'file:///etc/passwd'><OME ", "document type"),
        ("</OME>", "", "no element found"),
        ("XYZCT", "XYZZT", "DimensionOrder"),
        ('SizeC="2"', 'SizeC="2000000000"', "SizeC|planes"),
        ('SizeZ="2"', 'SizeZ="0"', "0 planes"),
        ('Row="0"', 'Row="-1"', "Row"),
        ('FirstC="1"', 'FirstC="2"', "beyond its size"),
        ('PlaneCount="2"', 'PlaneCount="4"', "twice"),
        ("f1.tif", "../../f1.tif", "outside the plate's folder"),
        ("<OME ", "<OME_ ", "mismatched tag|not <OME>"),
    ],
)
def test_documents_that_are_refused(tmp_path, old, new, words):
    assert old in COMPANION
    path = tmp_path / "plate.companion.ome"
    path.write_text(COMPANION.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfilingError, match=words) as error:
        read(tmp_path)
    assert path.name in str(error.value) and "; " in str(error.value)


def test_two_plates_are_refused(tmp_path):
    for name in ("P1", "P2"):
        (tmp_path / f"{name}.companion.ome").write_text(
            COMPANION.replace('Name="P1"', f'Name="{name}"'), encoding="utf-8"
        )
    with pytest.raises(ProfilingError, match=r"2 plates \(P1, P2\)"):
        read(tmp_path)


def mutated(text, chance):
    """The document with elements and attributes taken out, doubled or changed."""
    for _ in range(chance.choice([1, 1, 2, 5])):
        parts = re.split(r"""(<[^>]*>|"[^"]*")""", text)
        place = chance.randrange(len(parts))
        odd = [
            '""',
            '"-1"',
            '"999999999"',
            '"9e999"',
            '"nan"',
            '"../x"',
            '"\x01"',
            "<Image>",
            "</Plate>",
            "&a;",
            "\ud800",
            "\0",
        ]
        parts[place] = chance.choice(["", parts[place] * 2, *odd])
        text = "".join(parts)
    return text


@given(seed=st.integers(0, 2**32), noise=st.binary(max_size=80))
def test_damaged_documents_raise_nothing_else(tmp_path_factory, seed, noise):
    chance = random.Random(seed)
    folder = tmp_path_factory.getbasetemp() / "companion"
    folder.mkdir(exist_ok=True)
    text = mutated(COMPANION, chance).encode("utf-8", "surrogatepass")
    for content in (text, text[: chance.randrange(len(text))], noise):
        (folder / "plate.companion.ome").write_bytes(content)
        try:
            read(folder)
        except ProfilingError:
            pass
        try:
            read_ome_xml("field.tif", content.decode("utf-8", "surrogateescape"))
        except ProfilingError:
            pass


@given(data=st.data())
def test_damaged_files_raise_nothing_else(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "files"
    if not folder.exists():
        folder.mkdir()
        write_ome(folder / "A01.ome.tif")
    whole = tmp_path_factory.getbasetemp() / "A01.whole"
    if not whole.exists():
        whole.write_bytes((folder / "A01.ome.tif").read_bytes())
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, 1200))] = data.draw(st.integers(0, 255))
    (folder / "A01.ome.tif").write_bytes(content[: data.draw(st.sampled_from([None, 8, 100, 1000]))])
    try:
        read(folder)
    except ProfilingError:
        pass
