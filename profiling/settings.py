"""The settings of every stage: typed, ranged, documented.

Each section is a frozen model whose field descriptions generate ``config/README.md`` and the JSON schema.
``version`` is the version of the stage's code: raising it reruns the stage on the next start, because
Snakemake cannot notice that the code of a package changed.
"""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from profiling.embeddings.backbones.names import check_choice, parse_pooling
from profiling.plates.patterns import PATTERNS

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(px|um|µm|μm)\s*")


def _check_length(value):
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a length such as '24 px' or '15 um'")
    if isinstance(value, int | float):
        value = f"{value} px"
    match = _LENGTH.fullmatch(value)
    if not match or float(match[1]) <= 0:
        raise ValueError("must be a positive length such as '24 px' or '15 um'")
    return f"{match[1]} {'px' if match[2] == 'px' else 'um'}"


Length = Annotated[
    str, BeforeValidator(_check_length), WithJsonSchema({"title": "Length", "type": ["string", "number"]})
]
"""A length with its unit, ``24 px`` or ``15 um``; a bare number is pixels."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
"""Plates and channels: letters, digits, dots and dashes, so that they can stand in file and column names."""


def pixels(length, pixel_size=None):
    """A length in pixels.

    Parameters
    ----------
    length : str
        ``24 px`` or ``15 um``.
    pixel_size : float, optional
        Micrometres a pixel.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the length is in micrometres and the pixel size is not known.
    """
    number, unit = length.split()
    if unit == "px":
        return float(number)
    if pixel_size is None:
        raise ValueError(f"{length!r} needs images.pixel_size (um a pixel); set it or write the length in px")
    return round(float(number) / pixel_size, 3)


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
    version: ClassVar[int] = 1
    untracked: ClassVar[frozenset] = frozenset()
    """Settings of speed: rules pass them on where Snakemake does not look, so that an edit reruns nothing."""

    def changed(self):
        """Only what differs from the defaults, with the stage's version: what a rule passes on."""
        values = self.model_dump(mode="json", exclude_defaults=True, exclude=set(self.untracked))
        return {"version": self.version, **values}


READERS = (
    "auto",
    "harmony",
    "yokogawa",
    "ome_zarr",
    "load_data",
    "table",
    "imagexpress",
    "pattern",
    "ome_tiff",
    "bioio",
)
"""Readers of image folders, in the order in which `auto` asks them."""

Reader = Literal[READERS]


class Images(Section):
    """How the images of a plate are found and named."""

    reader: Reader = Field(
        "auto",
        description="Who reads the image folder: `auto` (the pattern, if there is one, else whichever knows the "
        "folder), `pattern`, an instrument's export (`harmony`, `imagexpress`, `yokogawa`), a list of images "
        "(`load_data`, CellProfiler's; `table`, one row an image) or files that hold several planes (`ome_zarr`, "
        "`ome_tiff`, `bioio`). A column `reader` of the plate table overrides it.",
    )
    pattern: str | None = Field(
        None,
        description="Regular expression searched in each path below the plate's folder, or the name of a ready one. "
        "Named groups: `channel` and `well` (or `row` and `column`) are needed; `site`, `time` and `z` are optional.",
    )
    table: str | None = Field(
        None,
        description="List of images, below the plate's folder. Of `reader: load_data` and `table`. Left out: the one "
        "such file there.",
    )
    channel_names: dict[Annotated[str, BeforeValidator(str)], str] = Field(
        default_factory=dict,
        description="What the reader calls a channel → name of the channel; channels not named here are left out. "
        "Left out: the reader's names.",
    )
    pages: Literal["channel", "z", "time"] | None = Field(
        None, description="What the pages of a file are, where the files' metadata do not say it."
    )
    z: int | Literal["all", "projection", "maximum", "focus"] | None = Field(
        None,
        description="What becomes of a stack: a plane by its number, `all` (each plane is a field of its own), "
        "`projection` (the one that the instrument made), `maximum` (over the planes) or `focus` (the plane in "
        "which `focus_channel` is sharpest). Left out: there are no stacks, and one is an error.",
    )
    focus_channel: str | None = Field(
        None, description="Channel that chooses the plane, of `z: focus`. Left out: the first of `channels`."
    )
    time: int | Literal["all"] = Field(
        "all", description="A time point by its number, or `all`: each is a field of its own."
    )
    outside: bool = Field(False, description="Whether a list of images may name files outside the plate's folder.")
    pixel_size: float | None = Field(
        None, gt=0, description="Micrometres a pixel; needed only where a length is given in um."
    )

    @property
    def makes_images(self):
        """Whether one image is made of, or chosen from, the planes of every stack."""
        return self.z in ("maximum", "focus")

    @model_validator(mode="after")
    def _check_pattern(self):
        if self.pattern is None:
            return self
        expression = PATTERNS.get(self.pattern, self.pattern)
        try:
            groups = set(re.compile(expression).groupindex)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from None
        needed = {"well"} if "well" in groups else {"row", "column"}
        if self.pages != "channel" and self.reader not in ("ome_tiff", "bioio"):
            needed |= {"channel"}
        if not needed <= groups:
            raise ValueError(
                "pattern needs the named groups `channel` and `well` (or `row` and `column`), or must be one of "
                + ", ".join(PATTERNS)
            )
        if unknown := groups - {"well", "row", "column", "site", "channel", "time", "z"}:
            raise ValueError(f"pattern has unknown groups: {', '.join(sorted(unknown))}")
        return self


