"""Nuclei found by a segmentation engine against nuclei marked by eye.

    python -m benchmarks.segmentation_counts FOLDER NUCLEI.csv [--engine NAME] [--diameter PX] [--overlays OUT]
    python -m benchmarks.segmentation_counts FOLDER NUCLEI.csv --pictures OUT

NUCLEI.csv has a row a nucleus: `image` (file name below FOLDER), `row` and `column` (px, from 0, somewhere near its
middle) and `unsure` (1 where another person might see one nucleus more or fewer). `--pictures` writes the
fields magnified and stretched, without outlines, to mark nuclei by eye; `--overlays` draws the engine's outlines and
the marks on them.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from profiling.cells import load_segmenter
from profiling.images import read_image

REACH = 3  # px; a mark this near to an object is on it
MAGNIFICATION = 4
OUTLINE, MARK = (0, 190, 255), (0, 0, 255)  # yellow, red (BGR)


def find_marked(labels, rows, columns):
    """Object that each mark lies on.

    Parameters
    ----------
    labels : (H, W) uint32
    rows, columns : (n,) int
        Marks, px.

    Returns
    -------
    (n,) int64
        Labels; 0 where no object is within `REACH`.
    """
    spread = cv2.dilate(labels.astype(np.float32), np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8))
    found = labels[rows, columns].astype(np.int64)
    return np.where(found > 0, found, spread[rows, columns].astype(np.int64))


def compare_marks(marks, segment, folder):
    """Compare the objects of an engine with marks.

    Parameters
    ----------
    marks : DataFrame
        `image`, `row`, `column`, `unsure`.
    segment : callable
        From an image to labels.
    folder : Path
        Where the images lie.

    Returns
    -------
    DataFrame
        A row a field: `image`, `by eye`, `unsure`, `engine` (objects), `difference`, `missed` (marks without
        an object), `merged` (marks that share an object with another, less one an object) and `unmarked`
        (objects without a mark: parts of nuclei, and what is none). `difference` is `unmarked` less
        `missed` and `merged`.
    """
    rows = []
    for name, field in marks.groupby("image"):
        labels = segment(read_image(Path(folder) / name))
        owners = find_marked(labels, field["row"].to_numpy(), field["column"].to_numpy())
        marks_by_object = np.bincount(owners, minlength=int(labels.max()) + 1)[1:]
        rows.append(
            {
                "image": name,
                "by eye": len(field),
                "unsure": int(field["unsure"].sum()),
                "engine": len(marks_by_object),
                "difference": len(marks_by_object) - len(field),
                "missed": int((owners == 0).sum()),
                "merged": int(np.maximum(marks_by_object - 1, 0).sum()),
                "unmarked": int((marks_by_object == 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def draw_picture(image, labels=None, marks=None):
    """Magnified field, with outlines and marks if given: (H', W', 3) uint8 BGR."""
    low, high = np.percentile(image, [1, 99.9])
    grey = (255 * np.clip((image - low) / max(high - low, 1e-9), 0, 1) ** 0.7).astype(np.uint8)
    size = MAGNIFICATION * image.shape[1], MAGNIFICATION * image.shape[0]
    picture = cv2.cvtColor(cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2BGR)
    if labels is not None:
        large = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
        edges = cv2.dilate(large, np.ones((3, 3), np.uint8)) != cv2.erode(large, np.ones((3, 3), np.uint8))
        picture[edges] = OUTLINE
    if marks is not None:
        for row, column in zip(marks["row"], marks["column"]):
            cv2.circle(picture, (MAGNIFICATION * int(column), MAGNIFICATION * int(row)), 3, MARK, -1)
    return picture


def write_pictures(out, marks, folder, segment=None):
    """Write the picture of every field as PNG; with outlines and marks if there is an engine."""
    out.mkdir(parents=True, exist_ok=True)
    for name, field in marks.groupby("image"):
        image = read_image(folder / name)
        picture = draw_picture(image, segment(image), field) if segment else draw_picture(image)
        cv2.imwrite(str(out / f"{Path(name).stem}.png"), picture)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation_counts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("nuclei", type=Path)
    parser.add_argument("--engine", default="classical")
    parser.add_argument("--diameter", type=float, help="nucleus diameter in px (estimated per image if absent)")
    parser.add_argument("--pictures", type=Path, metavar="OUT", help="write the fields to mark by eye, and stop")
    parser.add_argument("--overlays", type=Path, metavar="OUT", help="write the fields with outlines and marks")
    options = parser.parse_args(arguments)
    marks = pd.read_csv(options.nuclei)
    if options.pictures:
        write_pictures(options.pictures, marks, options.folder)
        return
    segment = load_segmenter(options.engine, nucleus_diameter=options.diameter).segment
    table = compare_marks(marks, segment, options.folder)
    print(table.to_string(index=False))
    total = table.drop(columns="image").sum()
    print(
        f"{total['by eye']} by eye ({total['unsure']} unsure), {total['engine']} by {options.engine}; "
        f"count error {table['difference'].abs().sum() / total['by eye']:.1%}; {total['missed']} missed, "
        f"{total['merged']} merged, {total['unmarked']} unmarked"
    )
    if options.overlays:
        write_pictures(options.overlays, marks, options.folder, segment)


if __name__ == "__main__":
    main()
