"""The embedding of one chunk, and the weights that it needs."""

import json
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from profiling.devices import accelerator_present, choose_device, cpu_has_bf16
from profiling.embeddings.crops import thumbnail
from profiling.embeddings.reading import crop_sides, read_fields, read_scaling
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.images.fields import chunk_images, read_flatfields
from profiling.progress import log, track
from profiling.sampling import key_hash
from profiling.tables import CELL_KEY, embedding_arrays, read_facts, read_table, table_writer


def fetch_backbone(settings, out):
    """Load the backbone once, which downloads its weights; record it as JSON and export it for CPUs beside that."""
    from profiling.embeddings.backbones import backbone_of
    from profiling.embeddings.exported import export_network

    backbone = backbone_of(settings)
    channels = len(settings.composite) if settings.composite else 1
    export_network(backbone, settings.pooling, channels, settings.input_size, Path(out).with_suffix(".xml"))
    record = backbone_record(backbone, settings)
    with whole_file(out) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    log.info("%s: weights %s", backbone.name, backbone.sha256[:16])


def backbone_record(backbone, settings):
    """What decides on the features of a network, as plain values by name."""
    record = {name: getattr(backbone, name) for name in ("name", "weights", "licence", "sha256", "layers")}
    record |= {name: list(getattr(backbone, name)) for name in ("mean", "std")}
    shape = ("input_size", "input_scaling", "composite", "pooling", "tokens", "rotations")
    return record | {name: getattr(settings, name) for name in shape}


def embed(
    images, folder, flatfields, limits, segmented, labels, backbone, wells, channels, settings,
    out_embeddings, out_cells, out_thumbnails, precision=None, threads=1,
):  # fmt: skip
    """Embed the cells of a chunk; a field is read once and its crops never touch the disk.

    Parameters
    ----------
    images, folder, flatfields
        As in :func:`profiling.cells.jobs.segment`.
    limits : str or Path
        Intensity limits of the plate.
    segmented, labels : str or Path
        The chunk's table `segmented` and folder of label images.
    backbone : str or Path
        The JSON of :func:`fetch_backbone`, with the exported network beside it.
    wells, channels : list of str
    settings : profiling.settings.Embedding
    out_embeddings, out_cells, out_thumbnails : str or Path
        The chunk's pieces of these tables, a row group a well.
    precision : str or Path, optional
        What :func:`profiling.embeddings.precision_jobs.choose_precision` wrote, where the settings leave the choice.
    threads : int
        Of the network where it runs on the CPU, and as many that decode.

    Raises
    ------
    ProfilingError
        If the weights are not those that were fetched.
    """
    cells = read_table(segmented, "segmented", columns=None)
    channels = settings.composite or channels
    names = ["Composite"] if settings.composite else channels
    flats = read_flatfields(flatfields, channels)
    crop = crop_sides(settings, cells, flats)
    with threadpool_limits(1, user_api="blas"):  # those of the network are enough
        decided = settings.model_copy(update={"precision": decided_precision(settings, precision)})
        engine = load_engine(decided, backbone, read_scaling(flats, limits), crop, threads)
        shown = sample_per_well(cells, settings.thumbnails_per_well)
        rows = chunk_images(images, wells)
        total, fields = read_fields(cells, rows, folder, flats, lambda rows: labels, settings, shown, threads)
        facts = {"settings": settings.changed(), "weights_sha256": recorded_hash(backbone)}
        facts |= {"precision": decided.precision, **_unit_facts(segmented)}
        nothing = np.zeros((0, engine.width), np.float32)
        no_embeddings = _embedding_rows(cells.head(0), nothing, names, settings.dtype)
        with (
            table_writer(out_embeddings, "embeddings", no_embeddings, **facts) as embeddings,
            table_writer(out_cells, "cells", _with_outcome(cells.head(0), [], None), **facts) as cell_table,
            table_writer(out_thumbnails, "thumbnails", _thumbnail_rows(cells.head(0), []), **facts) as thumbnails,
        ):
            well = _Well(embeddings, cell_table, thumbnails)
            count = write_fields(embed_fields(engine, track(fields, total, "fields")), well, names, settings.dtype)
    log.info("%d of %d cells embedded, %d features each", count, len(cells), engine.width)


def write_fields(embedded, well, names, dtype):
    """Write what :func:`embed_fields` yields, well by well; the number of embedded cells."""
    count = 0
    for field, result in embedded:
        rows = field.rows
        well.begin(rows["Metadata_Well"].iloc[0])
        well.cells.append(_with_outcome(rows, field.outside, field.reason))
        if result is None:
            continue
        well.embeddings.append(_embedding_rows(rows, result.features, names, dtype))
        pictures = [thumbnail(crop) for crop in result.pictures]
        well.thumbnails.append(_thumbnail_rows(rows.iloc[field.shown], pictures))
        count += len(rows)
    well.finish()
    return count