class Quality(Section):
    """What is measured on every raw image."""

    version: ClassVar[int] = 2

    bit_depth: int = Field(
        16, ge=1, le=32, description="Bits the camera fills; 12 bits in a 16-bit file saturate at 4095."
    )


class Illumination(Section):
    """Flat field and dark offset of each plate and channel."""

    version: ClassVar[int] = 2

    correct: bool = Field(True, description="Whether images are divided by a flat field.")
    dark: float | Literal["auto"] = Field(
        "auto", description="Camera offset in grey values; `auto` estimates it from the plate's images."
    )
    minimum_fields: int = Field(
        24, ge=1, description="With fewer readable fields no flat field is fitted and the image is kept."
    )
    maximum_fields: int = Field(500, ge=1, description="Fields used at most, spread evenly over the plate.")


class Limits(Section):
    """Intensity limits that scale each plate and channel to [0, 1] for the network."""

    low: float = Field(0.1, ge=0, lt=100, description="Percentile that becomes 0.")
    high: float = Field(99.9, gt=0, le=100, description="Percentile that becomes 1.")
    maximum_fields: int = Field(200, ge=1, description="Fields used at most, spread evenly over the plate.")

    @model_validator(mode="after")
    def _check_order(self):
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Segmentation(Section):
    """Nuclei, cells and what is measured on them."""

    version: ClassVar[int] = 2
    ENGINE_SETTINGS: ClassVar[dict] = {
        "nuclei": ("weights", "flips", "device"),
        "classical": ("threshold", "threshold_correction"),
    }

    engine: Literal["nuclei", "classical"] = Field(
        "nuclei",
        description="What finds the nuclei: `nuclei`, a network whose weights come with the installation, or "
        "`classical`, a local threshold and watershed.",
    )
    weights: str | None = Field(
        None,
        description="A weights file of `profiling train-segmenter`. Left out: those of the installation. "
        "Of `engine: nuclei`.",
    )
    flips: bool = Field(
        False,
        description="Whether the network sees each field in four mirror images: four times the time, and on the "
        "fields of its model card no gain. Of `engine: nuclei`.",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the network runs. Of `engine: nuclei`.")
    nuclei_channel: str | None = Field(None, description="Channel of the nuclei. Left out: the first of `channels`.")
    nucleus_diameter: Length | None = Field(
        None, description="Typical diameter of a nucleus. Left out: estimated on every image."
    )
    minimum_diameter: Length | None = Field(
        None, description="Smaller nuclei are dropped. Left out: derived from the typical diameter."
    )
    maximum_diameter: Length | None = Field(
        None, description="Larger nuclei are dropped. Left out: derived from the typical diameter."
    )
    threshold: Literal["adaptive", "otsu"] = Field(
        "adaptive", description="How nuclei are told from background. Of `engine: classical`."
    )
    threshold_correction: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Factor on the threshold of the nuclei: above 1 is stricter. Of `engine: classical`.",
    )
    cells: Literal["propagate", "watershed", "ring"] = Field(
        "propagate",
        description="How cells are grown from nuclei of any engine: along the paths of least change in "
        "`cells_channel` (CellProfiler's Propagation), by a watershed in it (for stains that are dimmest at the "
        "cells' edges), or as a ring of fixed width.",
    )
    cells_channel: str | None = Field(
        None, description="Channel of the cell bodies. Left out: cells are rings around the nuclei."
    )
    cells_threshold_correction: float = Field(
        1.0, gt=0, le=10, description="Factor on the threshold of the cell bodies: above 1 is stricter."
    )
    regularisation: float = Field(
        0.3,
        ge=0,
        le=100,
        description="Weight of distance against intensity, of `cells: propagate`: 0 follows intensity alone, "
        "above 3 the nearest nucleus mostly wins.",
    )
    ring: Length | None = Field(
        None, description="Width of the ring where cells are rings. Left out: 0.3 nucleus diameters."
    )

    @model_validator(mode="after")
    def _check_engine_settings(self):
        for engine, names in self.ENGINE_SETTINGS.items():
            given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if engine != self.engine and given:
                raise ValueError(f"{given[0]} is a setting of `engine: {engine}`, not of `engine: {self.engine}`")
        return self


