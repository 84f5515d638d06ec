"""Whether a results folder is whole and sound."""

import json
import os
from pathlib import Path

import pyarrow as pa

from profiling.files import TEMPORARY
from profiling.kept_config import read_config
from profiling.plates.wells import chunk_wells
from profiling.progress import track
from profiling.results.count_checks import (
    MERGED,
    check_bases,
    check_failures,
    check_illumination,
    check_labels,
    check_models,
    check_pieces,
    check_plate,
)
from profiling.results.findings import Finding, again, start
from profiling.results.layout import describe_screen, list_jobs
from profiling.results.origin_checks import check_settings, check_versions, check_weights, current_config
from profiling.results.provenance import check_hashes
from profiling.results.snakemake_files import incomplete_outputs, last_run, running, working_directory
from profiling.results.states import PRECISION, list_outputs
from profiling.results.table_checks import check_footer, check_rows, facts_of, open_table
from profiling.schemas import TABLES

KNOWN = {"labels", "chunks", "illumination", "models", "models/scalers"}
"""Files and folders beside the outputs of jobs."""

PIECE_NAMES = {"unplaced": "failures", "left_out": "failures", "planes": "images"}


def verify(results, quick=False):
    """Everything that is wrong with a results folder.

    Parameters
    ----------
    results : str or Path
    quick : bool
        Footers, names and numbers of rows alone. Else every table is read once or a few times, a row group or a
        plate's keys at a time.

    Returns
    -------
    list of Finding
        Empty where nothing is wrong.

    Raises
    ------
    ProfilingError
        If the folder has no configuration.
    """
    results = Path(results)
    values = read_config(results)
    screen = describe_screen(values)
    present = list_outputs(results)
    findings = [*check_files(results, screen, present)]
    facts, broken = {}, set()
    for file, (name, plate) in track(list(_tables(screen, present).items()), len(present), "files"):
        parquet, wrong = open_table(results, file)
        found = [wrong] if wrong else [*check_footer(parquet, file, name, plate)]
        if parquet is not None:
            facts[file] = (name, facts_of(parquet))
            if not quick and not found:
                found += check_rows(parquet, file, name)
            parquet.close()
        broken |= {file} if found else set()
        findings += found
    config, wrong = current_config(values)
    findings += [wrong] if wrong else check_settings(facts, config)
    if config:
        findings += _guarded("models", check_bases(results, screen.chunks, config.normalisation))
    findings += check_versions(facts, screen.frozen)
    backbone, wrong = _backbone(results, present)
    findings += [*wrong, *check_weights(facts, backbone)]
    findings += _check_plates(results, values, screen, present - broken, quick)
    if not quick:
        findings += _guarded("failures.parquet", check_failures(results, screen.chunks))
        findings += _guarded("models", check_models(results, screen.chunks))
        findings += check_hashes(results, {finding.file for finding in findings})
    return list(dict.fromkeys(findings))


def _check_plates(results, values, screen, whole, quick):
    rows = {row["plate"]: row for row in values["plates"]}
    for plate, chunks in screen.chunks.items():
        for name in (*MERGED, "images") if screen.stacks else MERGED:
            files = [f"{name}/{plate}.parquet", *(f"chunks/{plate}/{n}/{name}.parquet" for n in range(1, chunks + 1))]
            if whole.issuperset(files):
                yield from _guarded(files[0], check_pieces(results, name, plate, chunks, quick))
        segmented = [f"chunks/{plate}/{n}/segmented.parquet" for n in range(1, chunks + 1)]
        if whole.issuperset([f"cells/{plate}.parquet", *segmented]):
            yield from _check_segmented(results, plate, segmented)
        if quick:
            continue
        yield from _guarded(f"chunks/{plate}", check_plate(results, plate, rows[plate].get("exclude") or ()))
        yield from _guarded(f"illumination/{plate}", check_illumination(results, plate, screen.channels))
        for chunk in range(1, chunks + 1 if screen.unit == "cell" else 1):
            wells = chunk_wells(rows[plate]["layout"], chunk, chunks)
            yield from _guarded(f"labels/{plate}/{chunk}", check_labels(results, plate, chunk, wells))


