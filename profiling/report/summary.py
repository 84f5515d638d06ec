"""What came in, what came out, what was lost and how long it took."""

from pathlib import Path

import pandas as pd

from profiling.kept_config import read_config
from profiling.report.screen import count_rows, read_or_empty, table_files
from profiling.tables import FIELD_KEY
from profiling.terminal import say

STAGES = (
    "images", "platemap", "quality", "illumination", "limits", "segment", "units", "overlays", "backbone", "embed",
    "merge", "flags", "scale", "frozen_models", "reduce", "features", "clusters", "map", "phenotypes",
    "wells", "screen_wells", "treatments", "enrichment", "activity", "failures", "report",
    "provenance",
)  # fmt: skip
"""Rules in the order of the workflow."""

LOSING_STAGES = ("images", "quality", "platemap", "segmentation", "embedding", "features")
"""Stages of the failures table, in the order of the workflow."""


SEGMENTED = {"cell": "cells segmented", "field": "fields with images", "tile": "tiles"}
"""What goes into the embedding, by the unit of the screen."""


def headline(results, plates):
    """Count what a screen holds.

    Parameters
    ----------
    results : str or Path
        The results folder.
    plates : sequence of str

    Returns
    -------
    dict of int
        plates, wells and fields (imaged), images and images_lost (missing or unreadable), cells_segmented,
        cells_embedded, cells_profiled, failures (rows of the failures table). What is absent counts 0.
    """
    images = read_or_empty(results, "images", plates, [*FIELD_KEY, "Metadata_Channel", "Status"])
    quality = read_or_empty(results, "quality", plates, [*FIELD_KEY, "Metadata_Channel", "Status"])
    lost = pd.concat([images, quality])
    lost = lost[lost["Status"].ne("ok")].drop_duplicates([*FIELD_KEY, "Metadata_Channel"])
    return {
        "plates": len(plates),
        "wells": len(images.drop_duplicates(FIELD_KEY[:2])),
        "fields": len(images.drop_duplicates(FIELD_KEY)),
        "images": len(images),
        "images_lost": len(lost),
        "cells_segmented": int(read_or_empty(results, "fields", plates, ["CellCount"])["CellCount"].sum()),
        "cells_embedded": count_rows(results, "embeddings", plates),
        "cells_profiled": count_rows(results, "phenotypes", plates),
        "failures": count_rows(results, "failures", plates),
    }


def stage_times(logs):
    """Time and memory of the stages, from the benchmark files that Snakemake writes beside the logs.

    Parameters
    ----------
    logs : str or Path
        Folder of logs. The first folder below it, or the name of a file that lies in it, is the rule.

    Returns
    -------
    pandas.DataFrame
        Stage, Jobs, Minutes (summed over jobs, which may have run side by side) and Memory (MiB, largest job;
        NaN where no job ran long enough to be measured), in the order of the workflow.
    """
    logs = Path(logs)
    rows = []
    for path in sorted(logs.rglob("*.tsv")):
        stage = path.relative_to(logs).parts[0].removesuffix(".tsv")
        jobs = pd.read_csv(path, sep="\t", na_values=["-"])
        if {"s", "max_rss"} <= set(jobs.columns):
            rows += [(stage, seconds, memory) for seconds, memory in zip(jobs["s"], jobs["max_rss"], strict=True)]
    jobs = pd.DataFrame(rows, columns=["Stage", "Seconds", "Memory"])
    jobs[["Seconds", "Memory"]] = jobs[["Seconds", "Memory"]].astype("float64")
    stages = jobs.groupby("Stage").agg(Jobs=("Seconds", "size"), Minutes=("Seconds", "sum"), Memory=("Memory", "max"))
    stages["Minutes"] /= 60
    return in_order(stages.reset_index(), STAGES)


def failures_by_stage(failures):
    """Losses and lost cells (0 where not known) of each stage, in the order they arise."""
    grouped = failures.groupby("Stage", sort=False)
    table = grouped.agg(Losses=("Stage", "size"), Cells=("Cells", "sum")).reset_index()
    return in_order(table, LOSING_STAGES)


def in_order(table, stages):
    """Rows in the order of the stages given, unknown ones last; the order within a stage is kept."""
    order = {stage: place for place, stage in enumerate(stages)}
    place = table["Stage"].map(order).fillna(len(order))
    return table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)


def recorded_config(results):
    """The configuration of the screen's last start as a dict, empty where `config.json` is absent."""
    return read_config(results) if (Path(results) / "config.json").is_file() else {}


def screen_plates(results):
    """Plates of the screen that `config.json` names, or those with an image table where it is absent."""
    if config := recorded_config(results):
        return [row["plate"] for row in config["plates"] if row.get("exclude") != ["all"]]
    return sorted(path.stem for path in table_files(results, "images", ["*"])[0].parent.glob("*.parquet"))


def summary_lines(results, logs, report=None):
    """The final summary as lines of plain text; see :func:`print_summary`."""
    plates = screen_plates(results)
    counts = headline(results, plates)
    units = recorded_config(results).get("unit", "cell") + "s"
    lines = ["", f"{counts['plates']:>12,}  plates: {_some(plates)}"]
    lines += [f"{counts[name]:>12,}  {name}" for name in ("wells", "fields")]
    lines += [
        f"{counts['images']:>12,}  images, {counts['images_lost']:,} of them lost",
        f"{counts['cells_segmented']:>12,}  {units} in{' (segmented)' if units == 'cells' else ''}",
        f"{counts['cells_embedded']:>12,}  {units} embedded",
        f"{counts['cells_profiled']:>12,}  {units} out (profiled)",
        f"{counts['failures']:>12,}  losses, each with its reason in failures.parquet",
    ]
    failures = read_or_empty(results, "failures")
    for row in failures_by_stage(failures).itertuples():
        lines.append(f"{row.Losses:>16,}  {row.Stage}" + (f", {int(row.Cells):,} {units}" if row.Cells else ""))
    stages = stage_times(logs)
    if len(stages):
        lines += ["", f"{'minutes':>12}  {'jobs':>6}  {'peak MiB':>9}  stage"]
        for row in stages.itertuples():
            memory = "" if pd.isna(row.Memory) else f"{row.Memory:,.0f}"
            lines.append(f"{row.Minutes:>12.2f}  {row.Jobs:>6,}  {memory:>9}  {row.Stage}")
        peak = "" if stages["Memory"].isna().all() else f"{stages['Memory'].max():,.0f}"
        lines.append(f"{stages['Minutes'].sum():>12.2f}  {stages['Jobs'].sum():>6,}  {peak:>9}  all jobs, one by one")
    lines += ["", f"Tables: {Path(results).resolve()}"]
    if report is not None and Path(report).exists():
        lines.append(f"Report: {Path(report).resolve()}")
    return lines


def print_summary(results, logs, report=None):
    """Print plates, wells, fields, cells in and out, losses by stage, minutes and memory of each stage.

    Parameters
    ----------
    results : str or Path
        The results folder; tables that are absent count as empty.
    logs : str or Path
        Folder of logs and benchmarks.
    report : str or Path, optional
        Where the report lies.
    """
    say(summary_lines(results, logs, report))


def _some(names, most=6):
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
