"""Self-distillation towards features that do not depend on orientation, resumable and seeded.

The teacher is the network as it was: its features, averaged over the four right-angle rotations of a crop, are what the
trained network has to give for any one view of it. The goal never moves, so that nothing can collapse, small batches
do, and the features stay comparable to those that were known; an average over orientations is also what separates
phenotypes better, at four times the cost. Weak labels, where they are asked for, are learned besides by a linear
classifier that is thrown away (Caicedo et al., CVPR 2018).
"""

import hashlib
import json
import math
import time
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from profiling.embeddings.adapt.cells import GREYS
from profiling.embeddings.adapt.settings import FROZEN_START
from profiling.embeddings.adapt.views import draw_views
from profiling.embeddings.adapt.whitening import Whitening, fit_whitening, whiten
from profiling.embeddings.network import FeatureNetwork
from profiling.errors import ProfilingError
from profiling.files import whole_file
from profiling.progress import log

COMPONENTS = 128
POOLING = "mean+std"
"""What is trained, whatever pooling the screen uses: its gradients are finite also where a map is constant."""
ROTATIONS = 4
WARM_UP = 0.1  # share of the batches
LONGEST_GRADIENT = 5.0
LABEL_SHARE = 0.3  # weight of the classifier's cross-entropy beside the distance to the teacher
HEAD_RATE = 10  # the classifier starts from nothing and learns this much faster
FORWARD_BATCH = 32
EVERY = 50  # batches between two checkpoints and lines of the log


def as_images(crops, composite):
    """Crops uint16 (N, C, S, S) as what goes through the network: (N, C, 1, S, S), or (N, 1, 3, S, S)."""
    return crops[:, None] if composite else crops[:, :, None]


def to_unit(images, device="cpu"):
    """Images of uint16 as float32 in [0, 1]."""
    return torch.from_numpy(images.astype(np.float32) / GREYS).to(device)


@torch.inference_mode()
def features_of(network, images, device):
    """Features of images.

    Parameters
    ----------
    network : profiling.embeddings.network.FeatureNetwork
        On the device.
    images : ndarray of uint16, shape (N, G, c, S, S)
        From :func:`as_images`.
    device : torch.device

    Returns
    -------
    ndarray of float32, shape (N, G, D)
    """
    flat = images.reshape(-1, *images.shape[2:])
    starts = range(0, len(flat), FORWARD_BATCH)
    parts = [network(to_unit(flat[start : start + FORWARD_BATCH], device)).float().cpu().numpy() for start in starts]
    return np.concatenate(parts).reshape(*images.shape[:2], -1)


def feature_network(backbone, pooling, device, rotations=1):
    """The network of a backbone on a device, which shares its weights with others of the same backbone."""
    turned = replace(backbone, rotations=rotations)
    return FeatureNetwork(turned, pooling).eval().to(device, memory_format=torch.channels_last)


