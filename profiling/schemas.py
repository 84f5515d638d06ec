"""The schema of every table: the contract with whoever reads the results.

A table has fixed columns and, where the columns depend on channels or settings, patterns: a regular
expression for the name and one type for all columns that match it. ``docs/tables.md`` is generated from here.
"""

from dataclasses import dataclass

import pyarrow as pa

VERSION = 1
"""Raised when a column is renamed, removed or changes its meaning; new columns do not raise it."""

STRING, INT, FLOAT, DOUBLE, BOOL = pa.string(), pa.int32(), pa.float32(), pa.float64(), pa.bool_()


@dataclass(frozen=True)
class Column:
    """A column, or with ``pattern`` all columns whose names match it; ``type`` None: as written."""

    name: str
    type: pa.DataType | None
    description: str
    pattern: str | None = None


@dataclass(frozen=True)
class Table:
    """A table: where it lies, what a row is, the columns that identify a row, and all columns."""

    path: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    group_by_well: bool = False


PLATE = Column("Metadata_Plate", STRING, "Plate")
WELL = Column("Metadata_Well", STRING, "Well, as `A01`")
FIELD = (
    PLATE,
    WELL,
    Column("Metadata_Site", INT, "Site (field of view) in the well, as the instrument numbers it"),
    Column("Metadata_Time", INT, "Time point, 0 where there is one"),
    Column("Metadata_Z", INT, "Plane, 0 where there is one"),
)
CELL = (
    *FIELD,
    Column("Metadata_CellID", INT, "Label of the cell in the field's label image; number of the tile, row by row"),
)
CHANNEL = Column("Metadata_Channel", STRING, "Channel")
STATUS = (
    Column("Status", STRING, "`ok`, `missing` (no file) or `unreadable`"),
    Column("Reason", STRING, "Why the image is lost, null where it is not"),
)
TREATMENT = (
    Column("Metadata_Compound", STRING, "Compound, from the plate map"),
    Column("Metadata_Concentration", DOUBLE, "Dose, from the plate map; null where it has none"),
    Column("Metadata_Unit", STRING, "Unit of the dose"),
    Column(
        "Metadata_Role",
        STRING,
        "`negative_control`, `positive_control`, `treatment`, `empty`, or as the plate map says",
    ),
    Column("Metadata_Treatment", STRING, "compound@dose with its unit; the compound alone where it has no dose"),
)
PLATEMAP = (Column("Metadata_Batch", STRING, "Batch of the experiment, by default the plate"), *TREATMENT)
KEPT = Column("Metadata_<column>", STRING, "Further columns named in `platemap.keep`", r"Metadata_\w+")
PC = Column("PC_0001 …", FLOAT, "Principal components of the normalised embedding", r"PC_\d{4}")
SHARE = Column("ClusterShare_01 …", FLOAT, "Share of the profiled cells in each cluster", r"ClusterShare_\d{2}")
MEASURED = (
    Column("BoundingBoxMinimumX", INT, "px, first column of the cell"),
    Column("BoundingBoxMinimumY", INT, "px, first row of the cell"),
    Column("BoundingBoxMaximumX", INT, "px, one past the last column of the cell"),
    Column("BoundingBoxMaximumY", INT, "px, one past the last row of the cell"),
    Column("NucleusTouchesBorder", BOOL, "Nucleus touches the border of the image"),
    Column("TouchesBorder", BOOL, "Nucleus or cell touches the border of the image"),
)
MEASUREMENT = Column(
    "<Compartment>_<Group>_<Feature>[_<Channel>]",
    FLOAT,
    "Such as `Nuclei_Intensity_MeanIntensity_DNA`, see [measurements](#measurements); not of fields and tiles, whose "
    "intensities are in the quality table",
    r"(Nuclei|Cells|Cytoplasm)_(Location|AreaShape|Intensity)_\w+(_.+)?",
)
P_VALUES = (
    Column("PValue", DOUBLE, "Permutation p-value, wells permuted within plates"),
    Column("QValue", DOUBLE, "PValue corrected by Benjamini-Hochberg over the table"),
    Column("AttainablePValue", DOUBLE, "Smallest p-value that this number of wells can give"),
)


def _keys(columns):
    return tuple(column.name for column in columns)