class Tiles(Section):
    """Tiles that fields are cut into, of `unit: tile`."""

    size: Length = Field(
        "224 px",
        description="Side of a tile. Tiles do not overlap and lie in a grid in the middle of the field; what is left "
        "over at its edges, less than a tile, is not used.",
    )


class Overlays(Section):
    """Pictures with the outlines of nuclei and cells, for every plate: its corner wells and its worst sites."""

    worst_sites: int = Field(
        4, ge=0, le=200, description="Sites with the lowest `SegmentationScore` of a plate that are drawn."
    )
    side: int = Field(
        1000, ge=100, le=4000, description="Longest side of a picture, pixels; larger fields are reduced."
    )


class Embedding(Section):
    """Per-cell features of a pretrained network."""

    version: ClassVar[int] = 3
    untracked: ClassVar[frozenset] = frozenset({"device", "batch_size"})

    backbone: str = Field(
        "efficientnet_lite0",
        description="`efficientnet_lite0` (weights come with the installation), `torchvision:<model>` "
        "(`torchvision:<model>@<weights>`), `timm:<model>` or `file:<path>`: a network as an ONNX file, or a "
        "safetensors file that says in its metadata which network it belongs to. docs/backbones.md has examples.",
    )
    weights: str | None = Field(
        None,
        description="A weights file for the backbone (safetensors or a PyTorch state dict), or `untrained` "
        "for the random baseline. Left out: the backbone's own pretrained weights.",
    )
    layers: list[str] | None = Field(
        None,
        description="Modules whose outputs are pooled, such as `[blocks.4]`; `[last]` is the pooled last layer. Of an "
        "ONNX file: names of tensors. Left out: the backbone's default (late-middle blocks where known, else "
        "`[last]`).",
    )
    pooling: str = Field(
        "mean+std+centre",
        description="How a layer's output is pooled over space or tokens: `mean`, `std`, `gem` (generalised mean of "
        "the positive part, p = 3), `max` and `centre` (mean and standard deviation weighted towards the middle of the "
        "crop, where the cell is), joined by `+` in the order of the features. docs/features.md compares them. Left "
        "out where `unit` is `field` or `tile`: `mean+std`.",
    )
    tokens: Literal["both", "class", "mean"] = Field(
        "both",
        description="Tokens of a transformer: the class token (`class`), those of the patches, pooled (`mean`), or "
        "both.",
    )
    rotations: Literal[1, 4, 8] = Field(
        1,
        description="Average the features over the 4 right-angle rotations of a crop, or over these and their mirror "
        "images (8): as many times the arithmetic.",
    )
    crop: Length = Field("96 px", description="Side of the square cut around a nucleus.")
    input_size: int = Field(96, ge=32, le=512, description="Pixels a side that the network sees.")
    input_scaling: Literal["plate", "crop"] = Field(
        "plate",
        description="`plate`: the plate's recorded limits become 0 and 1, then as the network was trained. `crop`: "
        "each channel of each crop is then standardised by itself, as many microscopy networks were trained; that "
        "takes away differences of intensity between cells.",
    )
    input_mean: list[float] | None = Field(
        None,
        min_length=1,
        description="Subtracted from the input, which is 0 to 1: a value a channel, or one for all. Left out: as the "
        "network was trained, where that is known; an ONNX file does not say it.",
    )
    input_std: list[Annotated[float, Field(gt=0)]] | None = Field(
        None, min_length=1, description="What the input is then divided by; `[0.00392157]` makes it 0 to 255."
    )
    neighbours: Literal["keep", "mask"] = Field(
        "keep", description="Whether other cells inside a crop are kept or set to 0."
    )
    composite: list[str] | None = Field(
        None,
        description="Channels that go through the network together, in this order: three, as red, green and blue, or "
        "as many as a multi-channel network takes. Left out: each channel goes through alone.",
    )
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32",
        description="Arithmetic of the network. `bf16` is about twice as fast where the hardware has it. `auto` takes "
        "it if a check on about 1,000 cells of one plate passes against fp32: 95 % of the ten nearest neighbours are "
        "the same, and clusters agree as well as those of two fp32 seeds do, to 5 %. `results/models/` has "
        "its figures.",
    )
    dtype: Literal["float16", "float32"] = Field("float16", description="Storage of the embeddings.")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        description="Where the network runs; `auto` takes a GPU if there is one. Of several GPUs a job takes a free "
        "one, by a lock file in the folder for temporary files or in that named by the environment variable "
        "`PROFILING_LOCKS`; one that a scheduler has assigned (`CUDA_VISIBLE_DEVICES`) is taken without.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Images a forward pass on a GPU to begin with, halved where its memory runs out. Left out: as many "
        "as half of the free memory holds, 1,024 at most. The CPU engine takes 16.",
    )
    thumbnails_per_well: int = Field(
        24, ge=0, description="Cells a well that get a thumbnail, chosen by a hash of the cell key."
    )

    @model_validator(mode="after")
    def _check_backbone(self):
        if self.composite is not None and len(set(self.composite)) < max(2, len(self.composite)):
            raise ValueError("composite needs at least two channels, and each once")
        channels = len(self.composite) if self.composite else None
        check_choice(self.backbone, self.weights, self.layers, self.input_size, channels)
        parse_pooling(self.pooling)
        return self


