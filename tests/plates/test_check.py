import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from profiling.cells.learned.forward import check_weights
from profiling.cells.learned.weights import FORMAT, SHIPPED
from profiling.cli import main
from profiling.config import load_config
from profiling.images.read import read_header
from profiling.plates.checks import screen as screen_module
from profiling.plates.checks.findings import Finding, fold, say_wells
from profiling.plates.checks.heatmap import WIDTH, beside, draw, image_letters
from profiling.plates.checks.screen import check_screen
from profiling.plates.checks.text import screen_text
from profiling.plates.chunks import IMAGES_PER_JOB, propose_chunks
from profiling.plates.image_table import index_plate
from profiling.plates.wells import LAYOUTS, parse_well, plate_wells, well_name

CHANNELS = ["DNA", "Actin"]
WELLS = plate_wells(24)
CONFIG = {"channels": CHANNELS, "chunks_per_plate": 1, "illumination": {"minimum_fields": 8}}


def header(path):
    """Stands for reading a header: what a file holds is its size and type, or why it cannot be read."""
    text = path.read_text()
    if not text.startswith("100"):
        raise ValueError(f"{path}: {text.strip()}; copy it again")
    width, height, dtype, pages = text.split()
    return {"width": int(width), "height": int(height), "dtype": dtype, "pages": int(pages)}


