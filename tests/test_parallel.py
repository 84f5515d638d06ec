import threading
import time

import pytest

from profiling.parallel import map_ahead


@pytest.mark.parametrize("threads", [1, 3])
def test_results_keep_the_order_of_the_items(threads):
    def slow_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(map_ahead(slow_first, range(20), threads)) == [i * i for i in range(20)]


def test_no_items():
    assert list(map_ahead(str, [], 2)) == []


def test_works_ahead_but_only_by_a_bounded_number():
    started, taken = [], 0
    ahead = threading.Event()

    def work(item):
        started.append(item)
        if item == 2:
            ahead.set()
        return item

    results = map_ahead(work, range(50), 2)
    next(results)
    assert ahead.wait(5), "nothing was computed before it was asked for"
    for _ in results:
        taken += 1
        assert len(started) <= taken + 1 + 4


def test_an_error_reaches_the_caller_in_its_place():
    def fail_at_three(item):
        if item == 3:
            raise KeyError("three")
        return item

    results = map_ahead(fail_at_three, range(10), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="three"):
        next(results)
