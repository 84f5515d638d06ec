"""The files of a screen that cannot be read, and its results without them."""

import json
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from profiling.phenotypes.models import load_arrays
from profiling.report.screen import PLATE_TABLES, SCREEN_TABLES, table_files
from profiling.tables import read_table

TABLES_READ = (*SCREEN_TABLES, *PLATE_TABLES, "images", "overlays", "phenotypes", "thumbnails")


def broken_files(results, plates):
    """Files that a report reads and cannot.

    Parameters
    ----------
    results : str or Path
    plates : sequence of str

    Returns
    -------
    list of str
        Relative to `results`.
    """
    results = Path(results)
    tables = [(path, name) for name in TABLES_READ for path in table_files(results, name, plates)]
    tables += [(results / "chunks" / plate / "wells.parquet", "wells") for plate in plates]
    readers = {path: partial(read_table, path, name) for path, name in tables}
    readers |= {path: partial(pq.read_metadata, path) for path in table_files(results, "embeddings", plates)}
    backbone, clusters = results / "models" / "backbone.json", results / "models" / "clusters.npz"
    readers[backbone] = lambda: json.loads(backbone.read_text()).items()
    readers[clusters] = lambda: load_arrays(clusters)["centres"]
    return [str(path.relative_to(results)) for path, read in readers.items() if path.is_file() and not _can(read)]


def _can(read):
    try:
        read()
    except Exception:  # Parquet, zipfile, zlib, numpy and JSON each have their own
        return False
    return True


@contextmanager
def results_without(results, files):
    """A folder of links to all that results hold but some files.

    Parameters
    ----------
    results : str or Path
    files : collection of str
        Relative to `results`.

    Yields
    ------
    Path
        Gone when the block ends.
    """
    with TemporaryDirectory() as folder:
        _link(Path(results).absolute(), Path(folder), [Path(file) for file in files])
        yield Path(folder)


def _link(source, folder, without):
    """Link what a folder holds; folders of files that are left out are made anew."""
    for name in os.listdir(source):
        inside = [file.relative_to(name) for file in without if file.parts[0] == name]
        if not inside:
            (folder / name).symlink_to(source / name)
        elif Path() not in inside:
            (folder / name).mkdir()
            _link(source / name, folder / name, inside)
