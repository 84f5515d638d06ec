"""What `profiling adapt-backbone` can be told."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiling.errors import ProfilingError

FROZEN_START = {"efficientnet_lite0": ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2")}
"""Modules that stay as they are, by the backbone's name: edges and spots are the same in every screen,
and these layers are where most of the arithmetic is. Of other networks all that the features need is trained."""


class Adaptation(BaseModel):
    """Settings of an adaptation; the defaults are what docs/adaptation.md measures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plates: tuple[str, ...] = Field((), description="Only cells of these plates; all where none is named.")
    hold_out: tuple[str, ...] = Field(
        (), description="Plates that are not learned from but judge the network; left out: every third, at least one."
    )
    cells: int = Field(3000, ge=64, description="Cells to learn from at most.")
    judged: int = Field(1500, ge=16, description="Cells of the held-out plates at most.")
    steps: int = Field(400, ge=1, description="Batches.")
    batch_size: int = Field(32, ge=2, description="Images a batch.")
    learning_rate: float = Field(4e-4, gt=0, description="Highest learning rate of the one cycle.")
    labels: Literal["treatment"] | None = Field(None, description="Weak labels to learn from besides.")
    seed: int = Field(0, ge=0, description="Of the sample and the views.")


def adaptation(**values):
    """Checked settings.

    Raises
    ------
    ProfilingError
        Where a value is out of its range; the message names it.
    """
    try:
        return Adaptation.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ProfilingError(f"adapt-backbone: {problems}") from None
