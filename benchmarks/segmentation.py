"""Quality and speed of segmentation against instance labels.

    python -m benchmarks.segmentation FOLDER [--engine NAME] [--diameter PX] [--holdout 5] [--table FILE] ...
    python -m benchmarks.segmentation FOLDER --sweep noise
    python -m benchmarks.segmentation --simulated [FOLDER]

FOLDER holds `images/NAME.png` and `labels/NAME.png` (or TIFF), the labels being instance label images with
background 0, and perhaps `index.csv`, whose first column is the image's name and whose column `field_group` says
which images are parts of one field. What the figures mean stands in benchmarks/README.md and in
profiling/cells/matching.py.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import cc3d
import cv2
import fastremap
import numpy as np
import pandas as pd

from benchmarks.cellprofiler_primary import identify_primary_objects
from benchmarks.degradation import SWEEPS
from benchmarks.labelled_fields import (
    SUFFIXES,
    Field,
    choose_fields,
    list_fields,
    read_field,
    read_fields,
    read_flat,
    simulate_fields,
)
from profiling.cells import load_segmenter
from profiling.cells.cytoplasm import median_diameter
from profiling.cells.matching import (
    THRESHOLDS,
    average_precision,
    count_errors,
    count_matches,
    find_overlaps,
    intersections_over_unions,
    match_counts,
    mean_matched_iou,
)
from profiling.files import whole_file
from profiling.images import read_image

__all__ = ["average_precision", "evaluate", "match_counts", "summarise"]

CELLPROFILER = "cellprofiler"
COLUMNS = [f"{round(100 * threshold)}" for threshold in THRESHOLDS]


def compare(truth, predicted):
    """Figures of one image: a dict of numbers, the columns of `evaluate` from `TrueObjects` to `MatchedIoU`."""
    overlaps = find_overlaps(truth, predicted)
    counts = count_matches(overlaps)
    return {
        "TrueObjects": len(overlaps.truth_areas),
        "PredictedObjects": len(overlaps.predicted_areas),
        **{f"TP{name}": int(tp) for name, tp in zip(COLUMNS, counts[:, 0])},
        **{f"AP{name}": float(ap) for name, ap in zip(COLUMNS, average_precision(counts))},
        **count_errors(overlaps),
        "MatchedIoU": mean_matched_iou(overlaps),
    }


def without_specks(truth, predicted, smallest):
    """Both label images without the objects that are smaller than a share of the median true object.

    Objects are matched first (IoU > 0.5): a predicted object goes with the speck that it matches, and stays with the
    larger object that it matches, whatever its own area.
    """
    overlaps = find_overlaps(truth, predicted)
    limit = smallest * np.median(overlaps.truth_areas) if len(overlaps.truth_areas) else 0
    specks, gone = overlaps.truth_areas < limit, overlaps.predicted_areas < limit
    pairs = intersections_over_unions(overlaps) > THRESHOLDS[0]
    gone[overlaps.predicted[pairs]] = specks[overlaps.truth[pairs]]
    cut = []
    for labels, dropped in ((truth, specks), (predicted, gone)):
        numbers = fastremap.renumber(np.ascontiguousarray(labels))[0]
        cut.append(np.where(np.r_[False, dropped][numbers], 0, numbers))
    return cut


def evaluate(fields, segment, smallest=0.0):
    """Segment fields and compare each with its labels. The first field is segmented twice, once to warm up.

    Parameters
    ----------
    fields : iterable of Field
        Read one after the other, so that memory does not grow with their number.
    segment : callable
        `segment(field)`: Field → (H, W) labels.
    smallest : float
        See `without_specks`.

    Returns
    -------
    DataFrame
        A row a field: `Image`, `Group`, `Height`, `Width`, `TrueObjects`, `PredictedObjects`, at each IoU
        threshold the matches `TP50`… and `AP50`… = tp / (tp + fp + fn), `Split`, `Merged`, `Missed`,
        `Spurious`, `MatchedIoU` (mean IoU of the matches at 0.5, NaN without), `Seconds` (wall clock) and
        `CPUSeconds` (of all threads of the process).
    """
    rows = []
    for number, field in enumerate(fields):
        if number == 0:
            segment(field)
        wall, processor = time.perf_counter(), time.process_time()
        predicted = segment(field)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        height, width = field.image.shape
        place = {"Image": field.name, "Group": field.group, "Height": height, "Width": width}
        judged = (
            compare(*without_specks(field.truth, predicted, smallest)) if smallest else compare(field.truth, predicted)
        )
        rows.append({**place, **judged, "Seconds": wall, "CPUSeconds": processor})
    return pd.DataFrame(rows)


def summarise(table):
    """Average precision at each threshold: mean over images, over groups of images, and pooled over objects.

    Parameters
    ----------
    table : DataFrame
        From `evaluate`.

    Returns
    -------
    DataFrame
        A row a threshold.
    """
    tp = table[[f"TP{name}" for name in COLUMNS]].to_numpy().sum(0)
    n_truth, n_predicted = table["TrueObjects"].sum(), table["PredictedObjects"].sum()
    aps = table[[f"AP{name}" for name in COLUMNS]]
    return pd.DataFrame(
        {
            "IoU": THRESHOLDS,
            "AP, mean over images": aps.mean().to_numpy(),
            "AP, mean over groups": aps.groupby(table["Group"]).mean().mean().to_numpy(),
            "AP, pooled": average_precision(np.stack([tp, n_predicted - tp, n_truth - tp], axis=1)),
        }
    )


def summarise_errors(table):
    """Counts, errors, outlines and time of a table of `evaluate`: a dict of numbers."""
    n_truth = int(table["TrueObjects"].sum())
    difference = table["PredictedObjects"] - table["TrueObjects"]
    return {
        "fields": len(table),
        "true": n_truth,
        "predicted": int(table["PredictedObjects"].sum()),
        "count error a field": float(difference.abs().mean()),
        "count error share": float(difference.abs().sum() / max(n_truth, 1)),
        "split": int(table["Split"].sum()),
        "merged": int(table["Merged"].sum()),
        "missed": int(table["Missed"].sum()),
        "spurious": int(table["Spurious"].sum()),
        "matched IoU": float((table["MatchedIoU"] * table["TP50"]).sum() / max(table["TP50"].sum(), 1)),
        "seconds": float(table["Seconds"].mean()),
        "median seconds": float(table["Seconds"].median()),
        "CPU seconds": float(table["CPUSeconds"].mean()),
    }


def brief(tables):
    """One line a table: AP at 0.5 and 0.75, mean over images and pooled, and the errors.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Tables of `evaluate` by name.

    Returns
    -------
    DataFrame
    """
    rows = []
    for name, table in tables.items():
        ap = summarise(table).set_index("IoU")
        errors = summarise_errors(table)
        rows.append(
            {
                "": name,
                "fields": errors["fields"],
                "true": errors["true"],
                "predicted": errors["predicted"],
                "AP50": ap.loc[0.5, "AP, mean over images"],
                "AP75": ap.loc[0.75, "AP, mean over images"],
                "pooled 50": ap.loc[0.5, "AP, pooled"],
                "pooled 75": ap.loc[0.75, "AP, pooled"],
                **{kind: errors[kind] for kind in ("split", "merged", "missed", "spurious")},
                "IoU": errors["matched IoU"],
                "s": errors["seconds"],
                "CPU s": errors["CPU seconds"],
            }
        )
    return pd.DataFrame(rows)


def nuclei_engine(engine, diameter, settings, predicted=None):
    """Make the function from `Field` to labels that is to be judged.

    Parameters
    ----------
    engine : str
        An engine of `profiling.cells`, or "cellprofiler" for the steps of its IdentifyPrimaryObjects.
    diameter : float or None
        Of a nucleus, px; None has it estimated (CellProfiler: its default range, 10 to 40 px).
    settings : dict
        Further settings of the engine.
    predicted : Path, optional
        Folder of label images NAME.png or NAME.tif from elsewhere, judged in the place of an engine.

    Returns
    -------
    callable
    """
    if predicted is not None:
        masks = {path.stem: path for path in sorted(predicted.iterdir()) if path.suffix in SUFFIXES}
        return lambda field: read_image(masks[field.name])
    if engine == CELLPROFILER:
        limits = (10, 40) if diameter is None else (0.5 * diameter, 2 * diameter)
        return lambda field: identify_primary_objects(field.image, *limits, **settings)
    segmenter = load_segmenter(engine, nucleus_diameter=diameter, **settings)
    return lambda field: segmenter.segment(field.image)


def sweep(name, fields, make_engine, diameter, seed):
    """Evaluate degraded fields step by step.

    Parameters
    ----------
    name : str
        One of `SWEEPS`.
    fields : DataFrame
        From `list_fields`.
    make_engine : callable
        From a diameter (float or None) to `segment(field)`.
    diameter : float or None
        Given diameters follow the scale, as a diameter in µm does.
    seed : int

    Yields
    ------
    step : float
    table : DataFrame
        Of `evaluate`, with `Coverage`, the share of the fields that true nuclei cover, and `Diameter`, px.
    """
    steps, _, degrade = SWEEPS[name]
    for step in steps:
        truths = []
        segment = make_engine(diameter * step if diameter and name == "scale" else diameter)
        table = evaluate(_degraded(fields, degrade, step, seed, truths), segment)
        yield step, table.assign(Coverage=[t[0] for t in truths], Diameter=[t[1] for t in truths])


def _degraded(fields, degrade, step, seed, truths):
    """Degraded fields one by one; the coverage and the diameter of each are appended to `truths`."""
    for number, row in enumerate(fields.itertuples()):
        peers = fields[(fields["Kind"] == row.Kind) & (fields["Group"] != row.Group)]
        peers = fields[fields["Image"] == row.Image] if peers.empty else peers
        field = degrade(read_field(row), step, np.random.default_rng([seed, number]), partial(_draw, peers))
        truths.append(((field.truth > 0).mean(), median_diameter(field.truth)))
        yield field


def _draw(fields, rng):
    return read_field(next(fields.iloc[[rng.integers(len(fields))]].itertuples()))


def evaluate_simulated(fields, segment, segment_cells):
    """Evaluate on the simulator's fields: nuclei, cells from the true nuclei, and cells from the engine's.

    Parameters
    ----------
    fields : DataFrame
        From `simulate_fields`.
    segment : callable
        `segment(field)`: Field → nuclei.
    segment_cells : callable
        `segment_cells(nuclei, image)` → cells.

    Returns
    -------
    dict of str to DataFrame
        Tables of `evaluate`.
    """

    def read(image, flat, truth):
        for row in fields.itertuples():
            pixels = read_flat(getattr(row, image), getattr(row, flat))
            yield Field(row.Image, row.Group, pixels, read_image(getattr(row, truth)))

    def pieces(labels):  # in the simulator's truth the nuclei of one cell share its label
        return cc3d.connected_components(labels, connectivity=8, out_dtype=np.uint32)

    nuclei = list(read("Nuclei", "NucleiFlat", "NucleiTruth"))
    cells = list(read("Cytoplasm", "CytoplasmFlat", "CellsTruth"))
    true_nuclei = {field.name: field.truth.astype(np.uint32) for field in nuclei}
    found_nuclei = {field.name: segment(field).astype(np.uint32) for field in nuclei}
    return {
        "nuclei": evaluate((field._replace(truth=pieces(field.truth)) for field in nuclei), segment),
        "cells from true nuclei": evaluate(cells, lambda field: segment_cells(true_nuclei[field.name], field.image)),
        "cells from the engine's nuclei": evaluate(
            cells, lambda field: segment_cells(found_nuclei[field.name], field.image)
        ),
    }


def limit_threads(count):
    """Let this process run on `count` cores, and the libraries in it start as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ["OMP_NUM_THREADS"] = str(count)  # read by libraries that are loaded later
    cv2.setNumThreads(count)