ROLES = ("negative_control", "positive_control", "treatment", "empty")


class RoleRule(BaseModel):
    """Which wells have a role, told by one column of the plate map."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    column: str = Field(min_length=1, description="Column of the plate map or of the compound table.")
    equals: str | None = Field(None, description="The column says exactly this.")
    matches: str | None = Field(None, description="A regular expression found anywhere in the column's text.")
    empty: bool | None = Field(None, description="The column says nothing (`true`) or something (`false`).")
    role: Literal[ROLES] = Field(description="Role of such wells.")

    @model_validator(mode="after")
    def _check_condition(self):
        if sum(value is not None for value in (self.equals, self.matches, self.empty)) != 1:
            raise ValueError("a role rule needs exactly one of equals, matches and empty")
        try:
            re.compile(self.matches or "")
        except re.error as error:
            raise ValueError(f"matches is not a regular expression: {error}") from None
        return self


def _plain_micro(value):
    return value.replace("µ", "u").replace("μ", "u") if isinstance(value, str) else value


class PlateMap(Section):
    """How plate maps (CSV, TSV or .xlsx; a row a well, or grids) are read. What is not recognised is named here."""

    version: ClassVar[int] = 2

    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Our name → column of the plate map or title of the grid, for `well` (or `row` and `column`), "
        "`plate`, `compound`, `concentration`, `unit`, `role`; an empty name says that there is none.",
    )
    sheet: str | None = Field(
        None,
        description="Sheet of a workbook. Left out: the one named like the plate, else the first with a plate map; "
        "grids of all sheets belong together.",
    )
    compounds: str | None = Field(
        None,
        description="Table of compounds, below `root`, joined to the plate maps by their compound column. Its columns "
        "can be named in `columns`, `keep` and `role_rules`.",
    )
    barcodes: str | None = Field(
        None,
        description="Table of plates and their plate maps (`Assay_Plate_Barcode`, `Plate_Map_Name`), below `root`: a "
        "plate without a plate map of its own gets `platemap/NAME.txt` beside that table.",
    )
    concentration_unit: Annotated[Literal["M", "mM", "uM", "nM", "pM"] | None, BeforeValidator(_plain_micro)] = Field(
        None,
        description="Unit that molar concentrations are converted to, and of concentrations in maps that name no "
        "unit. Left out: as the plate map has them, and different units for one compound are an error.",
    )
    role_rules: list[RoleRule] = Field(
        default_factory=list,
        description="Rules that give wells their role, before all else; the first that fits wins. Each has `column`, "
        "one of `equals`, `matches` (a regular expression) and `empty: true`, and `role`.",
    )
    roles: dict[str, str] = Field(
        default_factory=dict,
        description="Compound or role as the plate map writes it → `negative_control`, `positive_control`, "
        "`treatment` or `empty`.",
    )
    keep: list[str] = Field(
        default_factory=list, description="Further columns to carry into the results as `Metadata_<column>`."
    )

    @model_validator(mode="after")
    def _check_names(self):
        columns = ("well", "row", "column", "plate", "compound", "concentration", "unit", "role")
        if unknown := sorted(set(self.columns) - set(columns)):
            raise ValueError(f"columns: {unknown[0]!r} is none of {', '.join(columns)}")
        if unknown := sorted(set(self.roles.values()) - set(ROLES)):
            raise ValueError(f"roles: {unknown[0]!r} is none of {', '.join(ROLES)}")
        return self


FlagAction = Literal["exclude", "keep"]
CellFlag = Literal["debris", "dead", "mitotic", "irregular", "outlier"]


class Flags(Section):
    """Which images and cells are flagged, and whether flagged ones are kept. No pixel is read again."""

    version: ClassVar[int] = 2

    focus_mads: float = Field(
        5.0, gt=0, description="Out of focus: focus score this many robust deviations below the plate's median."
    )
    minimum_focus: float | None = Field(None, description="Out of focus: focus score below this.")
    saturated_fraction: float = Field(
        0.01, ge=0, le=1, description="Saturated: share of pixels at the camera's maximum above this."
    )
    minimum_contrast: float = Field(
        6.0, ge=0, description="Blank: brightest pixels less than this many noise deviations above the median."
    )
    images: FlagAction = Field("exclude", description="What happens to cells of flagged fields.")
    border: Literal["nucleus", "cell", "keep"] = Field(
        "nucleus",
        description="Cells left out at the border of the image: those whose `nucleus` touches it, those of which any "
        "part of the `cell` does, or none (`keep`).",
    )
    minimum_segmentation_score: float = Field(
        0.5, ge=0, le=1, description="Segmentation: `SegmentationScore` of the field below this."
    )
    segmentation_mads: float = Field(
        5.0, gt=0, description="Segmentation: score this many robust deviations below the plate's median."
    )
    segmentation: FlagAction = Field(
        "keep", description="What happens to cells of fields whose segmentation probably failed."
    )
    debris_dna: float = Field(
        0.25, ge=0, description="Debris: DNA (area × intensity) of the nucleus below this, the plate's median being 1."
    )
    condensed_intensity: float = Field(
        1.5, gt=1, description="Dead and mitotic: intensity of the nucleus above this, the plate's median being 1."
    )
    minimum_solidity: float = Field(
        0.88, ge=0, le=1, description="Irregular: solidity of the nucleus (area over that of its hull) below this."
    )
    outlier_mads: float = Field(
        10.0, gt=0, description="Outlier: area or intensity of the nucleus this many robust deviations off."
    )
    exclude_cells: list[CellFlag] = Field(
        default_factory=list,
        description="Flags whose cells are left out, such as `[debris, dead]`. Cells with other flags are kept.",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_successor(cls, values):
        if isinstance(values, dict) and "outlier_cells" in values:
            raise ValueError(
                "outlier_cells has become exclude_cells: write `exclude_cells: [outlier]` to leave outliers out, or "
                "nothing to keep them"
            )
        return values


class Normalisation(Section):
    """Robust z-scores per plate."""

    reference: Literal["negative_control", "all"] = Field(
        "negative_control",
        description="Wells that median and MAD come from: negative controls, or all wells where a screen has none.",
    )
    minimum_wells: int = Field(
        3, ge=1, description="Reference wells with cells that a plate needs; with fewer it stops with a message."
    )
    clip: float = Field(10.0, gt=0, description="Robust z-scores are clipped to ± this.")
    cells_per_well: int = Field(
        500, ge=10, description="Cells a well that the fits see at most, chosen by a hash of the cell key."
    )


class Reduction(Section):
    """Principal components over all plates."""

    version: ClassVar[int] = 2

    components: int | float = Field(
        50,
        gt=0,
        le=2000,
        description="Components kept, or below 1 the share of the variance they must reach; never more than a tenth of "
        "the cells in the fit.",
    )
    whiten: bool = Field(
        True,
        description="Whether components are scaled to near unit variance (λᵢ / (λᵢ + λ) with λ of the last one), so "
        "that one strong phenotype does not drown the others in distances.",
    )

    @model_validator(mode="after")
    def _check_components(self):
        if self.components > 1 and not float(self.components).is_integer():
            raise ValueError(f"components ({self.components}) must be a whole number, or below 1 a share")
        return self


class Clusters(Section):
    """k-means on the principal components."""

    k: int = Field(15, ge=2, le=99, description="Number of clusters.")
    n_init: int = Field(10, ge=1, description="Starts of k-means; the best is kept.")
    sample: int = Field(200_000, ge=100, description="Cells that the fit sees at most, equal over plates.")
    sweep: list[Annotated[int, Field(ge=2, le=99)]] = Field(
        default_factory=lambda: [2, 4, 6, 8, 10, 15, 20, 25],
        description="Values of k whose silhouette and stability are reported.",
    )
    sweep_seeds: int = Field(3, ge=2, le=20, description="Seeds a value of k in the sweep.")


class Map(Section):
    """The t-SNE map."""

    perplexity: float = Field(30.0, gt=1, description="Capped where the sample is small.")
    sample: int = Field(20_000, ge=10, description="Cells on the map at most, equal over plates.")
    place_all: bool = Field(
        False, description="Whether the cells outside the sample are placed too (5 min per million cells)."
    )
    placed_per_plate: int = Field(
        5_000,
        ge=0,
        description="With frozen `models`, whose map has not seen the cells: cells a plate, spread over its wells, "
        "that are placed on it. `place_all` places all.",
    )
    iterations: int = Field(500, ge=10, description="Iterations after the early exaggeration.")
    threads: int = Field(2, ge=1, description="Threads; part of the settings because the number changes the map.")


class Wells(Section):
    """Well and treatment profiles."""

    minimum_cells: int = Field(
        10, ge=1, description="Wells with fewer profiled cells are flagged and left out of tests and means."
    )


class Statistics(Section):
    """Permutation tests on wells."""

    permutations: int = Field(
        9_999, ge=99, description="Permutations of wells; all arrangements are used where there are fewer."
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="False discovery rate at which a treatment is active.")


class Report(Section):
    """The HTML report."""

    title: str = Field("Phenotypic profiles", description="Title of the report.")
    cells_per_cluster: int = Field(16, ge=1, le=100, description="Thumbnails a cluster in the galleries.")
