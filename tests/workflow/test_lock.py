"""Two runs on one screen: the second refuses, and a killed first one leaves a lock that its message tells to remove."""

import os
import signal
import subprocess
import time

from starts import command, planned, snakemake, write_config, write_tiny_plate


def files(screen):
    """Path → time of a screen's files and of the locks on it; what else Snakemake notes of a start does not count."""
    own = [path for path in screen.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in [*own, *screen.glob(".snakemake/locks/*")]}


def assert_refused(screen):
    before = files(screen)
    done = snakemake(screen, "listed", check=False)
    assert done.returncode == 1
    assert "Directory cannot be locked" in done.stderr
    assert str(screen) in done.stderr
    assert "--unlock" in done.stderr
    assert files(screen) == before


def test_a_second_run_on_a_screen_refuses_until_a_killed_one_is_unlocked(tmp_path):
    write_config(tmp_path, write_tiny_plate(tmp_path))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    first = subprocess.Popen(**command(tmp_path, "listed"), **quiet, start_new_session=True)
    try:
        while not (tmp_path / "logs" / "images" / "P.log").exists():
            assert first.poll() is None
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGSTOP)
        assert_refused(tmp_path)
        assert "images" in planned(tmp_path, "listed")
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert_refused(tmp_path)
    snakemake(tmp_path, "--unlock")
    snakemake(tmp_path, "listed")
    assert (tmp_path / "results" / "platemaps" / "P.parquet").is_file()
