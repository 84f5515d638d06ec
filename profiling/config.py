"""The configuration of a screen: what a person writes, checked and typed."""

import difflib
import json
import os
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from pprint import pformat
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from profiling import settings as s
from profiling.errors import ConfigError
from profiling.plate_table import paths_outside, read_rows
from profiling.plates.wells import LAYOUTS, normalise_well
from profiling.terminal import visible

SECTIONS = {
    "images": s.Images,
    "quality": s.Quality,
    "illumination": s.Illumination,
    "limits": s.Limits,
    "segmentation": s.Segmentation,
    "tiles": s.Tiles,
    "overlays": s.Overlays,
    "embedding": s.Embedding,
    "platemap": s.PlateMap,
    "flags": s.Flags,
    "normalisation": s.Normalisation,
    "reduction": s.Reduction,
    "clusters": s.Clusters,
    "map": s.Map,
    "wells": s.Wells,
    "statistics": s.Statistics,
    "report": s.Report,
}

RULES = {
    "root": (
        "images",
        "make_images",
        "quality",
        "illumination",
        "limits",
        "segment",
        "overlays",
        "precision",
        "embed",
        "platemap",
    ),
    "outside": (),
    "plates": (),
    "channels": ("images", "make_images", "illumination", "limits", "segment", "precision", "embed", "frozen_models"),
    "max_failed_images": ("usable",),
    "chunks_per_plate": ("make_images", "quality", "segment", "units", "embed"),
    "unit": ("segment", "units", "backbone", "frozen_models"),
    "models": ("frozen_models", "phenotypes"),
    "seed": ("clusters", "map", "phenotypes", "enrichment", "activity"),
    "images": ("images", "make_images"),
    "quality": ("quality",),
    "illumination": ("illumination",),
    "limits": ("limits",),
    "segmentation": ("segment",),
    "tiles": ("units", "frozen_models"),
    "overlays": ("overlays",),
    "embedding": ("backbone", "precision", "embed", "frozen_models"),
    "platemap": ("platemap",),
    "flags": ("flags",),
    "normalisation": ("scale", "frozen_models"),
    "reduction": ("reduce",),
    "clusters": ("clusters",),
    "map": ("map", "phenotypes"),
    "wells": ("wells",),
    "statistics": ("enrichment", "activity"),
    "report": ("report",),
}
"""Top-level key → the rules that its edit starts (what follows them runs too)."""

WHOLE_IMAGES = {
    "embedding": {"input_size": 224, "pooling": "mean+std"},
    "wells": {"minimum_cells": 1},
    "normalisation": {"minimum_cells": 1},
}
"""Defaults of screens whose unit is a field or tile: it shows many cells, none of them in its middle, and a
well has few of it."""

MODELS = ("models/reduction.npz", "models/clusters.npz", "models/map.npz", "clusters.parquet")
"""What frozen models are, by their places below a results folder."""

PERIODIC = re.compile(r"(.+?)\1{19,}$")
"""Names in which Snakemake sees a rule that makes its own input."""

LONGEST = 100_000
"""Characters of a section's settings: they are one word of a command, of which Linux takes 131,072."""

DIAMETERS = (3, 1000)
"""Pixels that a typical nucleus may be wide."""

SIDES = (8, 8192)
"""Pixels a side of what the network is shown: below, there is nothing to see, above, no camera's field."""


def _as_list(value):
    return value.replace(",", " ").split() if isinstance(value, str) else value or []


