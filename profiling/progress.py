"""Progress: a bar for a person at a terminal, lines in a log file."""

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger("profiling")


def track(items, total, what, every=30.0):
    """Yield the items and say how far the work is.

    Parameters
    ----------
    items : iterable
    total : int
        How many there will be.
    what : str
        What an item is, in the plural.
    every : float
        Seconds between two lines where standard error is no terminal.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit="")
        return
    start = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said > every and done < total:
            left = (now - start) / done * (total - done)
            log.info("%s: %d of %d, about %.0f s left", what, done, total, left)
            said = now
    log.info("%s: %d done in %.1f s", what, total, time.monotonic() - start)
