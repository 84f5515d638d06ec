"""The folder of a training: its checkpoint, its log, and whether a run may go on in it."""

import hashlib
import json
import re
import zipfile
import zlib
from pathlib import Path
from pickle import UnpicklingError

import pandas as pd
import torch

from profiling.cells.learned.training_settings import IMAGENET
from profiling.cells.learned.weights import weights_hash
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.progress import log

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
ELSEWHERE = ("workers", "threads", "device", "checkpoint_every", "validate_every")  # settings that change no weight


def make_folder(folder):
    """Make the folder of a training; ProfilingError where a file is in its way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ProfilingError(f"{folder} is no folder; give --out a folder, of this training alone.") from None


def describe_run(settings, annotations):
    """What the weights and the metrics of a training depend on, wherever its files lie and whatever computes it.

    Parameters
    ----------
    settings : profiling.cells.learned.training_settings.Training
    annotations : profiling.cells.learned.train.Annotations

    Returns
    -------
    dict
        Plain values: settings, and a digest of the fields, how often each is drawn, and those that are held out.
    """
    exclude = {**dict.fromkeys(ELSEWHERE, True), "sources": {"__all__": {"folder"}}}
    values = settings.model_dump(mode="json", exclude=exclude)
    if settings.start != IMAGENET:
        values["start"] = weights_hash(settings.start)
    digest = hashlib.sha256(annotations.weights.tobytes())
    for field in annotations.fields:
        digest.update(field.pyramid[0].tobytes() + field.labels.tobytes())
    for row in annotations.validation.itertuples():
        digest.update(Path(row.image).read_bytes() + Path(row.labels).read_bytes())
    return {"settings": values, "fields": digest.hexdigest()}


def resume(folder, facts, parts):
    """Load a checkpoint if there is one, and remove from the log what came after it.

    Parameters
    ----------
    folder : Path
    facts : dict
        From `describe_run`.
    parts : dict of str to object
        What has a state dict: networks, optimizer, schedule.

    Returns
    -------
    int
        Batches that are done.

    Raises
    ------
    ProfilingError
        If the checkpoint is damaged, or of a run with other settings or fields.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return _forget_after(folder / LOG, 0)
    try:
        if broken := zipfile.ZipFile(path).testzip():
            raise ValueError(f"its part {broken} is damaged")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        before = json.loads(saved["facts"])
        differing = [key for key, value in facts["settings"].items() if before["settings"].get(key) != value]
        same_fields = before["fields"] == facts["fields"]
        step, states = saved["step"], {name: saved[name] for name in parts}
    except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error,
            UnpicklingError, AttributeError) as error:  # fmt: skip
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise ProfilingError(f"{path} cannot be read ({reason}); remove it, and the training begins anew.") from None
    if differing or not same_fields:
        other = f"settings ({', '.join(differing)})" if differing else "fields or labels"
        raise ProfilingError(f"{path} was trained with other {other}; take another folder, or remove it.")
    for name, part in parts.items():
        part.load_state_dict(states[name])
    log.info("going on after batch %d", step)
    return _forget_after(folder / LOG, step)


def save_checkpoint(folder, step, facts, parts):
    """Write the checkpoint of a training; see `resume`."""
    states = {name: part.state_dict() for name, part in parts.items()}
    with whole_file(folder / CHECKPOINT) as temporary:
        torch.save({"step": step, "facts": json.dumps(facts), **states}, temporary)


def append_log(folder, row):
    """Add a validation to the log."""
    path = folder / LOG
    pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)


def _forget_after(path, step):
    """Remove the validations after a batch from a log, since they will be done again, and broken lines; the batch."""
    header, *rows = path.read_text(errors="replace").splitlines() if path.exists() and path.stat().st_size else [""]
    kept = [row for row in rows if re.fullmatch(rf"\d+(,[^,]*){{{header.count(',')}}}", row)]
    kept = [row for row in kept if int(row.partition(",")[0]) <= step]
    path.unlink(missing_ok=True)
    if kept:
        with whole_file(path) as temporary:
            temporary.write_text("\n".join([header, *kept, ""]))
    return step