class Plate(BaseModel):
    """One plate: a row of ``plates.tsv``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plate: s.Name = Field(description="Name of the plate, a string (`00123` stays `00123`).")
    images: s.Visible = Field(description="Folder of its images, below `root`.")
    reader: s.Reader | None = Field(None, description="Reader of the folder. Left out: that of `images.reader`.")
    layout: int = Field(96, description="Number of wells: 6, 12, 24, 48, 96, 384 or 1536.")
    platemap: s.Visible | None = Field(None, description="Plate map (CSV, TSV or .xlsx), below `root`.")
    batch: s.Visible | None = Field(None, description="Batch of the experiment. Left out: the plate itself.")
    exclude: Annotated[list[str], BeforeValidator(_as_list)] = Field(
        default_factory=list,
        description="Wells to leave out, or `all` for the whole plate. Images "
        "of such wells stay in the plate's flat fields and intensity limits, so that an edit costs no work on pixels.",
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_cells(cls, row):
        return {k: v for k, v in row.items() if v not in ("", None)} if isinstance(row, dict) else row

    @model_validator(mode="after")
    def _check_row(self):
        if PERIODIC.search(self.plate):
            raise ValueError(f"plate {self.plate!r} ends in 20 repetitions, which Snakemake refuses; rename it")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout {self.layout} is none of {', '.join(map(str, LAYOUTS))} wells")
        if self.exclude != ["all"]:
            wells = [normalise_well(well, self.layout) for well in self.exclude]
            object.__setattr__(self, "exclude", wells)
        return self


class Config(BaseModel):
    """A validated configuration: top-level keys and one section a stage."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    plates: list[Plate] = Field(
        min_length=1, description="A table of plates (TSV or CSV, one row a plate), or the rows themselves as a list."
    )
    channels: list[s.Name] = Field(
        min_length=1, description="Names of the channels; their order is that of the embeddings."
    )
    root: s.Visible = Field(".", description="Folder that the paths of the plate table start from.")
    outside: bool = Field(
        False,
        description="Whether the plate table may name folders and plate maps that are not below `root`. What is linked "
        "into `root` is below it; rows written in the configuration itself may name any path.",
    )
    max_failed_images: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a plate's images that may be missing or unreadable. A plate with more of them stops "
        "before its cells are flagged, and with it the tables of the screen; the other plates' own work goes on.",
    )
    chunks_per_plate: int = Field(8, ge=1, le=999, description="Jobs that share the pixel work of a plate.")
    unit: Literal["cell", "field", "tile"] = Field(
        "cell",
        description="What is embedded and profiled: each segmented `cell`, or, without segmentation, each whole "
        "`field` (resized to a square of `embedding.input_size`) or each `tile` of it. A field or tile then stands "
        "wherever a table says cell, and unless given `embedding.input_size` is 224 and `minimum_cells` of wells and "
        "normalisation 1.",
    )
    models: s.Visible | None = Field(
        None,
        min_length=1,
        description="Frozen models: the results folder of another screen, or a copy of this one's (from the working "
        "directory, as `plates`). Principal components, clusters and map are then those of that screen, and nothing is "
        "fitted but each plate's normalisation: a new plate reruns nothing of others, `reduction`, `clusters` and the "
        "fit of the `map` have no effect, and models of other channels, weights or settings are refused. Left out: "
        "fitted over all plates.",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of k-means, the map and the permutations.")
    images: s.Images = s.Images()
    quality: s.Quality = s.Quality()
    illumination: s.Illumination = s.Illumination()
    limits: s.Limits = s.Limits()
    segmentation: s.Segmentation = s.Segmentation()
    tiles: s.Tiles = s.Tiles()
    overlays: s.Overlays = s.Overlays()
    embedding: s.Embedding = s.Embedding()
    platemap: s.PlateMap = s.PlateMap()
    flags: s.Flags = s.Flags()
    normalisation: s.Normalisation = s.Normalisation()
    reduction: s.Reduction = s.Reduction()
    clusters: s.Clusters = s.Clusters()
    map: s.Map = s.Map()
    wells: s.Wells = s.Wells()
    statistics: s.Statistics = s.Statistics()
    report: s.Report = s.Report()

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults_of_unit(cls, values):
        if not isinstance(values, dict) or values.get("unit") not in ("field", "tile"):
            return values
        given = {name: values.get(name, {}) for name in WHOLE_IMAGES}
        return values | {name: WHOLE_IMAGES[name] | part for name, part in given.items() if isinstance(part, dict)}

    @model_validator(mode="after")
    def _check_together(self):
        for values, what in (
            (self.channels, "channels"),
            ([plate.plate for plate in self.plates], "plates"),
        ):
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} is listed twice")
        named = {
            "segmentation.nuclei_channel": [self.segmentation.nuclei_channel],
            "segmentation.cells_channel": [self.segmentation.cells_channel],
            "embedding.composite": self.embedding.composite or [],
            "images.focus_channel": [self.images.focus_channel],
            "images.channel_names": list(self.images.channel_names.values()),
        }
        for key, names in named.items():
            for name in names:
                if name is not None and name not in self.channels:
                    raise ValueError(f"{key}: {name!r} is not one of channels ({', '.join(self.channels)})")
        if self.unit != "cell" and self.embedding.neighbours == "mask":
            raise ValueError(f"embedding.neighbours: mask needs `unit: cell`; a {self.unit} has no neighbours to mask")
        if all(plate.exclude == ["all"] for plate in self.plates):
            raise ValueError("plates: every plate is left out; give at least one")
        for section in SECTIONS:
            if len(shlex.quote(json.dumps(self.resolved(section)))) > LONGEST:
                raise ValueError(f"{section}: its settings are longer than a command may be; shorten its lists")
        for key, length in (("embedding.crop", self.embedding.crop), ("tiles.size", self.tiles.size)):
            side = s.pixels(length, self.images.pixel_size)
            if not SIDES[0] <= side <= SIDES[1]:
                raise ValueError(f"{key}: {length} are {side:g} px; {SIDES[0]} to {SIDES[1]} px can be cut")
        self._check_diameters()
        return self

    def _check_diameters(self):
        """Nuclei are of a size that can be found, and their three diameters are in order."""
        names = ("minimum_diameter", "nucleus_diameter", "maximum_diameter")
        texts = {name: text for name in names if (text := getattr(self.segmentation, name)) is not None}
        sides = {name: s.pixels(text, self.images.pixel_size) for name, text in texts.items()}
        for name, side in sides.items():
            if (side < DIAMETERS[0] and name != names[0]) or (side > DIAMETERS[1] and name != names[2]):
                raise ValueError(
                    f"segmentation.{name}: {texts[name]} are {side:g} px; nuclei of {DIAMETERS[0]} to {DIAMETERS[1]} "
                    "px can be found"
                )
        for lower, upper in pairwise(sides):
            if sides[lower] > sides[upper]:
                raise ValueError(
                    f"segmentation.{lower}: {texts[lower]} ({sides[lower]:g} px) is more than "
                    f"segmentation.{upper}, {texts[upper]} ({sides[upper]:g} px)"
                )

    def resolved(self, section):
        """Settings of a section that differ from its defaults, with its version and lengths in pixels.

        A length is turned into pixels here, so that an edit of ``images.pixel_size`` reruns a stage only
        where a length of it is given in micrometres.
        """
        model = getattr(self, section)
        values = model.changed()
        values.pop("pixel_size", None)
        for key, value in values.items():
            if model.__class__.model_fields.get(key) and _is_length(model, key) and value is not None:
                values[key] = f"{s.pixels(value, self.images.pixel_size):g} px"
        return values


