"""Faults that take minutes to try: `make test-cluster`. After each the run goes on to the results of one without."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from small_screen import SIGNALS, check_equal, start, unlock
from starts import snakemake

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("small screen")]
FAULTS = 20


def finish(screen, undisturbed, with_backbone):
    """Check a run that came to its end and begin another one."""
    check_equal(screen, undisturbed)
    shutil.rmtree(screen)
    shutil.copytree(with_backbone, screen)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_run_survives_signals_at_random_moments(name, begun, undisturbed, with_backbone):
    rng, faults, runs = random.Random(name), 0, 0
    while faults < FAULTS:
        process, said = start(begun)
        try:
            process.wait(rng.uniform(2.5, 14))
        except subprocess.TimeoutExpired:
            if name == "SIGINT":
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.send_signal(SIGNALS[name])
            if process.wait():
                faults += 1
                if name == "SIGKILL" and list(begun.glob(".snakemake/locks/*")):
                    unlock(begun)
        if process.returncode == 0:
            finish(begun, undisturbed, with_backbone)
            runs += 1
        elif name != "SIGINT":  # which reaches a job's interpreter also where it is still starting
            assert "Traceback" not in said.read_text()
    snakemake(begun)
    check_equal(begun, undisturbed)
    print(f"\n{name}: {faults} faults in {runs + 1} runs, all with the results of an undisturbed one")


def jobs_of(screen):
    """Process ids of the screen's commands that are at work."""
    found = subprocess.run(["pgrep", "-f", "bin/profiling [a-z-]+ --"], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found if os.path.realpath(f"/proc/{pid}/cwd") == str(screen.resolve())]


def test_jobs_killed_at_work_are_tried_again(begun, undisturbed):
    rng, faults = random.Random(0), 0
    process, said = start(begun, "--retries", "9")
    while process.poll() is None and faults < FAULTS:
        time.sleep(rng.uniform(0.2, 2.5))
        for pid in jobs_of(begun)[:1]:
            os.kill(pid, signal.SIGKILL)
            faults += 1
    assert process.wait() == 0, said.read_text()[-3000:]
    check_equal(begun, undisturbed)
    print(f"\njobs killed: {faults}, all made again")


@pytest.fixture
def mounted(begun):
    """A results folder on a file system of its own, of a few MB, with what has been made so far."""
    kept = begun / "kept"
    (begun / "results").rename(kept)
    (begun / "results").mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(begun / "results")]
    if subprocess.run(options, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield begun, kept
    finally:
        subprocess.run(["umount", "--lazy", str(begun / "results")], check=True)


def remount(screen, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(screen / "results")], check=True)


def test_a_full_disk_is_named_and_a_larger_one_goes_on(mounted, undisturbed):
    screen, kept = mounted
    remount(screen, "size=64m")
    shutil.copytree(kept, screen / "results", dirs_exist_ok=True)
    shutil.rmtree(kept)
    used = shutil.disk_usage(screen / "results").used
    remount(screen, f"size={used + 300_000}")
    process, said = start(screen)
    assert process.wait() != 0
    logs = "".join(path.read_text() for path in screen.glob("logs/**/*.log"))
    assert "No space left on device" in said.read_text() + logs
    remount(screen, "size=64m")
    snakemake(screen)
    check_equal(screen, undisturbed)


def test_results_that_cannot_be_written_are_named_and_go_on_once_they_can(mounted, undisturbed):
    screen, kept = mounted
    remount(screen, "size=64m")
    shutil.copytree(kept, screen / "results", dirs_exist_ok=True)
    shutil.rmtree(kept)
    snakemake(screen, "listed")
    remount(screen, "ro")
    process, said = start(screen)
    assert process.wait() != 0
    assert "Read-only file system" in said.read_text() + "".join(
        path.read_text() for path in screen.glob("logs/**/*.log")
    )
    remount(screen, "rw")
    snakemake(screen)
    check_equal(screen, undisturbed)
