import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from profiling.cli import main
from profiling.config import load_config
from profiling.demo import simulate
from profiling.plate_table import read_plates
from profiling.plates.proposals.channels import channel_names, nuclei_channel
from profiling.plates.proposals.folders import clean_name, unique_names
from profiling.plates.proposals.propose import Proposal
from profiling.plates.proposals.text import config_text
from profiling.plates.wells import plate_wells

DATA = Path(os.environ.get("PROFILING_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
VENDORS = [
    "cellomics_naming",
    "imagexpress_database_layout",
    "imagexpress_exported_HTD",
    "opera_phenix_harmony",
    "yokogawa_cv8000",
]


def make_plate(folder, wells, channels=("w1", "w2"), sites=(1,), dtype=np.uint16):
    folder.mkdir(parents=True)
    for well in wells:
        for site in sites:
            for channel in channels:
                tifffile.imwrite(folder / f"{well}_s{site}_{channel}.tif", np.zeros((128, 128), dtype))


def init(folder, out, *options):
    """The configuration proposed, checked, and what `profiling check` says of it."""
    assert main(["init", str(folder), "--out", str(out), *options]) == 0
    config = load_config(yaml.safe_load((out / "config.yaml").read_text()), out)
    return config, main(["check", str(out / "config.yaml"), "--directory", str(out)])


def test_the_demo_screen(tmp_path, capsys):
    simulate(tmp_path, plates=("DEMO-1",), rows=3, columns=6, sites=1, size=128, trouble=False, workers=1)
    config, status = init(tmp_path / "images", tmp_path / "a screen")
    shown = capsys.readouterr().out
    assert status == 0
    assert [(plate.plate, plate.images, plate.layout, plate.platemap) for plate in config.plates] == [
        ("DEMO-1", "images/DEMO-1", 96, "platemap.csv")
    ]
    assert (set(config.channels), config.channels[0]) == ({"DNA", "Actin", "Reporter"}, "DNA")
    assert config.segmentation.nuclei_channel == "DNA"
    assert config.normalisation.reference == "negative_control"
    assert f"profiling check '{tmp_path}/a screen/config.yaml' --directory '{tmp_path}/a screen'" in shown


def test_plates_in_folders_of_folders_and_names_that_do_not_fit(tmp_path, capsys):
    wells = plate_wells(96)[:24]
    make_plate(tmp_path / "run 1" / "Plate A" / "Images", wells, ["Hoechst 33342", "488 (long)"])
    make_plate(tmp_path / "run 2" / "Plate A", wells, ["Hoechst 33342", "488 (long)"], dtype=np.uint8)
    make_plate(tmp_path / "run 2" / "labels" / "Plate A", wells, ["nuclei"])
    make_plate(tmp_path / "run 2" / "twice", ["A01"], ["DNA"])
    tifffile.imwrite(tmp_path / "run 2" / "twice" / "A1_s1_DNA.tif", np.zeros((8, 8)))
    config, status = init(tmp_path, tmp_path / "out")
    shown = capsys.readouterr().out
    assert status == 0
    assert [(plate.plate, plate.images) for plate in config.plates] == [
        ("run-1-Plate-A", "run 1/Plate A/Images"),
        ("run-2-Plate-A", "run 2/Plate A"),
    ]
    assert config.channels == ["Hoechst-33342", "488-long"]
    assert config.images.channel_names == {"Hoechst 33342": "Hoechst-33342", "488 (long)": "488-long"}
    assert config.quality.bit_depth == 16
    assert "left out:" in shown and "A01_s1_DNA.tif and A1_s1_DNA.tif" in shown.split("left out:")[1]


def test_a_folder_that_is_a_plate_with_a_map_beside_it(tmp_path):
    wells = plate_wells(384)
    make_plate(tmp_path / "00123", wells[::7], dtype=np.uint8)
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    lines = "".join(f"{well};{'DMSO' if well.endswith('01') else 'x'}\n" for well in wells)
    (tmp_path / "a layout.csv").write_text("well;compound\n" + lines)
    config, status = init(tmp_path / "00123", tmp_path / "out")
    [plate] = config.plates
    assert status == 0
    assert (plate.plate, plate.layout, plate.images, plate.platemap) == ("00123", 384, "00123", "a layout.csv")
    assert config.quality.bit_depth == 8
    assert config.channels == ["w1", "w2"]


def test_plates_that_are_linked_into_a_folder_keep_their_place_in_it(tmp_path):
    make_plate(tmp_path / "storage" / "run7", ["A01", "A02"])
    (tmp_path / "screen").mkdir()
    (tmp_path / "screen" / "P1").symlink_to(tmp_path / "storage" / "run7")
    config, status = init(tmp_path / "screen", tmp_path / "out")
    assert (status, [plate.images for plate in config.plates]) == (0, ["P1"])


def test_a_map_with_the_plate_s_name_is_taken_before_others(tmp_path):
    for name in ("P1", "P2"):
        make_plate(tmp_path / "data" / name, ["A01", "A02"])
    for name in ("P1", "P2", "other"):
        (tmp_path / "data" / f"map_{name}.csv").write_text("well,compound\nA01,DMSO\nA02,DMSO\n")
    config, _ = init(tmp_path / "data", tmp_path / "out")
    assert [plate.platemap for plate in config.plates] == ["map_P1.csv", "map_P2.csv"]


def test_without_plate_maps_the_reference_is_all_wells(tmp_path):
    make_plate(tmp_path / "data" / "P1", ["A01", "A02"])
    config, status = init(tmp_path / "data", tmp_path / "out")
    assert (status, config.normalisation.reference) == (0, "all")


def test_stacks_and_time_points_are_proposed(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for well in ("A01", "A02"):
        for time in (1, 2):
            for z in (1, 2, 3):
                tifffile.imwrite(
                    folder / f"P_{well}_T{time:04d}F001L01A01Z{z:02d}C01.tif", np.zeros((99, 99), np.uint16)
                )
    config, status = init(folder, tmp_path / "out")
    assert (status, config.images.z, config.images.time) == (0, "maximum", "all")
    assert "2 time points" in (tmp_path / "out" / "config.yaml").read_text()


def test_names_that_no_reader_knows_need_a_pattern(tmp_path, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    for well in ("A01", "A02"):
        tifffile.imwrite(folder / f"{well}+green.tif", np.zeros((99, 99), np.uint16))
    assert main(["init", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "images.pattern" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    pattern = r"(?P<well>[A-H]\d\d)\+(?P<channel>\w+)"
    config, status = init(folder, tmp_path / "out", "--pattern", pattern)
    assert (status, config.images.pattern, config.channels) == (0, pattern, ["green"])
    assert main(["init", str(folder), "--out", str(tmp_path / "no"), "--pattern", "("]) == 1
    assert "not a regular expression" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path, capsys):
    make_plate(tmp_path / "P1", ["A01"])
    (tmp_path / "plates.tsv").write_text("mine")
    assert main(["init", str(tmp_path / "P1"), "--out", str(tmp_path)]) == 1
    assert "plates.tsv is there already" in capsys.readouterr().err
    assert (tmp_path / "plates.tsv").read_text() == "mine"
    assert not (tmp_path / "config.yaml").exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, capsys):
    make_plate(tmp_path / "P1", ["A01"])
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "P1"), "--out", str(tmp_path / "file" / "x")]) == 1
    assert re.search("config.yaml: cannot be written .* another folder with --out", capsys.readouterr().err)


def test_odd_names_of_folders_are_read_as_they_were_written(tmp_path, capsys):
    names = [" P1 ", 'P"2"', "#P3", "P\t4"]
    for name in names:
        make_plate(tmp_path / "data" / name, ["A01"])
    config, status = init(tmp_path / "data", tmp_path / "out")
    assert (sorted(plate.images for plate in config.plates), status) == (sorted(names), 0)
    (tmp_path / "data" / "a\nmap.csv").write_text("well,compound\nA01,DMSO\n")
    assert main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "other")]) == 1
    assert "has a line break in its name" in capsys.readouterr().err


