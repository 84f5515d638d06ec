"""Which features tell the phenotypes of simulated cells apart in wells that were not seen: channels, masks, sizes.

    python -m benchmarks.embeddings_simulated [--rows TEXT ...] [--seeds N]

One simulated plate (24 wells, 3 channels, 20x). Crops are cut at the true centres, with true masks and flat fields,
by the package's CPU engine; phenotypes are those drawn for the cells. Folds keep the cells of a well together.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from threadpoolctl import threadpool_limits

from benchmarks.embeddings import CENTRED, judge
from benchmarks.labelled_fields import CAMERA_OFFSET
from benchmarks.probe import linear_probe
from profiling.demo.design import CHANNELS
from profiling.demo.simulate import simulate
from profiling.embeddings.fields import FieldCells, Scaling
from profiling.images import correct, intensity_limits
from profiling.settings import Embedding, pixels

PLATE = "BENCHMARK"
TOGETHER = {"composite": list(CHANNELS)}
PLAIN = {"pooling": "mean+std"}
BLOCK_4 = {"layers": ["blocks.4"], "pooling": CENTRED}
ROWS = {
    "untrained, block 4, centre": BLOCK_4 | {"weights": "untrained"},
    "last layer": PLAIN | {"layers": ["last"]},
    "block 5": PLAIN | {"layers": ["blocks.5"]},
    "block 4": PLAIN | {"layers": ["blocks.4"]},
    "block 4, centre": BLOCK_4,
    "block 4, centre, composite": BLOCK_4 | TOGETHER,
    "block 5, composite": PLAIN | {"layers": ["blocks.5"]} | TOGETHER,
    "block 4, centre, masked": BLOCK_4 | {"neighbours": "mask"},
    "block 4, centre, 128 px": BLOCK_4 | {"input_size": 128},
    "block 4, centre, 64 px crop": BLOCK_4 | {"crop": "64 px"},
    "block 4, centre, 128 px crop and input": BLOCK_4 | {"crop": "128 px", "input_size": 128},
    "block 4, centre, 4 rotations": BLOCK_4 | {"rotations": 4},
}


def read_screen(folder):
    """Read the simulated plate below `folder`: the true cells, the fields with their cells, and the scaling."""
    folder = Path(folder)
    cells = pd.read_parquet(folder / "truth" / "cells.parquet")
    flats = [tifffile.imread(folder / "truth" / "flatfields" / PLATE / f"{name}.tif") for name in CHANNELS]
    fields, order = [], []
    for (well, site), rows in cells.groupby(["Metadata_Well", "Metadata_Site"]):
        name = f"{PLATE}/{PLATE}_{well}_s{site}"
        planes = np.array([tifffile.imread(folder / "images" / f"{name}_{channel}.tif") for channel in CHANNELS])
        labels = tifffile.imread(folder / "truth" / "labels" / PLATE / f"{well}_s{site}_cells.tif").astype(np.uint32)
        centres, ids = rows[["CentroidY", "CentroidX"]].to_numpy(), rows["Metadata_CellID"].to_numpy(np.int64)
        fields.append(FieldCells(planes, centres, ids, labels, np.zeros(0, np.int64)))
        order.append(rows.index)
    limits = [
        intensity_limits(correct(field.planes[index], flats[index], CAMERA_OFFSET) for field in fields)
        for index in range(len(CHANNELS))
    ]
    lows, highs = np.array(limits, np.float32).T
    scaling = Scaling(flats, np.full(len(CHANNELS), CAMERA_OFFSET, np.float32), lows, highs)
    index = cells.loc[np.concatenate(order)].rename(columns={"Phenotype": "phenotype", "Metadata_Well": "plate"})
    return index, fields, scaling


def embed_screen(settings, fields, scaling):
    """Features (n, D) float32 of all cells, and cells per CPU-second from decoded fields to features, one thread."""
    from profiling.embeddings.backbones.load import backbone_of
    from profiling.embeddings.exported import ExportedEngine, export_network

    masked, channels = settings.neighbours == "mask", len(settings.composite or ())
    fields = [field if masked else field._replace(labels=None) for field in fields]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        export_network(backbone_of(settings), settings.pooling, channels or 1, settings.input_size, path)
        engine = ExportedEngine(path, scaling, round(pixels(settings.crop)), composite=bool(channels))
        list(engine.embed_fields(fields[:1]))
        began = time.process_time()
        features = np.concatenate([found.features for found in engine.embed_fields(fields)])
        return features, len(features) / max(time.process_time() - began, 1e-6)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", nargs="*", help="only rows whose name is one of these (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="fold seeds (default 5)")
    options = parser.parse_args(arguments)
    if unknown := set(options.rows or ()) - set(ROWS):
        parser.error(f"there is no row {sorted(unknown)[0]!r}; there are: {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        simulate(folder, plates=[PLATE], seed=7000, trouble=False, workers=1)
        index, fields, scaling = read_screen(folder)
        count, phenotypes = len(index), index["phenotype"].nunique()
        print(f"{count} cells, {phenotypes} phenotypes, {index['plate'].nunique()} wells\n")
        print("| features | numbers | cells / CPU-s | accuracy ± seeds | balanced ± seeds | ARI | NMI |")
        print("|---|---|---|---|---|---|---|")
        for name, settings in ROWS.items():
            if options.rows is not None and name not in options.rows:
                continue
            features, rate = embed_screen(Embedding(**settings), fields, scaling)
            row = judge(features, index, linear_probe(), range(options.seeds))
            print(
                f"| {name} | {features.shape[1]} | {rate:.0f} | {row['accuracy']:.3f} ± {row['accuracy seeds']:.3f} "
                f"| {row['balanced']:.3f} ± {row['balanced seeds']:.3f} | {row['ARI']:.2f} | {row['NMI']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
