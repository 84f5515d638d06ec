"""What a screen has made and lost so far, from the footers of its tables."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MOST_FOOTERS = 300
"""Footers that are read for one count; where there are more files, as many of them spread evenly stand for all."""


def count_so_far(results, screen, present):
    """Images, fields and cells of a screen that has not ended.

    Parameters
    ----------
    results : str or Path
    screen : profiling.results.layout.Screen
    present : set of str
        From :func:`profiling.results.states.list_outputs`.

    Returns
    -------
    dict
        images, images_lost, fields, fields_lost, cells_segmented and cells_embedded: int; estimated: whether any of
        them is scaled up from a sample of the files.
    """
    counts = {}
    estimated = []
    for name, lost, sources in (
        ("images", "images_lost", ("quality", "images")),
        ("fields", "fields_lost", ("fields",)),
        ("cells_segmented", None, ("segmented",)),
        ("cells_embedded", None, ("embeddings",)),
    ):
        rows, reasons, scaled = _count(results, _files(screen, present, sources), lost is not None)
        counts[name] = rows
        if lost:
            counts[lost] = reasons
        estimated.append(scaled)
    return {**counts, "estimated": any(estimated)}


def _files(screen, present, sources):
    """A plate's merged table, of the first source that it has, else the pieces of its chunks."""
    files = []
    for plate, chunks in screen.chunks.items():
        choices = [[f"{source}/{plate}.parquet"] for source in sources]
        pieces = [f"chunks/{plate}/{chunk}/{sources[0]}.parquet" for chunk in range(1, chunks + 1)]
        choices.insert(1, [path for path in pieces if path in present])
        if sources == ("quality", "images") and len(choices[1]) < chunks:
            choices.pop(1)
        files += next((choice for choice in choices if choice and choice[0] in present), [])
    return files


def _count(results, files, with_reasons):
    """Rows of the files, those that have a Reason, and whether a sample stands for them."""
    sample = files
    if len(files) > MOST_FOOTERS:
        sample = [files[i] for i in np.linspace(0, len(files) - 1, MOST_FOOTERS).astype(int)]
    rows = reasons = 0
    for path in sample:
        try:
            footer = pq.read_metadata(Path(results) / path)
        except (OSError, pa.ArrowInvalid):
            continue
        rows += footer.num_rows
        if with_reasons:
            reasons += _with_reason(footer)
    scale = len(files) / max(len(sample), 1)
    return round(rows * scale), round(reasons * scale), len(sample) < len(files)


def _with_reason(footer):
    column = next((i for i in range(footer.num_columns) if footer.schema.column(i).name == "Reason"), None)
    if column is None:
        return 0
    parts = [footer.row_group(group).column(column) for group in range(footer.num_row_groups)]
    # A column without statistics holds nulls alone in files of old writers; it then counts as no loss.
    return sum(part.num_values - part.statistics.null_count for part in parts if part.statistics)