TABLES = {
    "images": Table(
        "images/{plate}.parquet",
        "field × channel, also where the image is lost",
        _keys((*FIELD, CHANNEL)),
        (
            *FIELD,
            CHANNEL,
            Column("Path", STRING, "File, relative to the plate's image folder; null where missing"),
            Column("Page", INT, "Plane of the file, from 0"),
            Column("Width", INT, "Pixels; null where unreadable"),
            Column("Height", INT, "Pixels; null where unreadable"),
            Column("Dtype", STRING, "Type of the pixels as stored"),
            Column("FileSize", pa.int64(), "Bytes"),
            Column("Modified", pa.int64(), "When the file was last changed, seconds since 1970"),
            Column("PositionX", DOUBLE, "Middle of the field in the frame of stage or well, um; null where unknown"),
            Column("PositionY", DOUBLE, "Middle of the field in the frame of stage or well, um"),
            Column("PixelSize", DOUBLE, "um a pixel as the export says"),
            Column("Planes", INT, "Planes of the stack that the image was made of or chosen from; 1 without a stack"),
            Column("Plane", INT, "Plane that was chosen, of `images.z: focus`; else null"),
            *STATUS,
        ),
    ),
    "quality": Table(
        "quality/{plate}.parquet",
        "field × channel of the wells that are not left out; measured on raw pixels, no threshold applied; null where "
        "the image is lost",
        _keys((*FIELD, CHANNEL)),
        (
            *FIELD,
            CHANNEL,
            Column(
                "FocusScore",
                DOUBLE,
                "Focus: higher is sharper (`profiling.images.focus_score`); null where there is nothing to judge",
            ),
            Column("PowerLogLogSlope", DOUBLE, "Slope of the log-log power spectrum, lower is blurrier"),
            Column("SaturatedFraction", DOUBLE, "Share of pixels at the maximum of the effective bit depth"),
            Column("Minimum", DOUBLE, "Grey value"),
            Column("Percentile_1", DOUBLE, "Grey value"),
            Column("Median", DOUBLE, "Grey value"),
            Column("Percentile_99", DOUBLE, "Grey value"),
            Column("Percentile_999", DOUBLE, "Grey value at 99.9 %"),
            Column("Maximum", DOUBLE, "Grey value"),
            Column("Mean", DOUBLE, "Grey value"),
            Column("Background", DOUBLE, "Grey value of the background"),
            Column("Noise", DOUBLE, "Standard deviation of the pixel noise, grey values"),
            Column("Contrast", DOUBLE, "(Percentile_999 − Median) / Noise; a blank field is near 3"),
            Column("PixelHash", STRING, "Hash of the pixels; equal hashes are identical images"),
            *STATUS,
        ),
    ),
    "limits": Table(
        "limits/{plate}.parquet",
        "plate × channel",
        ("Metadata_Plate", "Metadata_Channel"),
        (
            PLATE,
            CHANNEL,
            Column("Low", DOUBLE, "Corrected intensity that becomes 0 for the network"),
            Column("High", DOUBLE, "Corrected intensity that becomes 1 for the network"),
            Column("DarkOffset", DOUBLE, "Grey value subtracted from every pixel"),
            Column("FlatFieldFields", INT, "Fields looked at for the flat field; `Reason` says where none was fitted"),
            Column("LimitFields", INT, "Fields the limits were taken from"),
            Column("Reason", STRING, "Why there is no flat field, or a warning; null where all is well"),
        ),
    ),
    "platemaps": Table(
        "platemaps/{plate}.parquet",
        "well of the images or the plate map",
        ("Metadata_Plate", "Metadata_Well"),
        (
            PLATE,
            WELL,
            *PLATEMAP,
            Column("Imaged", BOOL, "Whether the plate has images of the well"),
            Column("Mapped", BOOL, "Whether the well stands in the plate map"),
            KEPT,
        ),
    ),
    "cells": Table(
        "cells/{plate}.parquet",
        "segmented cell (field or tile, see `unit`)",
        _keys(CELL),
        (
            *CELL,
            *MEASURED,
            Column("CropOutsideImage", BOOL, "The crop leaves the image and was padded by reflection"),
            Column("Embedded", BOOL, "Whether the cell has an embedding"),
            Column("ExclusionReason", STRING, "Why the cell has no embedding, null where it has one"),
            MEASUREMENT,
        ),
        group_by_well=True,
    ),
    "fields": Table(
        "fields/{plate}.parquet",
        "imaged field",
        _keys(FIELD),
        (
            *FIELD,
            Column("Segmented", BOOL, "Whether the field could be segmented (has a tile), also where it holds no cell"),
            Column("CellCount", INT, "Cells segmented; fields or tiles, see `unit`"),
            *(
                Column(f"NucleusArea{name}", FLOAT, f"Area of the nuclei, px²: {text}; null without cells")
                for name, text in (
                    ("Q05", "5 % quantile"),
                    ("Q25", "lower quartile"),
                    ("Median", "median"),
                    ("Q75", "upper quartile"),
                    ("Q95", "95 % quantile"),
                )
            ),
            Column("BorderShare", FLOAT, "Share of the nuclei that touch the border of the image; null without cells"),
            Column("NucleusCoverage", FLOAT, "Share of the field that nuclei cover; null where not segmented"),
            Column(
                "SegmentationScore",
                FLOAT,
                "Quality of the nuclei's masks estimated without reference, 0 to 1, low where segmentation probably "
                "failed (`profiling.cells.segmentation_score`); null where not segmented",
            ),
            Column("Reason", STRING, "Why the field could not be segmented, null where it could"),
        ),
    ),
    "overlays": Table(
        "overlays/{plate}.parquet",
        "field to look at: of the corner wells, with the lowest scores, or not segmented",
        _keys(FIELD),
        (
            *FIELD,
            Column("Chosen", STRING, "`corner well`, `lowest score`, `not segmented`, joined by `; `"),
            Column("CellCount", INT, "Cells segmented"),
            Column("SegmentationScore", FLOAT, "As in the fields table; null where not segmented"),
            Column(
                "Picture",
                pa.binary(),
                "PNG: the channels of nuclei and cells in grey, outlines of nuclei amber, of cells blue; null where "
                "there is none",
            ),
            Column("Reason", STRING, "Why there is no picture, null where there is one"),
        ),
    ),
    "embeddings": Table(
        "embeddings/{plate}.parquet",
        "embedded cell",
        _keys(CELL),
        (
            *CELL,
            Column("Embedding_<Channel>", None, "Fixed-size list of float16 (or float32) a channel", r"Embedding_.+"),
        ),
        group_by_well=True,
    ),
    "thumbnails": Table(
        "thumbnails/{plate}.parquet",
        "cell of the sample",
        _keys(CELL),
        (*CELL, Column("Thumbnail", pa.binary(), "WebP picture of the crop, channels in false colour")),
        group_by_well=True,
    ),
    "flags": Table(
        "flags/{plate}.parquet",
        "field × channel; thresholds of the settings applied to the quality and fields tables",
        _keys((*FIELD, CHANNEL)),
        (
            *FIELD,
            CHANNEL,
            Column(
                "Flags",
                STRING,
                "`lost`, `out of focus`, `saturated`, `blank`, `duplicate`, `segmentation` (nuclei only), joined by "
                "`; `, or null",
            ),
            Column("Detail", STRING, "The figures behind the flags, or null"),
            Column("Excluded", BOOL, "Whether the cells of the field are left out for it"),
        ),
    ),
    "cell_flags": Table(
        "cell_flags/{plate}.parquet",
        "segmented cell that has a flag; thresholds of the settings applied to the cells table",
        _keys(CELL),
        (
            *CELL,
            Column(
                "Flags",
                STRING,
                "`border`, `debris`, `dead`, `mitotic`, `irregular`, `outlier`, joined by `; `",
            ),
            Column("ExcludedBy", STRING, "Those of its flags that leave the cell out, joined by `; `, or null"),
        ),
    ),
    "features": Table(
        "features/{plate}.parquet",
        "embedded cell that no flag excludes",
        _keys(CELL),
        (
            *CELL,
            *PLATEMAP,
            Column("Flags", STRING, "Flags of the field or the cell that were kept, joined by `; `, or null"),
            KEPT,
            PC,
        ),
        group_by_well=True,
    ),
    "phenotypes": Table(
        "phenotypes/{plate}.parquet",
        "cell of the features table",
        _keys(CELL),
        (
            *CELL,
            *PLATEMAP,
            Column("Cluster", pa.int16(), "k-means cluster, 1 is the largest"),
            Column("ClusterDistance", FLOAT, "Distance to the cluster's centre"),
            Column("Map_1", FLOAT, "t-SNE map; null where the cell has no place on it"),
            Column("Map_2", FLOAT, "t-SNE map; null where the cell has no place on it"),
        ),
        group_by_well=True,
    ),
    "wells": Table(
        "wells.parquet",
        "imaged well",
        ("Metadata_Plate", "Metadata_Well"),
        (
            PLATE,
            WELL,
            *PLATEMAP,
            Column("Metadata_Fields", INT, "Fields segmented"),
            Column("Metadata_CellCount", INT, "Cells segmented"),
            Column("Metadata_ProfiledCells", INT, "Cells in the profile: embedded and excluded by no flag"),
            *(
                Column(f"Flagged{name}", INT, f"Cells segmented that are flagged `{name.lower()}`, kept or not")
                for name in ("Debris", "Dead", "Mitotic", "Irregular", "Outlier")
            ),
            Column("FewCells", BOOL, "Fewer profiled cells than `wells.minimum_cells`: left out of tests and means"),
            KEPT,
            PC,
            SHARE,
        ),
    ),
    "treatments": Table(
        "treatments.parquet",
        "treatment (compound at a dose)",
        ("Metadata_Treatment",),
        (
            *TREATMENT,
            Column("Metadata_Replicates", INT, "Wells in the mean; none of a role that is in no test, unless all are"),
            Column("Metadata_CellCount", INT, "Cells segmented in those wells"),
            Column("Metadata_ProfiledCells", INT, "Cells in the profile"),
            PC,
            SHARE,
        ),
    ),
    "enrichment": Table(
        "enrichment.parquet",
        "cluster × compound, doses pooled",
        ("Cluster", "Metadata_Compound"),
        (
            Column("Cluster", pa.int16(), "k-means cluster"),
            Column("Metadata_Compound", STRING, "Compound"),
            Column("Wells", INT, "Wells of the compound"),
            Column("ControlWells", INT, "Negative-control wells on the same plates"),
            Column("Share", DOUBLE, "Mean share of the cluster in the compound's wells"),
            Column("ControlShare", DOUBLE, "Mean share of the cluster in the control wells"),
            Column("Log2Enrichment", DOUBLE, "log2 of the ratio of the shares, with a pseudo-share added to both"),
            *P_VALUES,
        ),
    ),
    "activity": Table(
        "activity.parquet",
        "treatment",
        ("Metadata_Treatment",),
        (
            *TREATMENT,
            Column("Replicates", INT, "Wells of the treatment"),
            Column("ControlWells", INT, "Negative-control wells on the same plates"),
            Column("ControlDistance", DOUBLE, "Distance of the mean profile from the negative controls"),
            Column("ReplicateVariance", DOUBLE, "Variance of the well profiles within the treatment"),
            *P_VALUES,
            Column("Active", BOOL, "QValue below `statistics.alpha`"),
        ),
    ),
    "variance": Table(
        "variance.parquet",
        "variant of Jackson's check",
        ("Variant",),
        (
            Column("Variant", STRING, "`all replicates` or `other positions` (replicates in different wells only)"),
            Column("Within", DOUBLE, "Variance of well profiles within replicates"),
            Column("Between", DOUBLE, "Half the mean squared distance between wells of different treatments"),
            Column("Ratio", DOUBLE, "Within / Between: low is good"),
            Column("NullMedian", DOUBLE, "Median of the ratio under permuted treatments"),
            Column("NullLow", DOUBLE, "2.5th percentile of the ratio under permuted treatments"),
            Column("NullHigh", DOUBLE, "97.5th percentile of the ratio under permuted treatments"),
            Column("PValue", DOUBLE, "Share of permutations with a ratio as low"),
            Column("AttainablePValue", DOUBLE, "Smallest p-value that the number of permutations can give"),
            Column("Permutations", INT, "Permutations of treatment labels over wells"),
            Column("Treatments", INT, "Treatments compared"),
            Column("Wells", INT, "Wells compared"),
        ),
    ),
    "clusters": Table(
        "clusters.parquet",
        "number of clusters × seed",
        ("K", "Seed"),
        (
            Column("K", INT, "Number of clusters"),
            Column("Seed", INT, "Seed of the fit"),
            Column("Silhouette", DOUBLE, "Mean silhouette on a subsample"),
            Column(
                "Stability", DOUBLE, "Mean adjusted Rand index with fits of all seeds on random halves of the cells"
            ),
            Column("Inertia", DOUBLE, "Mean squared distance to the centres"),
            Column("PlateAssociation", DOUBLE, "Association of clusters with plates: 0 none, 1 complete"),
        ),
    ),
    "failures": Table(
        "failures.parquet",
        "what was lost",
        (*_keys(FIELD), "Metadata_Channel", "Stage", "Reason"),
        (
            PLATE,
            WELL,
            *FIELD[2:],
            CHANNEL,
            Column(
                "Stage", STRING, "Stage that lost it; well, site, channel are null where all are meant or none is known"
            ),
            Column("Cells", INT, "Cells lost, null where not known; 0 where a field that a flag excludes has none"),
            Column("Reason", STRING, "What happened"),
            Column("Remedy", STRING, "What to do"),
        ),
    ),
}

PIECES = {
    "segmented": Table(
        "chunks/{plate}/{chunk}/segmented.parquet",
        "segmented cell, before the embedding",
        _keys(CELL),
        (*CELL, *MEASURED, MEASUREMENT),
        group_by_well=True,
    ),
}
"""Tables that only the workflow reads."""
