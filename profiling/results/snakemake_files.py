"""What Snakemake writes beside the results: its log, its locks and its marks of unfinished outputs.

Written for the files of Snakemake 9.10 to 9.27: ``.snakemake/log/*.snakemake.log``, ``.snakemake/locks/*.lock`` and
``.snakemake/incomplete/``, whose names are the outputs' paths in URL-safe base64.
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path

RESULTS = "results/"
"""How outputs begin in the workflow's rules, whatever the folder is called now."""

TIME = "%a %b %d %H:%M:%S %Y"
BLOCK = re.compile(r"(?:local)?(?:rule|checkpoint) (\w+):$")
ERROR = re.compile(r"Error in rule (\w+):$")
FINISHED = re.compile(r"Finished jobid: (\d+)")
SUBMITTED = re.compile(r"Job (\d+) has been submitted")
STEPS = re.compile(r"(\d{1,9}) of (\d{1,9}) steps")
PLANNED = re.compile(r"(\S+) +(\d{1,9})")
HEADER = re.compile(
    r"  (Date|Host|User|Snakemake version|Python version|Platform|Command|Snakefile|Working directory): (.*)"
)


@dataclass
class LoggedJob:
    """What the log of a run says of one job."""

    rule: str
    state: str
    started: datetime | None
    ended: datetime | None = None
    submitted: bool = False
    log: str | None = None


@dataclass
class Run:
    """One start of the workflow, as its log has it.

    Attributes
    ----------
    path : Path
        The log.
    facts : dict of str
        The log's header: Date, Host, User, Snakemake version, Command and so on; empty in old versions.
    planned : dict of str to int
        Rule → jobs that this start found to do.
    jobs : dict of str to LoggedJob
        First output, below the results folder → what is known of the job.
    ended : bool
        Whether Snakemake has written its last line.
    started, written : datetime
        First and last sign of life.
    steps : tuple of int
        Jobs done and jobs in all, by Snakemake's own count; zeros where it has not counted yet.
    """

    path: Path
    facts: dict = field(default_factory=dict)
    planned: dict = field(default_factory=dict)
    jobs: dict = field(default_factory=dict)
    ended: bool = False
    started: datetime | None = None
    written: datetime | None = None
    steps: tuple[int, int] = (0, 0)


def read_run(path):
    """Read one log of Snakemake.

    Jobs that another Snakemake ran inside a cluster job and whose log is shown there count as the job itself.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Run
    """
    run = Run(Path(path), written=datetime.fromtimestamp(os.path.getmtime(path)))
    by_id, now, block, table = {}, None, None, False
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("    ") and block:
                _read_block(line, block, by_id, run)
                continue
            text = line.rstrip("\n")
            if text.startswith("["):
                now = _time(text) or now
                run.started = run.started or now
            elif match := BLOCK.match(text):
                block = {"rule": match[1], "state": "running", "time": now}
            elif match := ERROR.match(text):
                block = {"rule": match[1], "state": "failed", "time": now}
            elif match := FINISHED.match(text):
                if job := run.jobs.get(by_id.get(match[1])):
                    job.state, job.ended = "finished", now
            elif match := SUBMITTED.match(text):
                if job := run.jobs.get(by_id.get(match[1])):
                    job.submitted = True
            elif match := STEPS.match(text):
                run.steps = int(match[1]), int(match[2])
            elif text == "Job stats:":
                table = True
            elif table:
                if match := PLANNED.fullmatch(text.strip()):
                    run.planned[match[1]] = int(match[2])
                table = bool(text.strip())
            elif match := HEADER.match(text):
                run.facts.setdefault(match[1], match[2])
            elif text.startswith("Complete log(s)"):
                run.ended = True
            if not line.startswith(("rule", "local", "Error in rule", "checkpoint")):
                block = None
    if date := run.facts.get("Date"):
        run.started = _date(date) or run.started
    run.planned.pop("total", None)
    return run


def _read_block(line, block, by_id, run):
    key, _, value = line.strip().partition(": ")
    if key == "output":
        first = value.split(", ", 1)[0].split(" (", 1)[0]
        block["key"] = key = first.removeprefix(RESULTS)
        job = run.jobs.get(key)
        if block["state"] == "running" or job is None:
            run.jobs[key] = LoggedJob(block["rule"], block["state"], block["time"])
            if job is not None:
                run.jobs[key].submitted = job.submitted
        else:
            job.state, job.ended = block["state"], block["time"]
        if block["state"] == "running" and "jobid" in block:
            by_id[block["jobid"]] = key
    elif key == "log" and "key" in block:
        run.jobs[block["key"]].log = value.split(", ", 1)[0].split(" (", 1)[0]
    elif key == "jobid":
        block["jobid"] = value
        if block["state"] == "running" and "key" in block:
            by_id[value] = block["key"]


@lru_cache(maxsize=64)
def _time(text):
    try:
        return datetime.strptime(text.strip("[]"), TIME)
    except ValueError:
        return None


def _date(text):
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def working_directory(results):
    """Where a screen was started: the folder that its results, or a link to them, lie in."""
    return Path(os.path.abspath(results)).parent


def run_logs(folder):
    """Logs of all starts in a working directory, the oldest first; dry runs leave none."""
    return sorted((Path(folder) / ".snakemake" / "log").glob("*.snakemake.log"))


def last_run(folder):
    """The last start in a working directory that had jobs to do, else the last one; None where there is no log."""
    run = None
    for path in reversed(run_logs(folder)):
        read = read_run(path)
        run = run or read
        if read.jobs or read.planned:
            return read
    return run


def is_locked(folder):
    """Whether a Snakemake works in a folder, or was killed there."""
    locks = Path(folder) / ".snakemake" / "locks"
    return locks.is_dir() and any(path.suffix == ".lock" for path in locks.iterdir())


def running(folder, run):
    """Whether a start, the last one of a working directory or None, is still going."""
    return run is not None and not run.ended and is_locked(folder)


def incomplete_outputs(folder):
    """Outputs, below the results folder, whose jobs have begun and not ended.

    Parameters
    ----------
    folder : str or Path
        The working directory.

    Returns
    -------
    set of str
    """
    root = Path(folder) / ".snakemake" / "incomplete"
    found = set()
    for parent, _, names in os.walk(root):
        parts = [part.removeprefix("@") for part in Path(parent).relative_to(root).parts]
        for name in names:
            try:
                path = base64.urlsafe_b64decode("".join([*parts, name])).decode()
            except (binascii.Error, UnicodeDecodeError):
                continue
            found.add(path.removeprefix(RESULTS))
    return found
