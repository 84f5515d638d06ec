"""The cell table: one row a cell, with its place, shape and intensities per compartment and channel."""

import numpy as np
import pandas as pd

from profiling.cells.intensity import measure_intensity
from profiling.cells.regions import bounding_boxes, find_regions, segment_mean
from profiling.cells.shape import measure_shape

LOCATION = "column and row of the nucleus' centroid, px, 0 at the middle of the first pixel"
SHAPES = {
    "Area": "area, px²",
    "Perimeter": "length of the outline, px",
    "MajorAxisLength": "major axis of the ellipse with the same second moments, px",
    "MinorAxisLength": "minor axis of that ellipse, px",
    "Eccentricity": "eccentricity of that ellipse, 0 (circle) to 1 (line)",
    "Orientation": "angle from the row axis to the major axis, degrees, -90 to 90",
    "Solidity": "area over the area of the convex hull",
    "FormFactor": "4·π·area / perimeter², 1 for a circle",
    "Extent": "area over the area of the bounding box",
    "EquivalentDiameter": "diameter of the circle of the same area, px",
}
INTENSITIES = {
    "MeanIntensity": "mean intensity",
    "StdIntensity": "standard deviation of the intensity",
    "IntegratedIntensity": "sum of the intensity",
    "MinIntensity": "lowest intensity",
    "MaxIntensity": "highest intensity",
    "MassDisplacement": "distance between the centroid and the centroid weighted by intensity, px",
}
COMPARTMENTS = {
    "Nuclei": (tuple(SHAPES), tuple(INTENSITIES)),
    "Cells": (tuple(SHAPES), tuple(INTENSITIES)),
    "Cytoplasm": (("Area",), tuple(name for name in INTENSITIES if name != "MassDisplacement")),
}


def cell_columns(channels):
    """List the columns of the cell table.

    Parameters
    ----------
    channels : sequence of str

    Returns
    -------
    dict of str to str
        NumPy's name of the dtype by column, in the order of the table; what they mean stands in docs/tables.md.
    """
    box = [f"BoundingBox{end}{axis}" for end in ("Minimum", "Maximum") for axis in "XY"]
    places = [f"Nuclei_Location_Center{axis}" for axis in "XY"]
    shapes = [f"{part}_AreaShape_{name}" for part, (names, _) in COMPARTMENTS.items() for name in names]
    intensities = [
        f"{part}_Intensity_{name}_{channel}"
        for part, (_, names) in COMPARTMENTS.items()
        for channel in channels
        for name in names
    ]
    return {
        "Metadata_CellID": "int32",
        **dict.fromkeys(places, "float32"),
        **dict.fromkeys(box, "int32"),
        **dict.fromkeys([*shapes, *intensities], "float32"),
        "NucleusTouchesBorder": "bool",
        "TouchesBorder": "bool",
    }


def measure_cells(nuclei, cells, channels):
    """Measure every cell of a site.

    Shape and intensity follow CellProfiler's MeasureObjectSizeShape and MeasureObjectIntensity; the
    cytoplasm is the cell without any nucleus.

    Parameters
    ----------
    nuclei, cells : (H, W) integer arrays
        Labels, 0 is background; both hold the same labels.
    channels : dict of str to (H, W) real array or None
        Images by channel name. None (a channel that could not be read) gives NaN.

    Returns
    -------
    DataFrame
        One row a label, ascending, with the columns of `cell_columns(channels)`.

    Raises
    ------
    ValueError
        If shapes differ, or nuclei and cells do not hold the same labels.
    """
    shapes = {"cells": cells.shape} | {name: image.shape for name, image in channels.items() if image is not None}
    for name, shape in shapes.items():
        if shape != nuclei.shape:
            raise ValueError(f"{name} has shape {shape}, the nuclei have {nuclei.shape}.")
    regions = {
        "Nuclei": find_regions(nuclei),
        "Cells": find_regions(cells),
        "Cytoplasm": find_regions(np.where(nuclei == 0, cells, 0)),
    }
    labels = regions["Cells"].labels
    if not np.array_equal(labels, regions["Nuclei"].labels):
        unpaired = np.setxor1d(labels, regions["Nuclei"].labels)
        raise ValueError(f"Nuclei and cells hold different labels: {unpaired[:5]} are only in one of them.")

    nuclei_box, box = bounding_boxes(regions["Nuclei"]), bounding_boxes(regions["Cells"])
    values = {
        "Metadata_CellID": labels,
        "Nuclei_Location_CenterX": segment_mean(regions["Nuclei"].columns, regions["Nuclei"]),
        "Nuclei_Location_CenterY": segment_mean(regions["Nuclei"].rows, regions["Nuclei"]),
        "BoundingBoxMinimumX": box[:, 1],
        "BoundingBoxMinimumY": box[:, 0],
        "BoundingBoxMaximumX": box[:, 3],
        "BoundingBoxMaximumY": box[:, 2],
        "Cytoplasm_AreaShape_Area": _spread(regions["Cytoplasm"].areas, regions["Cytoplasm"], labels, 0.0),
        "NucleusTouchesBorder": _touches_border(nuclei_box, nuclei.shape),
        "TouchesBorder": _touches_border(nuclei_box, nuclei.shape) | _touches_border(box, nuclei.shape),
    }
    for compartment, image in (("Nuclei", nuclei), ("Cells", cells)):
        for name, value in measure_shape(image, regions[compartment]).items():
            values[f"{compartment}_AreaShape_{name}"] = value
    for channel, image in channels.items():
        if image is None:
            continue
        for compartment, found in regions.items():
            for name, value in measure_intensity(image, found).items():
                values[f"{compartment}_Intensity_{name}_{channel}"] = _spread(value, found, labels, np.nan)

    missing = np.full(len(labels), np.nan)
    return pd.DataFrame(
        {name: values.get(name, missing).astype(dtype) for name, dtype in cell_columns(channels).items()}
    )


def _spread(values, regions, labels, absent):
    """Put the values of the labels present in `regions` at their places among `labels`."""
    out = np.full(len(labels), absent)
    out[np.searchsorted(labels, regions.labels)] = values
    return out


def _touches_border(box, shape):
    """Whether a bounding box (row, column, row end, column end) reaches the border of the image."""
    return (box[:, 0] == 0) | (box[:, 1] == 0) | (box[:, 2] == shape[0]) | (box[:, 3] == shape[1])
