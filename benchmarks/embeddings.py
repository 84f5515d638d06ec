"""Which features tell phenotypes apart on plates that were not seen, and what they cost.

    python -m benchmarks.embeddings FOLDER [--rows TEXT ...] [--settings JSON ...] [--choose]
    python -m benchmarks.embeddings TRAIN --test TEST

FOLDER holds `index.csv` (columns phenotype, plate, file) and single-channel crops PHENOTYPE/FILE, all of one size.
Prints a row for each kind of features: accuracy and balanced accuracy of a logistic regression on other plates
(fold seeds: mean ± spread over seeds; plates: standard error by drawing plates), adjusted Rand index and normalised
mutual information of k-means, cells per CPU-second on one thread, numbers and bytes (float16) a cell.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from benchmarks.probe import (
    accuracies,
    choose_and_confirm,
    cluster_agreement,
    linear_probe,
    plate_error,
    predict_across,
)
from profiling.settings import Embedding

BLOCK = 256  # crops a timing
CENTRED = "mean+std+centre"


class Row(NamedTuple):
    """Features to be judged.

    Attributes
    ----------
    settings : dict
        As in section `embedding` of a screen's settings, where they differ from the defaults.
    limits : {"stored", "plate"}
        What becomes 0 and 1: the limits of the file's type, or percentiles 0.1 and 99.9 of the plate's crops.
    margin : int
        Pixels of reflected margin put around a crop before it is resized, which magnifies it less at the same input
        size; where negative, pixels cut off, as a smaller `crop` of a screen does.
    """

    settings: dict
    limits: str = "stored"
    margin: int = 0


def _lite(layers, pooling="mean+std", input_size=96, **others):
    names = [layer if layer == "last" else f"blocks.{layer}" for layer in layers]
    return {"layers": names, "pooling": pooling, "input_size": input_size, **others}


ROWS = {
    "untrained, block 4, centre": Row(_lite([4], CENTRED, weights="untrained")),
    "last layer": Row(_lite(["last"])),
    "block 6": Row(_lite([6])),
    "block 5": Row(_lite([5])),
    "block 4": Row(_lite([4])),
    "block 3": Row(_lite([3])),
    "blocks 4-6": Row(_lite([4, 5, 6])),
    "block 5, gem": Row(_lite([5], "mean+gem+std")),
    "block 4, gem": Row(_lite([4], "mean+gem+std")),
    "block 5, centre": Row(_lite([5], CENTRED)),
    "block 4, centre": Row(_lite([4], CENTRED)),
    "blocks 3-4, centre": Row(_lite([3, 4], CENTRED)),
    "blocks 4-5, centre": Row(_lite([4, 5], CENTRED)),
    "block 4, centre, 64 px": Row(_lite([4], CENTRED, 64)),
    "block 4, centre, 128 px": Row(_lite([4], CENTRED, 128)),
    "block 4, centre, 160 px": Row(_lite([4], CENTRED, 160)),
    "block 4, centre, 96 px by margin": Row(_lite([4], CENTRED), margin=16),
    "block 4, centre, middle 48 px": Row(_lite([4], CENTRED), margin=-8),
    "blocks 4-5, centre, middle 48 px": Row(_lite([4, 5], CENTRED), margin=-8),
    "block 4, centre, plate limits": Row(_lite([4], CENTRED), limits="plate"),
    "block 4, centre, scaled by crop": Row(_lite([4], CENTRED, input_scaling="crop")),
    "block 4, centre, masked": Row(_lite([4], CENTRED, neighbours="mask")),
    "block 5, 4 rotations": Row(_lite([5], rotations=4)),
    "blocks 4-6, 4 rotations": Row(_lite([4, 5, 6], rotations=4)),
    "block 4, centre, 4 rotations": Row(_lite([4], CENTRED, rotations=4)),
    "blocks 3-4, centre, 4 rotations": Row(_lite([3, 4], CENTRED, rotations=4)),
    "blocks 3-4, centre, 128 px, 4 rotations": Row(_lite([3, 4], CENTRED, 128, rotations=4)),
    "blocks 3-4, centre, 8 views": Row(_lite([3, 4], CENTRED, rotations=8)),
}
SHAPE = "shape and intensity, random forest"


def read_crops(folder):
    """Read the crops of a folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    (DataFrame, ndarray)
        The index, and crops (N, S, S) as stored.

    Raises
    ------
    ValueError
        If the index lacks a column, a file cannot be read as one channel, or the crops differ in size.
    """
    index = pd.read_csv(folder / "index.csv", dtype=str)
    if missing := {"phenotype", "plate", "file"} - set(index.columns):
        raise ValueError(f"{folder / 'index.csv'} needs the columns phenotype, plate and file; it lacks {min(missing)}")
    crops = []
    for phenotype, file in zip(index["phenotype"], index["file"], strict=True):
        path = folder / phenotype / file
        crop = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
        if crop is None or crop.ndim != 2:
            raise ValueError(f"{path} is no image of one channel")
        if crops and (crop.shape, crop.dtype) != (crops[0].shape, crops[0].dtype):
            raise ValueError(f"{path} differs in size or type from the first crop: {crop.shape}, {crop.dtype}")
        crops.append(crop)
    return index, np.array(crops)


def scale_crops(crops, plates, limits="stored"):
    """Intensities in [0, 1], see :class:`Row`; (N, S, S) of any type → float32."""
    from profiling.images import intensity_limits
    from profiling.images.illumination import scale

    if limits == "stored":
        whole = np.issubdtype(crops.dtype, np.integer)
        return scale(crops, 0, np.iinfo(crops.dtype).max if whole else 1)
    scaled = np.empty(crops.shape, np.float32)
    for plate in np.unique(plates):
        of = plates == plate
        scaled[of] = scale(crops[of], *intensity_limits(crops[of]))
    return scaled


def segment_crops(crops):
    """Masks of the nuclei in crops (N, S, S), and which is the crop's own: the one nearest to the middle.

    Returns
    -------
    (ndarray of uint32 (N, S, S), ndarray of int64 (N,))
        Labels, and the own one; 0 where nothing was found.
    """
    from profiling.cells import load_segmenter

    segmenter = load_segmenter("classical", nucleus_diameter=crops.shape[1] / 3)
    labels = np.array([segmenter.segment(crop) for crop in crops])
    middle = (crops.shape[1] - 1) / 2
    own = np.zeros(len(crops), np.int64)
    for number, image in enumerate(labels):
        rows, columns = np.nonzero(image)
        if len(rows):
            own[number] = image[rows, columns][np.hypot(rows - middle, columns - middle).argmin()]
    return labels, own


def shape_features(crops, labels, own):
    """Shape and intensity (N, d) of each crop's own nucleus, as the cell table has them; 0 where there is none."""
    from profiling.cells.measure import measure_cells

    rows = []
    for crop, image, label in zip(crops, labels, own, strict=True):
        mask = (image == label).astype(np.uint32) if label else np.zeros_like(image)
        table = measure_cells(mask, mask, {"DNA": crop}).filter(regex="^Nuclei_(AreaShape|Intensity)_")
        rows.append(table.to_numpy()[0] if len(table) else np.full(table.shape[1], np.nan))
    return np.nan_to_num(np.array(rows, np.float32))


