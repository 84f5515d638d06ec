"""A screen ends although a chunk cannot: what `profiling status` says to exclude is what lets it."""

import shutil

import pandas as pd
import pytest
from commands import CONFIG, PLATES, run_screen

from profiling.plates.wells import chunk_wells, plate_wells
from profiling.results.exclusion import exclusions
from profiling.results.verify import verify
from profiling.tables import read_table

pytestmark = pytest.mark.xdist_group("results")


def values(failed, exclude=()):
    rows = [{"plate": "P1", "layout": 24, "exclude": list(exclude)}, {"plate": "P2", "layout": 24, "exclude": []}]
    failed = pd.DataFrame(failed, columns=["Plate", "Chunk"]).astype({"Chunk": "Int64"})
    return exclusions(failed, rows, {"P1": 4, "P2": 4})


def test_the_wells_of_a_chunk_and_those_that_are_out_already():
    assert values([("P1", 2)]) == {"P1": " ".join(chunk_wells(24, 2, 4))}
    both = {*chunk_wells(24, 2, 4), *chunk_wells(24, 3, 4), "A01"}
    assert values([("P1", 2), ("P1", 3), ("P1", 2)], ["A01"]) == {
        "P1": " ".join(well for well in plate_wells(24) if well in both)
    }


def test_a_job_of_a_plate_takes_the_plate_and_one_of_the_screen_nothing():
    assert values([("P1", None), ("P1", 2), ("P2", 1), (None, None)]) == {
        "P1": "all",
        "P2": " ".join(chunk_wells(24, 1, 4)),
    }
    assert values([("P1", chunk) for chunk in (1, 2, 3, 4)]) == {"P1": "all"}
    assert values([(None, None)]) == {}


def test_a_screen_ends_without_the_wells_of_a_chunk(small_screen, tmp_path):
    plate, chunk = PLATES[1], 2
    screen = tmp_path / "screen"
    shutil.copytree(small_screen, screen, ignore=shutil.ignore_patterns(".snakemake"))
    results = screen / "results"
    # As if the chunk had failed from its first job on.
    for folder in (results / "chunks" / plate / str(chunk), results / "labels" / plate / str(chunk)):
        shutil.rmtree(folder)
    of_plate = (f"{name}/{plate}.parquet" for name in ("quality", "fields", "cells", "embeddings", "thumbnails"))
    for name in (*of_plate, "config.json", "report.html"):
        (results / name).unlink()
    config = CONFIG | {"plates": [dict(row) for row in CONFIG["plates"]]}
    failed = pd.DataFrame({"Plate": [plate], "Chunk": [chunk]})
    config["plates"][1]["exclude"] = exclusions(failed, config["plates"], {plate: 2})[plate]
    jobs = run_screen(screen, config)
    again = {output for job in jobs for output in job.outputs}
    assert not [output for output in again if f"{plate}/1/" in output], "the other chunk is not made again"
    assert verify(results) == []
    out = chunk_wells(24, chunk, 2)
    wells = read_table(results / "wells.parquet", "wells")
    mine = wells[wells["Metadata_Plate"].eq(plate)].set_index("Metadata_Well")["Metadata_CellCount"]
    assert (mine[mine.index.isin(out)] == 0).all() and (mine[~mine.index.isin(out)] > 0).any()
