"""`profiling adapt-backbone`: a network adapted to the cells of a screen, with a report of what that gained."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from profiling.config import find_plate, parse_settings
from profiling.embeddings.adapt.cells import every, hold_out, list_cells, read_crops, sample
from profiling.embeddings.adapt.judge import balanced, effective_rank, gain_interval, retrieval
from profiling.embeddings.adapt.report import as_markdown
from profiling.errors import ProfilingError
from profiling.files import sort_header, whole_file
from profiling.kept_config import screen_config
from profiling.progress import log

GOAL = "frozen, rotations: 4"
FORMAT = "profiling adapted backbone 1"
COLLAPSED = 0.25  # of the effective rank that the goal of the training has


def adapt_backbone(results, out, settings, device="auto", threads=1):
    """Adapt the backbone of a screen that has run to its own cells; judge it on plates that were held out.

    Parameters
    ----------
    results : str or Path
        Results folder in the screen's working directory.
    out : str or Path
        ``.safetensors``; the report is written beside it as ``.json`` and ``.md``, and while the training goes on
        ``.checkpoint``.
    settings : profiling.embeddings.adapt.settings.Adaptation
    device : {"auto", "cuda", "mps", "cpu"}
    threads : int

    Returns
    -------
    dict
        The report.

    Raises
    ------
    ProfilingError
        If results, cells or images are absent, or `out` cannot be written or is there already.
    """
    results, out = Path(results), Path(out)
    _check_out(out, results)
    config = screen_config(results)
    plates = [find_plate(config, plate).plate for plate in settings.plates] or _finished(results, config)
    embedding = parse_settings("embedding", json.dumps(config.resolved("embedding")))
    cells = list_cells(results, plates, max(settings.cells, settings.judged))
    held = hold_out(cells, settings.hold_out)
    learned_rows = cells[~held]
    # Never labels, on any plate: so the features can be judged on treatments that they were not trained to tell apart.
    unlearned = every(cells["Metadata_Treatment"], 5) if settings.labels else None
    if settings.labels:
        treatments = learned_rows["Metadata_Treatment"]
        learned_rows = learned_rows[treatments.notna() & ~treatments.isin(unlearned)]
        if learned_rows["Metadata_Treatment"].nunique() < 2:
            raise ProfilingError("--labels treatment needs wells of three treatments at least that are not held out")
    import torch

    from profiling.devices import choose_device
    from profiling.embeddings.adapt.train import ROTATIONS, as_images, feature_network, features_of, train
    from profiling.memory import keep_memory

    keep_memory()
    torch.set_num_threads(threads)
    device = choose_device(device)
    backbone = load_start(embedding)
    learned = read_crops(results, config, embedding, sample(learned_rows, settings.cells, settings.seed))
    judged = read_crops(results, config, embedding, sample(cells[held], settings.judged, settings.seed))
    log.info("%d cells to learn from, %d to judge on", len(learned.rows), len(judged.rows))
    images, seen = (as_images(part.images, embedding.composite) for part in (learned, judged))
    network = feature_network(backbone, embedding.pooling, device)
    found = {
        "frozen": features_of(network, seen, device),
        GOAL: features_of(feature_network(backbone, embedding.pooling, device, ROTATIONS), seen, device),
    }
    classes = pd.factorize(learned.rows["Metadata_Treatment"])[0].astype(np.int64) if settings.labels else None
    history = train(backbone, images, classes, settings, out.with_suffix(".checkpoint"), device)
    found["adapted"] = features_of(network, seen, device)

    report = {
        "backbone": backbone.name,
        "layers": backbone.layers,
        "pooling": embedding.pooling,
        "start_sha256": backbone.sha256,
        "start_weights": backbone.weights,
        "licence": backbone.licence,
        "settings": settings.model_dump(mode="json"),
        "objective": "self-distillation of the mean over four rotations"
        + (", and weak labels: treatments" if settings.labels else ""),
        "learned_from": _described(learned.rows),
        "judged_on": _described(judged.rows),
        "versions": {name: version(name) for name in ("profiling", "torch")},
    }
    figures = _judge(found, judged.rows, unlearned, settings.seed)
    report |= {
        "figures": figures,
        "cost": {"cpu_seconds": history[-1]["cpu_seconds"], "device": str(device), "batches": settings.steps},
        "loss": history,
    }
    facts = {name: value for name, value in report.items() if name not in ("figures", "loss", "cost")}
    _write_weights(out, backbone.network, facts)
    for suffix, text in ((".json", json.dumps(report, indent=2) + "\n"), (".md", as_markdown(report, out))):
        with whole_file(out.with_suffix(suffix)) as temporary:
            temporary.write_text(text)
    out.with_suffix(".checkpoint").unlink(missing_ok=True)
    if figures["adapted"]["effective_rank"] < COLLAPSED * figures[GOAL]["effective_rank"]:
        log.warning("the adapted features have collapsed to a few directions: do not use them")
    return report


def load_start(settings):
    """The backbone of a screen's settings to start from, under the name of the library's network.

    Raises
    ------
    ProfilingError
        If it is an ONNX file, which cannot be trained.
    """
    from profiling.embeddings.backbones import backbone_of
    from profiling.embeddings.backbones.files import read_header

    backbone = backbone_of(settings)
    if isinstance(backbone.network, Path):
        raise ProfilingError(f"{backbone.name}: an ONNX file cannot be adapted; name a network of timm or torchvision")
    if backbone.name.startswith("file:"):
        backbone = replace(backbone, name=read_header(backbone.name.removeprefix("file:"))[0])
    return backbone


def _check_out(out, results):
    if out.suffix != ".safetensors":
        raise ProfilingError(f"--out {out}: the name of the weights must end in .safetensors")
    if out.exists():
        raise ProfilingError(f"--out {out} is there already; remove it, or give another name")
    if results.resolve() in out.resolve().parents:
        raise ProfilingError(f"--out {out} lies in the results, which hold nothing but what the workflow makes")


def _finished(results, config):
    """Plates that have a cell table, in the order of the configuration."""
    plates = [plate.plate for plate in config.plates if (results / "cells" / f"{plate.plate}.parquet").is_file()]
    if not plates:
        raise ProfilingError(f"{results} has no cell table of any plate; run the workflow until cells are embedded")
    return plates


def _described(rows):
    wells = rows[["Metadata_Plate", "Metadata_Well"]].drop_duplicates()
    return {
        "cells": len(rows),
        "plates": sorted(rows["Metadata_Plate"].unique()),
        "wells": len(wells),
        "treatments": int(rows["Metadata_Treatment"].nunique()),
    }


def _judge(found, rows, unlearned, seed):
    """Figures of every kind of features, by its name; gains are against the frozen ones.

    Where `unlearned` is not None, also for the wells of these treatments alone.
    """
    columns = ["Metadata_Well"] + ["Metadata_Plate"] * (len(rows["Metadata_Plate"].unique()) > 1)
    flat = {name: features.reshape(len(features), -1) for name, features in found.items()}
    wells = {name: {column: retrieval(features, rows, column) for column in columns} for name, features in flat.items()}
    figures = {}
    for name, features in flat.items():
        figures[name] = {"effective_rank": effective_rank(features), "retrieval": {}}
        for column in columns:
            place, pair = column.removeprefix("Metadata_").lower(), (wells["frozen"][column], wells[name][column])
            figures[name]["retrieval"][place] = _compared(*pair, seed)
            if unlearned is not None:
                pair = [table[table["Metadata_Treatment"].isin(unlearned)] for table in pair]
                figures[name]["retrieval"][f"{place}, treatments not learned"] = _compared(*pair, seed)
    return figures


def _compared(before, after, seed):
    return {
        "wells": len(after),
        "treatments": int(after["Metadata_Treatment"].nunique()),
        "hits": balanced(after),
        "chance": balanced(after, "Chance"),
        "gain": balanced(after) - balanced(before),
        "gain_interval": gain_interval(before, after, seed),
    }


def _write_weights(out, network, facts):
    """All tensors of the network, with what they are in the header."""
    from safetensors.torch import save

    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with whole_file(out) as temporary:
        temporary.write_bytes(sort_header(save(tensors, metadata={"format": FORMAT, **text})))
