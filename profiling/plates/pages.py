"""Pages of files that hold several images of a field, where no metadata say what they are."""

from collections import Counter

import numpy as np

COLUMNS = {"channel": "Metadata_Channel", "z": "Metadata_Z", "time": "Metadata_Time"}


def expand_pages(images, pages, count_of):
    """A row for each page of each file.

    Parameters
    ----------
    images : pandas.DataFrame
        One row a file, with `Path` and the columns of :data:`profiling.plates.readers.COLUMNS` that are known.
    pages : str
        What the pages are: ``channel``, ``z`` or ``time``.
    count_of : callable
        ``count_of(path) -> int``: pages of the file; 0 where it cannot be read. Called once a path.

    Returns
    -------
    pandas.DataFrame
        `Page` counts from 0. Channels are the texts ``1``, ``2``, … as instruments count them, planes and time points
        the numbers from 0; they replace what the column had. A file that cannot be read has as many rows as most
        files have, so that what was lost with it is known.
    """
    paths = images["Path"].unique()
    counts = dict(zip(paths, map(count_of, paths), strict=True))
    often = Counter(count for count in counts.values() if count > 0)
    usual = max(often, key=lambda count: (often[count], count), default=1)
    repeats = images["Path"].map({path: count or usual for path, count in counts.items()}).to_numpy(np.int64)
    page = np.arange(repeats.sum()) - np.repeat(repeats.cumsum() - repeats, repeats)
    expanded = images.take(np.repeat(np.arange(len(images)), repeats)).reset_index(drop=True)
    numbers = (page + 1).astype(str) if pages == "channel" else page.astype(np.int32)
    expanded = expanded.assign(**{"Page": page.astype(np.int32), COLUMNS[pages]: numbers})
    return expanded.astype({"Metadata_Channel": "str"}) if pages == "channel" else expanded
