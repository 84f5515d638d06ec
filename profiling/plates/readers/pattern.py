"""Reader for any folder whose file names follow one pattern."""

import os
import re

import pandas as pd

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
NUMBERS = {"site": 1, "time": 0, "z": 0}
"""Groups that count, with what they are where the pattern lacks them."""


def list_files(folder):
    """Image files below a folder, sorted: path (relative, forward slashes), size and time of the last change."""
    found = []
    for root, _, _ in os.walk(folder):
        base = os.path.relpath(root, folder).replace(os.sep, "/")
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.lower().endswith(SUFFIXES) and not entry.is_dir():
                    # A broken link has its own size; that it leads nowhere is found when its header is read.
                    facts = entry.stat(follow_symlinks=entry.is_file())
                    path = entry.name if base == "." else f"{base}/{entry.name}"
                    found.append((path, facts.st_size, int(facts.st_mtime)))
    return sorted(found)


def read(folder, settings):
    """Images whose path matches ``settings.pattern`` (see :func:`profiling.plates.readers.read_folder`).

    Image files that do not match are problems: a typing error in a name must not lose a well in silence.
    """
    pattern = re.compile(settings.pattern)
    rows, problems = [], []
    for path, size, modified in list_files(folder):
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
        try:
            site, time, z = (int(groups.get(name) or default) for name, default in NUMBERS.items())
        except ValueError as error:
            problems.append((path, f"site, time or z is not a number ({error})", "narrow images.pattern"))
            continue
        rows.append(
            {
                "Metadata_Well": groups.get("well") or f"{_row(groups['row'])}{groups['column']}",
                "Metadata_Site": site,
                "Metadata_Time": time,
                "Metadata_Z": z,
                "Metadata_Channel": settings.channel_names.get(token, token),
                "Path": path,
                "Page": 0,
                "FileSize": size,
                "Modified": modified,
            }
        )
    return pd.DataFrame(rows), problems


def _row(text):
    """A row as letters, also where the names count rows."""
    if not text.isdigit():
        return text
    number = int(text)
    return chr(64 + number) if number <= 26 else "A" + chr(64 + number - 26)