def write_table(path, table):
    """Write a table as Parquet or CSV, by the suffix of the path."""
    with whole_file(path) as temporary:
        table.to_parquet(temporary) if path.suffix == ".parquet" else table.to_csv(temporary, index=False)


def print_result(table, by):
    """Print the figures of a table of `evaluate`, and one line for each kind of image or group."""
    print(summarise(table).to_string(index=False, float_format="%.3f"))
    errors = summarise_errors(table)
    print(
        "{fields} fields, {true} true and {predicted} predicted objects\n"
        "count error {count error a field:.2f} a field in the mean, {count error share:.1%} of all objects\n"
        "{split} split, {merged} merged, {missed} missed, {spurious} spurious; "
        "mean IoU of matches {matched IoU:.3f}\n"
        "{seconds:.3f} s a field (median {median seconds:.3f}; {CPU seconds:.3f} s of processor time)".format(**errors)
        + f" on {_cores()} cores, after warming up"
    )
    if by:
        keys = table["Height"].astype(str) + "x" + table["Width"].astype(str) if by == "kind" else table["Group"]
        print(brief({str(key): part for key, part in table.groupby(keys)}).to_string(index=False, float_format="%.3f"))


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def parse_setting(text):
    """Turn NAME=VALUE from the command line into a pair; numbers and booleans become such."""
    name, _, value = text.partition("=")
    for convert in (int, float):
        try:
            return name, convert(value)
        except ValueError:
            pass
    return name, {"true": True, "false": False, "none": None}.get(value.lower(), value)


