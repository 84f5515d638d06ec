"""Settings of the embedding."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from profiling.embeddings.backbones.names import check_choice, parse_pooling
from profiling.settings.section import Length, Section, Visible


class Embedding(Section):
    """Per-cell features of a pretrained network."""

    version: ClassVar[int] = 4
    untracked: ClassVar[frozenset] = frozenset({"device", "batch_size"})

    backbone: Visible = Field(
        "efficientnet_lite0",
        description="`efficientnet_lite0` (weights come with the installation), `torchvision:<model>` "
        "(`torchvision:<model>@<weights>`), `timm:<model>` or `file:<path>`: a network as an ONNX file, or a "
        "safetensors file that says in its metadata which network it belongs to. docs/backbones.md has examples.",
    )
    weights: Visible | None = Field(
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
