"""Models of another screen in the place of fitted ones."""

import json
import shutil
from pathlib import Path

from profiling.config import MODELS
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.phenotypes.basis import basis, differences, fingerprint
from profiling.phenotypes.models import load_arrays
from profiling.progress import log


def take_models(source, backbone, channels, unit, tiles, embedding, normalisation, out):
    """Check that the models of another screen fit this one and copy them, each file whole or not at all.

    Parameters
    ----------
    source : str or Path
        Results folder of the other screen, or a folder that holds :data:`profiling.config.MODELS`.
    backbone : str or Path
        The JSON of :func:`profiling.embeddings.jobs.fetch_backbone`, of this screen.
    channels : list of str
    unit : {"cell", "field", "tile"}
    tiles, embedding, normalisation : sections of :mod:`profiling.settings`
        Of this screen.
    out : str or Path
        Results folder of this screen.

    Raises
    ------
    ProfilingError
        If the models were fitted on something else, belong to different fits, or do not say what they were fitted on;
        every difference is named.
    """
    source, out = Path(source), Path(out)
    models = {name: _load(source / name) for name in MODELS if name.endswith(".npz")}
    reduction, *others = models.values()
    if not str(reduction.get("basis", "")) or not all(str(model.get("reduction", "")) for model in others):
        raise ProfilingError(
            f"{source}: its models do not say what they were fitted on, because an earlier version of this package "
            "wrote them; start their screen with this version and `--forcerun scale`, which reads no pixel, or take "
            "other `models`"
        )
    weights = json.loads(Path(backbone).read_text())["sha256"]
    here = basis(channels, weights, embedding, normalisation, unit, tiles)
    if told := differences(json.loads(str(reduction["basis"])), here):
        raise ProfilingError(
            f"{source}: its models do not fit this screen:\n" + "\n".join(told) + "\nset these as the models' screen "
            "has them, or take other `models`"
        )
    wanted = fingerprint(reduction)
    if stale := [name for name, model in models.items() if str(model.get("reduction", wanted)) != wanted]:
        raise ProfilingError(
            f"{source}: {' and '.join(stale)} belong to other principal components than models/reduction.npz; start "
            "their screen until it is complete"
        )
    for name in MODELS:
        with whole_file(out / name) as temporary:
            shutil.copyfile(source / name, temporary)
    log.info(
        "models of %s, fitted on %d plates: %d components, %d clusters, %d cells on the map", source,
        len(reduction["plates"]), len(reduction["components"]), len(models["models/clusters.npz"]["centres"]),
        len(models["models/map.npz"]["coordinates"]),
    )  # fmt: skip


def _load(path):
    try:
        return load_arrays(path)
    except ProfilingError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise ProfilingError(f"{path}: is not a whole file of arrays ({error}); copy it again") from None