def _list(text):
    """Names separated by commas, or one a line in a file."""
    return Path(text).read_text().split() if Path(text).is_file() else text.split(",")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="with images/ and labels/")
    parser.add_argument("--engine", default="classical", help="of profiling.cells, or cellprofiler")
    parser.add_argument("--diameter", type=float, help="nucleus diameter in px (estimated per image if absent)")
    parser.add_argument("--set", type=parse_setting, action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--predicted", type=Path, help="folder of label images to judge in the place of an engine")
    parser.add_argument("--groups-column", default="field_group", help="column of index.csv that names the groups")
    parser.add_argument("--holdout", type=int, metavar="N", help="only groups whose number is a multiple of N")
    parser.add_argument("--groups", type=_list, metavar="LIST|FILE", help="only these groups")
    parser.add_argument("--kind", metavar="HxW", help="only images of this size")
    parser.add_argument("--limit", type=int, help="at most this many images, evenly spaced")
    parser.add_argument(
        "--smallest",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="ignore objects smaller than this share of the median true area",
    )
    parser.add_argument("--by", choices=("kind", "group"), help="a line for each kind of image (its size) or group")
    parser.add_argument("--sweep", choices=SWEEPS, action="append", help="degrade the fields step by step")
    parser.add_argument("--simulated", action="store_true", help="simulate fields, in FOLDER or a temporary one")
    parser.add_argument("--seed", type=int, default=7000, help="of the simulator and of the sweeps")
    parser.add_argument("--threads", type=int, help="cores to run on (all if absent)")
    parser.add_argument("--table", type=Path, help="the figures of every image, .csv or .parquet")
    options = parser.parse_args(arguments)
    if options.table and options.table.suffix not in (".csv", ".parquet"):
        parser.error("--table must end in .csv or .parquet")
    if options.folder is None and not options.simulated:
        parser.error("name a FOLDER, or --simulated")
    if options.sweep and (options.predicted or options.simulated):
        parser.error("--sweep needs labelled fields and an engine")
    if options.smallest and (options.sweep or options.simulated):
        parser.error("--smallest is for labelled fields as they are")
    return options


def main(arguments=None):
    """Run the benchmark from the command line."""
    options = parse(arguments)
    if options.threads:
        limit_threads(options.threads)
    settings = dict(options.settings)

    def make_engine(diameter):
        return nuclei_engine(options.engine, diameter, settings, options.predicted)

    if options.simulated:
        with tempfile.TemporaryDirectory() as temporary:
            fields = simulate_fields(options.folder or temporary, options.seed)
            segmenter = None if options.engine == CELLPROFILER else load_segmenter(options.engine, **settings)
            cells = (segmenter or load_segmenter()).segment_cells
            tables = evaluate_simulated(fields, make_engine(options.diameter), cells)
        for name, table in tables.items():
            print(name)
            print_result(table, options.by)
            print()
        table = pd.concat([table.assign(Objects=name) for name, table in tables.items()], ignore_index=True)
    else:
        fields = list_fields(options.folder, options.groups_column)
        fields = choose_fields(fields, options.holdout, options.groups, options.kind, options.limit)
        if not options.sweep:
            table = evaluate(read_fields(fields), make_engine(options.diameter), options.smallest)
            print_result(table, options.by)
        else:
            table = run_sweeps(options.sweep, fields, make_engine, options.diameter, options.seed)
    if options.table:
        write_table(options.table, table)


def run_sweeps(names, fields, make_engine, diameter, seed):
    """Run and print sweeps; the tables of all steps, with columns `Sweep` and `Step`."""
    tables = []
    for name in names:
        steps = dict(sweep(name, fields, make_engine, diameter, seed))
        lines = brief({f"{step:g}": table for step, table in steps.items()})
        lines["coverage"] = [table["Coverage"].mean() for table in steps.values()]
        lines["diameter"] = [table["Diameter"].median() for table in steps.values()]
        print(f"{name} ({SWEEPS[name].unit})")
        print(lines.to_string(index=False, float_format="%.3f"), end="\n\n")
        tables += [table.assign(Sweep=name, Step=step) for step, table in steps.items()]
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main()
