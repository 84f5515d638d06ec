"""Training of the network, resumable and seeded."""

import copy
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from profiling.cells.learned.maps import NOMINAL_DIAMETER
from profiling.cells.learned.network import NucleusNet, network_of
from profiling.cells.learned.runs import append_log, describe_run, make_folder, resume, save_checkpoint
from profiling.cells.learned.samples import draw_weights, list_fields, read_pair, sample
from profiling.cells.learned.targets import OFFSET_UNIT
from profiling.cells.learned.training_settings import IMAGENET
from profiling.cells.learned.validation import validate
from profiling.cells.learned.weights import read_weights, write_weights
from profiling.devices import choose_device
from profiling.errors import ProfilingError
from profiling.memory import keep_memory
from profiling.progress import log

LONGEST_AVERAGE = 0.999  # decay of the moving average of the weights, which is what is kept
LONGEST_GRADIENT = 5.0
SMALLEST_RADIUS = 3.0  # px; offsets are judged relative to the nucleus' radius, but not below this
TERMS = ("foreground", "dice", "distance", "offset")


class Annotations(NamedTuple):
    """Fields to train on with their probabilities of being drawn, and image-label pairs to validate on."""

    fields: list
    weights: np.ndarray
    validation: pd.DataFrame


def train(settings, out):
    """Train a network, or go on where an earlier run into the same folder stopped.

    Parameters
    ----------
    settings : profiling.cells.learned.training_settings.Training
    out : str or Path
        Folder: ``checkpoint.pt``, ``log.csv`` (a row a validation), ``nuclei.safetensors`` at the end.

    Returns
    -------
    dict
        Metrics of the last validation.

    Raises
    ------
    ProfilingError
        If there are no annotated fields, one cannot be read, or the folder holds a run with other settings or fields.
    """
    keep_memory()
    out = Path(out)
    make_folder(out)
    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(1)  # its threads would not survive the fork of the workers
    torch.manual_seed(settings.seed)
    annotations = read_annotations(settings)
    log.info("%d fields to train on, %d to validate on", len(annotations.fields), len(annotations.validation))

    network = _first_network(settings)
    average = copy.deepcopy(network)
    device = choose_device(settings.device)
    network.to(device, memory_format=torch.channels_last)
    average.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, settings.steps, pct_start=0.05, div_factor=10, final_div_factor=1e3
    )
    parts = {"network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    facts = describe_run(settings, annotations)
    first = resume(out, facts, parts)
    samples = Samples(annotations, settings, first // settings.uses * settings.batch_size)
    loader = DataLoader(
        samples,
        settings.batch_size,
        num_workers=settings.workers,
        worker_init_fn=_single_thread,
        pin_memory=device.type == "cuda",
    )
    batches, batch = iter(loader), None
    losses, metrics, start = [], {}, time.monotonic()
    for step in range(first + 1, settings.steps + 1):
        use = (step - 1) % settings.uses
        if use == 0 or batch is None:
            batch = [part.to(device, non_blocking=True).float() for part in next(batches)]
        inputs, *truth = turn(*batch, use)
        enabled = settings.precision == "bf16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
            outputs = network(inputs.contiguous(memory_format=torch.channels_last))
        terms = losses_of(outputs.float(), *truth)
        optimizer.zero_grad(set_to_none=True)
        terms.sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        _follow(average, network, min(LONGEST_AVERAGE, step / (step + 19)))
        losses.append(terms.detach())
        if step % 100 == 0:
            seconds = (time.monotonic() - start) / (step - first)
            named = zip(TERMS, torch.stack(losses[-100:]).mean(0).tolist())
            said = ", ".join(f"{name} {value:.4f}" for name, value in named)
            log.info("batch %d of %d, %.3f s a batch; loss: %s", step, settings.steps, seconds, said)
        if step % settings.validate_every == 0 or step == settings.steps:
            state = {name: values.cpu().numpy() for name, values in average.state_dict().items()}
            metrics = validate(state, annotations.validation, device.type)
            loss = dict(zip(TERMS, torch.stack(losses).mean(0).tolist()))
            losses.clear()
            if metrics:
                log.info("validation: %s", ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
            append_log(out, {"step": step, **loss, **metrics})
        if step % settings.checkpoint_every == 0 or step == settings.steps:
            save_checkpoint(out, step, facts, parts)
    state = {name: values.cpu().numpy() for name, values in average.state_dict().items()}
    metrics = metrics or validate(state, annotations.validation, device.type)
    figures = {name: f"{value:.4f}" for name, value in metrics.items()}
    counts = {"steps": settings.steps, "batch_size": settings.batch_size, "fields": len(annotations.fields)}
    write_weights(out / "nuclei.safetensors", state, {**{name: str(n) for name, n in counts.items()}, **figures})
    return metrics


def turn(inputs, maps, weight, radius, number):
    """One of the eight rotations and mirror images of a batch.

    Parameters
    ----------
    inputs, maps, weight, radius : tensors (N, 2, H, H), (N, 4, H, H), (N, H, H), (N, H, H)
        See `samples.sample`.
    number : int
        0 to 7; 0 leaves the batch as it is.

    Returns
    -------
    inputs, maps, weight, radius
        The offsets to the centroids are turned with the image.
    """
    down, across, transposed = number & 1, number & 2, number & 4
    axes = [axis for axis, flipped in ((-2, down), (-1, across)) if flipped]
    signs = maps.new_tensor([1, 1, -1 if down else 1, -1 if across else 1])[:, None, None]
    parts = [part.flip(axes) for part in (inputs, maps * signs, weight, radius)]
    if transposed:
        inputs, maps, weight, radius = (part.transpose(-2, -1) for part in parts)
        return inputs, maps[:, [0, 1, 3, 2]], weight, radius
    return parts


def losses_of(outputs, maps, weight, radius):
    """Terms of the loss.

    Parameters
    ----------
    outputs : (N, 4, H, W) float32 tensor
        Of the network.
    maps, weight, radius : tensors (N, 4, H, W), (N, H, W), (N, H, W)
        See `targets.targets`.

    Returns
    -------
    (4,) float32 tensor
        Weighted terms, named by `TERMS`.
    """
    cross_entropy = partial(functional.binary_cross_entropy_with_logits, reduction="none")
    inside = maps[:, 0]
    foreground = (cross_entropy(outputs[:, 0], inside) * weight).mean()
    judged = weight > 0
    probability = outputs[:, 0].sigmoid() * judged
    common = (probability * inside).sum((1, 2))
    dice = (1 - (2 * common + 20) / (probability.sum((1, 2)) + inside.sum((1, 2)) + 20)).mean()
    distance = (cross_entropy(outputs[:, 1], maps[:, 1]) * judged * (weight + 1) / 2).mean()
    error = functional.smooth_l1_loss(outputs[:, 2:], maps[:, 2:], reduction="none", beta=0.1).sum(1)
    relative = error / (radius.clamp(min=SMALLEST_RADIUS) / OFFSET_UNIT) * inside
    offset = relative.sum() / (inside.sum() + 100)
    return torch.stack([foreground, 0.5 * dice, distance, 0.5 * offset])


def read_annotations(settings):
    """Read the annotated fields of a training.

    Parameters
    ----------
    settings : Training

    Returns
    -------
    Annotations

    Raises
    ------
    ProfilingError
        If a field cannot be read, those that are held out included, or no nucleus is annotated.
    """
    tables, shares = [], []
    for source in settings.sources:
        table = list_fields(source.folder).assign(components=source.components)
        table["held_out"] = held_out(table["group"], settings.validation_every) if source.hold_out else False
        if source.hold_out and not table["held_out"].any():
            log.warning("%s: all fields are of one group, none is held out to judge the network", source.folder)
        tables.append(table)
        shares.append(source.share)
    left = 1 - sum(share or 0 for share in shares)
    open_ended = shares.count(None)
    if left < 0 or (open_ended == 0 and left > 1e-6) or (open_ended and left <= 0):
        raise ProfilingError("The shares of the sources must add up to 1, or to less where one share is left out.")
    shares = [left / open_ended if share is None else share for share in shares]

    fields, weights, validation = [], [], []
    for table, share in zip(tables, shares):
        kept_back, rows = table[table["held_out"]], table[~table["held_out"]]
        validation.append(kept_back)
        for row in kept_back.itertuples():  # one that is damaged is told now, not after a thousand batches
            read_pair(row.image, row.labels, row.components)
        read = [read_pair(row.image, row.labels, row.components) for row in rows.itertuples()]
        kept = [field is not None for field in read]
        read, groups = [field for field in read if field is not None], rows["group"][kept]
        if not read:
            folder = table["labels"][0].parent
            raise ProfilingError(f"{folder}: the labels of the {len(rows)} fields to train on are 0 everywhere.")
        fields += read
        weights.append(share * draw_weights(groups, [str(field.labels.shape) for field in read]))
    return Annotations(fields, np.concatenate(weights), pd.concat(validation, ignore_index=True))


def held_out(groups, every):
    """Which fields are kept for validation: those whose group's number is a multiple of `every`.

    Parameters
    ----------
    groups : pandas.Series of str
        Where one is no number, or none or all would be kept, they are numbered from 0 in the order of their names.
    every : int

    Returns
    -------
    pandas.Series of bool
        None where there is one group.
    """
    if (groups == groups.iloc[0]).all():
        return pd.Series(False, groups.index)
    numbers = pd.to_numeric(groups, errors="coerce")
    kept = numbers % every == 0
    if numbers.isna().any() or kept.all() or not kept.any():
        kept = pd.Series(np.unique(groups, return_inverse=True)[1] % every == 0, groups.index)
    return kept


class Samples(Dataset):
    """The samples of a training in order, from the one after `done`."""

    def __init__(self, annotations, settings, done):
        self.annotations, self.settings, self.done = annotations, settings, done

    def __len__(self):
        return -(-self.settings.steps // self.settings.uses) * self.settings.batch_size - self.done

    def __getitem__(self, index):
        fields, weights, _ = self.annotations
        parts = sample(fields, weights, NOMINAL_DIAMETER, self.settings.size, self.settings.seed, self.done + index)
        return tuple(torch.from_numpy(part).half() for part in parts)  # half as much to hand from process to process


def _first_network(settings):
    """The network that a training begins with."""
    if settings.start != IMAGENET:
        return network_of(read_weights(settings.start))
    network = NucleusNet(settings.widths)
    network.start_from_imagenet()
    return network


def _single_thread(_):
    torch.set_num_threads(1)


@torch.no_grad()
def _follow(average, network, decay):
    """Move the averaged weights towards the present ones."""
    for mean, value in zip(average.state_dict().values(), network.state_dict().values()):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
