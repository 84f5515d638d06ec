import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from profiling.cells.learned.batching import batched


def test_waiting_calls_run_together_and_get_their_own_results():
    sizes, go = [], threading.Event()

    def run(inputs):
        go.wait(10)
        sizes.append(len(inputs))
        return inputs * 2

    call = batched(run, largest=4)
    inputs = [np.full((1, 2 + number % 2), number) for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(call, part) for part in inputs]
        threading.Timer(0.2, go.set).start()
        for part, result in zip(inputs, results):
            np.testing.assert_array_equal(result.result(timeout=10), part * 2)
    assert sum(sizes) == 20 and max(sizes) == 4 and len(sizes) < 12


def test_an_error_reaches_its_callers_and_the_next_call_works():
    def run(inputs):
        if (inputs < 0).any():
            raise ValueError("negative")
        return inputs

    call = batched(run)
    with pytest.raises(ValueError, match="negative"):
        call(np.array([[-1]]))
    assert call(np.array([[3]])) == 3
