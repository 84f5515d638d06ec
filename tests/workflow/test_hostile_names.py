"""Names that a shell, an option parser or Snakemake could take for something else."""

import re

import numpy as np
import pandas as pd
import pytest
import tifffile
from starts import ROOT, snakemake, write_config

pytestmark = pytest.mark.xdist_group("hostile names")

HOSTILE = "-a 'b' \"c\" $(touch x) `touch x`; touch x & touch x |\ntouch x #"
VALIDATED = {
    *("input", "output", "log", "threads", "wildcards.plate", "params.plates", "params.channels", "params.layout"),
    *("params.reader", "params.chunk", "params.unit", "params.seed", "params.max_failed", "params.precision"),
    *("params.frozen", "params.nuclei_channel", "params.focus_channel", "resources.speed"),
}
"""What needs no quotes: names of plates and channels, which the configuration checks, numbers, choices, and paths made
of these."""
QUOTED = {"params.map", "params.compounds"}
"""Options that are quoted where they are made."""
NO_DASH = {f"params.{name}" for name in ("settings", "tiles", "embedding", "normalisation", "folder", "results")}
"""What never begins with a dash: JSON, and paths that are written so. Other words stand behind a `=`."""


def write_plate(folder):
    folder.mkdir(parents=True)
    for well in ("A01", "A02", "B01"):
        for channel in ("DNA", "$(touch x)"):
            tifffile.imwrite(folder / f"{well}_s1_{channel}.tif", np.zeros((16, 16), np.uint16))


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A screen whose folder, root, image folder, plate map, compounds, batch and channel have hostile names."""
    folder = tmp_path_factory.mktemp("names") / HOSTILE
    data = folder / HOSTILE
    write_plate(data / HOSTILE)
    (data / f"{HOSTILE}.csv").write_text('well,compound\nA1,DMSO\nA2,$(touch x)\nB1,"\'; touch x"\n')
    (data / f"{HOSTILE}.tsv").write_text("compound\tmoa\n$(touch x)\t`touch x`\n")
    write_config(
        folder,
        {
            "plates": [
                {
                    "plate": "P1",
                    "images": HOSTILE,
                    "platemap": f"{HOSTILE}.csv",
                    "batch": HOSTILE,
                    "layout": 24,
                    "exclude": "B01",
                }
            ],
            "root": HOSTILE,
            "channels": ["DNA", "c2"],
            "images": {
                "pattern": r"(?P<well>[A-D]\d\d)_s(?P<site>\d)_(?P<channel>[^_]+)\.tif$",
                "channel_names": {"DNA": "DNA", "$(touch x)": "c2"},
            },
            "platemap": {"compounds": f"{HOSTILE}.tsv", "keep": ["moa"], "roles": {"'; touch x": "positive_control"}},
            "report": {"title": "$(touch x) {input} {wildcards.plate} '"},
        },
    )
    return folder


def test_what_stands_in_a_command_is_validated_or_quoted():
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for shell in re.findall(r"shell:\n((?:\s+\".*\"\n?)+)", path.read_text()):
            bare = set(re.findall(r"\{([\w.]+)\}", shell)) - VALIDATED - QUOTED
            assert all(name.split(".")[0] in ("input", "output") for name in bare), (path.name, bare)
            assert set(re.findall(r"[^=]\{([\w.]+):q\}", shell)) <= NO_DASH, path.name


def test_every_command_is_planned(screen):
    shown = snakemake(screen, "--dry-run", "--printshellcmds").stdout
    assert shown.count("profiling segment") == 8 and not list(screen.rglob("x"))


def test_tables_are_right_and_nothing_is_run(screen):
    snakemake(screen, "listed")
    assert not list(screen.parent.rglob("x"))
    images = pd.read_parquet(screen / "results" / "images" / "P1.parquet")
    assert (images["Status"].value_counts().to_dict(), set(images["Metadata_Channel"])) == ({"ok": 6}, {"DNA", "c2"})
    wells = pd.read_parquet(screen / "results" / "platemaps" / "P1.parquet").set_index("Metadata_Well")
    assert set(wells["Metadata_Batch"]) == {HOSTILE}
    assert wells["Metadata_Compound"].to_dict() == {"A01": "DMSO", "A02": "$(touch x)", "B01": "'; touch x"}
    assert (wells["Metadata_moa"]["A02"], wells["Metadata_Role"]["B01"]) == ("`touch x`", "positive_control")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__use_yte__: true\nplates: ?__import__('os').system('touch x')", "`__use_yte__` makes it a program"),
        ("plates: !!python/object/apply:os.system ['touch x']", "is not YAML"),
        ("{plates: [{plate: P1, images: P1}], channels: [DNA], seed: 1}", "no image folder 'data/P1'"),
    ],
)
def test_the_configuration_of_a_working_directory_is_read_as_values(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    done = snakemake(tmp_path, "--dry-run", "--config", "root=data", check=False)
    assert done.returncode and message in done.stdout + done.stderr
    assert not (tmp_path / "x").exists()


def test_snakemake_makes_no_object_of_a_configuration(tmp_path):
    (tmp_path / "config.yaml").write_text("plates: !!python/object/apply:os.system ['touch x']")
    assert snakemake(tmp_path, "--dry-run", check=False).returncode
    assert not (tmp_path / "x").exists()
