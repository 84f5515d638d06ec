"""Checking a screen from its configuration file, and printing what was found."""

import json
from pathlib import Path

from profiling.config import find_plate, load_config, read_yaml
from profiling.errors import ProfilingError
from profiling.plates.checks.screen import check_screen
from profiling.plates.checks.text import screen_text
from profiling.terminal import say


def read_screen(path, directory, root=None):
    """Configuration of a screen as the workflow reads it.

    Parameters
    ----------
    path : str or Path
        The configuration, YAML or JSON.
    directory : str or Path
        The screen's working directory, where relative paths start.
    root : str, optional
        Instead of the `root` in the file.

    Returns
    -------
    profiling.config.Config

    Raises
    ------
    ProfilingError
        If the file is absent, no YAML, or not a configuration that can be run.
    """
    mapping = read_yaml(path)
    if root is not None:
        mapping["root"] = root
    try:
        return load_config(mapping, directory)
    except ProfilingError as error:
        raise ProfilingError(f"{path} (its relative paths start in {Path(directory).resolve()}):\n{error}") from None


def check(path, directory, read_header, check_weights, plates=(), deep=False, root=None, maps="auto", as_json=False):
    """Check a screen and print what was found.

    Returns
    -------
    int
        Errors found.
    """
    config = read_screen(path, directory, root)
    for name in plates:
        find_plate(config, name)
    checks, findings = check_screen(config, directory, read_header, check_weights, plates, deep)
    if as_json:
        facts = [{"plate": one.plate, "layout": one.layout, **one.facts} for one in checks]
        print(json.dumps({"plates": facts, "findings": [one._asdict() for one in findings]}, indent=1))
    else:
        say(screen_text(checks, findings, config, maps).split("\n"))
    return sum(one.level == "error" for one in findings)
