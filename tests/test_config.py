import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from profiling.config import (
    MODELS,
    RULES,
    SECTIONS,
    Config,
    ConfigError,
    find_plate,
    load_config,
    parse_settings,
    read_yaml,
)
from profiling.config_files import check_files
from profiling.plate_table import read_plates
from profiling.settings import Section, pixels

ROOT = Path(__file__).resolve().parents[1]
RULE = re.compile(r"^( *)rule (\w+):\n((?:\1[ ]{4}.*\n|\n)*)", re.MULTILINE)
BASIC = {"plates": [{"plate": "P1", "images": "P1"}], "channels": ["DNA", "Actin"]}


def config(**changes):
    return load_config(BASIC | changes)


def plate(**changes):
    return {"plates": [{"plate": "P1", "images": "P1"} | changes]}


def rules():
    """Name → text of every rule of the workflow."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk"))]
    return {name: body for text in texts for _, name, body in RULE.findall(text)}


def rules_with(*needles):
    return {name for name, text in rules().items() if any(needle in text for needle in needles)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chanels": ["DNA"]}, "chanels: unknown key; did you mean 'channels'?"),
        ({"embedding": {"crop_px": 96}}, "embedding.crop_px: unknown key; did you mean 'crop'?"),
        ({"flags": {"qqqq": 1}}, "flags.qqqq: unknown key; known keys: focus_mads"),
        (plate(plate_map="b"), "plates.0.plate_map: unknown key; did you mean 'platemap'?"),
        ({"clusters": {"k": 1}}, "clusters.k: .*greater than or equal to 2.*given: 1"),
        ({"clusters": {"k": "many"}}, "clusters.k: .*integer.*given: 'many'"),
        ({"limits": {"low": 99, "high": 1}}, r"limits: low \(99.0\) must be below high \(1.0\)"),
        ({"embedding": {"crop": "5 miles"}}, "embedding.crop: must be a positive length"),
        ({"embedding": {"crop": "0 px"}}, "embedding.crop: must be a positive length"),
        ({"embedding": {"composite": ["DNA", "Actin"]}}, "embedding: composite needs exactly three channels"),
        ({"embedding": {"backbone": "resnet18"}}, "embedding: backbone 'resnet18' is not known"),
        ({"embedding": {"backbone": "file:model.pt"}}, "embedding: backbone: model.pt may hold a program"),
        ({"embedding": {"layers": ["blocks.9"]}}, "embedding: efficientnet_lite0 has no layer 'blocks.9'"),
        ({"embedding": {"pooling": "mean+median"}}, "embedding: pooling: 'median' is none of mean, gem"),
        ({"segmentation": {"cells_channel": "X"}}, "segmentation.cells_channel: 'X' is not one of channels"),
        ({"segmentation": {"threshold": "otsu"}}, "threshold is a setting of `engine: classical`"),
        ({"segmentation": {"regularisation": 1}}, "regularisation is a setting of `cells: propagate` with"),
        (
            {"segmentation": {"cells_channel": "DNA", "ring": "5 px"}},
            "ring is a setting of `cells: ring`, not of `cells: propagate` with",
        ),
        ({"unit": "image"}, "unit: .*'cell', 'field' or 'tile'.*given: 'image'"),
        ({"unit": "tile", "embedding": {"neighbours": "mask"}}, "embedding.neighbours: mask needs `unit: cell`"),
        ({"unit": "tile", "tiles": {"size": "9 um"}}, "'9 um' needs images.pixel_size"),
        (
            {"segmentation": {"minimum_diameter": 30, "maximum_diameter": "10 px"}},
            r"minimum_diameter: 30 px \(30 px\) is more than segmentation.maximum_diameter, 10 px",
        ),
        (
            {"segmentation": {"minimum_diameter": 20, "nucleus_diameter": "6 um"}, "images": {"pixel_size": 0.5}},
            r"minimum_diameter: 20 px .* more than segmentation.nucleus_diameter, 6 um \(12 px\)",
        ),
        ({"segmentation": {"nucleus_diameter": 5000}}, "5000 px; nuclei of 3 to 1000 px"),
        ({"segmentation": {"maximum_diameter": 2}}, "maximum_diameter: 2 px are 2 px; nuclei of 3"),
        ({"channels": ["DNA", "DNA"]}, "channels: DNA is listed twice"),
        ({"channels": []}, "channels: "),
        ({"plates": []}, "plates: "),
        ({"plates": ["P1"]}, "plates.0: "),
        ({"clusters": {"sweep": [1]}}, "clusters.sweep.0: .*greater than or equal to 2"),
        ({"channels": ["DNA/x"]}, "channels.0: "),
        (plate(plate="P_1"), "plates.0.plate: "),
        (plate(layout=97), "layout 97 is none of 6, 12, 24"),
        (plate(exclude="B2 Z9"), "well 'Z9' lies outside a 96-well plate"),
        ({"images": {"pattern": "(?P<channel>.)"}}, "images: pattern needs the named groups"),
        ({"images": {"pattern": "("}}, "images: pattern is not a regular expression"),
        ({"plates": "nowhere.tsv"}, "plates: there is no file .*nowhere.tsv"),
        ({"plates": "x" * 300}, r"plates: there is no file .* \(File name too long\)"),
        (plate(plate="P" * 101), "plates.0.plate: .*at most 100 characters"),
        (plate(plate="P1" + "-a.b" * 20), "plate 'P1-a.*' ends in 20 repetitions, which Snakemake refuses"),
        (plate(exclude="all"), "plates: every plate is left out; give at least one"),
        (plate(images="\x1b[2J"), r"plates.0.images: has control characters, .* \(given: '\\x1b\[2J'\)"),
        (plate(batch="\u202eb"), "plates.0.batch: has control characters"),
        ({"root": "a\0b"}, "root: has control characters"),
        ({"embedding": {"weights": "\ud800"}}, "embedding.weights: has control characters"),
        ({"normalisation": {"clip": math.inf}}, "normalisation.clip: .*finite number"),
        ({"flags": {"minimum_focus": math.nan}}, "flags.minimum_focus: .*finite number"),
        ({"seed": 2**32}, "seed: .*less than or equal to 4294967295"),
        ({"platemap": {"roles": {f"compound {n}": "treatment" for n in range(4000)}}}, "platemap: its settings"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_every_mistake_is_listed():
    with pytest.raises(ConfigError) as error:
        config(clusters={"k": 0}, map={"perplexity": 0}, sead=1)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["clusters.k", "map.perplexity", "sead"]


@pytest.mark.parametrize("suffix", ["tsv", "csv"])
def test_plate_names_stay_strings(tmp_path, suffix):
    separator = {"tsv": "\t", "csv": ","}[suffix]
    rows = ["plate,images,layout,batch,exclude", "00123,a,384,007,P24 b1", "1E10,b,,,all", "NA,c,96,,"]
    text = "\ufeff" + "\r\n".join(rows).replace(",", separator)
    (tmp_path / f"plates.{suffix}").write_text(text, encoding="utf-8", newline="")
    plates = load_config(BASIC | {"plates": f"plates.{suffix}"}, tmp_path).plates
    assert [(p.plate, p.layout, p.batch, p.exclude) for p in plates] == [
        ("00123", 384, "007", ["P24", "B01"]),
        ("1E10", 96, None, ["all"]),
        ("NA", 96, None, []),
    ]


def test_a_plate_table_without_rows_is_an_error(tmp_path):
    (tmp_path / "plates.tsv").write_text("plate\timages\n")
    with pytest.raises(ConfigError, match="has no rows"):
        read_plates(tmp_path / "plates.tsv")


TABLE = "plate\timages\tlayout\nP1\tÄ\t96\n\t\t\n# a remark\nP2\tb\t384\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("name", ["plates.tsv", "plates.CSV"])
def test_however_the_plate_table_is_written_its_rows_are_the_same(tmp_path, encoding, separator, name):
    (tmp_path / name).write_bytes(TABLE.replace("\t", separator).replace("\n", "\r\n").encode(encoding))
    assert read_plates(tmp_path / name) == [
        {"plate": "P1", "images": "Ä", "layout": "96"},
        {"plate": "P2", "images": "b", "layout": "384"},
    ]


def test_cells_of_the_plate_table_keep_separators_in_quotation_marks_and_paths_their_blanks(tmp_path):
    text = '"plate","images","platemap","exclude"\n P1 , a ,"m, ""1"" .csv","A1, B2"\n'
    (tmp_path / "p.csv").write_text(text)
    assert read_plates(tmp_path / "p.csv") == [
        {"plate": "P1", "images": " a ", "platemap": 'm, "1" .csv', "exclude": "A1, B2"}
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t", "  ", "line 1: the header has no column plate and no column images; it reads 'plate  images .* tabs"),
        ("images", "folder", "line 1: the header has no column images; it reads"),
        ("layout", "images", "line 1: the column images is there twice"),
        ("layout", "layuot", "^[^\n]*line 1: layuot: unknown key; did you mean 'layout'.$"),
        ("384", "384\tmore", "line 5: has more cells than the header has columns .'more'"),
        ("384", "97", "line 5: layout 97 is none of"),
        ("384", "x", "line 5: layout: .*integer"),
        ("P2", "", "line 5: plate: Field required"),
        ("P2", "P1", "line 5: plate 'P1' is in line 2, too"),
        ("P1", '"P1', "line 2: .*quotation marks do not match"),
        ("P2", "P\0", "line 5: has a NUL character"),
    ],
)
def test_a_mistake_in_the_plate_table_is_named_with_its_line(tmp_path, old, new, message):
    (tmp_path / "plates.tsv").write_text(TABLE.replace(old, new))
    with pytest.raises(ConfigError, match=message) as error:
        load_config(BASIC | {"plates": "plates.tsv"}, tmp_path)
    assert "plates.tsv, line" in str(error.value)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: (TABLE + text).encode("utf-8", "replace")))
def test_no_plate_table_breaks_the_reader(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(data)
    try:
        assert all(set(row) >= {"plate", "images"} for row in read_plates(path))
    except ConfigError as error:
        assert "any.tsv" in str(error)


def test_paths_with_braces_are_refused(tmp_path):
    (tmp_path / "{r}" / "P1").mkdir(parents=True)
    for name in ("a{1}.csv", "c}.csv"):
        (tmp_path / "{r}" / name).touch()
    screen = config(**plate(platemap="a{1}.csv"), root="{r}", platemap={"compounds": "c}.csv"})
    with pytest.raises(ConfigError) as error:
        check_files(screen, tmp_path)
    assert [line.split(" has ")[0] for line in str(error.value).splitlines()[:3]] == [
        "root: '{r}'", "platemap.compounds: 'c}.csv'", "plate P1: 'a{1}.csv'",
    ]  # fmt: skip
    assert "rename it, or link it" in str(error.value)


def test_of_many_plates_five_are_named():
    screen = config(plates=[{"plate": f"P{number}", "images": "x"} for number in range(400)])
    assert find_plate(screen, "P399").plate == "P399"
    with pytest.raises(ConfigError, match="no plate 'X' in this screen; it has 400: P0, P1, P2, P3, P4 and 395 more$"):
        find_plate(screen, "X")


def test_absent_folders_and_plate_maps_are_all_named(tmp_path):
    (tmp_path / "P1").mkdir()
    plates = [
        {"plate": "P1", "images": "P1", "platemap": "map.csv"},
        {"plate": "P2", "images": "P2"},
        {"plate": "P3", "images": "P3", "exclude": "all"},
    ]
    with pytest.raises(ConfigError) as error:
        check_files(config(plates=plates), tmp_path)
    assert re.search("plate P1: there is no plate map .*map.csv", str(error.value))
    assert re.search("plate P2: there is no image folder .*`exclude: all`", str(error.value))
    assert "P3" not in str(error.value)
    (tmp_path / "P2").mkdir()
    (tmp_path / "map.csv").touch()
    check_files(config(plates=plates), tmp_path)
    for edit in ({"backbone": "file:net.onnx"}, {"weights": "net{1}.safetensors"}):
        with pytest.raises(ConfigError, match=f"embedding.{next(iter(edit))}: .*(there is no file|has braces)"):
            check_files(config(plates=plates, embedding=edit), tmp_path)
    check_files(config(plates=plates, embedding={"weights": "untrained"}), tmp_path)


@pytest.mark.parametrize("edit", [{"embedding": {"crop": "0.4 px"}}, {"tiles": {"size": "99999 px"}}])
def test_crops_and_tiles_have_a_size_that_can_be_cut(edit):
    with pytest.raises(ConfigError, match=r"(0\.4|99999) px are .* 8 to 8192 px can be cut"):
        config(**plate(), **edit)


def test_lengths():
    assert config(embedding={"crop": 64}).embedding.crop == "64 px"
    assert config(embedding={"crop": "62.5 µm"}, images={"pixel_size": 0.5}).embedding.crop == "62.5 um"
    assert pixels("15 um", 0.5) == 30
    with pytest.raises(ConfigError, match=r"'15 um' needs images.pixel_size"):
        config(segmentation={"nucleus_diameter": "15 um"})


def test_fields_and_tiles_have_defaults_of_their_own_where_none_are_given():
    whole = config(unit="field", embedding={"pooling": "mean"}, wells=None)
    assert (whole.embedding.input_size, whole.embedding.pooling, whole.wells.minimum_cells) == (224, "mean", 1)
    assert config(unit="tile", wells={"minimum_cells": 3}).wells.minimum_cells == 3
    again = load_config(json.loads(whole.model_dump_json()) | {"unit": "cell"})
    assert again.embedding.input_size == 224, "a recorded configuration keeps its values"
    assert config(unit="cell") == config()


def resolved(**changes):
    loaded = config(**changes)
    return {section: json.dumps(loaded.resolved(section), sort_keys=True) for section in SECTIONS}


def differing(one, other):
    return {section for section in SECTIONS if one[section] != other[section]}


def test_pixel_size_reaches_only_sections_with_lengths_in_um():
    lengths = {"embedding": {"crop": "62 um"}, "segmentation": {"nucleus_diameter": "20 px"}}
    before = resolved(**lengths, images={"pixel_size": 0.5})
    after = resolved(**lengths, images={"pixel_size": 0.25})
    assert differing(before, after) == {"embedding"}
    assert json.loads(after["embedding"])["crop"] == "248 px"


def test_a_section_without_keys_has_its_defaults():
    assert config(segmentation=None) == config()


def test_defaults_written_down_and_the_order_of_keys_change_nothing():
    plain = resolved()
    written = {name: model().model_dump() for name, model in SECTIONS.items()}
    assert differing(plain, resolved(**written)) == set()
    names = {"w1": "DNA", "w2": "Actin"}
    one = {
        "images": {"channel_names": names, "pixel_size": 1},
        "flags": {"images": "keep", "outlier_mads": 4},
    }
    other = {
        "flags": {"outlier_mads": 4, "images": "keep"},
        "images": {"pixel_size": 1, "channel_names": dict(reversed(names.items()))},
    }
    assert resolved(**one) == resolved(**other)
    assert differing(plain, resolved(**one)) == {"images", "flags"}


def test_a_new_key_with_a_default_is_not_passed_on_and_a_raised_version_is():
    class Newer(SECTIONS["clusters"]):
        another: int = Field(7, description="A key that came later.")

    class Raised(SECTIONS["clusters"]):
        version = SECTIONS["clusters"].version + 1

    old = SECTIONS["clusters"](k=9).changed()
    assert Newer(k=9).changed() == old
    assert Newer(k=9, another=8).changed() == old | {"another": 8}
    assert Raised(k=9).changed() == old | {"version": old["version"] + 1}


CHANGES = {
    "clusters": {"k": st.integers(2, 99), "sweep": st.lists(st.integers(2, 30))},
    "map": {"perplexity": st.floats(1.5, 500), "place_all": st.booleans()},
    "flags": {"images": st.sampled_from(["keep", "exclude"]), "minimum_focus": st.floats(-5, 5)},
    "embedding": {"crop": st.integers(8, 500), "layers": st.just(["last"])},
}


@pytest.mark.parametrize("section", CHANGES)
@given(st.data())
def test_settings_survive_the_command_line(section, data):
    changes = data.draw(st.fixed_dictionaries({}, optional=CHANGES[section]))
    loaded = config(**{section: changes})
    assert parse_settings(section, json.dumps(loaded.resolved(section))) == getattr(loaded, section)


def test_every_key_and_section_names_its_rules_and_they_exist():
    assert set(RULES) == set(Config.model_fields)
    assert set(SECTIONS) == {k for k, field in Config.model_fields.items() if issubclass_of(field.annotation, Section)}
    assert {rule for names in RULES.values() for rule in names} <= set(rules())


def issubclass_of(kind, base):
    return isinstance(kind, type) and issubclass(kind, base)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_passed_to_exactly_the_rules_it_names(section):
    needles = [f'settings("{section}")'] + ["embedding_settings("] * (section == "embedding")
    assert rules_with(*needles) == set(RULES[section])


@pytest.mark.parametrize(
    ("key", "needles"),
    [
        ("root", ["=folder,", "=source_folder", "=platemap_file"]),
        ("seed", ["CONFIG.seed"]),
        ("max_failed_images", ["CONFIG.max_failed_images"]),
        ("channels", ["CONFIG.channels", "FOCUS_CHANNEL"]),
        ("chunks_per_plate", ["=chunk_options"]),
        ("models", ["CONFIG.models"]),
    ],
)
def test_a_top_level_key_is_used_by_exactly_the_rules_it_names(key, needles):
    assert rules_with(*needles) == set(RULES[key])


def test_the_folder_of_frozen_models_is_checked(tmp_path):
    for name in ("P1", "results/models", "other/models"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match="models: there is no file .*other/models/reduction.npz"):
        check_files(config(models="other"), tmp_path)
    with pytest.raises(ConfigError, match="this screen's own results; copy the folder"):
        check_files(config(models="results"), tmp_path)
    for name in MODELS:
        (tmp_path / "other" / name).touch()
    check_files(config(models="other"), tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_paths_that_cannot_be_followed_are_told_with_the_reason(tmp_path, name):
    (tmp_path / "file").touch()
    given = plate(images=name, platemap=name) | {"models": name, "embedding": {"weights": name}}
    with pytest.raises(ConfigError) as error:
        check_files(config(**given), tmp_path)
    why = "File name too long" if name.startswith("x") else "Not a directory"
    assert str(error.value).count(f"({why})") == 3 + len(MODELS)


def test_no_rule_passes_a_setting_past_its_section():
    """Only the configuration as a whole (for the report), and what changes resources but no result."""
    allowed = {"channels", "seed", "model_dump_json", "map.threads", "map.place_all"}
    allowed |= {"segmentation.device", "embedding.device", "max_failed_images"}
    allowed |= {"unit", "models"}
    allowed |= {"images.makes_images", "images.focus_channel", "platemap.compounds"}  # their sections are passed too
    used = {match for text in rules().values() for match in re.findall(r"CONFIG\.([a-z_]+(?:\.[a-z_]+)?)", text)}
    assert used <= allowed


def test_the_examples_are_valid():
    for path in [ROOT / "config/config.yaml", *(ROOT / "config/examples").glob("*.yaml")]:
        mapping = read_yaml(path)
        folder = ROOT if isinstance(mapping.get("plates"), str) else path.parent
        load_config(mapping, folder)


@pytest.mark.parametrize("written", ["../P1", "/elsewhere/P1", "sub/../../P1", "sub/../P1", "P1/.."])
@pytest.mark.parametrize("column", ["images", "platemap"])
def test_the_plate_table_names_nothing_above_root_unless_it_may(tmp_path, column, written):
    row = {"images": "P1", "platemap": "map.csv"} | {column: written}
    (tmp_path / "plates.tsv").write_text(f"plate,images,platemap\nP1,{row['images']},{row['platemap']}\n")
    given = {"plates": "plates.tsv", "channels": ["DNA"], "root": "data"}
    message = rf"plates\.tsv, line 2: {column}: '{re.escape(written)}' leaves `root` .*`outside: true`"
    with pytest.raises(ConfigError, match=message):
        load_config(given, tmp_path)
    assert getattr(load_config(given | {"outside": True}, tmp_path).plates[0], column) == written


def test_paths_below_root_are_taken_through_links_and_absolute(tmp_path):
    (tmp_path / "storage" / "run7").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "P1").symlink_to(tmp_path / "storage" / "run7")
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    (tmp_path / "plates.tsv").write_text(f"plate,images\nP1,P1\nP2,{tmp_path}/data/P1\nP3,..P3\n")
    for root in ("data", "linked", str(tmp_path)):
        config = load_config({"plates": "plates.tsv", "channels": ["DNA"], "root": root}, tmp_path)
        assert [plate.images for plate in config.plates] == ["P1", f"{tmp_path}/data/P1", "..P3"]


def test_a_configuration_is_read_as_values_alone(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"plates: !!python/object/apply:os.system ['touch {tmp_path}/x']")
    with pytest.raises(ConfigError, match="config.yaml: is not YAML"):
        read_yaml(path)
    path.write_text(f"__use_yte__: true\nplates: ?__import__('os').system('touch {tmp_path}/x')")
    with pytest.raises(ConfigError, match="config.yaml: `__use_yte__` makes it a program"):
        read_yaml(path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a {x: 1}\nb:\n  <<: [*a, *a]\n", "config.yaml, line 3: `<<` is not read; write the keys out"),
        ("seed: 1\nclusters: {k: 2,\n  k: 3}\n", "config.yaml, line 3: k is there twice; remove one"),
        ("1: a\ntrue: b\n", "line 2: true is there twice"),
        ("? [a]\n: b\n", "is not YAML.*unhashable"),
        ("seed: !!int ''", "config.yaml, line 1: '' is no int; correct it"),
        ("- !!timestamp foo", "'foo' is no timestamp"),
        ("!!bool foo: 1", "'foo' is no bool"),
        ("seed: 2026-13-01", "'2026-13-01' is no timestamp"),
        ('"\\e[2J": 1\n"\\e[2J": 1\n', r"line 2: \\x1b\[2J is there twice"),
    ],
)
def test_what_yaml_would_lose_or_multiply_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "config.yaml")


def test_lists_of_lists_that_fill_the_memory_are_not_written_out(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "config.yaml").write_text("\n".join([*lines, "channels: *a11", "plates: *a11", "seed: *a11"]))
    with pytest.raises(ConfigError, match="seed: .*integer") as error:
        load_config(read_yaml(tmp_path / "config.yaml"))
    assert len(str(error.value)) < 100_000
