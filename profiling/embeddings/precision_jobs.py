"""The choice of the arithmetic of a screen, on a sample of its own cells."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from profiling.devices import cpu_has_bf16
from profiling.embeddings import precision as check
from profiling.embeddings.jobs import embed_fields, load_engine, runs_on_cpu
from profiling.embeddings.reading import crop_sides, read_fields, read_scaling
from profiling.files import whole_file
from profiling.images.fields import read_flatfields
from profiling.progress import log
from profiling.sampling import key_hash
from profiling.tables import FIELD_KEY, read_table

FIELDS, CELLS = 48, 1000


def choose_precision(
    images, folder, flatfields, limits, segmented, labels, backbone, channels, settings, out, threads=1
):
    """Embed a sample of a plate's cells in fp32 and bf16, and record whether bf16 may be taken.

    Parameters
    ----------
    images, folder, flatfields, limits, backbone, channels, settings, threads
        As in :func:`profiling.embeddings.jobs.embed`.
    segmented, labels : list of str or Path
        The tables `segmented` and the folders of label images of the plate's chunks, in the same order.
    out : str or Path
        JSON: the plate, the settings, the precision taken and the figures it rests on.
    """
    plate = Path(images).stem
    cells, folders = sample_cells([read_table(path, "segmented", columns=None) for path in segmented], labels)
    found = {"plate": plate, "cells": len(cells), "settings": settings.changed()}
    if len(cells) < check.MINIMUM_CELLS:
        found |= {"precision": "fp32", "reason": f"{len(cells)} cells are too few for a check"}
    elif not has_bf16(settings):
        found |= {"precision": "fp32", "reason": "the hardware has no bf16"}
    else:
        channels = settings.composite or channels
        flats = read_flatfields(flatfields, channels)
        scaling = read_scaling(flats, limits)
        crop = crop_sides(settings, cells, flats)
        images = read_table(images, "images")

        def features(precision):
            chosen = settings.model_copy(update={"precision": precision})
            engine = load_engine(chosen, backbone, scaling, crop, threads)
            _, fields = read_fields(cells, images, folder, flats, lambda rows: folders[rows.index[0]], chosen)
            parts = [result.features for _, result in embed_fields(engine, fields) if result is not None]
            return np.concatenate([np.zeros((0, engine.width), np.float32), *parts])

        with threadpool_limits(1):
            found |= judge(features("fp32"), features("bf16"))
    log.info("precision %s: %s", found["precision"], found["reason"])
    with whole_file(out) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n")


def judge(reference, other):
    """The precision to take for features in fp32 and in bf16 of the same cells, why, and the figures."""
    if len(reference) < check.MINIMUM_CELLS:
        return {"precision": "fp32", "reason": f"{len(reference)} cells that can be read are too few for a check"}
    found = check.compare(reference, other)
    figures = {name: round(value, 4) for name, value in found._asdict().items()}
    reason = (
        f"in bf16 {found.neighbours:.1%} of the nearest neighbours are those of fp32 (needed: {check.KNN_NEEDED:.0%}) "
        f"and clusters agree with ARI {found.clusters:.3f} (needed: {check.CLUSTERS_NEEDED * found.ceiling:.3f}, "
        f"{check.CLUSTERS_NEEDED:.0%} of that between two fp32 seeds)"
    )
    return {"precision": "bf16" if found.passes() else "fp32", "reason": reason, **figures}


def sample_cells(tables, labels):
    """About 1,000 cells from few fields, both chosen by hashes of keys, and the label folder of each cell.

    Parameters
    ----------
    tables : list of pandas.DataFrame
        Cells of chunks.
    labels : list of str or Path
        Folder of label images of each chunk.

    Returns
    -------
    cells : pandas.DataFrame
    folders : pandas.Series
        By the index of the cells.
    """
    cells = pd.concat(tables, ignore_index=True)
    folders = pd.Series(np.repeat([str(path) for path in labels], [len(table) for table in tables]))
    fields = cells[FIELD_KEY].drop_duplicates()
    fields = fields.iloc[np.argsort(key_hash(fields.assign(Metadata_CellID=0)), kind="stable")[:FIELDS]]
    inside = pd.MultiIndex.from_frame(cells[FIELD_KEY]).isin(pd.MultiIndex.from_frame(fields))
    positions = np.flatnonzero(inside)
    chosen = np.argsort(key_hash(cells.iloc[positions]), kind="stable")[:CELLS] if len(positions) else []
    positions = np.sort(positions[chosen])
    return cells.iloc[positions], folders.iloc[positions]


def has_bf16(settings):
    """Whether the hardware of the settings computes in bf16."""
    if runs_on_cpu(settings):
        return cpu_has_bf16()
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
