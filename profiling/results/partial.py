"""The report of a screen that is not complete: what is there, and in words what is not."""

from pathlib import Path

from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.kept_config import read_config, screen_config
from profiling.report.page import render
from profiling.report.screen import read_or_empty, read_screen
from profiling.results.findings import again
from profiling.results.layout import PLATE_STAGES, describe_screen
from profiling.results.outdated import name_plates, outdated_lines
from profiling.results.readable import broken_files, results_without
from profiling.results.snakemake_files import incomplete_outputs, last_run, running, working_directory
from profiling.results.states import job_states, list_outputs
from profiling.tables import read_table

STAGE_WORDS = {
    "images": "the image table or plate map",
    "quality": "image quality",
    "illumination": "flat fields and intensity limits",
    "segment": "segmentation",
    "overlays": "overlays",
    "embed": "embedding",
    "flags": "flags",
    "features": "features",
    "phenotypes": "clusters and places on the map",
    "wells": "well profiles",
}

RULE_WORDS = {
    "reduce": "principal components",
    "clusters": "the clusters",
    "map": "the map",
    "frozen_models": "the frozen models",
    "screen_wells": "well profiles",
    "treatments": "treatments",
    "enrichment": "enrichment",
    "activity": "activity and variance",
    "failures": "the list of losses",
}
"""Rules of the whole screen whose absence shows in the report."""


def partial_report(results, out=None):
    """Write the report from what is there, with what is not at its top.

    Parameters
    ----------
    results : str or Path
        The results folder, in the working directory of its screen.
    out : str or Path, optional
        The HTML file. Left out: ``partial-report.html`` beside the results.

    Returns
    -------
    Path, list of str
        The file, and what is absent, as :func:`absent_lines` says it, with what cannot be read.

    Raises
    ------
    ProfilingError
        If the folder has no configuration, or its configuration leaves all plates out.
    """
    results = Path(results)
    folder = working_directory(results)
    config = screen_config(results)
    screen = describe_screen(read_config(results))
    if not screen.chunks:
        raise ProfilingError(f"{results}: all plates of the screen are excluded; leave one in, and start the workflow")
    out = Path(out) if out else folder / "partial-report.html"
    try:
        text, lines = _render(results, folder, config, screen)
    except Exception:  # Parquet, zipfile, zlib, numpy and JSON each have their own
        broken = broken_files(results, list(screen.chunks))
        if not broken:
            raise
        with results_without(results, broken) as whole:
            text, lines = _render(whole, folder, config, screen, [f"{f}: cannot be read; {again(f)}." for f in broken])
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return out, lines


def _render(results, folder, config, screen, broken=()):
    lines = [*broken, *absent_lines(results, screen, folder)]
    plates = list(screen.chunks)
    tables = read_screen(results, plates, config.report.cells_per_cluster)
    pieces = [path for plate in plates if (path := results / "chunks" / plate / "wells.parquet").is_file()]
    if pieces and not (results / "wells.parquet").is_file():
        wells = read_table(pieces, "wells")
        tables["wells"] = wells.loc[:, ~wells.columns.str.startswith("PC_")]
    values = config.model_dump(mode="json")
    return render(tables, results, plates, values, folder / "logs", config.report, lines), lines


def absent_lines(results, screen, folder=None):
    """What a screen lacks, in sentences that name every plate.

    Parameters
    ----------
    results : str or Path
    screen : profiling.results.layout.Screen
    folder : str or Path, optional
        The working directory. Left out: where the results lie.

    Returns
    -------
    list of str
        Empty where every output is there and none is older than what it is made of.
    """
    results = Path(results)
    folder = folder or working_directory(results)
    run = last_run(folder)
    alive = running(folder, run)
    present = list_outputs(results)
    jobs = job_states(screen, present, incomplete_outputs(folder), run, alive, folder)
    lines = [*_lacking_plates(jobs), *_lacking_of_screen(jobs)]
    held = set(read_or_empty(results, "wells", columns=["Metadata_Plate"])["Metadata_Plate"])
    if held and (without := [plate for plate in screen.chunks if plate not in held]):
        lines.append(f"The tables of wells and treatments, and the tests, are without {name_plates(without)}.")
    return [*lines, *outdated_lines(results, screen)]


def _lacking_plates(jobs):
    """A sentence for the plates that lack the same."""
    jobs = jobs.assign(Left=jobs["State"].ne("done"), Failed=jobs["State"].eq("failed"))
    counted = jobs.groupby(["Plate", "Stage"], sort=False)
    counted = counted.agg(Jobs=("State", "size"), Left=("Left", "sum"), Failed=("Failed", "sum"))
    lacks, begun = {}, set()
    for (plate, stage), count, left, failed in counted.itertuples():
        if left:
            lacks.setdefault(plate, {})[stage] = _stage(stage, count, left, failed)
        if left < count:
            begun.add(plate)
    groups = {}
    for plate in counted.index.unique("Plate"):
        if plate in lacks:
            stages = [lacks[plate][stage] for stage in PLATE_STAGES if stage in lacks[plate]]
            groups.setdefault(", ".join(stages) if plate in begun else "everything", []).append(plate)
    for text, plates in groups.items():
        yield f"P{name_plates(plates)[1:]} {'lacks' if len(plates) == 1 else 'lack'} {text}."


def _stage(stage, count, left, failed):
    """What is not done of one stage of one plate."""
    told = [f"{left} of {count} jobs"] if left < count else []
    told += [f"{failed} failed"] if failed else []
    return STAGE_WORDS[stage] + (f" ({', '.join(told)})" if told else "")


def _lacking_of_screen(jobs):
    left = jobs[jobs["Plate"].isna() & jobs["State"].ne("done") & jobs["Rule"].isin(RULE_WORDS)]
    if len(left):
        yield f"The screen as a whole lacks {', '.join(map(RULE_WORDS.get, left['Rule']))}."
