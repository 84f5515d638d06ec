"""Check of a screen: its plates, each by itself and against each other."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from difflib import get_close_matches
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from profiling.config_files import absent_models, unlike_models
from profiling.errors import ProfilingError
from profiling.plates.checks.findings import Finding, counted, listed
from profiling.plates.checks.plate import check_plate
from profiling.plates.chunks import IMAGES_PER_JOB, propose_chunks
from profiling.plates.platemaps.units import unlike_units

THREADS = 8  # plates at a time in a process: on network file systems the time goes into waiting for folders
PLATES_PER_PROCESS = 16  # fewer are checked before another process has started


def check_screen(config, folder, read_header, check_weights, names=(), deep=False):
    """Check the plates of a screen; many of them on several processes, which import the caller's main module.

    Parameters
    ----------
    config : profiling.config.Config
    folder : str or Path
        The screen's working directory.
    read_header : callable
        As in :func:`profiling.plates.image_table.index_plate`.
    check_weights : callable
        Takes the path of the weights of the nucleus network; raises ProfilingError where it holds none that can run.
    names : collection of str
        Plates to check; all where there is none.
    deep : bool
        Whether every header is read instead of a sample.

    Returns
    -------
    checks : list of PlateCheck
        In the order of the configuration, without plates that are left out whole.
    findings : list of Finding
        Of all plates and of the screen.
    """
    root = Path(folder) / config.root
    plates = [plate for plate in config.plates if plate.exclude != ["all"]]
    folders = {plate.plate: os.path.realpath(root / plate.images) for plate in plates}
    work = partial(_check, config=config, root=root, read_header=read_header, deep=deep, folders=folders)
    checks = _on_all(work, [plate for plate in plates if not names or plate.plate in names])
    findings = [
        Finding("note", plate.plate, "left out by the plate table", "exclude is `all`", "")
        for plate in config.plates
        if plate.exclude == ["all"] and (not names or plate.plate in names)
    ]
    if absent := absent_models(config, folder) or unlike_models(config, folder):
        findings.append(Finding("error", "", absent[0], "; ".join(absent[1:-1]), absent[-1] if absent[1:] else ""))
    weights = config.segmentation.weights and Path(folder) / config.segmentation.weights
    if weights and weights.is_file():
        try:
            check_weights(weights)
        except ProfilingError as error:
            findings.append(Finding("error", "", f"segmentation.weights: {error}", "", ""))
    findings += [finding for check in checks for finding in check.findings]
    return checks, [
        *findings,
        *odd_units(checks),
        *([] if names else odd_roles(checks, config)),
        *odd_plates(checks),
        *odd_jobs(checks, config),
    ]


def _on_all(work, plates):
    """Results of ``work(plate)`` in the order of the plates; many plates on several processes."""
    processes = min(len(os.sched_getaffinity(0)), len(plates) // PLATES_PER_PROCESS)
    if processes < 2:
        return _on_threads(work, plates)
    context = get_context("forkserver")
    context.set_forkserver_preload([check_plate.__module__])
    done = [None] * len(plates)
    with ProcessPoolExecutor(processes, context) as pool:
        parts = pool.map(_on_threads, [work] * processes, [plates[i::processes] for i in range(processes)])
        for i, part in enumerate(parts):
            done[i::processes] = part
    return done


def _on_threads(work, plates):
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, plates))


def _check(plate, config, root, read_header, deep, folders):
    mine, names = folders[plate.plate], list(folders)
    earlier = names[: names.index(plate.plate)]
    inner = {
        os.path.relpath(other, mine).replace(os.sep, "/"): name
        for name, other in folders.items()
        if other.startswith(mine + os.sep) or (other == mine and name in earlier)
    }
    return check_plate(plate, config, root, read_header, deep, inner)


def odd_units(checks):
    """Compounds whose doses are in other units on other plates."""
    maps = [check.wells for check in checks if len(check.wells)]
    return [
        Finding("error", "", f"doses of {compound} are in several units", where, remedy)
        for compound, where, remedy in (unlike_units(pd.concat(maps)) if maps else [])
    ]


def odd_roles(checks, config):
    """Names in `platemap.roles` that no map has, but nearly."""
    compounds = {name for check in checks if len(check.wells) for name in check.wells["Metadata_Compound"].dropna()}
    lower = {name.lower(): name for name in compounds}
    said = []
    for name in config.platemap.roles:
        if name not in compounds and (near := get_close_matches(name.lower(), lower, n=1, cutoff=0.8)):
            what = f"platemap.roles names {name!r}, which is no compound of a plate map"
            said.append(Finding("warning", "", what, "", f"did you mean {lower[near[0]]!r}?"))
    return said


def odd_plates(checks):
    """Plates that differ from most of the others in sites, image size or type."""
    said = []
    for key, what in (("sites", "number of sites a well"), ("sizes", "image size"), ("dtypes", "image type")):
        values = {check.plate: _one(check.facts.get(key)) for check in checks}
        values = {plate: value for plate, value in values.items() if value is not None}
        counts = Counter(values.values())
        if len(counts) < 2:
            continue
        usual, number = counts.most_common(1)[0]
        remedy = "check the acquisition: plates taken differently do not compare"
        if 2 * number <= len(values):
            where = listed([f"{value} on {counted(count, 'plate')}" for value, count in counts.most_common()])
            said.append(Finding("warning", "", f"{what} differs between plates", where, remedy))
            continue
        said += [
            Finding(
                "warning", plate, f"{what}: {value}, where {number} of {len(values)} plates have {usual}", "", remedy
            )
            for plate, value in values.items()
            if value != usual
        ]
    return said


def _one(value):
    """The value, None where a plate has several, which is told of the plate itself."""
    if isinstance(value, list):
        return value[0] if len(value) == 1 else None
    return value


def odd_jobs(checks, config):
    """Whether the jobs of the largest plate are much longer or shorter than ten minutes."""
    largest = max((check for check in checks if check.facts), key=lambda one: one.facts["images"], default=None)
    if largest is None:
        return []
    images = largest.facts["images"]
    chunks, proposed = min(config.chunks_per_plate, largest.layout), propose_chunks(images, largest.layout)
    minutes = 10 * images / chunks / IMAGES_PER_JOB
    if 1 / 3 <= chunks / proposed <= 4 or (chunks > proposed and minutes > 1):
        return []
    said = f"about {minutes:.0f} min" if minutes >= 1 else "less than a minute"
    what = f"chunks_per_plate is {config.chunks_per_plate}, which makes jobs of {said} on a CPU"
    return [Finding("note", "", what, f"plate {largest.plate}", f"{proposed} would make them about ten minutes")]
