"""How many jobs should share the pixel work of a plate."""

from math import ceil

IMAGES_PER_JOB = 1200
"""Images in about ten minutes of one processor core, at half a second an image: the embedding of 48 fields of BBBC013
(640 × 640 px, 204 cells a field, two channels) took 0.75 s a field and channel on a slow core, the start of its jobs
included, and the other jobs of a chunk take less. On a GPU jobs are several times shorter."""
MOST_CHUNKS = 32


def propose_chunks(images, layout):
    """Number of chunks that makes jobs of about ten minutes.

    Parameters
    ----------
    images : int
        Images (fields × channels) of a plate.
    layout : int
        Wells of the plate.

    Returns
    -------
    int
    """
    return max(1, min(ceil(images / IMAGES_PER_JOB), MOST_CHUNKS, layout))
