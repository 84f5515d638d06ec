"""Outputs that are older than what they are made of: a run stopped, or was told to stop, between the two."""

import os

MADE_OF = {
    "fields/{plate}.parquet": ("chunks/{plate}/{chunk}/fields.parquet",),
    "cells/{plate}.parquet": ("chunks/{plate}/{chunk}/cells.parquet",),
    "features/{plate}.parquet": (
        "models/reduction.npz", "models/scalers/{plate}.npz", "flags/{plate}.parquet", "cell_flags/{plate}.parquet",
        "platemaps/{plate}.parquet", "embeddings/{plate}.parquet", "cells/{plate}.parquet",
    ),
    "phenotypes/{plate}.parquet": ("features/{plate}.parquet", "models/clusters.npz", "models/map.npz"),
    "chunks/{plate}/wells.parquet": ("phenotypes/{plate}.parquet", "fields/{plate}.parquet"),
    "wells.parquet": ("chunks/{plate}/wells.parquet",),
    "treatments.parquet": ("wells.parquet",),
    "enrichment.parquet": ("wells.parquet",),
    "activity.parquet": ("wells.parquet",),
    "failures.parquet": ("fields/{plate}.parquet", "cells/{plate}.parquet"),
    "report.html": ("wells.parquet", "enrichment.parquet", "activity.parquet", "phenotypes/{plate}.parquet"),
}  # fmt: skip
"""Output → what it is made of; a fit over more plates makes all of them anew."""


OLDER = "older than a file that it is made of; the next start makes it anew, unless only that file's time changed."
"""Snakemake compares the content of small files."""


def outdated_lines(results, screen):
    """Sentences on outputs that are older than what they are made of.

    Examines the times of files alone, a few dozen a plate.

    Parameters
    ----------
    results : str or Path
    screen : profiling.results.layout.Screen

    Returns
    -------
    list of str
    """
    times = {}

    def changed(file):
        if file not in times:
            try:
                times[file] = os.path.getmtime(os.path.join(results, file))
            except OSError:
                times[file] = None
        return times[file]

    def is_older(output, sources, plates):
        made = changed(output)
        files = (file for source in sources for file in _files(source, plates, screen.chunks))
        return made is not None and any((time := changed(file)) is not None and time > made for file in files)

    lines = []
    for output, sources in MADE_OF.items():
        if "{plate}" not in output:
            older, of = is_older(output, sources, screen.chunks), ""
        else:
            older = [plate for plate in screen.chunks if is_older(output.format(plate=plate), sources, [plate])]
            of = f" of {name_plates(older)}"
        if older:
            lines.append(f"{output.format(plate='PLATE')}{of}: {OLDER}")
    return lines


def _files(source, plates, chunks):
    """Paths of a source over plates and their chunks."""
    if "{plate}" not in source:
        return [source]
    numbers = {plate: range(1, chunks[plate] + 1) if "{chunk}" in source else [1] for plate in plates}
    return [source.format(plate=plate, chunk=chunk) for plate in plates for chunk in numbers[plate]]


def name_plates(names):
    """Plates in a sentence."""
    return f"plate{'s' if len(names) != 1 else ''} {', '.join(names)}"
