"""Settings of images: reading, quality, illumination, limits."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from profiling.plates.patterns import PATTERNS
from profiling.settings.section import Section, Visible

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

FEWEST_FIELDS = 8  # a flat field needs


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
    table: Visible | None = Field(
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

    version: ClassVar[int] = 3

    correct: bool = Field(True, description="Whether images are divided by a flat field.")
    dark: float | Literal["auto"] = Field(
        "auto",
        description="Camera offset in grey values; `auto` estimates it from 250 fields on, else takes the stored zero.",
    )
    minimum_fields: int = Field(
        24, ge=FEWEST_FIELDS, description="With fewer readable fields no flat field is fitted and the image is kept."
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
