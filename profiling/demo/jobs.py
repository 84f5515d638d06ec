"""The demo screen, written once."""

import json
from importlib.metadata import version
from pathlib import Path

from profiling.demo.simulate import simulate
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.progress import log

RECORD = "simulated.json"
VERSION = 1
"""Raised when the simulator draws other pixels."""


def simulate_once(folder, **arguments):
    """Simulate a screen unless the folder already holds the same one, so that nothing after it runs again.

    Raises
    ------
    ProfilingError
        If the folder holds something else, or the plate is too small or too large.
    """
    folder, record = Path(folder), Path(folder) / RECORD
    workers = arguments.pop("workers", None)
    wanted = json.dumps({"version": VERSION, "package": version("profiling"), **arguments}, sort_keys=True)
    if record.exists() and record.read_text() == wanted:
        log.info("%s already holds this screen", folder)
        return
    if folder.exists() and any(folder.iterdir()):
        raise ProfilingError(f"{folder} holds something else; remove it or name another folder")
    try:
        simulate(folder, workers=workers, **arguments)
    except ValueError as error:
        raise ProfilingError(f"{error}; give other --rows and --columns") from None
    with whole_file(record) as temporary:
        temporary.write_text(wanted)
    log.info("demo screen written to %s", folder)
