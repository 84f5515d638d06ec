"""How the learned nucleus engine does on kinds of image that it was not trained on.

    python -m benchmarks.segmentation_kinds FOLDER OUT [--kinds HxW[,HxW ...] ...] [--steps 2000] [--simulated FOLDER]

FOLDER as in benchmarks/segmentation.py. Images of one size are of one kind (microscope, assay, tissue). For each entry
of `--kinds` a network is trained from ImageNet's weights on all fields of the other kinds, and judged on all fields of
these; without the option every kind is held out by itself. The training is that of `profiling train-segmenter`, but far
shorter than the one whose weights are shipped, so a control is trained for as many steps on four fifths of the groups
of all kinds, and both are judged on the last fifth. Trained networks stay in OUT and are used again.
"""

import argparse
import os
from pathlib import Path

import pandas as pd

from benchmarks.labelled_fields import list_fields, read_fields
from benchmarks.segmentation import brief, evaluate, nuclei_engine
from profiling.cells.learned.train import held_out, train
from profiling.cells.learned.training_settings import Source, Training

EVERY = 5  # groups whose number is a multiple of this judge the control
SIMULATED_SHARE = 0.08


def main(arguments=None):
    """Train and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation_kinds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kinds", nargs="*", metavar="HxW[,HxW ...]")
    parser.add_argument("--steps", type=int, default=2000, help="batches of eight")
    parser.add_argument("--simulated", type=Path, help="folder of `profiling simulate-annotated`, to train on too")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    fields = list_fields(given.folder)
    settings = {"steps": given.steps, "seed": given.seed, "batch_size": 8, "validate_every": given.steps}
    last_fifth = held_out(fields["Group"], EVERY)

    control = train_on(fields[~last_fifth], given.out / "control", given.simulated, settings)
    for names in given.kinds or sorted(fields["Kind"].unique()):
        of_kind = fields["Kind"].isin(names.split(","))
        if not of_kind.any():
            parser.error(f"there is no image of {names}")
        without = train_on(fields[~of_kind], given.out / f"without {names}", given.simulated, settings)
        engines = {
            "kind unseen": nuclei_engine("nuclei", None, {"weights": without}),
            "kind seen": nuclei_engine("nuclei", None, {"weights": control}),
            "shipped": nuclei_engine("nuclei", None, {}),
            "classical": nuclei_engine("classical", None, {}),
        }
        judged = {"all": of_kind, "last fifth": of_kind & last_fifth}
        tables = {
            f"{engine}, {part}": evaluate(read_fields(fields[rows]), segment)
            for part, rows in judged.items()
            for engine, segment in engines.items()
            if rows.any() and (part == "last fifth" or engine in ("kind unseen", "classical"))
        }
        print(f"\n{names}\n{brief(tables).to_string(index=False, float_format='%.3f')}", flush=True)


def train_on(fields, out, simulated, settings):
    """Train a network on some fields, if that has not been done; the path of its weights."""
    sources = [Source(folder=link_fields(fields, out / "fields"), hold_out=False)]
    if simulated:
        sources.append(Source(folder=simulated, share=SIMULATED_SHARE, components=True, hold_out=False))
    train(Training(sources=sources, **settings), out)
    return out / "nuclei.safetensors"


def link_fields(fields, folder):
    """Make a folder of annotated fields that holds links to some; its path."""
    for part, column in (("images", "ImagePath"), ("labels", "LabelPath")):
        links = {path.name: path.resolve() for path in fields[column]}
        if (folder / part).is_dir():
            if {path.name: path.resolve() for path in (folder / part).iterdir()} != links:
                raise ValueError(f"{folder} holds other fields; take another OUT, or remove it")
            continue
        (folder / part).mkdir(parents=True)
        for name, path in links.items():
            os.symlink(path, folder / part / name)
    index = pd.DataFrame({"image": fields["Image"], "field_group": fields["Group"]})
    index.to_csv(folder / "index.csv", index=False)
    return folder


if __name__ == "__main__":
    main()
