"""Files that appear whole or not at all."""

import glob
import hashlib
import json
import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = re.compile(r"\.(?P<stem>.+)-[a-z0-9_]{8}(?P<suffix>\.\w+)?")
"""Names of files that are being written, or were when their job was killed."""


def why_absent(path):
    """Why a path cannot be followed, in brackets for a message; nothing where it is just not there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f" ({getattr(error, 'strerror', None) or error})"
    return ""


@contextmanager
def whole_file(path):
    """Path of a temporary file that takes the name `path` only if the block ends without an error.

    The temporary file lies beside `path`, so that the renaming is atomic, and is removed when the block
    raises. Its suffix is that of `path`, because many writers choose their format by it. What an earlier process
    that was killed left there of the same file is removed.

    Parameters
    ----------
    path : str or Path
        Final place; parent folders are made.

    Yields
    ------
    Path
        Where to write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for stray in path.parent.glob(f".{glob.escape(path.stem)}-*"):
        if (match := TEMPORARY.fullmatch(stray.name)) and match["stem"] == path.stem:
            stray.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sort_header(data):
    """Sort the metadata of a safetensors file, which its library writes in any order: the same tensors, the same file.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    bytes
    """
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[start:]


def hash_file(path):
    """SHA-256 of a file's bytes in hexadecimal digits; None where it is no file that can be read."""
    if not os.path.isfile(path):  # a device has no end
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
