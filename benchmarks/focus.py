"""How well focus measures tell fields in focus from fields out of focus.

    python -m benchmarks.focus FOLDER

FOLDER/in_focus and FOLDER/out_of_focus (or several folders out_of_focus*) hold single-channel images.
Prints for each measure its AUC (the chance that a field in focus scores above one out of focus), its margin
(lowest in focus minus highest out of focus; positive: a threshold tells them apart without error) and the
margin in standard deviations within the groups.
"""

import argparse
from pathlib import Path

import numpy as np

from profiling.images import focus_score, power_log_log_slope, read_image

MEASURES = {"FocusScore": focus_score, "PowerLogLogSlope": power_log_log_slope}


def scores(folders, measure):
    """Scores (N,) of all images in the folders, sorted by path; NaN (nothing to judge) is kept."""
    paths = sorted(path for folder in folders for path in folder.iterdir() if path.is_file())
    return np.array([measure(read_image(path)) for path in paths])


def separation(sharp, blurred):
    """AUC, margin, and margin in pooled standard deviations, of scores (N,) and (M,)."""
    difference = sharp[:, None] - blurred[None, :]
    auc = ((difference > 0) + 0.5 * (difference == 0)).mean()
    margin = sharp.min() - blurred.max()
    deviation = np.sqrt((sharp.var(ddof=1) + blurred.var(ddof=1)) / 2)
    return {"auc": float(auc), "margin": float(margin), "margin_sd": float(margin / deviation)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="with in_focus/ and out_of_focus*/")
    folder = parser.parse_args(arguments).folder
    sharp, blurred = [folder / "in_focus"], sorted(folder.glob("out_of_focus*"))
    if not sharp[0].is_dir() or not blurred:
        parser.error(f"{folder} needs the folders in_focus and out_of_focus")
    for name, measure in MEASURES.items():
        inside, outside = scores(sharp, measure), scores(blurred, measure)
        unjudged = int(np.isnan(inside).sum() + np.isnan(outside).sum())
        inside, outside = inside[np.isfinite(inside)], outside[np.isfinite(outside)]
        result = separation(inside, outside)
        print(
            f"{name:17} {len(inside)} in, {len(outside)} out, {unjudged} without structure  "
            f"AUC {result['auc']:.3f}  margin {result['margin']:+.2f} ({result['margin_sd']:+.1f} sd)  "
            f"in {inside.min():.2f}..{inside.max():.2f}  out {outside.min():.2f}..{outside.max():.2f}"
        )


if __name__ == "__main__":
    main()