def _is_length(model, key):
    return s.Length.__metadata__[0] in _metadata(model.__class__.model_fields[key])


def _metadata(field):
    options = getattr(field.annotation, "__args__", ())
    return [*field.metadata, *(m for option in options for m in getattr(option, "__metadata__", ()))]


def read_yaml(path):
    """What a configuration file says; no expression or object in it is evaluated.

    Parameters
    ----------
    path : str or Path
        YAML or JSON.

    Returns
    -------
    dict

    Raises
    ------
    ConfigError
        If :func:`profiling.yaml_values.read_values` refuses the file, it has no keys, or is a program to Snakemake,
        which evaluates the expressions of a file that says ``__use_yte__: true`` when it is given by ``--configfile``.
    """
    from profiling.yaml_values import read_values  # its import takes longer than all else here, and jobs need none

    mapping = read_values(path)
    if not isinstance(mapping, dict):
        raise ConfigError(f"{path}: has no keys; see config/README.md for what a configuration says")
    if "__use_yte__" in mapping:
        raise ConfigError(
            f"{path}: `__use_yte__` makes it a program, which Snakemake runs when it is given by --configfile; do not "
            "give it, and write plain values instead of expressions"
        )
    return mapping


def load_config(mapping, folder="."):
    """Check a configuration as read from YAML.

    Parameters
    ----------
    mapping : dict
        What the file says.
    folder : str or Path
        Where a relative path of the plate table starts: the screen's working directory.

    Returns
    -------
    Config

    Raises
    ------
    ConfigError
        One line a problem: the key, what is wrong and, for an unknown key, the nearest known one.
    """
    # YAML reads a section whose keys are all commented out as null.
    mapping = {key: {} if value is None and key in SECTIONS else value for key, value in (mapping or {}).items()}
    places = None
    if isinstance(mapping.get("plates"), str):
        path = Path(folder) / mapping["plates"]
        header, rows = read_rows(path)
        mapping["plates"] = list(rows.values())
        places = [f"{path}, line {line}" for line in (header, *rows)]
    try:
        config = Config.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError(explain(error, Config, mapping, places)) from None
    if places and not config.outside:
        if strangers := paths_outside(mapping["plates"], places[1:], Path(folder) / config.root):
            raise ConfigError("\n".join(strangers))
    return _with_barcodes(config, Path(folder) / config.root) if config.platemap.barcodes else config