def test_a_folder_without_plates_is_an_error(tmp_path, capsys):
    assert main(["init", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]) == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "nuclei"),
    [
        (["Alexa-488", "HOECHST-33342"], "HOECHST-33342"),
        (["FITC", "DAPI"], "DAPI"),
        (["488", "405"], "405"),
        (["Nucleoli-RNA", "DNA"], "DNA"),
        (["w1", "w2"], None),
        (["1405", "x"], None),
    ],
)
def test_the_channel_of_the_nuclei(names, nuclei):
    assert nuclei_channel(names) == nuclei


def test_names_of_channels_fit_and_differ():
    assert channel_names(["DNA", "a/b", "a b", "µm", "_"]) == {
        "DNA": "DNA", "a/b": "a-b", "a b": "a-b-2", "µm": "um", "_": "channel",
    }  # fmt: skip
    assert unique_names(["a", "a", "a-2"]) == ["a", "a-2", "a-2-2"]
    assert clean_name("  Plate Ä 7 ") == "Plate-7"


def test_no_name_of_a_channel_ends_the_comment_it_stands_in():
    names = [f"a{end}root: /etc" for end in ("\n", "\r", "\x85", "\u2028", "\u2029")]
    row = {"plate": "P1", "images": "P1", "reader": "", "platemap": ""}
    proposal = Proposal(
        "here", [row], None, "pattern", dict(zip(names, "abcde", strict=True)), True, names, None, 1, None, [], 1
    )
    config = yaml.safe_load(config_text(proposal))
    assert config["root"] == "here" and list(config["images"]["channel_names"]) == names


def test_bbbc013(tmp_path):
    if not (DATA / "bbbc013").is_dir():
        pytest.skip(f"there is no BBBC013 in {DATA}")
    config, status = init(DATA / "bbbc013" / "images", tmp_path)
    [plate] = config.plates
    assert status == 0
    assert (plate.plate, plate.layout, plate.platemap) == ("bbbc013", 96, "platemap.csv")
    assert config.channels == ["Channel1", "Channel2"]
    assert config.quality.bit_depth == 8


@pytest.mark.parametrize("name", VENDORS)
def test_exports_of_instruments(name, tmp_path):
    folder = DATA / "vendor_formats" / name
    if not folder.is_dir():
        pytest.skip(f"there is no {name} in {DATA}")
    assert main(["init", str(folder), "--out", str(tmp_path)]) == 0
    config = load_config(yaml.safe_load((tmp_path / "config.yaml").read_text()), tmp_path)
    assert config.images.reader in ("auto", name.split("_")[0], "harmony")
    assert len(read_plates(tmp_path / "plates.tsv")) == len(config.plates)
