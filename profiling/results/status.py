"""How far a screen is: stages, plates, throughput and the time left, from files alone."""

import json
import os
import textwrap
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from profiling.kept_config import read_config
from profiling.results.counts import count_so_far
from profiling.results.exclusion import exclusions
from profiling.results.layout import PLATE_STAGES, STAGES, describe_screen
from profiling.results.outdated import outdated_lines
from profiling.results.snakemake_files import incomplete_outputs, last_run, running, working_directory
from profiling.results.states import STATES, job_states, list_outputs

SILENT = 3600
"""Seconds after which a run that writes nothing is said to be silent."""

BENCHMARKS = 20
"""Benchmark files of a rule that are read where the last start has finished none of its jobs."""

MOST_PLATES, MOST_FAILURES = 25, 8


def read_status(results):
    """Everything that `profiling status` tells of a screen.

    Parameters
    ----------
    results : str or Path
        The results folder; Snakemake's files and the logs are looked for beside it.

    Returns
    -------
    dict
        state (str: ``running``, ``complete``, ``outdated``, ``stopped`` or ``not started``), outdated (lines of
        :func:`profiling.results.outdated.outdated_lines`), started, written (datetime or None), jobs (DataFrame of
        :func:`profiling.results.states.job_states`), stages (:func:`stage_table`), plates (:func:`plate_table`), counts
        (:func:`profiling.results.counts.count_so_far`), rate (:func:`throughput`), left (:func:`time_left`), exclude
        (:func:`profiling.results.exclusion.exclusions` of the jobs that failed).

    Raises
    ------
    ProfilingError
        If the folder has no configuration.
    """
    folder = working_directory(results)
    config = read_config(results)
    screen = describe_screen(config)
    # The log before the files: a job that ends in between is done twice rather than lost.
    run = last_run(folder)
    alive = running(folder, run)
    incomplete = incomplete_outputs(folder)
    present = list_outputs(results)
    jobs = job_states(screen, present, incomplete, run, alive, folder)
    stages = stage_table(jobs, run, alive, folder / "logs")
    counts = count_so_far(results, screen, present)
    complete = not alive and jobs["State"].eq("done").all()
    outdated = outdated_lines(results, screen) if complete else []
    at_rest = "outdated" if outdated else "complete" if complete else "stopped" if run else "not started"
    return {
        "results": os.path.abspath(results),
        "state": "running" if alive else at_rest,
        "outdated": outdated,
        "started": run.started if run else None,
        "written": run.written if run else None,
        "jobs": jobs,
        "stages": stages,
        "plates": plate_table(jobs),
        "counts": counts,
        "rate": throughput(jobs, counts, run, alive),
        "left": time_left(stages, jobs, run, alive),
        "exclude": exclusions(jobs[jobs["State"].eq("failed")], config["plates"], screen.chunks),
    }


def stage_table(jobs, run=None, alive=False, logs=None):
    """Count the jobs of each rule by state.

    Parameters
    ----------
    jobs : pandas.DataFrame
        From :func:`profiling.results.states.job_states`.
    run : profiling.results.snakemake_files.Run, optional
        The last start.
    alive : bool
        Whether it is still going.
    logs : str or Path, optional
        Folder of logs and benchmarks.

    Returns
    -------
    pandas.DataFrame
        Stage, Rule, Jobs, a column of counts a state (capitalised), Again (jobs done that the run will make anew) and
        Seconds (mean of a job: of the last start's log, else of benchmark files, else NaN), in the order of the
        workflow.
    """
    order = list(dict.fromkeys(zip(jobs["Stage"], jobs["Rule"], strict=True)))
    counts = pd.crosstab([jobs["Stage"], jobs["Rule"]], jobs["State"]).reindex(columns=STATES, fill_value=0)
    table = counts.loc[order].rename(columns=str.capitalize).reset_index()
    table.insert(2, "Jobs", table[[state.capitalize() for state in STATES]].sum(axis=1))
    table["Again"] = 0
    if alive:
        begun = pd.Series([job.rule for job in run.jobs.values()], dtype="str").value_counts()
        planned = table["Rule"].map(run.planned).fillna(0) - table["Rule"].map(begun).fillna(0)
        table["Again"] = (planned - table["Waiting"]).clip(lower=0, upper=table["Done"]).astype(int)
    ended = jobs[jobs["State"].eq("done") & jobs["Ended"].notna() & jobs["Started"].notna()]
    seconds = (ended["Ended"] - ended["Started"]).dt.total_seconds().groupby(ended["Rule"]).mean()
    table["Seconds"] = table["Rule"].map(seconds).astype("float64")
    if logs is not None:
        for row in table[
            table["Seconds"].isna() & (table["Jobs"].gt(table["Done"]) | table["Again"].gt(0))
        ].itertuples():
            table.loc[row.Index, "Seconds"] = _benchmarked(Path(logs), row.Rule)
    table["Stage"] = pd.Categorical(table["Stage"], STAGES, ordered=True)
    return table.sort_values("Stage", kind="stable", ignore_index=True).astype({"Stage": "str"})


