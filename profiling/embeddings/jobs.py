"""The embedding of one chunk, and the weights that it needs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from profiling.embeddings.crops import cut, leaves_image, mask_neighbours, resize, thumbnail
from profiling.embeddings.devices import accelerator_present, choose_device
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.images.fields import chunk_images, read_field, read_flatfields, split_fields
from profiling.images.illumination import scale
from profiling.parallel import map_ahead
from profiling.progress import log, track
from profiling.sampling import key_hash
from profiling.settings import pixels
from profiling.tables import CELL_KEY, FIELD_KEY, embedding_arrays, read_table, table_writer


def fetch_backbone(settings, out):
    """Load the backbone once, which downloads its weights; record it as JSON and export it for CPUs beside that."""
    from profiling.embeddings.backbones import load_backbone
    from profiling.embeddings.exported import export_network

    backbone = load_backbone(settings.backbone, settings.weights, settings.layers)
    channels = 3 if settings.composite else 1
    export_network(backbone, settings.pooling, channels, settings.input_size, Path(out).with_suffix(".xml"))
    names = ("name", "weights", "licence", "sha256", "layers", "mean", "std")
    with whole_file(out) as temporary:
        temporary.write_text(json.dumps({name: getattr(backbone, name) for name in names}, indent=2) + "\n")
    log.info("%s: weights %s", backbone.name, backbone.sha256[:16])


def embed(
    images, folder, flatfields, limits, segmented, labels, backbone, wells, channels, settings,
    out_embeddings, out_cells, out_thumbnails, threads=1,
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
    threads : int
        Of the network where it runs on the CPU.

    Raises
    ------
    ProfilingError
        If the weights are not those that were fetched.
    """
    sha256 = json.loads(Path(backbone).read_text())["sha256"]
    embedder = load_engine(settings, backbone, sha256, threads)
    channels = settings.composite or channels
    names = ["Composite"] if settings.composite else channels
    flats = read_flatfields(flatfields, channels)
    bounds = read_table(limits, "limits").set_index("Metadata_Channel")[["Low", "High"]]
    cells = read_table(segmented, "segmented", columns=None)
    by_field = {key: group for key, group in cells.groupby(FIELD_KEY[1:], sort=False)}
    shown = sample_per_well(cells, settings.thumbnails_per_well)
    fields = [rows for rows in split_fields(chunk_images(images, wells)) if _field_key(rows) in by_field]

    def read(rows):
        field = read_field(rows, folder, flats)
        planes = [scale(field.channels[c], *bounds.loc[c]) for c in channels if c in field.channels]
        return field, (np.stack(planes) if len(planes) == len(channels) else None)

    width = embedder.embed(np.zeros((0, len(channels), settings.input_size, settings.input_size))).shape[1]
    facts = {"settings": settings.changed(), "weights_sha256": sha256}
    empty = _embedding_rows(cells.head(0), np.zeros((0, width)), names, settings.dtype)
    count = 0
    with (
        table_writer(out_embeddings, "embeddings", empty, **facts) as append_embeddings,
        table_writer(out_cells, "cells", _with_outcome(cells.head(0), [], None), **facts) as append_cells,
        table_writer(out_thumbnails, "thumbnails", _thumbnail_rows(cells.head(0), []), **facts) as append_thumbnails,
    ):
        well = _Well(append_embeddings, append_cells, append_thumbnails)
        for field, planes in track(map_ahead(read, fields, 1), len(fields), "fields"):
            rows = by_field[tuple(field.key[name] for name in FIELD_KEY[1:])]
            if rows["Metadata_Well"].iloc[0] != well.name:
                well.finish()
                well.name = rows["Metadata_Well"].iloc[0]
            if planes is None:
                lost = next(channel for channel in channels if channel not in field.channels)
                reason = f"channel {lost} is lost: {field.lost.get(lost, 'it is not listed')}"
                well.cells.append(_with_outcome(rows, np.zeros(len(rows), bool), reason))
                continue
            crops, outside = field_crops(planes, rows, settings, labels)
            well.embeddings.append(_embedding_rows(rows, embedder.embed(crops), names, settings.dtype))
            well.cells.append(_with_outcome(rows, outside, None))
            chosen = np.flatnonzero(rows.index.isin(shown))
            well.thumbnails.append(_thumbnail_rows(rows.iloc[chosen], [thumbnail(crops[i]) for i in chosen]))
            count += len(rows)
        well.finish()
    log.info("%d of %d cells embedded, %d features each", count, len(cells), width)


def load_engine(settings, backbone, sha256, threads):
    """The embedder of the settings: torch on a GPU where there is one, else the exported network on the CPU."""
    composite = settings.composite is not None
    if settings.device == "cpu" or (settings.device == "auto" and not accelerator_present()):
        from profiling.embeddings.exported import load_exported

        log.info("device cpu")
        return load_exported(Path(backbone).with_suffix(".xml"), composite, settings.precision, threads)
    import torch

    from profiling.embeddings.backbones import load_backbone
    from profiling.embeddings.engine import torch_embedder

    torch.set_num_threads(threads)
    loaded = load_backbone(settings.backbone, settings.weights, settings.layers)
    if loaded.sha256 != sha256:
        raise ProfilingError(
            f"the weights of {settings.backbone} are not those recorded in {backbone}: "
            "remove that file and run again to use the new ones"
        )
    device = choose_device(settings.device)
    log.info("device %s", device)
    return torch_embedder(loaded, device, settings.precision, composite, settings.pooling, settings.batch_size)


class _Well:
    """The rows of the well at hand, written as one row group a table when it is done."""

    def __init__(self, *appends):
        self.name = None
        self.appends = appends
        self.embeddings, self.cells, self.thumbnails = [], [], []

    def finish(self):
        for append, parts in zip(self.appends, (self.embeddings, self.cells, self.thumbnails), strict=True):
            if parts:
                append(pd.concat(parts) if isinstance(parts[0], pd.DataFrame) else pa.concat_tables(parts))
            parts.clear()


def field_crops(planes, rows, settings, labels):
    """Crops of a field's cells at the network's input size, and which of them leave the image.

    Parameters
    ----------
    planes : ndarray of float32, shape (C, H, W)
        Intensities in [0, 1].
    rows : pandas.DataFrame
        The field's rows of the cell table.
    settings : profiling.settings.Embedding
    labels : str or Path
        Folder of label images, read only where neighbours are masked.

    Returns
    -------
    crops : ndarray of float32, shape (N, C, input_size, input_size)
    outside : ndarray of bool, shape (N,)
    """
    side = round(pixels(settings.crop))
    centres = rows[["Nuclei_Location_CenterY", "Nuclei_Location_CenterX"]].to_numpy()
    crops = cut(planes, centres, side)
    if settings.neighbours == "mask":
        from profiling.cells.jobs import read_labels

        first = rows.iloc[0]
        image = read_labels(
            Path(labels) / f"{first.Metadata_Well}.tif",
            first.Metadata_Site,
            time=first.Metadata_Time,
            z=first.Metadata_Z,
        )
        crops = mask_neighbours(crops, cut(image[None], centres, side)[:, 0], rows["Metadata_CellID"])
    return resize(crops, settings.input_size), leaves_image(centres, side, planes.shape[1:])


def sample_per_well(cells, count):
    """Index labels of at most `count` cells a well, those with the smallest hash of the cell key."""
    order = cells.assign(hash=key_hash(cells)).sort_values("hash")
    return set(order.groupby(["Metadata_Plate", "Metadata_Well"]).head(count).index)


def _field_key(rows):
    return tuple(rows[name].iloc[0] for name in FIELD_KEY[1:])


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
