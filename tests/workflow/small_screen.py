"""A screen of four wells that runs through in about a minute, and what the tests of interruptions do with it."""

import os
import signal
import subprocess
import time

from starts import command, snakemake, write_config

from profiling.demo import simulate
from profiling.results.diff import compare_results, diff_lines
from profiling.results.findings import finding_lines
from profiling.results.verify import verify

CONFIG = {
    "plates": [{"plate": "P-1", "images": "images/P-1", "layout": 6, "platemap": "platemap.csv", "exclude": "B02,B03"}],
    "root": "demo",
    "channels": ["DNA", "Actin", "Reporter"],
    "chunks_per_plate": 2,
    "images": {"reader": "pattern", "pattern": r"_(?P<well>[A-Z]\d\d)_s(?P<site>\d+)_(?P<channel>\w+)\.tif$"},
    "segmentation": {"engine": "classical", "nucleus_diameter": "22 px"},
    "embedding": {"crop": "64 px", "input_size": 64, "device": "cpu"},
    "normalisation": {"reference": "all", "minimum_cells": 1},
    "clusters": {"k": 2, "n_init": 10, "sweep": [2], "sweep_seeds": 2},
    "map": {"iterations": 20},
    "statistics": {"permutations": 99},
    "wells": {"minimum_cells": 1},
}


def make_screen(folder, **changes):
    """Write the images and the configuration."""
    simulate(folder / "demo", plates=("P-1",), rows=2, columns=3, sites=1, size=216, trouble=False, workers=1)
    write_config(folder, CONFIG | changes)
    return folder


def heed_interrupts():
    """What a shell starts in the background ignores SIGINT, and so do all that it starts in turn."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(screen, *arguments):
    """Start Snakemake and return its process and the file that it writes to."""
    said = screen / f"start-{len(list(screen.glob('start-*')))}.txt"
    with open(said, "w") as file:
        process = subprocess.Popen(
            **command(screen, *arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )
    return process, said


def interrupt(screen, number, rule, *arguments, after=0.5):
    """Send a signal to Snakemake once it has started a job of a rule; returns what it said.

    SIGINT goes to its jobs, too, as Ctrl-C does in a terminal; the others to Snakemake alone. A SIGTERM that finds
    Snakemake (9.27) recording a finished job hangs it: its handler waits for the lock that it holds. It is killed then.
    """
    process, said = start(screen, *arguments)
    while process.poll() is None and f"rule {rule}:" not in said.read_text():
        time.sleep(0.05)
    time.sleep(after)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    if number == signal.SIGTERM and not _heard(process, said):
        process.kill()
        process.wait()
        unlock(screen)
        return said.read_text()
    code = process.wait()
    assert code != 0, f"nothing was interrupted at {rule}:\n{said.read_text()[-3000:]}"
    return said.read_text()


def _heard(process, said, seconds=15):
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if "Will exit after finishing currently running jobs" in said.read_text():
            return True
        time.sleep(0.05)
    return process.poll() is not None


def unlock(screen):
    """Remove the lock that a killed Snakemake left; a start before that must refuse and say so."""
    refused = snakemake(screen, check=False)
    assert refused.returncode and "--unlock" in refused.stderr
    snakemake(screen, "--unlock")


def check_equal(screen, undisturbed):
    """Fail unless the results are whole and those of an undisturbed run, to the last bit."""
    findings = verify(screen / "results")
    assert not findings, "\n".join(finding_lines(findings))
    found = compare_results(undisturbed / "results", screen / "results")
    assert found["equal"], "\n".join(diff_lines(found))


SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