def train(backbone, images, classes, settings, checkpoint, device):
    """Adapt a backbone's network in place, or go on where an earlier run stopped.

    Parameters
    ----------
    backbone : profiling.embeddings.backbones.Backbone
        As it was loaded. The running statistics of its batch normalisation stay as they are.
    images : ndarray of uint16, shape (N, G, c, S, S)
    classes : ndarray of int64, shape (N,), or None
        Weak labels, 0 and up; None where none are learned from.
    settings : profiling.embeddings.adapt.settings.Adaptation
    checkpoint : Path
        Gone on with where weights, settings, images and labels agree. Removed by the caller when all is done.
    device : torch.device

    Returns
    -------
    list of dict
        Step, mean loss and CPU seconds so far of every fifty batches.

    Raises
    ------
    ProfilingError
        If the checkpoint is of another run, or the loss is no number.
    """
    start = time.process_time()
    key = _key(settings, backbone, images, classes)
    saved = _read_checkpoint(checkpoint, key)
    network = feature_network(backbone, POOLING, device)
    spaces, goals = find_goals(backbone, network, images, device)

    kept = tuple(f"{module}." for module in FROZEN_START.get(backbone.name, ()))
    trained = [values for name, values in backbone.network.named_parameters() if not name.startswith(kept)]
    for values in trained:
        values.requires_grad_(True)
    heads = _heads(goals, classes).to(device)
    groups = [(trained, settings.learning_rate), (list(heads.parameters()), HEAD_RATE * settings.learning_rate)]
    groups = [{"params": params, "highest": rate} for params, rate in groups if params]
    optimizer = torch.optim.AdamW(groups, settings.learning_rate, weight_decay=0)
    parts = {"network": backbone.network, "heads": heads, "optimizer": optimizer}
    for name, part in parts.items() if saved else ():
        part.load_state_dict(saved[name])
    first, history = (saved["step"], saved["history"]) if saved else (0, [])
    spent = history[-1]["cpu_seconds"] if history else 0.0
    chances, losses = _chances(classes), []
    for step in range(first, settings.steps):
        seed = int(np.random.SeedSequence((settings.seed, step)).generate_state(1, np.uint64)[0] >> 1)
        group, size = step % len(goals), min(settings.batch_size, len(images))
        chosen = np.random.default_rng(seed).choice(len(images), size, p=chances)
        views = draw_views(to_unit(images[chosen, group]), torch.Generator().manual_seed(seed)).to(device)
        found = whiten(network(views), spaces[group])
        loss = (found - goals[group][chosen]).square().mean()
        if len(heads):
            wanted = torch.from_numpy(classes[chosen]).to(device)
            loss = loss + LABEL_SHARE * functional.cross_entropy(heads[group](found), wanted)
        for part in optimizer.param_groups:
            part["lr"] = part["highest"] * _rate(step, settings.steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*trained, *heads.parameters()], LONGEST_GRADIENT)
        optimizer.step()
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise ProfilingError(f"the loss is no number at batch {step + 1}: take a smaller learning rate")
        if (step + 1) % EVERY == 0 or step + 1 == settings.steps:
            seconds = round(spent + time.process_time() - start, 1)
            history.append({"step": step + 1, "loss": float(np.mean(losses)), "cpu_seconds": seconds})
            log.info("batch %d of %d, %.0f CPU seconds; loss %.4f", step + 1, settings.steps, seconds, np.mean(losses))
            losses.clear()
            _save(checkpoint, step + 1, key, history, parts)
    backbone.network.requires_grad_(False)
    return history


def find_goals(backbone, network, images, device):
    """What the features of every crop shall be, in a space where each direction counts the same.

    Parameters
    ----------
    backbone, images, device
        As in :func:`train`.
    network : profiling.embeddings.network.FeatureNetwork
        Of the backbone, one rotation.

    Returns
    -------
    spaces : list of Whitening of tensors
        One for each of the G inputs of a cell (channels, or one composite), fitted to its features as they are.
    goals : list of tensor, each (N, K)
        Features averaged over rotations, whitened.
    """
    frozen = features_of(network, images, device)
    turned = features_of(feature_network(backbone, POOLING, device, ROTATIONS), images, device)
    spaces, goals = [], []
    for group in range(images.shape[1]):
        space = fit_whitening(frozen[:, group], COMPONENTS, complete=True)
        if not space.matrix.shape[1]:
            raise ProfilingError("all crops of a channel look the same to the network: there is nothing to learn from")
        spaces.append(Whitening(*(torch.from_numpy(part).to(device) for part in space)))
        goals.append(torch.from_numpy(whiten(turned[:, group], space)).to(device))
    return spaces, goals


def _heads(goals, classes):
    """A linear classifier of the weak labels for each input of a cell, of zeros; none without labels."""
    if classes is None:
        return torch.nn.ModuleList()
    heads = torch.nn.ModuleList(torch.nn.Linear(goal.shape[1], int(classes.max()) + 1) for goal in goals)
    for values in heads.parameters():
        torch.nn.init.zeros_(values)
    return heads


def _rate(step, steps):
    """Share of the highest learning rate: a linear start, then half a cosine."""
    return min(1.0, (step + 1) / max(1, WARM_UP * steps)) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _chances(classes):
    """Probabilities of being drawn: even over the weak labels; None where all are the same."""
    if classes is None:
        return None
    chances = 1 / np.bincount(classes)[classes]
    return chances / chances.sum()


def _key(settings, backbone, images, classes):
    digest = hashlib.sha256(images.tobytes())
    digest.update(b"" if classes is None else classes.tobytes())
    return json.dumps([settings.model_dump(mode="json"), backbone.sha256, backbone.layers, digest.hexdigest()])


def _read_checkpoint(path, key):
    """What an earlier run of the same key saved, or None."""
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        same = saved["key"] == key
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProfilingError(f"{path} is no checkpoint of an adaptation ({reason}); remove it") from None
    if not same:
        raise ProfilingError(
            f"{path} is of an adaptation with other settings, cells or weights; remove it, or give another --out"
        )
    log.info("going on after batch %d", saved["step"])
    return saved


def _save(path, step, key, history, parts):
    states = {name: part.state_dict() for name, part in parts.items()}
    with whole_file(path) as temporary:
        torch.save({"step": step, "key": key, "history": history, **states}, temporary)
