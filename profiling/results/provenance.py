"""How results were made: versions, commit, command, machine, durations, weights and a hash of every table."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import profiling
from profiling.files import hash_file, whole_file
from profiling.kept_config import read_config
from profiling.results.findings import Finding, again
from profiling.results.layout import describe_screen, list_jobs
from profiling.results.snakemake_files import last_run, read_run, run_logs, working_directory
from profiling.results.table_checks import facts_of

FORMAT = 1
PACKAGES = (
    "profiling", "snakemake", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "scikit-image",
    "opencv-python-headless", "openvino", "torch", "torchvision", "timm", "openTSNE", "tifffile",
)  # fmt: skip
MOST_RUNS = 20


def write_provenance(results, logs, out=None, hashes=True):
    """Write ``provenance.json`` beside the results.

    Parameters
    ----------
    results : str or Path
    logs : str or Path
        Folder of logs and benchmarks.
    out : str or Path, optional
        The file. Left out: ``provenance.json`` in the results.
    hashes : bool
        Whether the content of every file is hashed. Files whose size and time of change are those of an earlier
        record are not read again.

    Returns
    -------
    dict
        What was written.
    """
    results = Path(results)
    out = Path(out) if out else results / "provenance.json"
    record = describe(results, logs, read_provenance(out), hashes)
    with whole_file(out) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def describe(results, logs, earlier=None, hashes=True):
    """All that is known of how results were made.

    Parameters
    ----------
    results, logs : Path
    earlier : dict, optional
        An earlier record, whose hashes are taken over for files that have not changed.
    hashes : bool

    Returns
    -------
    dict
        JSON values: format, written, recorded_by (code, packages and machine of this very process: those of the results
        where the run itself records them), command and runs (of Snakemake's logs), stages (rule → jobs, minutes summed,
        largest memory in MiB), config_sha256, weights, files (path → bytes, modified, sha256 and for tables rows,
        settings, package_version and the rest of their metadata).
    """
    from profiling.report.summary import stage_times

    results = Path(results)
    files = {}
    known = (earlier or {}).get("files", {})
    for job in list_jobs(describe_screen(read_config(results))):
        for output in job.outputs:
            if output.startswith(("chunks/", "labels/", "provenance")):
                continue
            path = results / output
            for file in sorted(path.glob("*.tif")) if path.is_dir() else [path]:
                name = str(file.relative_to(results))
                if file.is_file():
                    files[name] = _describe_file(results, name, known.get(name, {}), hashes)
    folder = working_directory(results)
    stages = stage_times(logs).to_dict("records") if Path(logs).is_dir() else []
    run = last_run(folder)
    return {
        "format": FORMAT,
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "recorded_by": {"code": code_version(), "packages": package_versions(), "machine": machine()},
        "command": run.facts.get("Command") if run else None,
        "runs": [_describe_run(path) for path in run_logs(folder)[-MOST_RUNS:]],
        "stages": {row["Stage"]: _rounded(row) for row in stages},
        "config_sha256": hash_file(results / "config.json"),
        "weights": weights(results),
        "files": files,
    }


def read_provenance(path):
    """An earlier record; None where there is none that can be read."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def code_version():
    """Version of the package, and commit and changes of its Git checkout where it runs from one."""
    root = Path(profiling.__file__).resolve().parents[1]
    commit = changes = None
    if (root / ".git").exists():
        commit = _git(root, "rev-parse", "HEAD")
        status = _git(root, "status", "--porcelain", "--", "profiling", "rules", "Snakefile")
        changes = None if status is None else [line[3:] for line in status.splitlines()]
    return {"package": "profiling", "version": version("profiling"), "commit": commit, "uncommitted": changes}


def _git(root, *arguments):
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def package_versions():
    """Versions of Python and of the packages that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine():
    """The machine that this runs on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "executable": sys.executable,
    }


def weights(results):
    """What is recorded of the networks: the embedding's backbone, and the segmentation's weights by hash."""
    backbone = Path(results) / "models" / "backbone.json"
    try:
        embedding = json.loads(backbone.read_text())
    except (OSError, ValueError, RecursionError):
        embedding = None
    segmentation = None
    settings = read_config(results).get("segmentation", {})
    if settings.get("engine") == "nuclei":
        shipped = Path(profiling.__file__).parent / "cells" / "learned" / "nuclei.safetensors"
        given = settings.get("weights")
        path = working_directory(results) / given if given else shipped
        segmentation = {"weights": given or "of the installation", "sha256": hash_file(path)}
    return {"embedding": embedding, "segmentation": segmentation}


def _describe_file(results, output, known, hashes):
    stat = (results / output).stat()
    facts = {"bytes": stat.st_size, "modified": stat.st_mtime_ns}
    if output.endswith(".parquet"):
        try:
            with pq.ParquetFile(results / output) as table:
                facts |= {"rows": table.metadata.num_rows, **facts_of(table)}
        except (pa.ArrowInvalid, OSError):
            facts["rows"] = None
    if hashes:
        same = all(known.get(key) == facts[key] for key in ("bytes", "modified"))
        facts["sha256"] = same and known.get("sha256") or hash_file(results / output)
    return facts


def _describe_run(path):
    run = read_run(path)
    rules = {}
    for job in run.jobs.values():
        if job.state == "finished":
            rules[job.rule] = rules.get(job.rule, 0) + 1
    return {
        **{key.lower().replace(" ", "_"): value for key, value in run.facts.items()},
        "ended": run.ended,
        "seconds": round((run.written - run.started).total_seconds(), 1) if run.started else None,
        "finished_jobs": rules,
    }


def _rounded(row):
    memory = row["Memory"]
    return {
        "jobs": int(row["Jobs"]),
        "minutes": round(float(row["Minutes"]), 3),
        "memory_mib": None if memory != memory else round(float(memory), 1),
    }


def check_hashes(results, already=()):
    """Findings where a file has changed although nothing has written it since its hash was recorded.

    A file that is newer than the record was made again, and is passed over: the record is of an earlier run.

    Parameters
    ----------
    results : Path
    already : set of str
        Files that something else is known to be wrong with.
    """
    record = read_provenance(Path(results) / "provenance.json")
    for file, facts in (record or {}).get("files", {}).items():
        path = Path(results) / file
        if file in already or not facts.get("sha256") or not path.is_file():
            continue
        if hash_file(path) != facts["sha256"]:
            when = record["written"]
            yield Finding(
                file,
                f"is not the file that provenance.json recorded on {when}: it was changed, or made again without a new "
                "record",
                f"if the workflow made it again, run `profiling provenance`; else {again(file)}",
                "disagrees",
            )
