"""The configuration that the workflow keeps in a screen's results."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from profiling.config import load_config
from profiling.errors import ConfigError, ProfilingError
from profiling.plates.wells import LAYOUTS
from profiling.settings import Name


class _Kept(BaseModel):
    """What is used of a configuration in results; its other settings may be those of another version."""

    model_config = ConfigDict(strict=True)


class _KeptPlate(_Kept):
    plate: Name
    layout: Literal[tuple(LAYOUTS)]
    exclude: list[str] | None = None


class _KeptSegmentation(_Kept):
    engine: str | None = None
    weights: str | None = None


class _KeptConfig(_Kept):
    plates: list[_KeptPlate] = Field(min_length=1)
    channels: list[Name] = Field(min_length=1)
    chunks_per_plate: int = Field(ge=1, le=999)
    unit: Literal["cell", "field", "tile"] = "cell"
    images: dict[str, Any] = {}
    segmentation: _KeptSegmentation = _KeptSegmentation()


def read_config(results):
    """The configuration that the workflow keeps in its results, as plain values.

    Raises
    ------
    ProfilingError
        If it is absent, not JSON, or its plates, chunks or channels are none that a screen can have.
    """
    path = Path(results) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        _KeptConfig.model_validate(config)
    except FileNotFoundError:
        raise ProfilingError(
            f"{results}: has no config.json, so it is not the results folder of a screen that was started; name the "
            "folder `results` of one"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        why = ""
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f" ({'.'.join(map(str, first['loc']))}: {first['msg'].partition(' or instance of ')[0]})"
        raise ProfilingError(
            f"{path}: is not the configuration of a screen{why}; run snakemake with `--forcerun {path}`, which "
            "writes it again"
        ) from None
    return config


def screen_config(results):
    """Configuration of a screen's last start, which the workflow keeps in its results.

    Raises
    ------
    ProfilingError
        If it is not there, or not one that this version can run.
    """
    path = Path(results) / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"there is no {path}: run this in the working directory of a screen that has run; where only some of its "
            f"files were made, `snakemake {path}` writes it"
        )
    try:
        return load_config(read_config(results))
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from None
