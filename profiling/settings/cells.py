"""Settings of cells, and of tiles in their place: segmentation and pictures of it."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from profiling.settings.section import Length, Section, Visible


class Segmentation(Section):
    """Nuclei, cells and what is measured on them."""

    version: ClassVar[int] = 7
    ENGINE_SETTINGS: ClassVar[dict] = {
        "nuclei": ("weights", "flips", "device", "precision"),
        "classical": ("threshold", "threshold_correction"),
    }

    engine: Literal["nuclei", "classical"] = Field(
        "nuclei",
        description="What finds the nuclei: `nuclei`, a network whose weights come with the installation, or "
        "`classical`, a local threshold and watershed.",
    )
    weights: Visible | None = Field(
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
    precision: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="Arithmetic of the network on a CPU. `bf16` halves its time on processors that have it and changes "
        "the odd nucleus; others say so in the log and take `fp32`. Of `engine: nuclei`.",
    )
    nuclei_channel: str | None = Field(None, description="Channel of the nuclei. Left out: the first of `channels`.")
    nucleus_diameter: Length | None = Field(
        None,
        description="Typical diameter of a nucleus. Left out: estimated on every image, as a quarter of its "
        "shorter side at most.",
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
        description="Weight of distance against intensity: 0 follows intensity alone, "
        "above 3 the nearest nucleus mostly wins. Of `cells: propagate`.",
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
        if self.device == "cuda" and self.precision != "fp32":
            raise ValueError("precision is a setting of `device: cpu`, not of `device: cuda`")
        way = self.cells if self.cells_channel else "ring"
        regularisation = type(self).model_fields["regularisation"].default
        if self.regularisation != regularisation and way != "propagate":
            raise ValueError("regularisation is a setting of `cells: propagate` with a `cells_channel`")
        if self.ring is not None and way != "ring":
            raise ValueError(f"ring is a setting of `cells: ring`, not of `cells: {way}` with a `cells_channel`")
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
