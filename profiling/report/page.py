"""The page: figures, tables and sentences put into the template."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import rc_context

from profiling.phenotypes.models import load_arrays
from profiling.report import figures, sections, segmentation
from profiling.report.drawing import CONTROL, OTHER, STYLE, new_figure, svg_uri
from profiling.report.plates import draw_plates, gradient
from profiling.report.summary import SEGMENTED, failures_by_stage, headline, stage_times

PACKAGES = (
    "profiling", "snakemake", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn", "scikit-image",
    "opencv-python-headless", "torch", "torchvision", "timm", "openTSNE", "matplotlib",
)  # fmt: skip

CHANNEL_COLOURS = ("blue", "green", "red", "yellow", "magenta", "cyan")
"""False colours of the thumbnails (`profiling.embeddings.crops.COLOURS`) in words."""

FIGURES = ("clusters", "treatments", "activity", "composition", "sweep", "variance")


def render(screen, results, plate_names, config, logs, settings, absent=()):
    """Write the report as one HTML text.

    Parameters
    ----------
    screen : dict of pandas.DataFrame
        From :func:`profiling.report.screen.read_screen`.
    results : str or Path
    plate_names : list of str
    config : dict
        The configuration, defaults included.
    logs : str or Path
        Folder of logs and benchmarks.
    settings : profiling.settings.Report
    absent : sequence of str
        Sentences on what the screen lacks. With any, the report says that it is partial, and counts no cell as lost.

    Returns
    -------
    str
    """
    alpha, k, unit = config["statistics"]["alpha"], cluster_count(results, config), config["unit"]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = sections.count
    counts = headline(results, plate_names)
    if absent and not (Path(results) / "failures.parquet").is_file():
        counts["failures"] = None
    colours = figures.compound_colours(screen["activity"])
    stages = stage_times(logs)
    plates = draw_plates(screen["wells"], screen["quality"], screen["fields"], screen["failures"], config, plate_names)
    overlays = segmentation.overlay_plates(segmentation.read_overlays(results, screen["fields"]), screen["flags"])
    return environment.get_template("template.html").render(
        title=settings.title,
        counts=counts,
        alpha=alpha,
        k=k,
        unit=unit,
        segmented=SEGMENTED[unit],
        models=config["models"],
        findings=findings(screen, counts, alpha, k, unit, config["models"] is not None, bool(absent)),
        absent=absent,
        legend=_legend(screen, colours),
        pictures=draw_all(screen, colours, alpha, k),
        plates=plates,
        plates_more=len(plate_names) - len(plates),
        gradient=gradient(),
        mapped=len(screen["map"]),
        cards=sections.cluster_cards(screen["sizes"], screen["gallery"], screen["enrichment"], alpha, unit),
        channels=list(zip(config["channels"], CHANNEL_COLOURS * 20, strict=False)),
        activity=sections.activity_grid(screen["activity"]),
        segmentation=segmentation.segmentation_grid(screen["fields"], screen["flags"]),
        flagged=segmentation.flagged_grid(screen["wells"]),
        overlays=overlays,
        outlines=segmentation.OUTLINES,
        overlays_more=screen["fields"]["Metadata_Plate"].nunique() - len(overlays),
        greys=segmentation.channels_drawn(config),
        quality=sections.quality_grid(screen["quality"], screen["flags"]),
        illumination=sections.illumination_grid(screen["limits"]),
        sweep=sections.sweep_grid(screen["clusters"]),
        variance=sections.variance_grid(screen["variance"]),
        failures=sections.failures_grid(screen["failures"], unit),
        failure_stages=failures_by_stage(screen["failures"]).to_dict("records"),
        stages=stages.to_dict("records"),
        longest=stages["Minutes"].max() if len(stages) else 0,
        minutes=stages["Minutes"].sum(),
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100),
        versions=versions(),
        backbone=read_backbone(results),
    )


@rc_context(STYLE)
def draw_all(screen, colours, alpha, k):
    """Figures by name as data URIs, None where there is nothing to show."""
    drawn = dict.fromkeys(FIGURES)
    cells, activity, variance, clusters = (screen[name] for name in ("map", "activity", "variance", "clusters"))
    if len(cells):
        drawn["clusters"] = svg_uri(_figure(5.4, 5.2, figures.draw_cluster_map, cells))
        drawn["treatments"] = svg_uri(_figure(5.4, 5.2, figures.draw_treatment_map, cells, colours))
    if activity["ControlDistance"].notna().any():
        rows = min(activity["Metadata_Compound"].nunique(), figures.MOST_ROWS)
        drawn["activity"] = svg_uri(_figure(8.6, 0.9 + 0.29 * rows, figures.draw_activity, activity))
    shares = figures.composition(screen["wells"], screen["enrichment"])
    if shares.size:
        size = 2.2 + 0.5 * shares.shape[1], 0.7 + 0.29 * shares.shape[0]
        drawn["composition"] = svg_uri(_figure(*size, figures.draw_composition, shares, screen["enrichment"], alpha))
    if len(clusters):
        figure = new_figure(10, 2.6)
        labels = {
            "Silhouette": "silhouette (higher is better)",
            "Stability": "stability (1 is best)",
            "PlateAssociation": "association with plates (0 is best)",
        }
        for axes, (column, label) in zip(figure.subplots(1, 3), labels.items(), strict=True):
            figures.draw_sweep(axes, clusters, k, column, label)
        drawn["sweep"] = svg_uri(figure)
    if variance["Ratio"].notna().any():
        drawn["variance"] = svg_uri(_figure(8.6, 0.8 + 0.4 * len(variance), figures.draw_variance, variance))
    return drawn


def findings(screen, counts, alpha, k, unit="cell", frozen=False, partial=False):
    """The screen in a few sentences.

    There is none on the fit of frozen clusters, which is another screen's, nor on cells that a partial report lacks.
    """
    sentences = []
    activity = screen["activity"]
    if len(activity):
        sentence = f"{int(activity['Active'].sum())} of {len(activity)} treatments are active (q < {alpha:g})"
        far = activity[activity["Active"].astype(bool)].sort_values("ControlDistance", ascending=False, kind="stable")
        names = ", ".join(far["Metadata_Compound"].drop_duplicates().head(3))
        sentences.append(sentence + (f"; farthest from the controls: {names}." if names else "."))
        least = activity["AttainablePValue"].median()
        if least > alpha / 10:
            sentences.append(
                f"Few wells a treatment: half of the treatments cannot reach a p-value below "
                f"{sections.p_value(least)}, however strong they are."
            )
    for test in screen["variance"].dropna(subset=["Ratio"]).head(1).itertuples():
        sentences.append(
            f"Replicates vary {sections.number(test.Ratio)} times as much as treatments differ, "
            f"{sections.number(test.NullMedian)} times with shuffled labels "
            f"(p = {sections.p_value(test.PValue)})."
        )
    at_k = screen["clusters"][screen["clusters"]["K"].eq(k)]
    if len(at_k) and not frozen:
        stability, association = (at_k[name].mean() for name in ("Stability", "PlateAssociation"))
        sentence = f"The {k} clusters reach a stability of {sections.decimals(stability)} (1: every refit agrees)"
        if pd.notna(association):
            sentence += f" and an association with plates of {sections.decimals(association)} (0: none)"
        sentences.append(f"{sentence}.")
    failed = len(segmentation.flagged_fields(screen["flags"]))
    if failed:
        sentences.append(
            f"The segmentation of {failed:,} of {len(screen['fields']):,} fields has a score so low that it probably "
            "failed; the lowest are shown under Segmentation."
        )
    few = int(screen["wells"]["FewCells"].sum())
    if few:
        sentences.append(f"{few:,} of {len(screen['wells']):,} imaged wells have too few {unit}s and are in no test.")
    if partial:
        sentences.append(f"{counts['images_lost']:,} of {counts['images']:,} images listed so far are lost.")
    elif counts["failures"]:
        sentences.append(
            f"{counts['images_lost']:,} of {counts['images']:,} images were lost; "
            f"{counts['cells_segmented'] - counts['cells_profiled']:,} of {counts['cells_segmented']:,} {unit}s "
            f"have no profile. Every loss is listed with its reason."
        )
    return sentences


def cluster_count(results, config):
    """Clusters in use: as the configuration says, or as many as the frozen models have."""
    model = Path(results) / "models" / "clusters.npz"
    frozen = config["models"] is not None and model.is_file()
    return len(load_arrays(model)["centres"]) if frozen else config["clusters"]["k"]


def versions():
    """(name, version) of Python and of the packages that the numbers depend on."""
    found = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def read_backbone(results):
    """(name, value) of what is recorded of the network and its weights; nothing where it is absent."""
    path = Path(results) / "models" / "backbone.json"
    recorded = json.loads(path.read_text()) if path.is_file() else {}
    return [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in recorded.items()]


def _legend(screen, colours):
    """(label, colour) of the treatment map, without what it does not show."""
    cells = screen["map"]
    entries = [(name, colour) for name, colour in colours.items() if cells["Metadata_Compound"].eq(name).any()]
    control = cells["Metadata_Role"].eq("negative_control")
    if control.any():
        entries.append(("negative controls", CONTROL))
    if (~control & ~cells["Metadata_Compound"].isin(colours)).any():
        entries.append(("other", OTHER))
    return entries


def _figure(width, height, draw, *arguments):
    figure = new_figure(width, height)
    draw(figure.subplots(), *arguments)
    return figure
