"""One listing of a plate's folder, which every reader works from."""

import os
import stat
import time
from typing import NamedTuple

from profiling.errors import ProfilingError

ATTEMPTS = 4
FIRST_PAUSE = 0.5  # s before a second attempt at a folder that a network file system did not list; then doubled
ZARR_DOCUMENTS = {".zattrs", ".zgroup", "zarr.json"}
LEFTOVERS = {"thumbs.db", "desktop.ini", "@eadir"}
"""What Windows and network storage leave in folders; like names that begin with a dot, never images of a plate."""


class File(NamedTuple):
    """A file of a plate's folder.

    Attributes
    ----------
    path : str
        Relative to the folder, with forward slashes.
    size : int
        Bytes.
    modified : int
        Time of the last change, seconds since 1970.
    """

    path: str
    size: int
    modified: int


def list_files(folder):
    """List all files below a folder, each folder once.

    Links to folders are followed after all other folders, each folder only once: a loop of links ends, and a file
    has the path without links if it has one. Hidden files and folders (``.DS_Store``, ``._A01.tif``, ``.snapshot``)
    and :data:`LEFTOVERS` are passed over. What lies in a Zarr group is chunks by the million: the group is listed
    as if it were a file, by its path without a slash, and the folder itself, if it is one, as ``.``.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    list of File
        Sorted by path. A name that is not UTF-8 has surrogates (:func:`unwritable`). A link that leads nowhere is
        a file of its own size.

    Raises
    ------
    ProfilingError
        If the folder, or one below it, cannot be listed.
    """
    found, seen, links = [], set(), []
    todo = [("", os.fspath(folder))]
    while todo or links:
        base, path = todo.pop() if todo else links.pop(0)
        inode, modified, entries = _listed(path)
        if inode in seen:
            continue
        seen.add(inode)
        if entries is None:
            found.append(File(base.rstrip("/") or ".", 0, modified))
            continue
        for name, kind, size, changed in entries:
            if kind == "file":
                found.append(File(base + name, size, changed))
            else:
                (todo if kind == "folder" else links).append((f"{base}{name}/", os.path.join(path, name)))
        links.sort()
    return sorted(found)


def unwritable(files):
    """Files whose names are not text (UTF-8), which no table can hold.

    Parameters
    ----------
    files : list of File

    Returns
    -------
    good : list of File
        The others.
    problems : list of tuple of str
        Path with its odd bytes as ``\\udcff``, reason and remedy of each.
    """
    wrong = [file for file in files if not file.path.isascii() and not _is_text(file.path)]
    if not wrong:
        return files, []
    left_out = set(wrong)
    problems = [
        (file.path.encode("utf-8", "backslashreplace").decode(), "its name is not UTF-8 text", "rename it")
        for file in wrong
    ]
    return [file for file in files if file not in left_out], problems


def _is_text(path):
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(path):
    """Identity, time of change and entries of a folder, None for those of a Zarr group."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            facts = os.stat(path)
            with os.scandir(path) as entries:
                entries = list(entries)
            is_group = any(entry.name in ZARR_DOCUMENTS for entry in entries)
            described = None if is_group else [known for entry in entries if (known := _describe(entry))]
            return (facts.st_dev, facts.st_ino), int(facts.st_mtime), described
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise ProfilingError(
                f"{path}: cannot be listed ({error.strerror}); correct the path or its rights, and let nothing move "
                "or remove it meanwhile"
            ) from None
        except ValueError as error:
            raise ProfilingError(f"{path!r}: cannot be listed ({error}); correct the path") from None
        except OSError as error:
            if attempt == ATTEMPTS:
                raise ProfilingError(
                    f"{path}: cannot be listed ({error.strerror}, {ATTEMPTS} attempts); start again when the file "
                    "system answers"
                ) from None
            time.sleep(FIRST_PAUSE * 2 ** (attempt - 1))


def _describe(entry):
    """Name, kind, bytes and time of change of an entry; one stat a file, none a folder.

    None for what is hidden, left over, gone since, or neither a file nor a folder (reading a pipe would not end).
    """
    name = entry.name
    if name.startswith(".") or name.lower() in LEFTOVERS:
        return None
    is_link = entry.is_symlink()
    if not is_link and entry.is_dir(follow_symlinks=False):
        return name, "folder", 0, 0
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if is_link:
        try:
            facts = entry.stat()
        except OSError:
            # It leads nowhere, in a circle or where we may not go: a file whose header cannot be read.
            return name, "file", facts.st_size, int(facts.st_mtime)
        if stat.S_ISDIR(facts.st_mode):
            return name, "link", 0, 0
    return (name, "file", facts.st_size, int(facts.st_mtime)) if stat.S_ISREG(facts.st_mode) else None