def image(path, text="100 100 uint16 1"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make_plate(folder, wells=WELLS, sites=(1, 2), channels=CHANNELS):
    for well in wells:
        for site in sites:
            for channel in channels:
                image(folder / f"{well}_s{site}_{channel}.tif")


def make_map(path, wells=WELLS):
    rows = [f"{well},{'DMSO' if well.endswith(('01', '06')) else 'taxol'},1,uM" for well in wells]
    path.write_text("\n".join(["well,compound,concentration,unit", *rows]) + "\n")


def row(plate="P1", **more):
    return {"plate": plate, "images": plate, "layout": 24, "platemap": "map.csv", **more}


@pytest.fixture(scope="module")
def sound_screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    make_plate(folder / "P1")
    make_map(folder / "map.csv")
    return folder


@pytest.fixture
def screen(sound_screen, tmp_path):
    shutil.copytree(sound_screen, tmp_path / "screen")
    return tmp_path / "screen"


def check(folder, *rows, deep=False, **config):
    return check_screen(
        load_config({**CONFIG, "plates": list(rows or [row()]), **config}), folder, header, check_weights, deep=deep
    )


def test_a_sound_plate_has_its_facts_and_nothing_else(sound_screen):
    [plate], findings = check(sound_screen)
    assert findings == []
    assert plate.facts == {
        "reader": "pattern", "wells": 24, "sites": 2, "times": 1, "planes": 1, "channels": {"DNA": 48, "Actin": 48},
        "images": 96, "lost": 0, "opened": 6, "sizes": ["100x100"], "dtypes": ["uint16"], "pixel_sizes": [],
        "roles": {"negative_control": 8, "treatment": 16},
    }  # fmt: skip


def missing(folder):
    (folder / "P1/C05_s1_DNA.tif").unlink()
    (folder / "P1/D05_s1_DNA.tif").unlink()


def missing_well(folder):
    for path in folder.glob("P1/C05_*"):
        path.unlink()


def empty(folder):
    (folder / "P1/C05_s2_Actin.tif").write_text("")


def cut_short(folder):
    image(folder / "P1/C05_s2_Actin.tif", "not whole")


def twice(folder):
    image(folder / "P1/A1_s1_DNA.tif")


def outside(folder):
    image(folder / "P1/K24_s1_DNA.tif")


def illegible(folder):
    image(folder / "P1/ZZ99_s1_DNA.tif")


def unplaced(folder):
    image(folder / "P1/my favourite cell.tif")


def further_channel(folder):
    image(folder / "P1/A01_s1_Brightfield.tif")


def other_binning(folder):
    for path in folder.glob("P1/*_Actin.tif"):
        image(path, "100 99 uint16 1")


def other_size(folder):
    image(folder / "P1/D06_s2_DNA.tif", "1000 900 uint16 1")


def other_type(folder):
    image(folder / "P1/D06_s2_DNA.tif", "100 100 uint8 1")


def pages(folder):
    image(folder / "P1/D06_s2_DNA.tif", "100 100 uint16 3")


def well_not_in_map(folder):
    make_map(folder / "map.csv", WELLS[:-2])


def one_control(folder):
    text = (folder / "map.csv").read_text().replace("DMSO", "taxol").replace("A01,taxol", "A01,DMSO")
    (folder / "map.csv").write_text(text)


def no_control(folder):
    (folder / "map.csv").write_text((folder / "map.csv").read_text().replace("DMSO", "aspirin"))


def no_map(folder):
    (folder / "map.csv").unlink()


def no_folder(folder):
    shutil.rmtree(folder / "P1")


FAULTS = {
    missing: ("warning", "no file for some expected images", "2 images: DNA in C05-D05"),
    missing_well: ("warning", "wells of the plate map without images", "1 well: C05"),
    empty: ("warning", "files of 0 bytes", "1 image: Actin in C05"),
    cut_short: ("warning", "cannot be opened", "1 image: Actin in C05; C05_s2_Actin.tif: not whole"),
    twice: ("error", "several files are the same well, site and channel", "A01_s1_DNA.tif and A1_s1_DNA.tif (A01"),
    outside: ("warning", "lie outside a 24-well plate", "K24"),
    illegible: ("warning", "well names that cannot be read", "'ZZ99'"),
    unplaced: ("warning", "does not match images.pattern", "1 file, such as my favourite cell.tif"),
    further_channel: ("note", "channel Brightfield of the images is not in the configuration", "1 image"),
    other_binning: ("error", "channels of different sizes", "100 x 99 (Actin), 100 x 100 (DNA)"),
    other_size: ("warning", "images of several sizes", "1000 x 900 (DNA)"),
    other_type: ("warning", "images of several types", "such as D06_s2_DNA.tif"),
    pages: ("warning", "files of 3 pages, of which only the first is used", "D06_s2_DNA.tif"),
    well_not_in_map: ("warning", "wells with images but no row in the plate map", "2 wells: D05-D06"),
    one_control: ("error", "fewer negative controls than normalisation.minimum_wells (3)", "A01"),
    no_control: ("error", "no well with images is a negative control", ""),
    no_map: ("error", "there is no plate map", ""),
    no_folder: ("error", "there is no image folder", ""),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_fault_is_told_once_with_plate_place_and_remedy(fault, screen):
    fault(screen)
    _, findings = check(screen)
    [found] = findings
    level, what, where = FAULTS[fault]
    assert found.level == level
    assert found.plate == "P1"
    assert what in found.what
    assert where in found.where
    assert found.remedy or ";" in found.what


@pytest.mark.parametrize(
    ("settings", "level", "what"),
    [
        ({"channels": [*CHANNELS, "Tubulin"], "max_failed_images": 0.4}, "error", "no image is of channel Tubulin"),
        ({"quality": {"bit_depth": 20}}, "warning", "quality.bit_depth is 20, and the images have 16 bits"),
        ({"embedding": {"crop": "101 px"}}, "error", "embedding.crop is 101 px, more than a side of the images (100"),
        ({"images": {"pixel_size": 0.5}, "embedding": {"crop": "60 um"}}, "error", "embedding.crop is 120 px"),
        ({"unit": "tile"}, "error", "tiles.size is 224 px, more than a side of the images (100"),
        ({"illumination": {"minimum_fields": 49}}, "note", "fewer than 49 fields"),
        ({"images": {"channel_names": {"DNA": "DNA", "Red": "Actin"}}}, "error", "no image is of channel Actin"),
        ({"images": {"pattern": r"(?P<well>[A-Z]\d\d)_(?P<channel>s\d)"}}, "error", "no image of any well is left"),
        ({"chunks_per_plate": 30}, "note", "chunks_per_plate is 30"),
        ({"models": "nowhere"}, "error", "models: there is no file"),
        ({"models": "results"}, "error", "this screen's own results"),
        ({"segmentation": {"weights": "nowhere.safetensors"}}, "error", "segmentation.weights: there is no file"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_images_are_told(settings, level, what, sound_screen):
    _, findings = check(sound_screen, **settings)
    assert any(found.level == level and what in found.what for found in findings)


def test_weights_that_are_none_are_told(screen):
    odd = np.zeros((3, 7, 1, 1), np.float16)
    for name, holds in (("good", SHIPPED.read_bytes()), ("bad", b"only words"), ("cut", SHIPPED.read_bytes()[:-100]),
                        ("odd", save(load_file(SHIPPED) | {"head.weight": odd}, {"format": FORMAT}))):  # fmt: skip
        (screen / f"{name}.safetensors").write_bytes(holds)
        _, findings = check(screen, segmentation={"weights": f"{name}.safetensors"})
        said = [found.what for found in findings if found.level == "error"]
        assert len(said) == (name != "good") and all(f"segmentation.weights: {screen}" in what for what in said)


def test_a_stack_needs_images_z(screen):
    for path in list(screen.glob("P1/*_s2_*")):
        path.rename(path.with_name(path.name.replace("_s2_", "_s1_z2_")))
    pattern = r"(?P<well>[A-H]\d\d)_s(?P<site>\d)(_z(?P<z>\d))?_(?P<channel>\w+)\.tif"
    _, findings = check(screen, images={"pattern": pattern})
    assert any(found.level == "error" and "images.z" in found.what for found in findings)
    [plate], findings = check(screen, images={"pattern": pattern, "z": "maximum"})
    assert findings == []
    assert (plate.facts["sites"], plate.facts["planes"]) == (1, 2)


def test_more_lost_images_than_allowed_are_an_error(screen):
    for path in screen.glob("P1/A*_s1_*"):
        path.write_text("")
    assert {found.level for found in check(screen)[1]} == {"warning"}
    errors = [found for found in check(screen, max_failed_images=0.1)[1] if found.level == "error"]
    assert [found.where for found in errors] == ["12 of 96"]


def test_deep_opens_every_image(screen):
    image(screen / "P1/C05_s2_Actin.tif", "1000 900 uint16 1")  # longer than the others: no suspect
    image(screen / "P1/D05_s2_Actin.tif", "bad magic number, so that this file is long")
    assert check(screen)[1] == []
    [plate], findings = check(screen, deep=True)
    assert plate.facts["opened"] == 96
    assert [found.what for found in findings] == ["images of several sizes", "images that cannot be opened"]


@pytest.mark.parametrize("text", ["", "not an image"])
def test_a_plate_of_which_nothing_can_be_read(text, screen):
    for path in screen.glob("P1/*"):
        path.write_text(text)
    [plate], findings = check(screen, deep=True)
    assert plate.facts["lost"] == 96
    errors = {found.what for found in findings if found.level == "error"}
    assert "more images are lost than max_failed_images allows" in errors
    unreadable = {f"no image of channel {channel} that was opened can be read" for channel in CHANNELS}
    assert errors >= (unreadable if text else set())


def test_a_page_that_a_file_does_not_have(screen):
    (screen / "P1/images.csv").write_text("well,site,channel,path,page\nA01,1,DNA,A01_s1_DNA.tif,3\n")
    _, findings = check(screen, row(reader="table"), channels=["DNA"])
    assert any("the file has no such page" in found.where for found in findings)


def test_excluded_wells_are_not_told(screen):
    missing_well(screen)
    (screen / "P1/D05_s1_DNA.tif").unlink()
    few = row(exclude="C05 D05 A01")
    [plate], findings = check(screen, few)
    assert findings == []
    assert plate.facts["roles"]["negative_control"] == 7
    assert {found.level for found in check(screen, few, row("P2", exclude="all"))[1]} == {"note"}


def test_a_screen_without_controls_is_normalised_against_all_wells(sound_screen):
    without_map = {**row(), "platemap": None}
    assert [found.level for found in check(sound_screen, without_map)[1]] == ["error"]
    assert check(sound_screen, without_map, normalisation={"reference": "all"})[1] == []


def test_plates_that_share_images_are_an_error(sound_screen):
    _, findings = check(sound_screen, row(), row("P2", images="./P1"))
    assert [(found.plate, found.what) for found in findings if found.level == "error"] == [
        ("P2", "its images are those of plate P1 too")
    ]
    _, findings = check(sound_screen, row("all", images="."), row())
    assert ("all", "its images are those of plate P1 too") in [(found.plate, found.what) for found in findings]


def test_a_layout_that_does_not_fit(screen):
    make_plate(screen / "P1", wells=["A12", "H11", "H12"])
    make_map(screen / "map.csv", [*WELLS, "A12", "H11", "H12"])
    _, findings = check(screen, {**row(), "platemap": None}, normalisation={"reference": "all"})
    assert [(found.level, found.where) for found in findings] == [("error", "A12, H11-H12")]
    assert "layout to 96" in findings[0].remedy
    assert check(screen, row(layout=96))[1] == []


def test_a_layout_that_is_too_large(sound_screen):
    [note] = check(sound_screen, row(layout=384))[1]
    assert (note.level, note.what) == ("note", "the layout is 384, and the wells are those of a 24-well plate")


def test_a_plate_unlike_the_others_is_named(tmp_path):
    for name in ("P1", "P2", "P3"):
        make_plate(tmp_path / name, sites=(1,) if name == "P3" else (1, 2))
    make_map(tmp_path / "map.csv")
    _, findings = check(tmp_path, row(), row("P2"), row("P3"))
    assert [(found.plate, found.what) for found in findings] == [
        ("P3", "number of sites a well: 1, where 2 of 3 plates have 2")
    ]


def test_plates_that_give_doses_in_other_units_are_an_error(screen):
    shutil.copytree(screen / "P1", screen / "P2")
    text = (screen / "map.csv").read_text()
    (screen / "other.csv").write_text(text.replace("uM", "nM"))
    rows = row(), row("P2", platemap="other.csv")
    [found] = [found for found in check(screen, *rows)[1] if "several units" in found.what]
    assert found.level == "error" and found.where == "uM on plate P1, nM on plate P2"
    assert not [found for found in check(screen, *rows, platemap={"concentration_unit": "uM"})[1]]


def test_a_compound_that_is_misspelt_in_roles_is_told(sound_screen):
    [found] = check(sound_screen, platemap={"roles": {"Taxxol": "positive_control", "DMSO": "negative_control"}})[1]
    assert found.level == "warning" and "'Taxxol'" in found.what and found.remedy == "did you mean 'taxol'?"


def test_what_is_missing_is_what_the_workflow_finds_missing(screen):
    random = np.random.default_rng(0)
    for path in random.choice(sorted(screen.glob("P1/*")), 20, replace=False):
        path.unlink()
    config = load_config({**CONFIG, "plates": [row()]})
    table, _ = index_plate("P1", screen / "P1", 24, CHANNELS, config.images, header)
    [plate], _ = check(screen)
    key = ["Metadata_Well", "Metadata_Channel"]
    lost = plate.images[plate.images["Status"].eq("missing")].value_counts(key)
    assert lost.sum() > 10
    assert lost.sort_index().equals(table[table["Status"].eq("missing")].value_counts(key).sort_index())


def test_a_drawing_shows_every_well_in_its_place():
    assert draw({"A01": "#", "B03": "5"}, 6) == ["   1 2 3", " A # . .", " B . . 5"]
    large = draw({"AF48": "#"}, 1536)
    assert large[:2] == [
        "            111111111122222222223333333333444444444",
        "   123456789012345678901234567890123456789012345678",
    ]
    assert large[-1] == "AF " + 47 * "." + "#"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_drawings_fit_the_width(layout):
    lines = beside(draw({}, layout), draw({}, layout))
    assert max(map(len, lines)) <= WIDTH
    assert len({len(line) for line in lines if line}) == 1


def test_letters_are_shares_of_the_expected_images():
    wells = pd.Series(["A01"] * 4 + ["A02"] * 4 + ["A03"] * 20 + ["A04"])
    usable = pd.Series([True] * 4 + [True, False, False, False] + [True] + [False] * 19 + [False])
    assert image_letters(wells, usable, ["H12"]) == {"A01": "#", "A02": "2", "A03": "1", "A04": ".", "H12": "x"}


@given(st.sets(st.sampled_from(plate_wells(1536)), max_size=60))
def test_blocks_of_wells_are_the_wells(wells):
    said = say_wells(wells, most=10_000)
    expanded = []
    for block in said.split(", ") if said else []:
        first, _, last = block.partition("-")
        (top, left), (bottom, right) = parse_well(first), parse_well(last or first)
        expanded += [well_name(r, c) for r in range(top, bottom + 1) for c in range(left, right + 1)]
    assert sorted(expanded) == sorted(wells)


def test_wells_are_said_in_few_words():
    assert say_wells(plate_wells(96)) == "A01-H12"
    assert say_wells(["B02", "A01", "A02", "B01", "H12", "A01"]) == "A01-B02, H12"
    assert say_wells(["A01", "A03", "A05"], most=2) == "A01, A03 and 1 more"


def test_findings_of_many_plates_are_one():
    findings = [Finding("warning", f"P{i}", "files of 0 bytes", f"{i} images", "copy") for i in range(3)]
    folded = fold([*findings, Finding("error", "P7", "gone", "", "")])
    assert [(one.level, one.plates) for one in folded] == [("error", ["P7"]), ("warning", ["P0", "P1", "P2"])]
    assert folded[1].where == "0 images"


def test_many_plates_stay_readable(tmp_path):
    names = [f"P{i:03d}" for i in range(12)]
    for name in names:
        make_plate(tmp_path / name, wells=["A01", "B01", "C01", "D01", "A02", "B02"], sites=(1,))
        (tmp_path / name / "B01_s1_DNA.tif").unlink()
    make_map(tmp_path / "map.csv", ["A01", "B01", "C01", "D01", "A02", "B02"])
    config = load_config({**CONFIG, "plates": [row(name) for name in names]})
    checks, findings = check_screen(config, tmp_path, header, check_weights)
    text = screen_text(checks, findings, config)
    assert [line.split()[0] for line in text.splitlines() if line.endswith("1 warning")] == names
    assert "all 12 plates: there is no file for some expected images (the first: 1 image: DNA in B01)" in " ".join(
        text.split()
    )
    assert len(text.splitlines()) < 12 + 4 * 12 + 12
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(("images", "chunks"), [(1, 1), (IMAGES_PER_JOB, 1), (IMAGES_PER_JOB + 1, 2), (10**9, 32)])
def test_proposed_chunks(images, chunks):
    assert propose_chunks(images, 384) == chunks
    assert propose_chunks(images, 6) <= 6


def write_screen(folder):
    (folder / "P1").mkdir()
    for well in ("A01", "A02", "A03", "B01"):
        for channel in CHANNELS:
            tifffile.imwrite(folder / f"P1/{well}_s1_{channel}.tif", np.zeros((120, 120), np.uint16))
    make_map(folder / "map.csv", ["A01", "A02", "A03", "B01"])
    (folder / "map.csv").write_text((folder / "map.csv").read_text().replace("taxol", "DMSO"))
    (folder / "plates.tsv").write_text("plate\timages\tlayout\tplatemap\nP1\tP1\t96\tmap.csv\n")
    (folder / "config.yaml").write_text("plates: plates.tsv\nchannels: [DNA, Actin]\n")
    return ["check", str(folder / "config.yaml"), "--directory", str(folder)]


def test_the_command_ends_with_0_or_1(tmp_path, capsys):
    command = write_screen(tmp_path)
    assert main(command) == 0
    assert "ready to start" in capsys.readouterr().out
    (tmp_path / "P1/A02_s1_DNA.tif").write_bytes((tmp_path / "P1/A02_s1_DNA.tif").read_bytes()[:3000])
    (tmp_path / "map.csv").write_text("well,compound\nA01,DMSO\n")
    assert main(command) == 1
    shown = capsys.readouterr().out
    assert "images that cannot be opened (1 image: DNA in A02; A02_s1_DNA.tif: truncated or damaged" in " ".join(
        shown.split()
    )
    assert "fewer negative controls" in shown
    assert main([*command, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["plates"][0]["lost"] == 1
    assert {"level", "plate", "what", "where", "remedy"} == set(said["findings"][0])


def test_processes_find_what_threads_find(tmp_path, monkeypatch):
    write_screen(tmp_path)
    (tmp_path / "P1/A02_s1_DNA.tif").write_bytes(b"")
    shutil.copytree(tmp_path / "P1", tmp_path / "P2")
    plates = [row(), row("P2"), row("P3")]
    config = load_config({**CONFIG, "plates": plates})
    findings = check_screen(config, tmp_path, read_header, check_weights)[1]
    assert {found.plate for found in findings} == {"P1", "P2", "P3"}
    monkeypatch.setattr(screen_module, "PLATES_PER_PROCESS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    checks, again = check_screen(config, tmp_path, read_header, check_weights)
    assert [one.plate for one in checks] == ["P1", "P2", "P3"]
    assert again == findings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plates: plates.tsv\nchannels: [DNA, Actin]\nimage: {}\nseed: -1\n", "image: unknown key; did you mean"),
        ("plates: plates.tsv\nchannels: [DNA, Actin]\nimage: {}\nseed: -1\n", "seed: "),
        ("plates: [\n", "is not YAML"),
        ("- 1\n", "has no keys"),
        ("plates: absent.tsv\nchannels: [DNA]\n", "there is no file"),
    ],
)
def test_every_error_of_the_configuration_is_told(text, message, tmp_path, capsys):
    command = write_screen(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    assert main(command) == 1
    assert message in capsys.readouterr().err


def test_a_plate_that_is_not_there_is_an_error(tmp_path, capsys):
    assert main([*write_screen(tmp_path), "--plates", "P9"]) == 1
    assert "no plate 'P9'" in capsys.readouterr().err
