"""Flags of images: thresholds applied to what the quality stage measured."""

import numpy as np
import pandas as pd

from profiling.tables import FIELD_KEY

KEY = [*FIELD_KEY, "Metadata_Channel"]
SMALLEST_SPREAD = 0.02  # as a share of the plate's median


def flag_images(quality, fields, nuclei_channel, settings):
    """Flag the images of one plate.

    Parameters
    ----------
    quality : pandas.DataFrame
        Quality table of the plate.
    fields : pandas.DataFrame
        Fields table of the plate.
    nuclei_channel : str
        Channel of the nuclei.
    settings : profiling.settings.Flags

    Returns
    -------
    pandas.DataFrame
        The flags table. A focus score is compared with the plate's other images of the same channel, because
        its level depends on the stain; blank images are left out of that comparison. A blank image excludes its
        field only in the channel of the nuclei: a marker may be dark because the biology says so. A field whose
        segmentation score is low is flagged in the channel of the nuclei, which were segmented there; fields without
        cells, whose score is 0 or 1, do not say what is usual on the plate.
    """
    lost = quality["Status"].ne("ok")
    blank = quality["Contrast"].lt(settings.minimum_contrast) & ~lost
    focus = quality["FocusScore"].where(~lost & ~blank)
    limit = focus.groupby(quality["Metadata_Channel"]).transform(_lower_limit, settings.focus_mads)
    if settings.minimum_focus is not None:
        limit = np.maximum(limit, settings.minimum_focus)
    blurred = focus.lt(limit)
    saturated = quality["SaturatedFraction"].gt(settings.saturated_fraction)
    twins = _twins(quality, lost)
    segmented = quality[KEY].merge(fields, how="left", on=FIELD_KEY, validate="many_to_one").set_axis(quality.index)
    score = segmented["SegmentationScore"].where(quality["Metadata_Channel"].eq(nuclei_channel))
    usual = _lower_limit(score.where(segmented["CellCount"].gt(0)), settings.segmentation_mads)
    least = np.fmax(usual, settings.minimum_segmentation_score)
    failed = score.lt(least)
    found = [
        ("lost", lost, quality["Reason"]),
        ("blank", blank, "contrast " + quality["Contrast"].round(2).astype("str")),
        (
            "out of focus",
            blurred,
            "focus " + focus.round(2).astype("str") + " below " + limit.round(2).astype("str"),
        ),
        (
            "saturated",
            saturated,
            (quality["SaturatedFraction"] * 100).round(2).astype("str") + " % saturated",
        ),
        ("duplicate", twins.notna(), "same pixels as " + twins.fillna("")),
        ("segmentation", failed, "segmentation score " + score.round(2).astype("str") + f" below {least:.2f}"),
    ]
    flags = quality[KEY].copy()
    flags["Flags"] = _join([pd.Series(name, quality.index).where(mask) for name, mask, _ in found])
    flags["Detail"] = _join([detail.where(mask) for _, mask, detail in found])
    spoilt = blurred | saturated | twins.notna() | (blank & quality["Metadata_Channel"].eq(nuclei_channel))
    flags["Excluded"] = (
        lost | (spoilt & (settings.images == "exclude")) | (failed & (settings.segmentation == "exclude"))
    )
    return flags


def _lower_limit(values, mads):
    median = values.median()
    # A floor on the spread: on a plate of equally good images the deviations are rounding, not focus or masks.
    spread = max(1.4826 * (values - median).abs().median(), SMALLEST_SPREAD * abs(median))
    return median - mads * spread


def _twins(quality, lost):
    """Name of another image with the same pixels, or null. Two channels that are one file are found here.

    Images of one value are alike without being copies: those of a marker that is nowhere, for instance.
    """
    name = quality["Metadata_Well"] + " site " + quality["Metadata_Site"].astype("str")
    for word, column in (("time", "Metadata_Time"), ("plane", "Metadata_Z")):
        if quality[column].min() != quality[column].max():
            name = name + f" {word} " + quality[column].astype("str")
    name = name + " " + quality["Metadata_Channel"]
    twins = pd.Series(None, index=quality.index, dtype="str")
    alike = quality[~lost & quality["Minimum"].lt(quality["Maximum"])].groupby("PixelHash").groups
    for rows in (rows for rows in alike.values() if len(rows) > 1):
        for row in rows:
            twins[row] = name[next(other for other in rows if other != row)]
    return twins


def _join(columns):
    """Values of a row that are not null, joined by `; `; null where there is none."""
    table = pd.concat(columns, axis=1).astype("object")
    joined = ["; ".join(value for value in row if isinstance(value, str)) or None for row in table.to_numpy()]
    return pd.Series(joined, index=table.index, dtype="str")
