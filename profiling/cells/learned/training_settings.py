"""What `profiling train-segmenter` takes: a YAML file with these keys."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiling.cells.learned.weights import SHIPPED
from profiling.errors import ProfilingError
from profiling.yaml_values import read_values

IMAGENET = "imagenet"
Width = Annotated[int, Field(ge=8)]


class Source(BaseModel):
    """A folder of annotated fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path = Field(description="Holds `images/NAME` and `labels/NAME` (PNG or TIFF), and `index.csv` if there "
                         "is one, whose first column names images and whose `field_group` tells those that were cut "
                         "from one field. A path that is not absolute is relative to the YAML file.")  # fmt: skip
    share: float | None = Field(None, gt=0, le=1, description="Share of the samples. Left out: what the others leave.")
    components: bool = Field(False, description="Whether every connected part of a label is a nucleus of its own.")
    hold_out: bool = Field(True, description="Whether some groups of this folder are kept for validation.")


class Training(BaseModel):
    """Settings of the training."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sources: list[Source] = Field(min_length=1, description="Where the annotated fields lie.")
    validation_every: int = Field(
        5, ge=2, description="Groups whose number is a multiple of this are not trained on but judge the network. "
        "Groups without a number, or where that would hold out none or all, are numbered in the order of their names."
    )  # fmt: skip
    start: str = Field(
        IMAGENET,
        description="Weights to start from: `imagenet`, where the encoder was trained on photographs and the rest is "
        "random, `shipped` for those of the installation, or a file.",
    )
    widths: list[Width] = Field(
        [32, 64, 96],
        min_length=3,
        max_length=3,
        description="Channels of the decoder at 1/2, 1/4 and 1/8 of the resolution. With weights to start from, the "
        "network is as wide as they are.",
    )
    steps: int = Field(6000, ge=1, description="Batches.")
    batch_size: int = Field(8, ge=1, description="Samples a batch.")
    size: int = Field(224, ge=64, multiple_of=16, description="Side of a sample, px.")
    uses: int = Field(
        1, ge=1, le=8, description="Batches in a row that are made of the same samples, each time another of their "
        "eight rotations and mirror images; for a GPU that learns faster than the workers draw."
    )  # fmt: skip
    learning_rate: float = Field(2e-3, gt=0, description="Highest learning rate of the one cycle.")
    weight_decay: float = Field(1e-2, ge=0, description="Of AdamW.")
    seed: int = Field(0, ge=0, description="Of the samples and of the first weights.")
    workers: int = Field(1, ge=0, description="Processes that draw the samples.")
    threads: int = Field(1, ge=1, description="Of the CPU for the network.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the network is trained.")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Arithmetic of the convolutions.")
    checkpoint_every: int = Field(250, ge=1, description="Batches between two checkpoints.")
    validate_every: int = Field(1000, ge=1, description="Batches between two validations.")


def read_training(path):
    """Read the settings of a training.

    Parameters
    ----------
    path : str or Path
        YAML.

    Returns
    -------
    Training
        With absolute folders.

    Raises
    ------
    ProfilingError
        If the file is missing or says something that cannot be.
    """
    path = Path(path)
    values = read_values(path)
    if not isinstance(values, dict):
        raise ProfilingError(f"{path}: has no keys; config/training/nuclei.yaml is an example to start from")
    try:
        settings = Training.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ProfilingError(f"{path}: {problems}") from None
    sources = [
        source.model_copy(update={"folder": (path.parent / source.folder).resolve()}) for source in settings.sources
    ]
    start = settings.start
    if start != IMAGENET:
        start = str(SHIPPED if start == "shipped" else path.parent / start)
    return settings.model_copy(update={"sources": sources, "start": start})
