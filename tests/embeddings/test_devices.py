import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from profiling.embeddings.devices import choose_device

HOLD = """
from profiling.embeddings.devices import _lock_one
print("ready", flush=True)
print(_lock_one(2, wait=0.05), flush=True)
input()
"""


def start():
    """A process that waits for one of two locks, says which it has, and keeps it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD], text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_share_out_the_devices_and_a_killed_one_gives_its_device_back(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILING_LOCKS", str(tmp_path))
    holders = [start(), start()]
    indices = [int(process.stdout.readline()) for process in holders]
    waiting = start()
    os.set_blocking(waiting.stdout.fileno(), False)
    try:
        assert sorted(indices) == [0, 1]
        time.sleep(0.5)
        assert not waiting.stdout.readline(), "a third process took a device that was held"
        os.set_blocking(waiting.stdout.fileno(), True)
        os.kill(holders[0].pid, signal.SIGKILL)
        assert int(waiting.stdout.readline()) == indices[0]
    finally:
        for process in (waiting, *holders):
            process.kill()
            process.communicate()


def test_the_cpu_takes_no_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILING_LOCKS", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cpu") == torch.device("cpu")
    assert not list(tmp_path.iterdir())


def test_the_choice_of_a_scheduler_is_taken_without_a_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILING_LOCKS", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_an_error_and_auto_is_the_cpu(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(RuntimeError, match=f"embedding.device is {device} but there is none; set it to auto or cpu"):
        choose_device(device)
