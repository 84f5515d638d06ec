"""The state of every job of a screen, from its files and Snakemake's."""

import os
import re
from datetime import datetime
from pathlib import Path

import pandas as pd

from profiling.results.layout import Job, list_jobs

STATES = ("done", "running", "queued", "failed", "interrupted", "waiting")
"""All outputs exist and none is marked incomplete; at work; handed to a scheduler; its last attempt failed; begun by a
run that ended without it; not begun."""

DEPTH = {"chunks": 3, "labels": 2, "illumination": 2, "models": 2}
"""Levels below the results folder that hold outputs of jobs; 1 elsewhere."""


PRECISION = re.compile(r"models/precision-(?P<plate>[^/]+)\.json")
"""What decided on the precision; made of one plate, which stays the same when plates are added."""


def list_outputs(results):
    """Paths of files and folders below a results folder that can be outputs of jobs.

    Lists folders and opens nothing: a few listings a plate.

    Parameters
    ----------
    results : str or Path

    Returns
    -------
    set of str
        Relative to `results`.
    """
    found = set()

    def look(folder, below, levels):
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{below}{entry.name}"
                found.add(path)
                left = DEPTH.get(entry.name, 1) if not below else levels - 1
                if left > 0 and entry.is_dir():
                    look(entry.path, f"{path}/", left)

    look(Path(results), "", 1)
    return found


def job_states(screen, present, incomplete=frozenset(), run=None, alive=False, folder="."):
    """The state of every job.

    Parameters
    ----------
    screen : profiling.results.layout.Screen
    present : set of str
        From :func:`list_outputs`.
    incomplete : set of str
        From :func:`profiling.results.snakemake_files.incomplete_outputs`.
    run : profiling.results.snakemake_files.Run, optional
        The last start.
    alive : bool
        Whether it is still going.
    folder : str or Path
        The working directory, where the log's paths start.

    Returns
    -------
    pandas.DataFrame
        Rule, Stage, Plate and Chunk (null where the job has none), State (one of :data:`STATES`), Started and Ended
        (null where the last start's log does not have them), Log; in the order of the workflow. The check of the
        precision, which all embedding waits for, is among them while it is not done.
    """
    rows = []
    logged = run.jobs if run else {}
    for job in [*list_jobs(screen), *_precision_jobs(screen, logged)]:
        known = logged.get(job.outputs[0])
        marked = bool(incomplete) and not incomplete.isdisjoint(job.outputs)
        state = _state(job, known, present, marked, alive, folder)
        if job.rule == "precision" and state in ("done", "waiting"):
            continue
        times = (known.started, known.ended, known.log) if known else (None, None, None)
        rows.append((job.rule, job.stage, job.plate, job.chunk, state, *times))
    columns = ["Rule", "Stage", "Plate", "Chunk", "State", "Started", "Ended", "Log"]
    jobs = pd.DataFrame(rows, columns=columns)
    return jobs.astype({"Chunk": "Int64", "Started": "datetime64[s]", "Ended": "datetime64[s]"})


def _precision_jobs(screen, logged):
    """Checks of the precision that the last start has begun: only Snakemake knows which plate's it needs."""
    for output in logged:
        if (match := PRECISION.fullmatch(output)) and match["plate"] in screen.chunks:
            yield Job("precision", "embed", match["plate"], None, [output])


def _state(job, known, present, marked, alive, folder):
    begun = known is not None and known.state == "running"
    if begun and alive:
        return "running" if not known.submitted or _has_begun(folder, known) else "queued"
    if not marked and present.issuperset(job.outputs):
        return "done"
    if known is not None and known.state == "failed":
        return "failed"
    if alive and known is None and marked:
        return "running"
    return "interrupted" if marked or begun else "waiting"


def _has_begun(folder, known):
    """Whether a job that was handed to a scheduler has opened its log since."""
    try:
        opened = os.path.getmtime(Path(folder) / known.log)
    except (OSError, TypeError):
        return False
    return known.started is None or datetime.fromtimestamp(opened) >= known.started
