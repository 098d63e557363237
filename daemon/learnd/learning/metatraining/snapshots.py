"""A training in the middle, as one file from which it goes on bit for bit: safetensors, and JSON as its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from learnd.errors import LearndError
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.networks.zoo import read_tensors


@dataclass(frozen=True)
class ValidationScore:
    """A validation.  accuracy: the mean over so many episodes; interval: half of its 95 % interval."""

    step: int
    accuracy: float
    interval: float
    episodes: int


@dataclass(frozen=True)
class TrainedWeights:
    """What is trained.  buffers: the network's, which move with batch norm alone."""

    params: dict[str, Tensor]
    buffers: dict[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """Everything on which the rest of a training depends.

    identity: of the training it belongs to.  generator: its state.  optimiser: parameter -> name -> moment.
    best: the weights of the best validation so far, if there was one; curve: every validation; seconds: spent.
    """

    identity: str
    step: int
    seconds: float
    weights: TrainedWeights
    optimiser: dict[str, dict[str, Tensor]]
    generator: Tensor
    best: TrainedWeights | None = None
    curve: tuple[ValidationScore, ...] = field(default=())

    def write(self, path: Path) -> None:
        """The file is the old one or the new one, whenever this is cut short."""
        tensors = {"generator": self.generator, **_flat("now", self.weights)}
        tensors |= {f"optimiser|{name}|{key}": t for name, kept in self.optimiser.items() for key, t in kept.items()}
        if self.best is not None:
            tensors |= _flat("best", self.best)
        about = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "curve": [vars(score) for score in self.curve],
        }
        beside = path.with_name(f".{path.name}.tmp")
        save_file(
            {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
            beside,
            metadata={"training": json.dumps(about)},
        )
        os.replace(beside, path)


def read_snapshot(path: Path, identity: str) -> Snapshot:
    """Raises LearndError if the file is damaged, or belongs to another training."""
    tensors, note = read_tensors(path)
    try:
        about: dict[str, Any] = json.loads(note["training"])
        optimiser: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser|"):
                _, parameter, key = name.split("|")
                optimiser.setdefault(parameter, {})[key] = value
        found = Snapshot(
            about["identity"],
            about["step"],
            about["seconds"],
            _unflat("now", tensors),
            optimiser,
            tensors["generator"],
            _unflat("best", tensors) if any(name.startswith("best|") for name in tensors) else None,
            tuple(ValidationScore(**score) for score in about["curve"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        remedy = "remove it, or begin again with --restart"
        raise LearndError(f"is no training that could go on ({error!r})", where=str(path), remedy=remedy) from error
    if found.identity != identity:
        what = f"an unfinished training lies here that differs in {_difference(found.identity, identity)}"
        remedy = "give the same options to go on with it, or --restart to start again"
        raise LearndError(what, where=str(path), remedy=remedy)
    return found


def _flat(prefix: str, weights: TrainedWeights) -> dict[str, Tensor]:
    params = {f"{prefix}|params|{name}": value for name, value in weights.params.items()}
    return params | {f"{prefix}|buffers|{name}": value for name, value in weights.buffers.items()}


def _unflat(prefix: str, tensors: Tensors) -> TrainedWeights:
    def part(kind: str) -> dict[str, Tensor]:
        start = f"{prefix}|{kind}|"
        return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}

    return TrainedWeights(part("params"), part("buffers"))


def _difference(old: str, new: str) -> str:
    """Which keys of two identities (JSON objects) are not the same."""
    before, after = _leaves(json.loads(old)), _leaves(json.loads(new))
    return ", ".join(sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)))


def _leaves(value: Any, trail: str = "") -> Mapping[str, Any]:
    if not isinstance(value, dict):
        return {trail: value}
    inside = [_leaves(below, f"{trail}.{key}".strip(".")) for key, below in value.items()]
    return {leaf: at for leaves in inside for leaf, at in leaves.items()}
