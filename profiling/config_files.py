"""Whether the folders and files that a configuration names are there, and fit it."""

import json
import os
from pathlib import Path

from profiling.config import MODELS, parse_settings
from profiling.errors import ConfigError
from profiling.files import why_absent


def check_files(config, folder="."):
    """Raise ConfigError where what plates need is absent or does not fit, or Snakemake cannot take its path."""
    root = Path(folder) / config.root
    absent = []
    files = {f"plate {plate.plate}": plate.platemap for plate in config.plates if plate.exclude != ["all"]}
    files = {"root": config.root, "platemap.compounds": config.platemap.compounds, **files, **_weights(config)}
    files["models"] = config.models
    for owner, path in files.items():
        if path and set("{}") & set(path):
            absent.append(f"{owner}: {path!r} has braces, which Snakemake takes for a wildcard; rename it, or link it")
    for plate in config.plates:
        if plate.exclude == ["all"]:
            continue
        if not os.path.isdir(images := root / plate.images):
            absent.append(
                f"plate {plate.plate}: there is no image folder {str(images)!r}{why_absent(images)} (`all` in its "
                "column `exclude`, `exclude: all`, leaves the plate out)"
            )
        if plate.platemap:
            absent += _absent_file(f"plate {plate.plate}", "plate map", root / plate.platemap)
    if config.platemap.compounds:
        absent += _absent_file("platemap.compounds", "file", root / config.platemap.compounds)
    if absent:
        absent.append("correct the paths in the plate table or `root` in the configuration")
    absent += absent_models(config, folder)
    absent += unlike_models(config, folder)
    if absent:
        raise ConfigError("\n".join(absent))


def _absent_file(owner, kind, path):
    return [] if os.path.isfile(path) else [f"{owner}: there is no {kind} {str(path)!r}{why_absent(path)}"]


def _weights(config):
    """Files of weights that settings name, by their keys; empty where there is none."""
    return {
        "segmentation.weights": config.segmentation.weights,
        "embedding.weights": None if config.embedding.weights == "untrained" else config.embedding.weights,
        "embedding.backbone": config.embedding.backbone.partition("file:")[2],
    }


def absent_models(config, folder="."):
    """Files of weights and of frozen models that the settings name and that are not there, a line each.

    Parameters
    ----------
    config : Config
    folder : str or Path
        The screen's working directory.

    Returns
    -------
    list of str
        With what to do as the last line; empty where nothing is absent.
    """
    folder = Path(folder)
    lines = [
        line for owner, path in _weights(config).items() if path for line in _absent_file(owner, "file", folder / path)
    ]
    if config.models is not None:
        source = folder / config.models
        if source.resolve() == (folder / "results").resolve():
            return [
                *lines,
                f"models: {config.models!r} is this screen's own results; copy the folder, and name the copy",
            ]
        frozen = [line for name in MODELS for line in _absent_file("models", "file", source / name)]
        lines += (
            [*frozen, "name the results folder of a screen that has run, or a copy of these files"] if frozen else []
        )
    elif lines:
        lines.append("correct the path, which starts from the screen's folder")
    return lines


def unlike_models(config, folder="."):
    """How frozen models were made otherwise than by the settings of this screen.

    Parameters
    ----------
    config : Config
    folder : str or Path
        The screen's working directory.

    Returns
    -------
    list of str
        A line a setting, with what to do as the last one; empty where all fit, or where it cannot be told yet: models
        that are broken, and other weights, are refused by the job that takes them.
    """
    if config.models is None:
        return []
    import numpy as np  # and what needs it: most screens do without

    from profiling.phenotypes.basis import basis, differences

    try:
        with np.load(Path(folder) / config.models / MODELS[0], allow_pickle=False) as file:
            fitted = json.loads(str(file["basis"]))
            weights = fitted["weights"]
    except Exception:
        return []
    embedding, tiles = (parse_settings(name, json.dumps(config.resolved(name))) for name in ("embedding", "tiles"))
    here = basis(config.channels, weights, embedding, config.normalisation, config.unit, tiles)
    told = [f"models: {line}" for line in differences(fitted, here)]
    return [*told, "set these as the models' screen has them, or take other `models`"] if told else []
