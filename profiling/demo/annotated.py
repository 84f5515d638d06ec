"""Annotated fields of nuclei from the simulator, for training and for benchmarks."""

import shutil
import tempfile
from pathlib import Path

from profiling.demo.design import CHANNELS
from profiling.demo.simulate import simulate
from profiling.errors import ProfilingError


def simulate_annotated(folder, seed=0, size=432, workers=None):
    """Write 48 fields of the nuclei's channel, with all phenotypes, and the labels of their cells' nuclei.

    Parameters
    ----------
    folder : str or Path
        Gets ``images/NAME.tif`` and ``labels/NAME.tif``. A cell with several nuclei has one label for all of them;
        their connected parts are the nuclei.
    seed : int
    size : int
        Side of a field, px.
    workers : int, optional
        See `simulate`.

    Raises
    ------
    ProfilingError
        If the folder holds something already.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ProfilingError(f"{folder} holds something already; remove it or name another folder.")
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as screen:
        screen = Path(screen)
        simulate(screen, plates=("A", "B"), sites=1, size=size, seed=seed, trouble=False, workers=workers)
        for image in sorted(screen.glob(f"images/*/*_{CHANNELS[0]}.tif")):
            name = image.stem.removesuffix(f"_{CHANNELS[0]}")
            plate, field = name.split("_", 1)
            shutil.move(image, folder / "images" / f"{name}.tif")
            shutil.move(screen / "truth/labels" / plate / f"{field}_nuclei.tif", folder / "labels" / f"{name}.tif")
