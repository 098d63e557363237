"""What is remembered of a task: per-class sufficient statistics of the frozen features, in float64.

Every task is remembered in the features of the backbone without an adapter, and, if it uses one, in those too.
They are enough to answer among every class ever learnt (`unified.py`), they never change once written, and they
are reduced in sorted order: what is known depends neither on the order of arrival nor on what was forgotten.

Features are scaled to length one first.  Measured on classes of CIFAR-FS's training part and on Omniglot's background:
right answers with two shots 0.36 instead of 0.32 and 0.74 as before, and of satellite images asked of a CIFAR state
75 to 93 in 100 are called unknown instead of 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.errors import StateError
from learnd.identity import RESTORE
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.tensor_file import read_committed, write_tensors
from learnd.messages.convert import SCHEMA

ADAPTED_PREFIX = "adapted/"  # in a file: before the names of those statistics
WITNESSES = 8  # images per class that are kept one by one if a task has more images than features


@dataclass(frozen=True)
class Statistics:
    """Of K classes with features of width D and length one; float64 but for the two that count.

    count: int64 (K,), images of each class, at least one.  sum: (K, D).
    within: (R, D), R <= D, such that within^T within = sum_k sum_i (x - mean_k)(x - mean_k)^T.
    witnesses: (M, D), some images less their class mean; owners: int64 (M,), the class of each.
    adapter: whose features these are.  adapted: the same images in the features of the adapter that the task uses,
    where that is not the identity.
    """

    classes: tuple[str, ...]
    count: Tensor
    sum: Tensor
    within: Tensor
    witnesses: Tensor
    owners: Tensor
    adapter: str = IDENTITY
    adapted: Statistics | None = None


def unit(features: Tensor) -> Tensor:
    """Features (N, D) as they are remembered: float64, on the CPU, of length one."""
    return F.normalize(features.detach().cpu().double(), dim=1)  # (N, D)


def statistics(features: Tensor, labels: Tensor, classes: Sequence[str]) -> Statistics:
    """Reduce features float32 (N, D) with labels int64 (N,) in [0, K).

    Raises ValueError if a feature is not finite or a class has no image.
    """
    order = labels.cpu().argsort(stable=True)
    x, y = unit(features)[order], labels.cpu()[order]  # (N, D), (N,) class by class
    count = torch.bincount(y, minlength=len(classes))  # (K,)
    if len(count) != len(classes) or not bool((count > 0).all()):
        raise ValueError(f"every one of {len(classes)} classes needs an image; counted {count.tolist()}")
    if not bool(x.isfinite().all()):
        raise ValueError("the backbone gave features that are not finite")
    total = F.one_hot(y, len(classes)).double().T @ x  # (K, D)
    residuals = x - (total / count[:, None])[y]  # (N, D)
    if len(residuals) <= residuals.shape[1]:
        return Statistics(tuple(classes), count, total, residuals, residuals, y)
    within = torch.linalg.qr(residuals, mode="r").R  # (D, D): the same scatter in fewer rows
    first = torch.cat([torch.arange(int(n)) for n in count])  # (N,) the number of each image in its class
    some = first < WITNESSES
    return Statistics(tuple(classes), count, total, within, residuals[some], y[some])


def save(known: Statistics, path: Path, backbone_hash: str) -> None:
    """Write a .safetensors file.  Raises ValueError, and writes nothing, where the values make no sense."""
    flaw = _flaw(known)
    if flaw:
        raise ValueError(f"these statistics make no sense: {flaw}")
    note = {"classes": json.dumps(known.classes), "backbone_hash": backbone_hash, "schema": str(SCHEMA)}
    tensors = _tensors(known)
    if known.adapted is not None:
        note["adapter"] = known.adapted.adapter
        tensors |= {ADAPTED_PREFIX + name: value for name, value in _tensors(known.adapted).items()}
    write_tensors({name: value.contiguous() for name, value in tensors.items()}, path, note)


def load(path: Path, backbone_hash: str, sha256: str) -> Statistics:
    """Read what save wrote and was committed with this sha256.  Raises StateError if it is not that, or of
    another backbone."""
    tensors, note = read_committed(path, sha256, backbone_hash)
    try:
        classes = tuple(json.loads(note["classes"]))
        known = _statistics(classes, tensors)
        if "adapter" in note:
            known = replace(known, adapted=_statistics(classes, tensors, ADAPTED_PREFIX, note["adapter"]))
    except (RuntimeError, KeyError, ValueError) as error:
        raise StateError(f"cannot be read ({error})", where=str(path), remedy=RESTORE) from error
    flaw = _flaw(known)
    if flaw:
        raise StateError(f"makes no sense: {flaw}", where=str(path), remedy=RESTORE)
    return known


def _tensors(known: Statistics) -> dict[str, Tensor]:
    tensors = {"count": known.count, "sum": known.sum, "within": known.within}
    if known.witnesses is not known.within:  # else the rows of within are the images, class by class
        tensors |= {"witnesses": known.witnesses, "owners": known.owners}
    return tensors


def _statistics(
    classes: tuple[str, ...], tensors: Mapping[str, Tensor], place: str = "", adapter: str = IDENTITY
) -> Statistics:
    """Those of the tensors whose names begin with place.  Raises KeyError, or RuntimeError if they do not fit."""
    count, total, within = (tensors[place + name] for name in ("count", "sum", "within"))
    witnesses, owners = (tensors.get(place + name) for name in ("witnesses", "owners"))
    if witnesses is None or owners is None:
        witnesses, owners = within, torch.arange(len(count)).repeat_interleave(count)
    return Statistics(classes, count, total, within, witnesses, owners, adapter)


def _flaw(known: Statistics) -> str:
    """What is wrong with the shapes, dtypes or values; empty if nothing."""
    ways, width = len(known.classes), known.sum.shape[-1]
    if known.count.shape != (ways,) or known.count.dtype != torch.int64 or not bool((known.count > 0).all()):
        return f"count must be int64 ({ways},) and positive"
    rows = {"sum": known.sum, "within": known.within, "witnesses": known.witnesses}
    for name, value in rows.items():
        if value.dtype != torch.float64 or value.ndim != 2 or value.shape[1] != width:
            return f"{name} must be float64 (rows, {width}), not {value.dtype} {tuple(value.shape)}"
        if not bool(value.isfinite().all()):
            return f"{name} holds a value that is not finite"
    if len(known.sum) != ways:
        return f"sum must have {ways} rows, not {len(known.sum)}"
    owners = known.owners
    if owners.dtype != torch.int64 or owners.shape != (len(known.witnesses),):
        return f"owners must be int64 ({len(known.witnesses)},), not {owners.dtype} {tuple(owners.shape)}"
    if not bool(((owners >= 0) & (owners < ways)).all()):
        return "an owner is no class"
    if known.adapted is None:
        return ""
    flaw = _flaw(known.adapted)
    return f"under the adapter {known.adapted.adapter}, {flaw}" if flaw else ""
