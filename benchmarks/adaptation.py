"""What the adaptation of a backbone without labels gains on plates that it did not learn from.

    python -m benchmarks.adaptation FOLDER [--seeds 0 2] [--steps 200] [--settings JSON]

FOLDER is that of benchmarks.embeddings. Half of the plates are learned from without labels; a logistic regression is
fitted to the same plates' phenotypes, and everything is judged on the other half. A row for the network as it was, for
its average over four rotations (four times the cost), and for the adapted one. A halving that leaves a phenotype on one
side only is refused: take another seed.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from benchmarks.embeddings import read_crops, scale_crops
from benchmarks.probe import COMPONENTS, accuracies, cluster_agreement, linear_probe
from profiling.embeddings.adapt.cells import GREYS
from profiling.embeddings.adapt.judge import effective_rank
from profiling.embeddings.adapt.settings import adaptation
from profiling.embeddings.adapt.train import feature_network, features_of, train
from profiling.embeddings.adapt.whitening import fit_whitening, whiten
from profiling.embeddings.backbones.load import backbone_of
from profiling.embeddings.crops import resize
from profiling.settings import Embedding

CPU = torch.device("cpu")
NEIGHBOURS = 5


def halve(y, plates, seed):
    """Which cells are on the half of the plates that is learned from."""
    names = np.unique(plates)
    learned = np.isin(plates, np.random.default_rng(seed).permutation(names)[: len(names) // 2])
    if set(y[learned]) != set(y[~learned]):
        raise SystemExit(f"seed {seed} leaves a phenotype on one side only; take another with --seeds")
    return learned


def neighbours(x, y, plates):
    """Share of the nearest neighbours on other plates with the same phenotype, a mean over phenotypes."""
    scores = whiten(x, fit_whitening(x, COMPONENTS))
    hits = np.empty(len(y))
    for plate in np.unique(plates):
        here = plates == plate
        found = (
            NearestNeighbors(n_neighbors=NEIGHBOURS).fit(scores[~here]).kneighbors(scores[here], return_distance=False)
        )
        hits[here] = (y[~here][found] == y[here, None]).mean(1)
    return float(np.mean([hits[y == name].mean() for name in np.unique(y)]))


def judge(x, y, plates, learned):
    """Accuracy, balanced accuracy, ARI, neighbours and effective rank, all of the cells not learned from."""
    test = ~learned
    predicted = linear_probe().fit(x[learned], y[learned]).predict(x[test])
    whole = cluster_agreement(x[test], y[test])[0]
    return *accuracies(y[test], predicted), whole, neighbours(x[test], y[test], plates[test]), effective_rank(x[test])


def main(arguments=None):
    """Train, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 2], help="of the halvings of the plates")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON of the section `embedding`")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    settings = Embedding(**options.settings)
    index, crops = read_crops(options.folder)
    y, plates = index["phenotype"].to_numpy(str), index["plate"].to_numpy(str)
    scaled = resize(scale_crops(crops, plates)[:, None], settings.input_size)
    images = np.rint(np.clip(scaled, 0, 1) * GREYS).astype(np.uint16)[:, None]

    def features(backbone, rotations=1):
        network = feature_network(backbone, settings.pooling, CPU, rotations)
        return features_of(network, images, CPU)[:, 0]

    frozen = backbone_of(settings)
    known = {"frozen": features(frozen), "frozen, rotations: 4": features(frozen, 4)}
    print("| halving | features | accuracy | balanced | ARI | neighbours | effective rank | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in options.seeds:
        learned = halve(y, plates, seed)
        adapted, start = backbone_of(settings), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "adapted.checkpoint"
            train(adapted, images[learned], None, adaptation(steps=options.steps), path, CPU)
        rows = known | {f"adapted, {options.steps} batches": features(adapted)}
        spent = time.process_time() - start
        for name, x in rows.items():
            with threadpool_limits(1):
                found = judge(x, y, plates, learned)
            figures = " | ".join(f"{value:.3f}" for value in found[:-1])
            seconds = f"{spent:.0f}" if name.startswith("adapted") else ""
            print(f"| {seed} | {name} | {figures} | {found[-1]:.0f} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