def _benchmarked(logs, rule):
    """Mean seconds of some jobs of a rule, from the benchmark files of any start; NaN where there are none."""
    one = logs / f"{rule}.tsv"
    files = [one] if one.is_file() else [path for i, path in zip(range(BENCHMARKS), (logs / rule).rglob("*.tsv"))]
    seconds = []
    for path in files:
        lines = path.read_text().splitlines()
        if len(lines) > 1:
            seconds.append(float(dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))["s"]))
    return np.mean(seconds) if seconds else np.nan


def plate_table(jobs):
    """State of each plate in each stage.

    Parameters
    ----------
    jobs : pandas.DataFrame
        From :func:`profiling.results.states.job_states`.

    Returns
    -------
    pandas.DataFrame
        A row a plate: Plate, State (``done``, ``failed``, ``running``, ``begun`` or ``waiting``), and a column a stage
        with ``done``, ``-`` (nothing yet) or ``3/9``, jobs done of all, followed by ``+2`` jobs at work or queued and
        ``!1`` failed or interrupted.
    """
    of_plates = jobs[jobs["Plate"].notna()]
    counts = pd.crosstab([of_plates["Plate"], of_plates["Stage"]], of_plates["State"])
    counts = counts.reindex(columns=STATES, fill_value=0)
    work = counts["running"] + counts["queued"]
    wrong = counts["failed"] + counts["interrupted"]
    jobs_in_all, done = counts.sum(axis=1), counts["done"]
    text = done.astype("str") + "/" + jobs_in_all.astype("str")
    text += pd.Series(np.where(work > 0, "+" + work.astype("str"), ""), text.index)
    text += pd.Series(np.where(wrong > 0, "!" + wrong.astype("str"), ""), text.index)
    text = text.mask(done.eq(jobs_in_all), "done").mask(done.eq(0) & work.eq(0) & wrong.eq(0), "-")
    table = (
        text.rename("Text").reset_index().pivot_table(index="Plate", columns="Stage", values="Text", aggfunc="first")
    )
    table = table.reindex(index=of_plates["Plate"].unique(), columns=list(PLATE_STAGES)).astype("object").fillna("-")
    per_plate = pd.DataFrame({"all": jobs_in_all, "done": done, "work": work, "wrong": wrong}).groupby("Plate").sum()
    per_plate = per_plate.loc[table.index]
    begun = np.select(
        [per_plate["done"].eq(per_plate["all"]), per_plate["wrong"].gt(0), per_plate["work"].gt(0),
         per_plate["done"].gt(0)],
        ["done", "failed", "running", "begun"], "waiting",
    )  # fmt: skip
    table.insert(0, "State", begun)
    return table.rename_axis(index="Plate", columns=None).reset_index()


def throughput(jobs, counts, run, alive, now=None):
    """Cells embedded a minute by the last start, from its first embedding to its last sign of life.

    Returns
    -------
    float
        NaN where it has embedded none.
    """
    embed = jobs[jobs["Rule"].eq("embed")]
    done = embed[embed["State"].eq("done")]
    mine = done[done["Ended"].notna()]
    if run is None or mine.empty:
        return np.nan
    end = (now or datetime.now()) if alive and embed["State"].eq("running").any() else mine["Ended"].max()
    minutes = (end - embed["Started"].min()).total_seconds() / 60
    return counts["cells_embedded"] / len(done) * len(mine) / minutes if minutes > 0 else np.nan


def time_left(stages, jobs, run, alive, now=None):
    """Seconds that the run needs from now on, at the pace it has had.

    The mean time of each rule's jobs times the jobs left, over the jobs that ran side by side so far. Jobs that wait
    in a scheduler's queue count as if they ran, so that the queue is part of the pace.

    Returns
    -------
    seconds : float
        NaN where nothing runs or nothing is known.
    unknown : list of str
        Rules with jobs left of which none was ever timed: the seconds are without them.
    """
    if not alive:
        return np.nan, []
    now = now or datetime.now()
    left = stages[["Running", "Queued", "Waiting", "Again"]].sum(axis=1)
    unknown = stages.loc[left.gt(0) & stages["Seconds"].isna(), "Rule"].tolist()
    work = float((left * stages["Seconds"]).sum())
    begun = jobs[jobs["Started"].notna() & jobs["State"].isin(["done", "running", "queued"])]
    lasted = (begun["Ended"].fillna(pd.Timestamp(now).as_unit("s")) - begun["Started"]).dt.total_seconds().clip(lower=0)
    elapsed = (now - run.started).total_seconds() if run.started else np.nan
    if not elapsed > 0 or not lasted.sum() > 0:
        return np.nan, unknown
    # A job at work is done by half on average.
    work -= float((stages["Running"] * stages["Seconds"]).sum()) / 2
    side_by_side = max(lasted.sum() / elapsed, 1.0)
    return work / side_by_side, unknown


