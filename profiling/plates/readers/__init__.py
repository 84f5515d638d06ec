"""Readers of image folders: one module an instrument or naming scheme.

A reader is a function ``read(folder, settings) -> (images, problems)``. It reads names and metadata, never
pixels. ``images`` is a DataFrame with one row an image and the columns of :data:`COLUMNS`; ``problems`` is a
list of ``(path, reason, remedy)`` for what could not be placed.
"""

from profiling.plates.readers import pattern

COLUMNS = {
    "Metadata_Well": "str",
    "Metadata_Site": "int32",
    "Metadata_Time": "int32",
    "Metadata_Z": "int32",
    "Metadata_Channel": "str",
    "Path": "str",
    "Page": "int32",
    "FileSize": "int64",
    "Modified": "int64",
}
"""Columns of the images that a reader finds; `Path` is relative to the plate's folder, with forward slashes."""

READERS = {"pattern": pattern.read}


def read_folder(folder, settings):
    """Images of a plate's folder, by the reader that the settings name.

    Parameters
    ----------
    folder : Path
        The plate's image folder.
    settings : profiling.settings.Images
        Reader and its settings.

    Returns
    -------
    images : pandas.DataFrame
        Columns of :data:`COLUMNS`.
    problems : list of tuple of str
        Path, reason and remedy of each image file that could not be placed.
    """
    return READERS[settings.reader](folder, settings)
