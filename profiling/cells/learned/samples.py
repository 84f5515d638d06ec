"""Annotated fields on disk, and the endless, seeded sequence of training samples drawn from them."""

from pathlib import Path
from typing import NamedTuple

import cc3d
import cv2
import fastremap
import numpy as np
import pandas as pd

from profiling.cells.learned.augment import crowd, degrade, haze, part_nuclei, random_view
from profiling.cells.learned.contrast import contrast_by_label
from profiling.cells.learned.normalise import network_input, normalise
from profiling.cells.learned.targets import targets
from profiling.cells.regions import typical_diameter
from profiling.errors import ProfilingError
from profiling.images.errors import COPY_AGAIN, ImageError
from profiling.images.read import read_header, read_image

SUFFIXES = (".png", ".tif", ".tiff")
PYRAMID = 4
CROWDED, HAZY, EMPTY = 0.25, 0.15, 0.03  # shares of the samples
FAINTEST, FAINTEST_SPECK = 0.02, 0.1  # of the field's contrast; objects that stand out by less are doubtful
SPECK = 0.15  # of the typical nucleus' area
MOST_PARTS = 2  # of a nucleus that is the only one of its field
KIND_POWER = 0.5  # kinds of field (by their size) are drawn by this power of their number of groups


class AnnotatedField(NamedTuple):
    """A field with its nuclei.

    Attributes
    ----------
    pyramid : list of (H / 2^i, W / 2^i) float32
        Normalised image, reduced by powers of two.
    labels : (H, W) uint16
    diameter : float
        Of the typical nucleus, px, see `regions.typical_diameter`.
    centroids : (nuclei, 2) float
        x, y in px.
    doubtful : (labels + 1,) bool
        By label: whether nothing, or a speck that hardly is one, is to be seen where an object is annotated.
    """

    pyramid: list
    labels: np.ndarray
    diameter: float
    centroids: np.ndarray
    doubtful: np.ndarray


