"""Everything that was lost, from the tables of the stages."""

import pandas as pd

FIELD = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Time", "Metadata_Z"]
REMEDIES = {
    "images": "find the file in the instrument's export and run `profiling rescan PLATE`, or exclude its well",
    "quality": "copy the file again from the instrument and run `profiling rescan PLATE`, or exclude its well",
    "segmentation": "restore the image of the channel named, run `profiling rescan PLATE` and start again",
    "embedding": "restore the image of the channel named, run `profiling rescan PLATE` and start again",
    "platemap": "correct the plate map or find the images; only features and what follows run again",
}


def gather(images, quality, fields, cells, platemaps):
    """What the stages lost on one plate.

    Parameters
    ----------
    images, quality, fields, cells, platemaps : pandas.DataFrame
        The tables of these names.

    Returns
    -------
    pandas.DataFrame
        The failures table without the rows that other pieces list (files that could not be placed, cells left
        out by flags).
    """
    listed = images[images["Status"].ne("ok")].assign(Stage="images")
    known = listed[[*FIELD, "Metadata_Channel"]].assign(known=True)
    unread = quality[quality["Status"].ne("ok")].merge(known, how="left", on=[*FIELD, "Metadata_Channel"])
    unread = unread[unread["known"].isna()].assign(Stage="quality")
    unsegmented = fields[~fields["Segmented"]].assign(Stage="segmentation")
    excluded = cells[~cells["Embedded"]]
    unembedded = excluded.groupby([*FIELD, "ExclusionReason"], dropna=False).size().rename("Cells").reset_index()
    unembedded = unembedded.rename(columns={"ExclusionReason": "Reason"}).assign(Stage="embedding")
    only_map = platemaps[~platemaps["Imaged"]].assign(
        Stage="platemap", Reason="the well stands in the plate map but has no images"
    )
    has_map = platemaps["Mapped"].any()
    only_images = platemaps[~platemaps["Mapped"] & has_map].assign(
        Stage="platemap", Reason="the well has images but no row in the plate map"
    )
    parts = [listed, unread, unsegmented, unembedded, only_map, only_images]
    columns = [*FIELD, "Metadata_Channel", "Stage", "Cells", "Reason"]
    parts = [part.reindex(columns=columns).astype("object") for part in parts]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(Remedy=table["Stage"].map(REMEDIES))