def status_json(status):
    """The status as JSON text: the tables as lists of rows, times in ISO 8601, numbers that are unknown as null."""
    seconds, unknown = status["left"]
    content = {name: status[name] for name in ("results", "state", "outdated")}
    content |= {name: status[name] and status[name].isoformat() for name in ("started", "written")}
    content |= {
        "counts": status["counts"],
        "cells_per_minute": None if np.isnan(status["rate"]) else round(status["rate"], 1),
        "seconds_left": None if np.isnan(seconds) else round(seconds),
        "rules_never_timed": unknown,
        "exclude": status["exclude"],
        "stages": json.loads(status["stages"].to_json(orient="records")),
        "plates": json.loads(status["plates"].to_json(orient="records")),
    }
    unfinished = status["jobs"][~status["jobs"]["State"].isin(["done", "waiting"])]
    content["jobs"] = json.loads(unfinished.to_json(orient="records", date_format="iso"))
    return json.dumps(content, indent=1)


def status_lines(status, every_plate=False, now=None):
    """The status as lines of plain text, none wider than 100 columns.

    Parameters
    ----------
    status : dict
        From :func:`read_status`.
    every_plate : bool
        Whether finished plates and those not begun are listed too.
    """
    now = now or datetime.now()
    jobs, counts = status["jobs"], status["counts"]
    lines = [*_headline(status, now), *_totals(jobs, counts, status)]
    lines += ["", *_stage_lines(status["stages"])]
    lines += ["", *_plate_lines(status["plates"], every_plate)]
    lines += [part for line in status["outdated"] for part in ("", *textwrap.wrap(line, 100))]
    lines += _trouble_lines(status, Path(status["results"]).parent)
    return lines


def _headline(status, now):
    state = {
        "complete": "complete: every output exists",
        "outdated": "every output exists, but some are older than what they are made of",
        "not started": "no log of a run beside the results; told by the files alone",
        "stopped": "not complete, and no run is going",
    }.get(status["state"])
    if state is None:
        state = (
            f"running since {status['started']:%d %b %H:%M} ({_duration((now - status['started']).total_seconds())})"
        )
        silent = (now - status["written"]).total_seconds()
        state += f", last word {_duration(silent)} ago"
        if silent > SILENT:
            return [
                status["results"],
                state,
                "silent for long: long jobs, or a run that was killed (`snakemake --unlock`)",
            ]
    return [status["results"], state]


def _totals(jobs, counts, status):
    about = "about " if counts["estimated"] else ""
    failed = jobs["State"].eq("failed")
    chunks, others = int((failed & jobs["Chunk"].notna()).sum()), int((failed & jobs["Chunk"].isna()).sum())
    done = int(jobs["State"].eq("done").sum())
    lines = [
        f"{done:,} of {len(jobs):,} jobs done; {about}{counts['cells_segmented']:,} cells segmented, "
        f"{counts['cells_embedded']:,} embedded",
        f"lost: {counts['images_lost']:,} of {counts['images']:,} images, {counts['fields_lost']:,} of "
        f"{counts['fields']:,} fields; failed: {chunks:,} chunks, {others:,} other jobs",
    ]
    pace = [] if np.isnan(status["rate"]) else [f"{status['rate']:,.0f} cells/min embedded"]
    seconds, unknown = status["left"]
    if seconds > 0:
        pace.append(f"{'at least ' if unknown else 'about '}{_duration(seconds)} left")
    if unknown:
        pace.append(f"not timed yet: {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}")
    return [*lines, *textwrap.wrap("; ".join(pace), 100)]