def annotate(image, labels):
    """Make an annotated field of an image and its labels; None without a nucleus."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    present = np.flatnonzero(areas)
    if len(present) == 0:
        return None
    y, x = np.nonzero(labels)
    owner = labels[y, x]
    centroids = np.stack([np.bincount(owner, x), np.bincount(owner, y)], 1)[present] / areas[present, None]
    pyramid = [normalise(image)]
    while len(pyramid) < PYRAMID and min(pyramid[-1].shape) >= 32:
        height, width = (side // 2 for side in pyramid[-1].shape)
        even = pyramid[-1][: 2 * height, : 2 * width]
        pyramid.append(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
    diameter = typical_diameter(areas[present])
    specks = areas < SPECK * np.pi / 4 * diameter**2
    doubtful = contrast_by_label(pyramid[0], labels) < np.where(specks, FAINTEST_SPECK, FAINTEST)
    return AnnotatedField(pyramid, labels.astype(np.uint16), diameter, centroids, doubtful)


def list_fields(folder):
    """List the annotated fields of a folder.

    Parameters
    ----------
    folder : str or Path
        Holds ``images/NAME.png`` and ``labels/NAME.png`` (or TIFF), labels being instance label images; and,
        if there is one, ``index.csv`` whose first column is NAME and whose column ``field_group`` names the
        images that were cut from one field.

    Returns
    -------
    pandas.DataFrame
        image, labels (paths), components (see `read_annotation`), group; sorted by name.

    Raises
    ------
    ProfilingError
        If a folder or a label image is missing, two of them have one name, or ``index.csv`` is no such table.
    """
    folder = Path(folder)
    for part in ("images", "labels"):
        if not (folder / part).is_dir():
            raise ProfilingError(f"{folder} has no folder {part}/; annotated fields are images/NAME and labels/NAME.")
    images, masks = (_list_images(folder / part) for part in ("images", "labels"))
    labels = {path.stem: path for path in masks}
    for kind, paths in (("images", images), ("labels", masks)):
        names = pd.Series([path.stem for path in paths], dtype=str)
        if twice := sorted(names[names.duplicated()]):
            raise ProfilingError(f"{len(twice)} files of {folder / kind} have the name of another, first {twice[0]}.")
    if missing := [path.name for path in images if path.stem not in labels]:
        raise ProfilingError(f"{len(missing)} images of {folder} have no labels, the first is {missing[0]}.")
    if not images:
        raise ProfilingError(f"{folder}/images holds no image ({', '.join(SUFFIXES)}).")
    table = pd.DataFrame({"image": images, "labels": [labels[path.stem] for path in images]})
    table["components"] = False
    table["group"] = [path.stem for path in images]
    if (folder / "index.csv").exists():
        try:
            index = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)
        except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
            raise ProfilingError(f"{folder / 'index.csv'} cannot be read as a table: {str(error).strip()}.") from None
        index.columns = index.columns.str.strip()
        if index.empty or "field_group" not in index:
            raise ProfilingError(
                f"{folder / 'index.csv'} has no rows, or no column field_group (its columns: "
                f"{', '.join(index.columns)}); separate them by commas, or remove the file."
            )
        names = index[index.columns[0]]
        suffixes = names.str.extract(r"(\.[^.]+)$")[0].str.lower()
        names = names.where(~suffixes.isin(SUFFIXES), names.str.rpartition(".")[0])
        groups = dict(zip(names, index["field_group"]))
        if not groups.keys() & set(table["group"]):
            raise ProfilingError(
                f"{folder / 'index.csv'}: its first column, {index.columns[0]}, names none of the images; put the "
                "names of the images, with or without suffix, into the first column."
            )
        table["group"] = [groups.get(name) or name for name in table["group"]]
    return table


def _list_images(folder):
    """Images of a folder, without the hidden files that macOS leaves beside them."""
    paths = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in paths if not path.name.startswith("."))


def read_pair(image, labels, components=False):
    """Read one annotated field; see `annotate`.

    Parameters
    ----------
    image, labels : str or Path
    components : bool
        Whether every connected part of a label is a nucleus of its own.

    Raises
    ------
    ProfilingError
        If one of the files cannot be read or has several pages, image and labels differ in size, or the labels are
        none.
    """
    try:
        pixels, numbers = _read_only_page(image), read_annotation(labels, components)
    except ImageError as error:
        raise ProfilingError(str(error).replace(COPY_AGAIN, "write it again, or remove image and labels")) from None
    if pixels.shape != numbers.shape:
        raise ProfilingError(f"{image} has shape {pixels.shape}, its labels {labels} have {numbers.shape}.")
    return annotate(pixels, numbers)


def read_annotation(path, components=False):
    """Read the label image of a field.

    Parameters
    ----------
    path : str or Path
    components : bool
        Whether every connected part of a label is a nucleus of its own.

    Returns
    -------
    (H, W) unsigned integers
        0 is background, nuclei are 1..n.

    Raises
    ------
    ProfilingError
        If values are negative or no whole numbers, the file has several pages, or the image is a mask that gives all
        nuclei one number.
    """
    labels = _read_only_page(path)
    if (labels < 0).any() or (labels % 1).any():
        raise ProfilingError(f"{path} holds values below 0 or between whole numbers; labels are 0, 1, 2 ...")
    labels, numbers = fastremap.renumber(labels.astype(np.uint64))
    parts = cc3d.connected_components(labels, connectivity=8)
    if components:
        return parts
    if len(numbers.keys() - {0}) == 1 and parts.max() > MOST_PARTS:
        raise ProfilingError(
            f"{path} has one number for {parts.max()} separate objects: is it a mask? Give each nucleus its number, or "
            "set `components: true` if no two touch."
        )
    return labels


def _read_only_page(path):
    if (pages := read_header(path)["pages"]) > 1:
        raise ProfilingError(f"{path} has {pages} pages; write each as an image with labels of its own.")
    return read_image(path)


def draw_weights(groups, kinds):
    """Probability of drawing each field: groups count equally within a kind, kinds by `KIND_POWER`.

    Parameters
    ----------
    groups : (fields,) sequence of str
    kinds : (fields,) sequence of str
        Fields of one microscope and assay are of one kind; their size stands for it.

    Returns
    -------
    (fields,) float64
        Sums to 1.
    """
    table = pd.DataFrame({"group": np.asarray(groups), "kind": np.asarray(kinds)})
    per_group = table.groupby(["kind", "group"])["group"].transform("size")
    groups_of_kind = table.groupby("kind")["group"].transform("nunique")
    weights = groups_of_kind ** (KIND_POWER - 1) / per_group
    return (weights / weights.sum()).to_numpy()


def sample(fields, weights, diameter, size, seed, number):
    """Draw one training sample; the same arguments give the same sample.

    Parameters
    ----------
    fields : list of AnnotatedField
    weights : (fields,) float64
    diameter : float
        Nominal diameter of a nucleus, px.
    size : int
        Side, px.
    seed, number : int
        Of the run and of the sample.

    Returns
    -------
    inputs : (2, size, size) float32
    maps, weight, radius
        See `targets.targets`.
    """
    rng = np.random.default_rng([seed, number])

    def view():
        field = fields[rng.choice(len(fields), p=weights)]
        image, labels = random_view(field, diameter, size, rng)
        return image, *part_nuclei(labels, field.doubtful)

    image, labels, unjudged = view()
    if rng.random() < EMPTY:
        image, labels = np.full_like(image, rng.uniform(0, 0.2)), np.zeros_like(labels)
        unjudged = np.zeros_like(unjudged)
    else:
        while rng.random() < CROWDED:
            other, other_labels, _ = view()
            before = np.bincount(labels.ravel())
            image, labels = crowd(image, labels, other, other_labels, np.exp(rng.normal(0, 0.3)))
            after = np.bincount(labels.ravel(), minlength=len(before))[: len(before)]
            gone = np.flatnonzero((after > 0) & (after < 0.5 * before))
            covered = np.isin(labels, gone[gone > 0])
            unjudged = (unjudged & (labels == 0)) | covered
            labels = np.where(covered, 0, labels)
        if rng.random() < HAZY:
            image = haze(image, view()[0], diameter, rng)
    image = degrade(image, diameter, rng)
    return network_input(image), *targets(labels, unjudged)
