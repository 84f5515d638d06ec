"""A real instrument's export, as it was written, through listing, illumination and segmentation."""

import pytest
from starts import DATA, snakemake, write_config

from profiling.tables import read_table

EXPORT = DATA / "vendor_formats" / "imagexpress_exported_HTD"


@pytest.mark.skipif(not EXPORT.is_dir(), reason=f"needs {EXPORT}")
def test_an_imagexpress_export_with_stacks_is_segmented_as_it_lies_there(tmp_path):
    channels = ["DNA", "FITC", "TexasRed"]
    names = {"DAPI": "DNA", "FITC": "FITC", "Texas Red": "TexasRed"}
    write_config(
        tmp_path,
        {
            "plates": [{"plate": "3434", "images": "9987_Plate_3434", "layout": 96}],
            "root": str(EXPORT),
            "channels": channels,
            "chunks_per_plate": 1,
            "images": {"channel_names": names, "z": "projection"},
            "segmentation": {"engine": "classical", "cells_channel": "FITC"},
        },
    )
    snakemake(tmp_path, "results/fields/3434.parquet")
    images = read_table(tmp_path / "results" / "images" / "3434.parquet", "images")
    assert images["Status"].eq("ok").all()
    assert len(images) == 2 * 2 * 3
    assert sorted(images["Path"].str.extract(r"(ZStep_\d)")[0].unique()) == ["ZStep_0", "ZStep_1"]
    fields = read_table(tmp_path / "results" / "fields" / "3434.parquet", "fields")
    assert fields["Metadata_Well"].tolist() == ["B02", "B02", "B03", "B03"]
    assert fields["Segmented"].all()
    assert fields["CellCount"].sum() > 20
    unplaced = read_table(tmp_path / "results" / "chunks" / "3434" / "unplaced.parquet", "failures")
    assert unplaced["Reason"].str.contains("'Cy5' is not in images.channel_names").any()