def _with_barcodes(config, root):
    """Plates without a plate map of their own get the one that the table of barcodes names."""
    if all(plate.platemap for plate in config.plates):
        return config
    from profiling.plates.platemaps.barcodes import barcode_maps

    table = root / config.platemap.barcodes
    maps = {plate: os.path.relpath(path, root) for plate, path in barcode_maps(table).items()}
    for plate, path in maps.items():
        if visible(path, keep="\n\t") != path:
            raise ConfigError(f"{table}: the plate map of {plate} has control characters; rename it: {path!r}")
    plates = [
        plate if plate.platemap else plate.model_copy(update={"platemap": maps.get(plate.plate)})
        for plate in config.plates
    ]
    return config.model_copy(update={"plates": plates})


def find_plate(config, name):
    """The plate of this name; raises ConfigError where there is none."""
    known = {plate.plate: plate for plate in config.plates}
    if name not in known:
        shown = ", ".join(list(known)[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        raise ConfigError(f"there is no plate {name!r} in this screen; it has {len(known)}: {shown}")
    return known[name]


def image_folder(config, plate, results):
    """Where the paths of a plate's image table start: its image folder, or where images were made of its stacks."""
    results = Path(results)
    if config.images.makes_images:
        return results / "chunks" / plate
    return results.parent / config.root / find_plate(config, plate).images


def explain(error, model, mapping, places=None):
    """Validation errors in words, one a line; `places` are those of the plate table's header and rows in its file."""
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"])
        if places and problem["loc"][:1] == ("plates",) and len(problem["loc"]) > 1:
            # The column that is unknown is so in every row.
            row = -1 if problem["type"] == "extra_forbidden" else problem["loc"][1]
            path = ": ".join([places[row + 1], *(str(part) for part in problem["loc"][2:])])
        if problem["type"] == "extra_forbidden":
            parent = model
            for part in problem["loc"][:-1]:
                parent = Plate if part == "plates" else SECTIONS.get(part, parent)
            known = list(parent.model_fields)
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            lines.append(f"{path}: unknown key; {hint}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            # Lists within lists, of which a few lines of YAML make more than the memory holds, are not written out.
            value = pformat(problem["input"], depth=2, width=sys.maxsize)
            given = "" if isinstance(problem["input"], dict | BaseModel) else f" (given: {value})"
            lines.append(f"{path}: {message}{given}" if path else message)
    return "\n".join(dict.fromkeys(lines))


def parse_settings(section, text):
    """Settings of a stage from the JSON that its rule passes.

    Parameters
    ----------
    section : str
        A key of :data:`SECTIONS`.
    text : str
        JSON object of the values that differ from the defaults, with the stage's version.

    Raises
    ------
    ConfigError
        If the JSON does not fit the section.
    """
    model = SECTIONS[section]
    values = json.loads(text or "{}")
    values.pop("version", None)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, model, values)) from None


def json_schema():
    """JSON schema of the configuration, for editors; `plates` may also be the path of a table."""
    schema = Config.model_json_schema()
    rows = schema["properties"]["plates"]
    schema["properties"]["plates"] = {
        "description": rows["description"],
        "anyOf": [{"type": "string"}, {key: rows[key] for key in ("type", "items", "minItems")}],
    }
    return schema