def embed_fields(engine, fields):
    """Pairs (ReadField, FieldFeatures) in order; the features are None where a channel of the field is lost.

    Parameters
    ----------
    engine : see :mod:`profiling.embeddings.fields`
    fields : iterable of ReadField
    """
    waiting = deque()

    def given():
        for field in fields:
            waiting.append(field._replace(given=None) if field.given else field)
            if field.given:
                yield field.given

    for features in engine.embed_fields(given()):
        while waiting[0].reason:
            yield waiting.popleft(), None
        yield waiting.popleft(), features
    while waiting:
        yield waiting.popleft(), None


def load_engine(settings, backbone, scaling, crop, threads=1):
    """The engine of the settings: torch on a GPU where there is one, else the exported network on the CPU.

    Parameters
    ----------
    settings : profiling.settings.Embedding
        Its precision is fp32 or bf16.
    backbone : str or Path
        The JSON of :func:`fetch_backbone`, with the exported network beside it.
    scaling : profiling.embeddings.fields.Scaling
    crop : (int, int) or None
        Height and width of the crops in pixels; None takes each field whole.
    threads : int
        Of the network where it runs on the CPU.

    Raises
    ------
    ProfilingError
        If the network is not the one that was fetched.
    """
    device = None if runs_on_cpu(settings) else choose_device(settings.device)
    if device is None or device.type == "cpu":
        from profiling.embeddings.exported import ExportedEngine

        log.info("device cpu, %s", settings.precision)
        network = Path(backbone).with_suffix(".xml")
        return ExportedEngine(network, scaling, crop, bool(settings.composite), settings.precision, threads)
    from profiling.embeddings.backbones import backbone_of
    from profiling.embeddings.torch_engine import torch_engine

    loaded = backbone_of(settings)
    recorded, wanted = json.loads(Path(backbone).read_text()), backbone_record(loaded, settings)
    if other := [name for name in wanted if wanted[name] != recorded.get(name)]:
        raise ProfilingError(
            f"{', '.join(other)} of {settings.backbone} differ from what is recorded in {backbone}: "
            "remove that file and run again to embed with them"
        )
    log.info("device %s, %s", device, settings.precision)
    return torch_engine(loaded, settings, scaling, crop, device, threads)


def _unit_facts(segmented):
    """What is embedded where it is no cell: the unit, and how tiles were cut."""
    facts, _ = read_facts(segmented)
    return {"unit": facts["unit"], "tiles": facts["settings"]} if "unit" in facts else {}


def runs_on_cpu(settings):
    """Whether the exported network is run, on the CPU, and torch not needed."""
    return settings.device == "cpu" or (settings.device == "auto" and not accelerator_present())


def decided_precision(settings, record=None):
    """The arithmetic to use: that of the settings or, for `auto`, what was decided, if this machine has it."""
    if settings.precision != "auto":
        return settings.precision
    if record is None:
        raise ProfilingError(
            "embedding.precision is auto, which needs the record of `profiling precision`; give it, or set fp32 or bf16"
        )
    decided = json.loads(Path(record).read_text())["precision"]
    if decided == "bf16" and runs_on_cpu(settings) and not cpu_has_bf16():
        log.warning("%s says bf16, which this machine does not have: computed in fp32", record)
        return "fp32"
    return decided


def recorded_hash(backbone):
    """Hash of the weights that :func:`fetch_backbone` recorded."""
    return json.loads(Path(backbone).read_text())["sha256"]


class _Well:
    """The rows of the well at hand, written as one row group a table when it is done."""

    def __init__(self, *appends):
        self.name = None
        self.appends = appends
        self.embeddings, self.cells, self.thumbnails = [], [], []

    def begin(self, name):
        if name != self.name:
            self.finish()
            self.name = name

    def finish(self):
        for append, parts in zip(self.appends, (self.embeddings, self.cells, self.thumbnails), strict=True):
            if parts:
                append(pd.concat(parts) if isinstance(parts[0], pd.DataFrame) else pa.concat_tables(parts))
            parts.clear()


def sample_per_well(cells, count):
    """Index labels of at most `count` cells a well, those with the smallest hash of the cell key."""
    order = cells.assign(hash=key_hash(cells)).sort_values("hash")
    return set(order.groupby(["Metadata_Plate", "Metadata_Well"]).head(count).index)


def _embedding_rows(rows, features, names, dtype):
    table = pa.Table.from_pandas(rows[CELL_KEY], preserve_index=False)
    for name, part in zip(names, np.split(features, len(names), axis=1), strict=True):
        table = table.append_column(f"Embedding_{name}", embedding_arrays(part, dtype))
    return table


def _with_outcome(rows, outside, reason):
    return rows.assign(
        CropOutsideImage=np.asarray(outside, dtype=bool),
        Embedded=reason is None,
        ExclusionReason=pd.Series(reason, index=rows.index, dtype="str"),
    )


def _thumbnail_rows(rows, pictures):
    table = pa.Table.from_pandas(rows[CELL_KEY], preserve_index=False)
    return table.append_column("Thumbnail", pa.array(pictures, pa.binary()))
