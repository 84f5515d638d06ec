"""Extraction and features of an installed scPortrait, from masks.

Run by `benchmarks.speed` with the Python of scPortrait's own environment; imports nothing of this project.

    python scportrait_worker.py FOLDER CROP SIZE TURNS

FOLDER holds `images.npy` (channels, H, W) uint16 and the label images `nuclei.npy` and `cells.npy`, whose numbers
agree. Cells are cut to CROP px and featurised by a ResNet-18 with random weights at SIZE px, batches of 32, one thread.
The answer is a JSON object a line for each turn of the image once and of it four times side by side: `cells` that were
extracted (scPortrait leaves out those nearer to the border than half a crop), `loading` (images and masks to its
project), `extraction` and `features` in seconds of processor time, and `bytes` of the file of crops.
"""

import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from types import SimpleNamespace

os.environ["OMP_NUM_THREADS"] = "1"

import h5py
import numpy as np
import torch
from scportrait.pipeline.extraction import HDF5CellExtraction
from scportrait.pipeline.featurization import MLClusterClassifier
from scportrait.pipeline.project import Project
from torchvision.models import resnet18


class ResNet(MLClusterClassifier):
    """Features of a ResNet-18 in the place of a classifier's."""

    def _load_model(self, *_, **__):
        network = resnet18(weights=None).eval()
        network.fc = torch.nn.Identity()
        return SimpleNamespace(network=network)


def make_project(folder, crop, size, images, nuclei, cells):
    """A project that holds the images and masks."""
    common = {"cache": str(folder), "compression": True, "threads": 1}
    transforms = f"transforms.Compose([transforms.Resize(({size}, {size}))])"
    config = {
        "HDF5CellExtraction": common | {"image_size": crop, "normalize_output": True, "normalization_range": None},
        "ResNet": {
            "channel_selection": [2, 3, 4], "batch_size": 32, "dataloader_worker_number": 0, "inference_device": "cpu",
            "network": "resnet18", "model_loading_strategy": "path", "label": "speed", "transforms": transforms,
            "cache": str(folder),
        },
    }  # fmt: skip
    (folder / "project").mkdir()
    project = Project(
        str(folder / "project"), config, extraction_f=HDF5CellExtraction, featurization_f=ResNet, overwrite=True
    )
    project.load_input_from_array(images, [f"channel {number}" for number in range(len(images))], overwrite=True)
    for labels, name in ((nuclei, project.nuc_seg_name), (cells, project.cyto_seg_name)):
        project.filehandler._write_segmentation_sdata(labels.astype(np.uint64), name)
        project.filehandler._add_centers(name)
    return project


def processor_seconds():
    """Of this process and of those that it started and that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


def measure(given, crop, size):
    """One turn in a folder of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        start = processor_seconds()
        project = make_project(Path(temporary), crop, size, *given)
        loaded = processor_seconds()
        project.extract()
        extracted = processor_seconds()
        project.featurize()
        done = processor_seconds()
        path = next(Path(temporary).rglob("single_cells.h5*"))
        with h5py.File(path) as file:
            cells = len(file["obsm"]["single_cell_images"])
        seconds = {"loading": loaded - start, "extraction": extracted - loaded, "features": done - extracted}
        return {"cells": cells, **seconds, "bytes": path.stat().st_size}


def side_by_side(images, nuclei, cells, times):
    """The same image several times, its labels with numbers of their own."""
    first = np.arange(times, dtype=np.int64) * int(cells.max())
    labels = [np.hstack([np.where(part > 0, part + start, 0) for start in first]) for part in (nuclei, cells)]
    return np.concatenate([images] * times, axis=2), *labels


def main():
    folder, (crop, size, turns) = Path(sys.argv[1]), map(int, sys.argv[2:])
    torch.set_num_threads(1)
    given = [np.load(folder / f"{name}.npy") for name in ("images", "nuclei", "cells")]
    for _ in range(turns):
        for times in (1, 4):
            with redirect_stdout(sys.stderr):
                found = measure(side_by_side(*given, times), crop, size)
            print(json.dumps({"times": times, **found}), flush=True)


if __name__ == "__main__":
    main()
