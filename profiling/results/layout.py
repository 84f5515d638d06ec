"""What the workflow makes: every job of a screen and its outputs, known from the configuration alone."""

from typing import NamedTuple

STAGES = (
    "images", "quality", "illumination", "segment", "overlays", "embed", "flags", "features", "phenotypes", "wells",
    "models", "statistics", "report",
)  # fmt: skip
"""Stages in the order of the workflow; the last three are of the screen, the others of a plate."""

PLATE_STAGES = STAGES[:-3]


class Rule(NamedTuple):
    """A rule of the workflow.

    Attributes
    ----------
    name, stage : str
    outputs : tuple of str
        Paths below the results folder. A rule whose paths have ``{chunk}`` runs once a chunk, one with ``{plate}``
        once a plate.
    """

    name: str
    stage: str
    outputs: tuple[str, ...]

    @property
    def per(self):
        """What the rule runs once for: chunk, plate or screen."""
        return next((kind for kind in ("chunk", "plate") if f"{{{kind}}}" in self.outputs[0]), "screen")


RULES = (
    Rule("configuration", "report", ("config.json",)),
    Rule("images", "images", ("images/{plate}.parquet", "chunks/{plate}/unplaced.parquet")),
    Rule("platemap", "images", ("platemaps/{plate}.parquet",)),
    Rule("quality", "quality", ("chunks/{plate}/{chunk}/quality.parquet",)),
    Rule("merge_quality", "quality", ("quality/{plate}.parquet",)),
    Rule("usable", "quality", ("chunks/{plate}/usable.txt",)),
    Rule("illumination", "illumination", ("illumination/{plate}",)),
    Rule("limits", "illumination", ("limits/{plate}.parquet",)),
    Rule(
        "segment",
        "segment",
        ("chunks/{plate}/{chunk}/segmented.parquet", "chunks/{plate}/{chunk}/fields.parquet", "labels/{plate}/{chunk}"),
    ),
    Rule("merge_fields", "segment", ("fields/{plate}.parquet",)),
    Rule("overlays", "overlays", ("overlays/{plate}.parquet",)),
    Rule("backbone", "models", ("models/backbone.json", "models/backbone.xml", "models/backbone.bin")),
    Rule(
        "embed",
        "embed",
        tuple(f"chunks/{{plate}}/{{chunk}}/{name}.parquet" for name in ("embeddings", "cells", "thumbnails")),
    ),
    Rule("merge_cells", "embed", tuple(f"{name}/{{plate}}.parquet" for name in ("cells", "embeddings", "thumbnails"))),
    Rule("flags", "flags", ("flags/{plate}.parquet", "cell_flags/{plate}.parquet")),
    Rule("scale", "features", ("models/scalers/{plate}.npz",)),
    Rule("reduce", "models", ("models/reduction.npz",)),
    Rule("features", "features", ("features/{plate}.parquet", "chunks/{plate}/left_out.parquet")),
    Rule("clusters", "models", ("models/clusters.npz", "clusters.parquet")),
    Rule("map", "models", ("models/map.npz",)),
    Rule("phenotypes", "phenotypes", ("phenotypes/{plate}.parquet",)),
    Rule("wells", "wells", ("chunks/{plate}/wells.parquet",)),
    Rule("screen_wells", "statistics", ("wells.parquet",)),
    Rule("treatments", "statistics", ("treatments.parquet",)),
    Rule("enrichment", "statistics", ("enrichment.parquet",)),
    Rule("activity", "statistics", ("activity.parquet", "variance.parquet")),
    Rule("failures", "report", ("failures.parquet",)),
    Rule("report", "report", ("report.html",)),
    Rule("provenance", "report", ("provenance.json",)),
)
"""Rules in the order of the workflow."""

STACK_RULES = (
    Rule("images", "images", ("chunks/{plate}/planes.parquet", "chunks/{plate}/unplaced.parquet")),
    Rule("make_images", "images", ("chunks/{plate}/{chunk}/images.parquet", "chunks/{plate}/{chunk}/images")),
    Rule("merge_images", "images", ("images/{plate}.parquet",)),
)
"""Rules in the place of `images` where images are made of stacks."""

UNIT_RULES = tuple(rule._replace(name="units") for rule in RULES if rule.name == "segment")
"""Rules in the place of `segment` where fields or tiles are profiled; they have no overlays."""

FROZEN_RULES = (
    Rule(
        "frozen_models",
        "models",
        ("models/reduction.npz", "models/clusters.npz", "models/map.npz", "clusters.parquet"),
    ),
)
"""Rules in the place of `reduce`, `clusters` and `map` where models are those of another screen."""


class Screen(NamedTuple):
    """What the configuration says of a screen's files.

    Attributes
    ----------
    chunks : dict of str to int
        Plate → its chunks, without the plates that are left out.
    channels : list of str
    stacks : bool
        Whether images are made of stacks.
    frozen : bool
        Whether models are those of another screen.
    unit : {"cell", "field", "tile"}
    """

    chunks: dict[str, int]
    channels: list[str]
    stacks: bool
    frozen: bool = False
    unit: str = "cell"


class Job(NamedTuple):
    """A job: its rule, its plate and chunk (None where it has none) and its outputs below the results folder."""

    rule: str
    stage: str
    plate: str | None
    chunk: int | None
    outputs: list[str]


def describe_screen(config):
    """Plates, chunks and channels of a configuration given as plain values, defaults included."""
    plates = [row for row in config["plates"] if row.get("exclude") != ["all"]]
    chunks = {row["plate"]: min(config["chunks_per_plate"], row["layout"]) for row in plates}
    stacks = config.get("images", {}).get("z") in ("maximum", "focus")
    return Screen(chunks, config["channels"], stacks, config.get("models") is not None, config.get("unit", "cell"))


def rules_of(screen):
    """The rules that a screen needs, in the order of the workflow."""
    others = {"images": STACK_RULES} if screen.stacks else {}
    others |= {"reduce": FROZEN_RULES, "clusters": (), "map": ()} if screen.frozen else {}
    others |= {"segment": UNIT_RULES, "overlays": ()} if screen.unit != "cell" else {}
    return tuple(new for rule in RULES for new in others.get(rule.name, (rule,)))


def list_jobs(screen):
    """Every job of a screen, in the order of the rules.

    Parameters
    ----------
    screen : Screen

    Returns
    -------
    list of Job
    """
    jobs = []
    for rule in rules_of(screen):
        paths = list(rule.outputs)
        if rule.per == "screen":
            jobs.append(Job(rule.name, rule.stage, None, None, paths))
            continue
        for plate, count in screen.chunks.items():
            of_plate = [path.replace("{plate}", plate) for path in paths]
            if rule.per == "plate":
                jobs.append(Job(rule.name, rule.stage, plate, None, of_plate))
                continue
            for chunk in range(1, count + 1):
                outputs = [path.replace("{chunk}", str(chunk)) for path in of_plate]
                jobs.append(Job(rule.name, rule.stage, plate, chunk, outputs))
    return jobs
