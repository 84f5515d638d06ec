"""Files on network file systems: opened once, read in few pieces, tried again after errors that pass."""

import errno
import io
import os
import time

from profiling.images.errors import ImageError

WAITS = (0.1, 0.5, 2.0)
"""Seconds before the second and each further try: a server that is busy or restarts its service is back by then."""

TRANSIENT = {
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "ENFILE", "EMFILE", "EREMOTEIO", "ENOTCONN", "ENETRESET"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED"),
    )
    if hasattr(errno, name)
}


class RetriedFile(io.RawIOBase):
    """A file to read from; whatever fails for a transient reason is tried again, on a fresh handle, where it was.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    size : int
        Bytes in the file when it was opened.

    Raises
    ------
    ImageError
        By the constructor and by reading, if the file is absent or may not be read, or if the last try failed.
    IsADirectoryError
        By the constructor, if the path is a folder's.
    """

    def __init__(self, path):
        self._path, self._file, self._position = path, None, 0
        self.size = self._tried(lambda file: os.fstat(file.fileno()).st_size)

    def readable(self):
        """As any file to read from."""
        return True

    def seekable(self):
        """As any file on a disk."""
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        """Move to a position, which reading looks up only later."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self):
        """Position of the next byte."""
        return self._position

    def readinto(self, buffer):
        """Fill a buffer as far as one read of the file does."""

        def read(file):
            file.seek(self._position)
            return file.readinto(buffer)

        count = self._tried(read)
        self._position += count
        return count

    def close(self):
        """Close the file."""
        self._drop()
        super().close()

    def _drop(self):
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # of a handle that has gone stale
                pass

    def _tried(self, action):
        for tries, wait in enumerate((*WAITS, None), start=1):
            try:
                if self._file is None:
                    self._file = open(self._path, "rb", buffering=0)
                return action(self._file)
            except IsADirectoryError:
                raise
            except ValueError as error:  # a NUL in the name
                raise ImageError(f"{self._path}: cannot be opened ({error}); correct the image table") from error
            except OSError as error:
                self._drop()
                if error.errno not in TRANSIENT or wait is None:
                    raise _refused(self._path, error, tries) from error
            time.sleep(wait)


def read_exactly(file, offset, count):
    """Read bytes of an open file; fewer than `count` where the file ends.

    Parameters
    ----------
    file : binary file
    offset, count : int
        Bytes.

    Returns
    -------
    bytearray
    """
    buffer = bytearray(count)
    file.seek(offset)
    del buffer[fill(file, buffer) :]
    return buffer


def fill(file, buffer):
    """Read into a writable buffer of bytes until it is full or the file ends; the number of bytes read."""
    view, filled = memoryview(buffer), 0
    while filled < len(view):
        count = file.readinto(view[filled:])
        if not count:
            break
        filled += count
    return filled


def _refused(path, error, tries):
    if isinstance(error, FileNotFoundError):
        if os.path.islink(path):
            return ImageError(f"{path}: a link to a file that is not there; mend it, or exclude its well")
        return ImageError(f"{path}: no such file; check the plate's folder and the image table")
    reason = error.strerror or str(error)
    if error.errno in TRANSIENT:
        return ImageError(
            f"{path}: cannot be read ({reason}, {tries} tries in {sum(WAITS):.1f} s); see that the disk or network "
            "share is up, then run again"
        )
    return ImageError(f"{path}: cannot be opened ({reason}); check its permissions")
