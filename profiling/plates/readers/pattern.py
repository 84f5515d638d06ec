"""Reader for any folder whose file names follow one pattern."""

import os
import re

import pandas as pd

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


def list_files(folder):
    """Paths (relative, forward slashes) and sizes of the image files below a folder, in sorted order."""
    found = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        with os.scandir(root) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.name in set(names)}
        base = os.path.relpath(root, folder).replace(os.sep, "/")
        found += [(name if base == "." else f"{base}/{name}", sizes[name]) for name in names]
    return sorted(item for item in found if item[0].lower().endswith(SUFFIXES))


def read(folder, settings):
    """Images whose path matches ``settings.pattern`` (see :func:`profiling.plates.readers.read_folder`).

    Image files that do not match are problems: a typing error in a name must not lose a well in silence.
    """
    pattern = re.compile(settings.pattern)
    rows, problems = [], []
    for path, size in list_files(folder):
        match = pattern.search(path)
        if not match:
            problems.append((path, "the name does not match images.pattern", "rename it, or widen the pattern"))
            continue
        groups = match.groupdict()
        token = groups["channel"]
        if settings.channel_names and token not in settings.channel_names:
            reason = f"channel {token!r} is not in images.channel_names"
            problems.append((path, reason, "add it there, or narrow the pattern"))
            continue
        rows.append(
            {
                "Metadata_Well": groups.get("well") or f"{_row(groups['row'])}{groups['column']}",
                "Metadata_Site": int(groups.get("site") or 1),
                "Metadata_Time": int(groups.get("time") or 0),
                "Metadata_Z": int(groups.get("z") or 0),
                "Metadata_Channel": settings.channel_names.get(token, token),
                "Path": path,
                "Page": 0,
                "FileSize": size,
            }
        )
    return pd.DataFrame(rows), problems


def _row(text):
    """A row as letters, also where the names count rows."""
    if not text.isdigit():
        return text
    number = int(text)
    return chr(64 + number) if number <= 26 else "A" + chr(64 + number - 26)