def embed_crops(row, crops, plates, labels=None, own=None):
    """Features of crops by the package's CPU engine.

    Parameters
    ----------
    row : Row
    crops : (N, S, S) array
        As stored.
    plates : (N,) array
    labels, own : arrays, optional
        As :func:`segment_crops` returns them, where neighbours are masked.

    Returns
    -------
    (ndarray of float32 (N, D), float)
        Features, and cells per CPU-second of one thread from scaled crops to features: the fastest block.
    """
    from profiling.embeddings.backbones.load import backbone_of
    from profiling.embeddings.crops import mask_neighbours, resize
    from profiling.embeddings.exported import export_network, load_exported

    settings = Embedding(**row.settings)
    images = scale_crops(crops, plates, row.limits)[:, None]
    if settings.neighbours == "mask":
        images = mask_neighbours(images, labels, own)
    wider, inner = max(row.margin, 0), slice(max(-row.margin, 0), min(row.margin, 0) or None)
    images = np.pad(images, ((0, 0), (0, 0), (wider, wider), (wider, wider)), mode="reflect")[..., inner, inner]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        export_network(backbone_of(settings), settings.pooling, 1, settings.input_size, path)
        embedder = load_exported(path)
        embedder.embed(resize(images[:BLOCK], settings.input_size))  # what the first call allocates is not timed
        features, rates = [], []
        for start in range(0, len(images), BLOCK):
            began = time.process_time()
            block = images[start : start + BLOCK]
            features.append(embedder.embed(resize(block, settings.input_size)))
            rates.append(len(block) / max(time.process_time() - began, 1e-6))
    return np.concatenate(features), max(rates)


class _Forest(RandomForestClassifier):
    """A random forest whose phenotypes weigh alike, in the same place as the linear probe."""

    def fit(self, x, y):
        return super().fit(x, y, sample_weight=compute_sample_weight("balanced", y))


def judge(x, index, classifier, seeds, test=None, clusters=True):
    """Figures of one kind of features.

    Parameters
    ----------
    x : (n, d) array
    index : DataFrame
        With `phenotype` and `plate`.
    classifier : scikit-learn classifier
    seeds : sequence of int
        Of the folds.
    test : (ndarray, DataFrame), optional
        Features and index that are predicted from all of `x`, in place of folds.
    clusters : bool
        Whether k-means is judged too.

    Returns
    -------
    dict of str to float
    """
    y = index["phenotype"].to_numpy(str)
    plates = index["plate"].to_numpy(str)
    if test is None:
        predictions = [predict_across(x, y, plates, classifier, seed) for seed in seeds]
    else:
        predictions = [classifier.fit(x, y).predict(test[0])]
        x, y, plates = test[0], test[1]["phenotype"].to_numpy(str), test[1]["plate"].to_numpy(str)
    scores = np.array([accuracies(y, predicted) for predicted in predictions])
    errors = np.mean([plate_error(y, predicted, plates) for predicted in predictions], axis=0)
    names = ("accuracy", "balanced")
    found = {}
    for name, mean, spread, error in zip(names, scores.mean(axis=0), scores.std(axis=0), errors, strict=True):
        found |= {name: mean, f"{name} seeds": spread, f"{name} plates": error}
    if clusters:
        found |= dict(zip(("ARI", "NMI"), cluster_agreement(x, y), strict=True))
    return found


