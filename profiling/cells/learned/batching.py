"""Calls from several threads, run together."""

import queue
import threading
from concurrent.futures import Future

import numpy as np


def batched(run, largest=8):
    """Make a function whose calls that wait at the same time, with inputs of one shape, run as one batch.

    While the device works on one batch, other threads read fields and cut masks, and the next batch gathers.

    Parameters
    ----------
    run : callable
        (N, ...) array → (N, ...) array.
    largest : int
        Inputs a batch at most.

    Returns
    -------
    callable
        (1, ...) array → (1, ...) array; raises what `run` raised for its batch.
    """
    waiting = queue.Queue()

    def work():
        left_over = []
        while True:
            jobs = left_over or [waiting.get()]
            while not waiting.empty():
                jobs.append(waiting.get())
            shape = jobs[0][0].shape
            batch = [job for job in jobs if job[0].shape == shape][:largest]
            left_over = [job for job in jobs if not any(job is taken for taken in batch)]
            _answer(run, batch)

    threading.Thread(target=work, daemon=True).start()

    def call(inputs):
        answer = Future()
        waiting.put((inputs, answer))
        return answer.result()

    return call


def _answer(run, batch):
    """Run a batch and give each of its callers its part, or the error."""
    try:
        results = run(np.concatenate([inputs for inputs, _ in batch]))
    except Exception as error:
        for _, answer in batch:
            answer.set_exception(error)
    else:
        for number, (_, answer) in enumerate(batch):
            answer.set_result(results[number : number + 1])
