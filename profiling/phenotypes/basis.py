"""What fitted models were made from, and how a screen that they are applied to differs."""

import hashlib
import json

import numpy as np

from profiling.config import parse_settings
from profiling.tables import embedding_columns, read_facts

NOT_COMPARED = {"backbone", "weights", "device", "batch_size", "dtype", "precision", "thumbnails_per_well"}
"""Settings of the embedding that say where the weights come from, which their hash tells better, or that change
features by no more than rounding."""


def basis(channels, weights, embedding, normalisation, unit="cell", tiles=None):
    """What the numbers that models are fitted on depend on.

    Parameters
    ----------
    channels : list of str
        In the order of the features.
    weights : str
        Hash of the network's weights.
    embedding : profiling.settings.Embedding
    normalisation : profiling.settings.Normalisation
    unit : {"cell", "field", "tile"}
    tiles : profiling.settings.Tiles, optional
        Of screens whose unit is a tile.

    Returns
    -------
    dict
        Name of a setting → plain value; settings of the embedding that have their defaults are not in it.
    """
    values = {"unit": unit, "channels": list(embedding.composite or channels), "weights": weights}
    if unit == "tile":
        values["tiles.size"] = tiles.size
    changed = embedding.model_dump(mode="json", exclude_defaults=True, exclude=NOT_COMPARED)
    values |= {f"embedding.{key}": value for key, value in changed.items()}
    values["version of the embedding"] = embedding.version
    values |= {f"normalisation.{key}": getattr(normalisation, key) for key in ("reference", "clip")}
    values["version of the normalisation"] = normalisation.version
    return values


def basis_of(embeddings, normalisation):
    """The basis of a plate's embeddings as text; empty where they do not record how they were made.

    Parameters
    ----------
    embeddings : str or Path
        The plate's table, whose file metadata are read.
    normalisation : profiling.settings.Normalisation
    """
    facts, schema = read_facts(embeddings)
    if "settings" not in facts or "weights_sha256" not in facts:
        return ""
    settings = parse_settings("embedding", json.dumps(facts["settings"]))
    channels = [name.removeprefix("Embedding_") for name in embedding_columns(schema)]
    tiles = parse_settings("tiles", json.dumps(facts.get("tiles", {})))
    values = basis(channels, facts["weights_sha256"], settings, normalisation, facts.get("unit", "cell"), tiles)
    values["version of the embedding"] = facts["settings"].get("version")
    return json.dumps(values, sort_keys=True)


def differences(fitted, here):
    """What differs between two bases, a line each."""
    return [
        f"{key}: {_short(fitted, key)} in the models, {_short(here, key)} in this screen"
        for key in sorted(fitted.keys() | here.keys())
        if fitted.get(key) != here.get(key)
    ]


def _short(values, key):
    text = json.dumps(values[key]) if key in values else "the default"
    return text if len(text) <= 60 else f"{text[:20]}…"


def fingerprint(reduction):
    """Hash of the arrays of a reduction that decide on components: what clusters and map record of it."""
    found = hashlib.sha256()
    for name in ("usable", "mean", "components"):
        found.update(np.ascontiguousarray(reduction[name]).tobytes())
    return found.hexdigest()