def _stage_lines(rules):
    """One line a stage, its rules summed."""
    sums = rules.groupby("Stage", sort=False).sum(numeric_only=True)
    seconds = (rules["Seconds"] * rules["Jobs"]).groupby(rules["Stage"], sort=False).sum(min_count=1) / sums["Jobs"]
    lines = [f"{'stage':<14}{'done':>9}{'of':>9}{'running':>9}{'queued':>8}{'failed':>8}{'stopped':>9}{'again':>8}"
             f"{'s a job':>10}"]  # fmt: skip
    for stage, row in sums.iterrows():
        numbers = (row["Running"], row["Queued"], row["Failed"], row["Interrupted"], row["Again"])
        shown = [f"{int(n):,}" if n else "" for n in numbers]
        time = "" if pd.isna(seconds[stage]) else f"{seconds[stage]:,.1f}"
        lines.append(
            f"{stage:<14}{int(row['Done']):>9,}{int(row['Jobs']):>9,}{shown[0]:>9}{shown[1]:>8}{shown[2]:>8}"
            f"{shown[3]:>9}{shown[4]:>8}{time:>10}"
        )
    return lines


def _plate_lines(plates, every_plate):
    by_state = plates["State"].value_counts()
    words = {"done": "done", "failed": "with failed or stopped jobs", "running": "running", "begun": "begun",
             "waiting": "not begun"}  # fmt: skip
    told = ", ".join(f"{by_state[state]:,} {text}" for state, text in words.items() if state in by_state)
    lines = [f"{len(plates):,} plates: {told}"]
    shown = plates
    if not every_plate and len(plates) > MOST_PLATES:
        order = plates["State"].map({"failed": 0, "running": 1, "begun": 2})
        shown = plates.loc[order.dropna().sort_values(kind="stable").index]
    more = 0 if every_plate else max(len(shown) - MOST_PLATES, 0)
    shown = shown if every_plate else shown.head(MOST_PLATES)
    if len(shown):
        headings = [
            "images",
            "quality",
            "illum.",
            "segment",
            "overlay",
            "embed",
            "flags",
            "feature",
            "phenot.",
            "wells",
        ]
        width = min(max(shown["Plate"].str.len().max(), 5), 17)
        lines.append(f"{'plate':<{width}} " + "".join(f"{name:>8}" for name in headings))
        for row in shown.itertuples(index=False):
            name = row.Plate if len(row.Plate) <= width else f"{row.Plate[: width - 1]}…"
            lines.append(f"{name:<{width}} " + "".join(f"{_fit(text):>8}" for text in row[2:]))
        lines.append("3/9+2!1: 3 of 9 jobs done, 2 running or queued, 1 failed or stopped")
    if more:
        lines.append(f"and {more:,} more that are not done; --all lists every plate")
    return lines


def _fit(text):
    return text if len(text) <= 7 else f"{text.split('/')[0]}/.." + text[text.find("!") :] * ("!" in text)


def _trouble_lines(status, folder):
    """Jobs that failed, each with the last words of its log."""
    failed = status["jobs"][status["jobs"]["State"].eq("failed")]
    lines = []
    for row in failed.head(MOST_FAILURES).itertuples():
        place = "" if pd.isna(row.Plate) else f" plate {row.Plate}"
        place += "" if pd.isna(row.Chunk) else f" chunk {row.Chunk}"
        lines += ["", f"failed: {row.Rule}{place} ({row.Log})", *(f"  {line}" for line in _last_words(folder, row.Log))]
    if len(failed) > MOST_FAILURES:
        lines.append(f"and {len(failed) - MOST_FAILURES:,} more failed jobs; --json lists them")
    return lines + _exclude_lines(status["exclude"])


def _exclude_lines(values):
    """What to write into the plate table where a failure cannot be mended."""
    if not values:
        return []
    lines = [
        "",
        "where that cannot be mended, the screen ends without it by this in the plate table, column `exclude`",
        "(fewer wells, where a log names those that are the cause):",
    ]
    for plate, value in list(values.items())[:MOST_FAILURES]:
        lines += textwrap.wrap(f"{plate}: {value}", 98, initial_indent="  ", subsequent_indent="    ")
    if len(values) > MOST_FAILURES:
        lines.append(f"  and {len(values) - MOST_FAILURES:,} more plates; --json lists them")
    return lines


def _last_words(folder, log, most=3):
    """The error that a log ends with: from the command's own message on, else its last line."""
    try:
        with open(folder / log, "rb") as file:
            file.seek(max(file.seek(0, 2) - 4000, 0))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except (OSError, TypeError):
        return []
    starts = [number for number, line in enumerate(lines) if line.startswith("profiling ")]
    told = lines[starts[-1] :] if starts else lines[-1:]
    return [line if len(line) <= 96 else f"{line[:95]}…" for line in told[:most]]


def _duration(seconds):
    """Seconds in words, to two units."""
    minutes, seconds = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((place for place, (number, _) in enumerate(units) if number), 3)
    shown = [f"{number} {unit}" for number, unit in units[first : first + 2] if number]
    return " ".join(shown) or "0 s"
