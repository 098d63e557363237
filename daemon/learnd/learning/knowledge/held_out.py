"""The held-out images of a task as the backbone sees them, kept so that they can be asked about again without decoding.

Nothing learns from them.  They are small: of an image 4 bytes a feature, and as many again under an adapter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from learnd.errors import StateError
from learnd.identity import RESTORE
from learnd.learning.networks.tensor_file import read_committed, write_tensors
from learnd.messages.convert import SCHEMA

_LABELS, _FEATURES = "labels", "features/"  # the names in it; the adapter follows the second


@dataclass(frozen=True)
class HeldOut:
    """M images of K classes.  labels: int64 (M,) in [0, K).  features: by adapter, float32 (M, D) each."""

    classes: tuple[str, ...]
    labels: Tensor
    features: Mapping[str, Tensor]


def save(held: HeldOut, path: Path, backbone_hash: str) -> None:
    """Write a .safetensors file whose bytes depend on what is in it alone."""
    note = {"classes": json.dumps(held.classes), "backbone_hash": backbone_hash, "schema": str(SCHEMA)}
    features = {_FEATURES + adapter: value.detach().cpu().contiguous() for adapter, value in held.features.items()}
    write_tensors({_LABELS: held.labels.cpu().contiguous(), **features}, path, note)


def load(path: Path, backbone_hash: str, sha256: str) -> HeldOut:
    """Read what save wrote and was committed with this sha256.  Raises StateError if it is not that, or of
    another backbone."""
    tensors, note = read_committed(path, sha256, backbone_hash)
    try:
        classes, labels = tuple(json.loads(note["classes"])), tensors.pop(_LABELS)
    except (KeyError, ValueError) as error:
        raise StateError(f"cannot be read ({error})", where=str(path), remedy=RESTORE) from error
    features = {name.removeprefix(_FEATURES): value for name, value in tensors.items()}
    held = HeldOut(classes, labels, features)
    if not _fits(held):
        raise StateError("makes no sense: labels and features do not fit", where=str(path), remedy=RESTORE)
    return held


def _fits(held: HeldOut) -> bool:
    labels = held.labels
    if labels.dtype != torch.int64 or labels.ndim != 1 or not len(labels) or not held.features:
        return False
    return bool(((labels >= 0) & (labels < len(held.classes))).all()) and all(
        value.ndim == 2 and len(value) == len(labels) and bool(value.isfinite().all())
        for value in held.features.values()
    )
