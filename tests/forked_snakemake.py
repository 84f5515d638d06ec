"""Snakemake in forks of a process that has imported it: its imports take several times as long as a dry run."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "profiling.config"])


def run_snakemake(*words, folder):
    """Run Snakemake in a folder to its end, as `subprocess.run` does with its output captured."""
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    words = [str(word) for word in words]
    with TemporaryDirectory() as temporary:
        said = [Path(temporary, name) for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_main, args=(words, folder, environment, *said))
        process.start()
        process.join()
        return subprocess.CompletedProcess(words, process.exitcode, *(path.read_text() for path in said))


def _main(words, folder, environment, stdout, stderr):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for path, descriptor in ((stdout, 1), (stderr, 2)):
        with open(path, "wb") as file:
            os.dup2(file.fileno(), descriptor)
    sys.argv = ["snakemake", *words]

    from snakemake.cli import main

    main()
