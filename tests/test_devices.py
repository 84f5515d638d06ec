import os
import signal
import stat
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from profiling import devices
from profiling.devices import accelerator_present, choose_device
from profiling.errors import ProfilingError

HOLD = """
from profiling.devices import _lock_one
print("ready", flush=True)
input()
print(_lock_one(["GPU-a", "GPU-b"], wait=0.05), flush=True)
input()
"""


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """An empty folder for lock files, and locks that end with the test."""
    monkeypatch.setenv("PROFILING_LOCKS", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    held = {}
    monkeypatch.setattr(devices, "_held", held)
    yield tmp_path
    for handle in held.values():
        os.close(handle)


def pretend(monkeypatch, uuids):
    """Let torch see CUDA devices with these UUIDs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(uuids))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))


def start():
    """A process that takes one of two locks when it is told to, says which it has, and keeps it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD], text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_processes_that_start_at_once_share_out_the_devices_and_a_killed_one_gives_its_device_back(locks):
    processes = [start() for _ in range(3)]
    for process in processes:
        os.set_blocking(process.stdout.fileno(), False)
        go(process)
    try:
        got, end = {}, time.monotonic() + 20
        while len(got) < 2 and time.monotonic() < end:
            time.sleep(0.05)
            got |= {process: int(line) for process in processes if (line := process.stdout.readline())}
        assert sorted(got.values()) == [0, 1]
        (waiting,) = set(processes) - set(got)
        time.sleep(0.3)
        assert not waiting.stdout.readline(), "a third process took a device that was held"
        os.set_blocking(waiting.stdout.fileno(), True)
        killed, index = next(iter(got.items()))
        os.kill(killed.pid, signal.SIGKILL)
        assert int(waiting.stdout.readline()) == index
        assert sorted(path.name for path in locks.iterdir()) == ["profiling-gpu-GPU-a.lock", "profiling-gpu-GPU-b.lock"]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_the_cpu_takes_no_lock_and_asks_no_device(locks, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("touched"))
    assert choose_device("cpu") == torch.device("cpu")
    assert not list(locks.iterdir())


def test_a_device_that_a_scheduler_assigned_is_taken_without_a_lock(locks, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-6f0a3b5e-1111-2222-3333-444455556666")
    pretend(monkeypatch, ["MIG-6f0a3b5e"])
    assert choose_device("auto") == torch.device("cuda", 0)
    assert not list(locks.iterdir())


def test_of_several_visible_devices_the_free_one_is_taken_by_its_identity(locks, monkeypatch):
    pretend(monkeypatch, ["GPU-a", "GPU-b"])
    assert choose_device("cuda") == torch.device("cuda", 0)
    other = dict(devices._held)
    devices._held.clear()  # as in another process, to which the devices have other numbers
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    pretend(monkeypatch, ["GPU-b", "GPU-a"])
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert [path.name for path in devices._held] == ["profiling-gpu-GPU-b.lock"]
    devices._held.update(other)


def test_a_process_that_asks_again_gets_the_device_it_has(monkeypatch):
    pretend(monkeypatch, ["GPU-a"])
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 0)


def test_a_lock_file_that_was_swept_away_while_it_was_opened_is_made_anew(locks, monkeypatch):
    path = locks / "profiling-gpu-GPU-a.lock"
    flock, calls = devices.fcntl.flock, []

    def swept_once(handle, how):
        if not calls:
            path.unlink()
        calls.append(handle)
        flock(handle, how)

    monkeypatch.setattr(devices.fcntl, "flock", swept_once)
    pretend(monkeypatch, ["GPU-a"])
    choose_device("cuda")
    assert len(calls) == 2
    assert os.path.samestat(os.fstat(devices._held[path]), path.stat())


def test_everybody_can_open_a_lock_file_whatever_the_mask_of_its_maker(locks, monkeypatch):
    pretend(monkeypatch, ["GPU-a"])
    before = os.umask(0o077)
    try:
        choose_device("cuda")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in locks.iterdir()] == [0o666]


@pytest.mark.parametrize("kind", ["absent", "a file"])
def test_a_place_where_no_lock_file_can_be_made_is_named(locks, monkeypatch, kind):
    place = locks / "place"
    if kind == "a file":
        place.touch()
    monkeypatch.setenv("PROFILING_LOCKS", str(place))
    pretend(monkeypatch, ["GPU-a"])
    with pytest.raises(ProfilingError, match="place.*set PROFILING_LOCKS to a(nother)? folder"):
        choose_device("cuda")


def test_a_lock_file_that_cannot_be_opened_is_named(locks, monkeypatch):
    (locks / "profiling-gpu-GPU-a.lock").symlink_to(locks / "elsewhere")
    pretend(monkeypatch, ["GPU-a"])
    with pytest.raises(ProfilingError, match=r"profiling-gpu-GPU-a\.lock: .* have it removed"):
        choose_device("cuda")
    assert not (locks / "elsewhere").exists()


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_an_error_and_auto_is_the_cpu(monkeypatch, device):
    pretend(monkeypatch, [])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(ProfilingError, match=f"device is {device} but there is none; set it to cpu"):
        choose_device(device)


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_no_accelerator_where_the_environment_hides_all_devices(monkeypatch, value):
    monkeypatch.setattr(devices.Path, "glob", lambda path, pattern: iter(["/dev/nvidia0"]))
    assert accelerator_present()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert not accelerator_present()
