"""Ordered, bounded work on threads: decoding ahead, and several fields at a time."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice


def map_ahead(function, items, threads=1):
    """Results of ``function(item)`` in the order of the items, computed ahead on threads.

    At most ``threads + 1`` results wait, so that memory does not grow with the number of items.

    Parameters
    ----------
    function : callable
    items : iterable
    threads : int
    """
    items = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(function, item) for item in islice(items, threads + 1))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
            yield result
