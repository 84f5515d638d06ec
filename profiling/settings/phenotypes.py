"""Settings of what knows the plate map: plate maps, flags, normalisation, reduction, clusters, map."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from profiling.settings.section import Section, Visible

ROLES = ("negative_control", "positive_control", "treatment", "empty")
TESTED = ("treatment", "positive_control")
"""Roles of the wells that tests compare with negative controls; wells of other roles are in no test."""


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
    compounds: Visible | None = Field(
        None,
        description="Table of compounds, below `root`, joined to the plate maps by their compound column. Its columns "
        "can be named in `columns`, `keep` and `role_rules`.",
    )
    barcodes: Visible | None = Field(
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

    version: ClassVar[int] = 4

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
        5.0,
        gt=0,
        description="Segmentation: score this many robust deviations below the median of fields with cells.",
    )
    segmentation: FlagAction = Field(
        "keep", description="What happens to cells of fields whose segmentation probably failed."
    )
    debris_dna: float = Field(
        0.25,
        ge=0,
        description="Debris: DNA (area × intensity) of the nucleus below this, the plate's median being 1, or an area "
        "below a tenth of the median one.",
    )
    condensed_intensity: float = Field(
        1.5,
        gt=1,
        description="Dead and mitotic: intensity of the nucleus above this, the plate's median being 1, and an area "
        "below 0.8 of the median one.",
    )
    minimum_solidity: float = Field(
        0.88, ge=0, le=1, description="Irregular: solidity of the nucleus (area over that of its hull) below this."
    )
    outlier_mads: float = Field(
        10.0,
        gt=0,
        description="Outlier: area (of nuclei that are not cut) or intensity this many robust deviations off.",
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
        3, ge=1, description="Reference wells that a plate needs; with fewer it is left out, with the reason."
    )
    minimum_cells: int = Field(
        10,
        ge=1,
        description="Cells that a reference well needs to count: a few have no spread to scale by, and what is scaled "
        "by them takes the principal components of the screen.",
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