def _guarded(place, findings):
    """Findings, the last of which says so where damaged tables are too odd to be compared."""
    try:
        yield from findings
    except (LookupError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        what = f"cannot be compared with what belongs to it ({type(error).__name__}: {error})"
        yield Finding(place, what, "mend what else is wrong with the plate, then verify again")


def _check_segmented(results, plate, pieces):
    file = f"cells/{plate}.parquet"
    rows, segmented = (
        sum(open_table(results, path)[0].metadata.num_rows for path in paths) for paths in ([file], pieces)
    )
    if rows != segmented:
        yield Finding(file, f"has {rows:,} cells, {segmented:,} were segmented", again(file), "disagrees")


def check_files(results, screen, present):
    """Findings about names alone: outputs that are absent or unfinished, temporary files, strangers.

    Yields
    ------
    Finding
    """
    folder = working_directory(results)
    if running(folder, last_run(folder)):
        yield Finding("config.json", "the workflow is running", "verify again when it has ended", "unfinished")
    incomplete = incomplete_outputs(folder)
    expected = set(KNOWN)
    for job in list_jobs(screen):
        place = "".join(f", {what} {name}" for what, name in (("plate", job.plate), ("chunk", job.chunk)) if name)
        for output in job.outputs:
            expected.add(output)
            expected.update(str(parent) for parent in Path(output).parents)
            if output not in present:
                yield Finding(output, f"is not made yet (rule {job.rule})", start(output), "unfinished")
            elif output in incomplete:
                what = f"is marked incomplete: the job that was writing it (rule {job.rule}{place}) has not ended"
                yield Finding(output, what, "start the workflow, which makes it again", "unfinished")
    for parent, folders, names in os.walk(results):
        below = Path(parent).relative_to(results)
        for name in names:
            file = str(below / name)
            if TEMPORARY.fullmatch(name):
                yield Finding(file, "is a file that was being written when its job ended", "remove it", "stray")
            elif file not in expected and name != ".snakemake_timestamp" and not _is_of_a_job(file):
                yield Finding(file, _stranger(file, screen), "remove it, or move it out of the results", "stray")
        for name in folders:
            if str(below / name) not in expected and not _is_of_a_job(str(below / name)):
                what = _stranger(f"{below / name}/", screen)
                yield Finding(str(below / name), what, "remove it, or move it out of the results", "stray")
        folders[:] = [name for name in folders if str(below / name) in expected]
    report = results / "report.html"
    if report.is_file():
        with open(report, "rb") as file:
            file.seek(max(file.seek(0, 2) - 200, 0))
            if b"</html>" not in file.read():
                yield Finding("report.html", "is cut off: it has no end", again("report.html"))
    for file in sorted(present):
        if file.endswith((".xml", ".bin", ".txt", ".npz")) and not (results / file).stat().st_size:
            yield Finding(file, "is empty", again(file))


def _is_of_a_job(file):
    """Whether a path is of a job by its place: what one job fills a folder with, and the record of the precision."""
    parts = Path(file).parts
    depth = {"illumination": 3, "labels": 4}.get(parts[0])
    return (len(parts) == depth and file.endswith(".tif")) or parts[3:4] == ("images",) or PRECISION.fullmatch(file)


def _stranger(file, screen):
    parts = Path(file).parts
    name = parts[1].removesuffix(".parquet") if len(parts) > 1 else ""
    if len(parts) == 2 and not file.endswith((".parquet", "/")):
        return "is nothing that the workflow makes"
    if name and parts[0] in (*TABLES, "chunks", "labels", "illumination") and name not in screen.chunks:
        return f"is of a plate {name} that the configuration has not; who opens the folder whole reads it, too"
    return "is nothing that the workflow makes"


def _tables(screen, present):
    """Parquet file → (its table, its plate or None), of those that exist."""
    files = {}
    for job in list_jobs(screen):
        for output in job.outputs:
            if output.endswith(".parquet") and output in present:
                stem = Path(output).stem
                if output.startswith("chunks/"):
                    name = PIECE_NAMES.get(stem, stem)
                else:
                    name = output.split("/")[0] if "/" in output else stem
                files[output] = (name, None if name == "failures" else job.plate)
    return files


def _backbone(results, present):
    file = "models/backbone.json"
    if file not in present:
        return None, []
    try:
        recorded = json.loads((results / file).read_text())
        recorded["sha256"]
        return recorded, []
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, [Finding(file, "does not say which weights it is of", again(file))]
