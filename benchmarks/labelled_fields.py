"""Fields with instance labels: which there are, choosing among them, and reading them one after the other."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from profiling.demo.jobs import simulate_once
from profiling.images import read_image
from profiling.images.read import read_header

SUFFIXES = (".png", ".tif", ".tiff")
CAMERA_OFFSET = 100.0  # of the simulator's camera, grey levels
SIMULATED = {"plates": ["BENCHMARK"], "rows": 4, "columns": 6, "sites": 1, "size": 540, "trouble": False}


class Field(NamedTuple):
    """One field with its truth.

    Attributes
    ----------
    name : str
    group : object
        Fields of one group are not independent of each other.
    image : (H, W) array
    truth : (H, W) integer array
        Labels; 0 is background.
    """

    name: str
    group: object
    image: np.ndarray
    truth: np.ndarray


def list_fields(folder, groups_column="field_group"):
    """List the fields of a folder that holds `images/NAME.png` and `labels/NAME.png` (or TIFF).

    Parameters
    ----------
    folder : Path
    groups_column : str
        Column of `index.csv`, whose first column is the image's name; without that file, or without that
        column, every image is its own group.

    Returns
    -------
    DataFrame
        A row an image, sorted by name: `Image`, `Group`, `Kind` ("HxW"), `ImagePath`, `LabelPath`.

    Raises
    ------
    ValueError
        If an image has no labels or is not in the index, or there is no image.
    """
    folder = Path(folder)
    images = sorted(path for path in (folder / "images").iterdir() if path.suffix in SUFFIXES)
    labels = {path.stem: path for path in (folder / "labels").iterdir() if path.suffix in SUFFIXES}
    if not images:
        raise ValueError(f"{folder / 'images'} holds no {', '.join(SUFFIXES)}.")
    if missing := [path.name for path in images if path.stem not in labels]:
        raise ValueError(f"{len(missing)} images of {folder} have no labels, the first is {missing[0]}.")
    headers = [read_header(path) for path in images]
    fields = pd.DataFrame(
        {
            "Image": [path.stem for path in images],
            "Group": [path.stem for path in images],
            "Kind": [f"{header['height']}x{header['width']}" for header in headers],
            "ImagePath": images,
            "LabelPath": [labels[path.stem] for path in images],
        }
    )
    index = folder / "index.csv"
    if index.exists():
        known = pd.read_csv(index, converters={0: str})
        known = known.set_index(known.columns[0].strip())
        if groups_column in known.columns:
            if absent := sorted(set(fields["Image"]) - set(known.index)):
                raise ValueError(f"{len(absent)} images are not in {index}, the first is {absent[0]}.")
            fields["Group"] = known.loc[fields["Image"], groups_column].to_numpy()
    return fields


def choose_fields(fields, holdout=None, groups=None, kind=None, limit=None):
    """Choose among the fields of `list_fields`.

    Parameters
    ----------
    fields : DataFrame
    holdout : int, optional
        Only groups whose number is a multiple of this.
    groups : sequence of str, optional
        Only these groups.
    kind : str, optional
        Only images of this size, "HxW".
    limit : int, optional
        At most this many, evenly spaced.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If a named group does not exist, groups are not numbers, or nothing is left.
    """
    if holdout is not None:
        if not pd.api.types.is_integer_dtype(fields["Group"]):
            raise ValueError("A holdout by number needs groups that are integers in index.csv.")
        fields = fields[fields["Group"] % holdout == 0]
    if groups is not None:
        names = fields["Group"].astype(str)
        if unknown := sorted(set(groups) - set(names)):
            raise ValueError(f"There are no groups {', '.join(unknown)}.")
        fields = fields[names.isin(groups)]
    if kind is not None:
        fields = fields[fields["Kind"] == kind]
    if not len(fields):
        raise ValueError("No field is left.")
    if limit is not None and limit < len(fields):
        fields = fields.iloc[np.linspace(0, len(fields) - 1, limit).round().astype(int)]
    return fields.reset_index(drop=True)


def read_fields(fields):
    """Read the fields of a table of `list_fields` one after the other: iterator of `Field`."""
    for row in fields.itertuples():
        yield read_field(row)


def read_field(row):
    """Read the field of one row of a table of `list_fields`."""
    image, truth = read_image(row.ImagePath), read_image(row.LabelPath)
    if image.shape != truth.shape:
        raise ValueError(f"{row.ImagePath} has shape {image.shape}, its labels have {truth.shape}.")
    return Field(row.Image, row.Group, image, truth)


def simulate_fields(folder, seed):
    """Simulate a screen of 24 wells with one field each, unless the folder holds it, and list its fields.

    Parameters
    ----------
    folder : Path
    seed : int

    Returns
    -------
    DataFrame
        A row a field: `Image`, `Group` (the compound), `Kind`, and the paths `Nuclei` and `Cytoplasm` of its
        images, `NucleiFlat` and `CytoplasmFlat` of their illumination, `NucleiTruth` and `CellsTruth`.
    """
    folder = Path(folder)
    simulate_once(folder, seed=seed, **SIMULATED)
    cells = pd.read_parquet(folder / "truth" / "cells.parquet")
    wells = cells.groupby(["Metadata_Plate", "Metadata_Well", "Metadata_Site"], as_index=False)["Compound"].first()
    rows = []
    for plate, well, site, compound in wells.itertuples(index=False):
        images = folder / "images" / plate / f"{plate}_{well}_s{site}"
        labels = folder / "truth" / "labels" / plate / f"{well}_s{site}"
        flat = folder / "truth" / "flatfields" / plate
        rows.append(
            {
                "Image": f"{plate}_{well}_s{site}",
                "Group": compound,
                "Kind": "{0}x{0}".format(SIMULATED["size"]),
                "Nuclei": Path(f"{images}_DNA.tif"),
                "Cytoplasm": Path(f"{images}_Actin.tif"),
                "NucleiFlat": flat / "DNA.tif",
                "CytoplasmFlat": flat / "Actin.tif",
                "NucleiTruth": Path(f"{labels}_nuclei.tif"),
                "CellsTruth": Path(f"{labels}_cells.tif"),
            }
        )
    return pd.DataFrame(rows)


def read_flat(image_path, flat_path):
    """Image of the simulator, corrected by the true illumination: (H, W) float32."""
    return (read_image(image_path).astype(np.float32) - CAMERA_OFFSET) / read_image(flat_path)
