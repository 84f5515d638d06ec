"""What is wrong with a results folder, in words."""

import json
from collections import defaultdict
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    file : str
        Path below the results folder.
    what, remedy : str
        In plain English.
    kind : str
        ``unfinished`` (not made yet), ``damaged`` (wrong in itself), ``disagrees`` (with another file or the
        configuration) or ``stray`` (does not belong there).
    """

    file: str
    what: str
    remedy: str
    kind: str = "damaged"


def again(file):
    """The remedy for a file that is wrong: Snakemake makes nothing again only because an intermediate was removed."""
    return f"run snakemake with `--forcerun results/{file}`, which makes it and what follows again"


def start(file):
    """The remedy for a file that the next start should make by itself."""
    return f"start the workflow; if it finds nothing to do, add `--forcerun results/{file}`"


def finding_lines(findings, most=5):
    """Findings as lines of text: files with the same trouble and remedy together, at most `most` of them named."""
    groups = defaultdict(list)
    for finding in findings:
        remedy = finding.remedy.replace(finding.file, "…")
        groups[finding.kind, finding.what, remedy].append(finding)
    lines = []
    for (kind, what, remedy), group in groups.items():
        names = [finding.file for finding in group]
        more = f" and {len(names) - most:,} more" if len(names) > most else ""
        lines += [f"{', '.join(names[:most])}{more}", f"  {kind}: {what}"]
        lines.append(f"  {group[0].remedy if len(group) == 1 else remedy}")
    return lines


def findings_json(findings):
    """Findings as JSON text: a list of objects with file, what, remedy and kind."""
    return json.dumps([finding._asdict() for finding in findings], indent=1)
