"""The package as a lab installs it once, on a file system that its users cannot write."""

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USE = """
import sys
import numpy as np
import profiling
from profiling.cells import load_segmenter
from profiling.embeddings import load_embedder

assert profiling.__file__.startswith(sys.argv[1]), profiling.__file__
load_segmenter("nuclei").segment(np.zeros((64, 64), np.uint16))
load_embedder("efficientnet_lite0", device="cpu").embed(np.zeros((1, 1, 96, 96), np.float32))
"""


def files(folder):
    """Relative path → size and time of the files of a folder, without compiled Python."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def copy_as_the_container_does(source):
    """Copy what the lines COPY of the Dockerfile name."""
    lines = [line.split()[1:] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    for *names, place in lines:
        for path in (ROOT / name for name in names):
            if path.is_dir():
                shutil.copytree(path, source / place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, source / place)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package, installed from the files of the container without a network."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("pip is not in this environment")
    if not importlib.util.find_spec("setuptools") or int(version("setuptools").split(".")[0]) < 77:
        pytest.skip("setuptools 77 or newer, which builds the package, is not in this environment")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("shared")
    copy_as_the_container_does(source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True)
    return target


def test_everything_the_package_needs_is_installed(installed):
    assert set(files(installed / "profiling")) == set(files(ROOT / "profiling"))


def test_two_nodes_at_once_write_nothing_into_it(installed, tmp_path):
    before = files(installed)
    environment = dict(os.environ, PYTHONPATH=str(installed), PYTHONDONTWRITEBYTECODE="1", HOME=str(tmp_path))
    command = [sys.executable, "-c", USE, str(installed)]
    nodes = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(2)]
    assert [node.wait() for node in nodes] == [0, 0]
    script = installed / "bin" / "profiling"
    done = subprocess.run([script, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"profiling {version('profiling')}\n"
    assert files(installed) == before
