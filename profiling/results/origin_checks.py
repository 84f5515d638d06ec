"""Whether all tables of a screen were made with the same settings, code and weights, those of its configuration."""

import json
from collections import defaultdict

from profiling.config import Config, parse_settings
from profiling.results.findings import Finding, start

SECTION = {
    "images": "images", "quality": "quality", "limits": "limits", "segmented": "segmentation",
    "fields": "segmentation", "overlays": "overlays", "cells": "embedding", "embeddings": "embedding",
    "thumbnails": "embedding", "platemaps": "platemap", "flags": "flags", "cell_flags": "flags", "clusters": "clusters",
    "phenotypes": "map", "wells": "wells", "enrichment": "statistics", "activity": "statistics",
    "variance": "statistics",
}  # fmt: skip
"""Table → the section of the settings that its file metadata record."""


OF_MODELS = ("clusters",)
"""Tables that come with frozen models: another screen's settings made them."""


def check_settings(facts, config):
    """Findings where recorded settings are not those of the configuration, or differ between files.

    Parameters
    ----------
    facts : dict of str to (str, dict)
        File → its table and what its metadata say.
    config : profiling.config.Config
        The configuration of the last start.

    Yields
    ------
    Finding
    """
    by_table = defaultdict(lambda: defaultdict(list))
    for file, (name, said) in facts.items():
        if config.models and name in OF_MODELS:
            continue
        if name in SECTION and isinstance(said.get("settings"), dict):
            by_table[name][json.dumps(said["settings"], sort_keys=True)].append(file)
            if "seed" in said and said["seed"] != config.seed:
                yield _stale(file, f"was made with the seed {said['seed']}, the configuration has {config.seed}")
    for name, groups in by_table.items():
        section = "tiles" if config.unit != "cell" and SECTION[name] == "segmentation" else SECTION[name]
        expected = expected_settings(config, section)
        for text, files in groups.items():
            told = _difference(json.loads(text), expected)
            if told:
                if len(groups) > 1:
                    told += f" (the {name} tables were made with {len(groups)} versions of their settings)"
                yield from (_stale(file, f"was not made as the configuration says: {told}") for file in files)


def expected_settings(config, section):
    """What a table that is made now records: values that differ from the defaults, with the stage's version."""
    return parse_settings(section, json.dumps(config.resolved(section))).changed()


def _difference(made, wanted):
    parts = []
    for key in sorted(made.keys() | wanted.keys()):
        if made.get(key) != wanted.get(key):
            was, now = (json.dumps(values[key]) if key in values else "the default" for values in (made, wanted))
            parts.append(f"{'version of the stage' if key == 'version' else key} was {was}, is {now}")
    return "; ".join(parts)


def check_versions(facts, frozen=False):
    """Findings where files were written by different versions of the package, but for what frozen models came with."""
    by_version = defaultdict(list)
    for file, (name, said) in facts.items():
        if frozen and name in OF_MODELS:
            continue
        by_version[said.get("package_version")].append(file)
    if len(by_version) < 2:
        return
    usual = max(by_version, key=lambda version: len(by_version[version]))
    for version, files in by_version.items():
        if version != usual:
            for file in files:
                yield _stale(file, f"was written by version {version} of the package, most others by {usual}")


def check_weights(facts, backbone):
    """Findings where embeddings were made with other weights than those that were fetched.

    Parameters
    ----------
    facts : dict of str to (str, dict)
        As in :func:`check_settings`.
    backbone : dict or None
        What ``models/backbone.json`` says.
    """
    recorded = (backbone or {}).get("sha256")
    for file, (_, said) in facts.items():
        used = said.get("weights_sha256")
        if used and recorded and used != recorded:
            yield _stale(file, f"was made with the weights {used[:12]}…, models/backbone.json has {recorded[:12]}…")


def _stale(file, what):
    return Finding(file, what, start(file), "disagrees")


def current_config(values):
    """The configuration as this version of the package reads it, and the finding that says where it cannot."""
    try:
        return Config.model_validate(values), None
    except ValueError as error:
        said = str(error).splitlines()
        what = f"was written by another version of the package ({' '.join(said[1:3]).strip()})"
        return None, Finding("config.json", what, "start the workflow with this version", "disagrees")