def _line(name, row):
    def number(key, form):
        return format(row[key], form) if key in row and np.isfinite(row[key]) else ""

    return (
        f"| {name} | {number('px', '.0f')} | {number('numbers', '.0f')} | {number('bytes', '.0f')} "
        f"| {number('cells/CPU-s', '.0f')} | {row['accuracy']:.3f} ± {row['accuracy seeds']:.3f} "
        f"| {row['balanced']:.3f} ± {row['balanced seeds']:.3f} "
        f"| {row['accuracy plates']:.3f} {row['balanced plates']:.3f} "
        f"| {number('ARI', '.2f')} | {number('NMI', '.2f')} |"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="crops to fit on and, without --test, to judge on by plates")
    parser.add_argument("--test", type=Path, help="crops to judge on")
    parser.add_argument("--rows", nargs="*", help="only rows whose name is one of these (default: all)")
    parser.add_argument("--settings", nargs="*", default=[], help="further rows: JSON of the section `embedding`")
    parser.add_argument("--seeds", type=int, default=5, help="fold seeds (default 5)")
    parser.add_argument("--c", type=float, default=0.01, help="inverse regularisation, the same for all rows")
    parser.add_argument("--no-clusters", action="store_true", help="leave k-means out")
    parser.add_argument(
        "--choose",
        type=int,
        nargs="?",
        const=10,
        metavar="SPLITS",
        help="choose the best row on half of the plates, confirm it on the other half; so many random halves (10)",
    )
    parser.add_argument("--table", type=Path, help="write the figures as CSV")
    options = parser.parse_args(arguments)
    rows = {name: row for name, row in ROWS.items() if options.rows is None or name in options.rows}
    if unknown := set(options.rows or ()) - {*ROWS, SHAPE}:
        parser.error(f"there is no row {sorted(unknown)[0]!r}; there are: {', '.join([SHAPE, *ROWS])}")
    rows |= {text: Row(json.loads(text)) for text in options.settings}
    with threadpool_limits(1):
        _run(options, rows)


def _run(options, rows):
    parts = [read_crops(folder) for folder in (options.folder, options.test) if folder]
    needed = options.rows is None or SHAPE in options.rows
    masked = needed or any(row.settings.get("neighbours") == "mask" for row in rows.values())
    cut = [segment_crops(crops) if masked else (None, None) for _, crops in parts]
    index = parts[0][0]
    kept, table = {}, {}
    print(
        "| features | px | numbers | bytes a cell | cells / CPU-s | accuracy ± seeds | balanced ± seeds | ± plates "
        "| ARI | NMI |\n|---|---|---|---|---|---|---|---|---|---|"
    )

    def show(name, features, classifier, facts):
        test = (features[1], parts[1][0]) if options.test else None
        clusters = not options.no_clusters
        table[name] = facts | judge(features[0], index, classifier, range(options.seeds), test, clusters)
        print(_line(name, table[name]), flush=True)

    if needed:
        features = [shape_features(crops, *found) for (_, crops), found in zip(parts, cut, strict=True)]
        forest = _Forest(500, min_samples_leaf=2, random_state=0)
        facts = {"numbers": features[0].shape[1], "bytes": 4 * features[0].shape[1]}
        show(SHAPE, features, forest, facts)
    for name, row in rows.items():
        embedded = [
            embed_crops(row, crops, frame["plate"].to_numpy(str), *found)
            for (frame, crops), found in zip(parts, cut, strict=True)
        ]
        features, width = [x for x, _ in embedded], embedded[0][0].shape[1]
        px = Embedding(**row.settings).input_size
        facts = {"px": px, "numbers": width, "bytes": 2 * width, "cells/CPU-s": embedded[0][1]}
        show(name, features, linear_probe(options.c), facts)
        kept[name] = features[0]
    if options.choose:
        _show_choice(kept, index, options.c, options.choose)
    if options.table:
        pd.DataFrame(table).T.rename_axis("features").to_csv(options.table)


def _show_choice(features, index, c, splits):
    y, plates = index["phenotype"].to_numpy(str), index["plate"].to_numpy(str)
    found = choose_and_confirm(features, y, plates, linear_probe(c), splits)
    chosen = [confirmed[name] for name, confirmed in found]
    print("\n| fitted on half of the plates, judged on the others | chosen | accuracy | balanced |\n|---|---|---|---|")
    print("| the best of the first half | {} | {:.3f} | {:.3f} |".format(len(found), *np.mean(chosen, axis=0)))
    for name in features:
        times = sum(name == best for best, _ in found)
        print("| {} | {} | {:.3f} | {:.3f} |".format(name, times, *np.mean([c[name] for _, c in found], axis=0)))


if __name__ == "__main__":
    main()
