"""The report of an adaptation as Markdown."""

PLACES = {
    "well": "in other wells",
    "plate": "on other plates",
    "well, treatments not learned": "in other wells, treatments that were no labels",
    "plate, treatments not learned": "on other plates, treatments that were no labels",
}


def as_markdown(report, out):
    """What was done, what it gained on the cells that were held out, and what it cost.

    Parameters
    ----------
    report : dict
        From :func:`profiling.embeddings.adapt.jobs.adapt_backbone`.
    out : Path
        Of the weights.

    Returns
    -------
    str
    """
    learned, judged, cost = (report[name] for name in ("learned_from", "judged_on", "cost"))
    lines = [
        f"# {report['backbone']}, adapted",
        "",
        f"{out.name}: {report['objective']}; {cost['batches']} batches of {report['settings']['batch_size']} images, "
        f"{cost['cpu_seconds']:.0f} CPU seconds on {cost['device']}.",
        f"Learned from {_cells(learned)}; judged on {_cells(judged)}.",
        "",
        *_verdict(report),
    ]
    kinds = report["figures"]
    for place in next(iter(kinds.values()))["retrieval"]:
        first = kinds["frozen"]["retrieval"][place]
        lines += [
            "",
            f"## Neighbours of the same treatment {PLACES[place]}",
            "",
            f"Share among the 10 nearest cells, a mean over {first['treatments']} treatments ({first['wells']} wells). "
            f"By chance: {first['chance']:.3f}.",
            "",
            "| Features | Share | Gain against frozen | 95 % of resampled wells |",
            "| --- | --- | --- | --- |",
        ]
        for name, kind in kinds.items():
            row = kind["retrieval"][place]
            interval = "–" if name == "frozen" else "{:+.3f} to {:+.3f}".format(*row["gain_interval"])
            lines.append(f"| {name} | {row['hits']:.3f} | {row['gain']:+.3f} | {interval} |")
    lines += ["", "## Effective rank", "", "Directions that the features use; a fall to a few is a collapse.", ""]
    lines += ["| Features | Effective rank |", "| --- | --- |"]
    lines += [f"| {name} | {kind['effective_rank']:.1f} |" for name, kind in kinds.items()]
    lines += ["", "## To use it", "", "```yaml", "embedding:", f"  backbone: file:{out}", "```", ""]
    return "\n".join(lines)


def _cells(part):
    plates = ", ".join(part["plates"][:10]) + (" and others" if len(part["plates"]) > 10 else "")
    return f"{part['cells']} cells of {part['wells']} wells ({plates})"


def _verdict(report):
    """What the figures allow to say, in sentences."""
    retrieval = report["figures"]["adapted"]["retrieval"]
    judged = {place: row for place, row in retrieval.items() if row["wells"]}
    if not judged:
        return ["No treatment stands in two of the wells that were held out: whether anything was gained is not known."]
    place, row = list(judged.items())[-1]
    low, high = row["gain_interval"]
    if low > 0:
        said = "The adapted features find the same treatment more often than the frozen ones"
    elif high < 0:
        said = "Do not use them: the adapted features find the same treatment less often than the frozen ones"
    else:
        said = "No gain is shown: the interval of the difference in finding the same treatment holds 0"
    lines = [f"{said} {PLACES[place]} ({row['gain']:+.3f}; {low:+.3f} to {high:+.3f}; {row['wells']} wells)."]
    if report["settings"]["labels"] and not place.endswith("not learned"):
        lines.append("The treatments judged here were labels of the training: no evidence for other treatments.")
    if report["learned_from"]["plates"] == report["judged_on"]["plates"]:
        lines.append("One plate was split by wells: whether the gain carries over to another plate is not known.")
    return lines
