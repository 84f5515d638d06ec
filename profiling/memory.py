"""The allocator of the C library, for programs that free and take large blocks all the time."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt


def keep_memory():
    """Keep freed blocks instead of giving them back to the system; does nothing outside Linux with glibc.

    Large arrays are mapped anew on every allocation by default, and every page of them is zeroed again: half of
    the time of a training step on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(MMAP_THRESHOLD, 1 << 25)  # the largest that glibc accepts
    mallopt(TRIM_THRESHOLD, (1 << 31) - 1)
