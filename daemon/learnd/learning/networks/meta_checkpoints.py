"""What algorithms have meta-learnt, as files: one algorithm and one backbone a file, found by the backbone's hash.

A meta checkpoint is a safetensors file; its metadata says for which algorithm and which backbone it is (by hash), and
how it was made: recipe, command, validation.  learnd carries some (`learnd/weights/meta/`); a user's own lie in
`<plugins_dir>/meta/` and come before them.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from learnd.errors import LearndError
from learnd.plugin_files import is_meta

KIND = "learnd meta checkpoint"
NETWORK = "backbone."  # prefix of those that stand in for the network's own parameters
MetaLearnt = dict[str, dict[str, Tensor]]  # algorithm -> name -> tensor


def write(
    path: Path, algorithm: str, backbone_hash: str, tensors: Mapping[str, Tensor], note: Mapping[str, Any], half: bool
) -> None:
    """Write a meta checkpoint.  note: JSON data for its metadata; half: as float16."""
    stored = {
        name: (value.half() if half else value.float()).detach().cpu().contiguous() for name, value in tensors.items()
    }
    about = {name: value if isinstance(value, str) else json.dumps(value) for name, value in note.items()}
    metadata = {**about, "kind": KIND, "algorithm": algorithm, "backbone_hash": backbone_hash}
    save_file(stored, path, metadata=metadata)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a meta checkpoint as float32, and its metadata.

    Raises LearndError if it is damaged, is no meta checkpoint, or holds values that are not finite.
    """
    note = _metadata(path)
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise LearndError(f"is damaged ({error})", where=str(path), remedy="make it again") from error
    for name, value in tensors.items():
        if not value.is_floating_point() or not bool(value.isfinite().all()):
            raise LearndError(f"{name} is not finite", where=str(path), remedy="make it again")
    return {name: value.float() for name, value in tensors.items()}, note


def attached(
    backbone_hash: str, module: torch.nn.Module, device: torch.device, user: Path | None, log: Callable[[str], None]
) -> MetaLearnt:
    """Everything that was meta-learnt for the backbone of this hash.  A file that does not fit is logged, and left out.

    user: a folder of the user's, which need not exist.
    """
    found: MetaLearnt = {}
    source: dict[str, Path] = {}
    for path in _files(user):
        try:
            note = _metadata(path)
            if note["backbone_hash"] != backbone_hash:
                continue
            tensors, _ = read(path)
            _check_network(tensors, module, path)
        except LearndError as error:
            log(f"a meta checkpoint is left out: {error}")
            continue
        name = note["algorithm"]
        if name in source:
            log(f"{path} comes before {source[name]}: both are for {name}")
        source[name] = path
        found[name] = {key: value.to(device) for key, value in tensors.items()}
    return found


def _files(user: Path | None) -> Iterator[Path]:
    """Those that learnd carries, then the user's, each in order of name."""
    carried = Path(str(importlib.resources.files("learnd").joinpath("weights", "meta")))
    for folder in (carried, user):
        if folder is not None and folder.is_dir():
            yield from sorted(path for path in folder.glob("*.safetensors") if is_meta(path.name))


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as opened:
            note = dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise LearndError(f"is damaged ({error})", where=str(path), remedy="make it again, or remove it") from error
    if note.get("kind") != KIND or not {"algorithm", "backbone_hash"} <= note.keys():
        remedy = "keep here only what learnd meta-train --out has written"
        raise LearndError("is no meta checkpoint", where=str(path), remedy=remedy)
    return note


def _check_network(tensors: Mapping[str, Tensor], module: torch.nn.Module, path: Path) -> None:
    own = dict(module.named_parameters())
    for name, value in tensors.items():
        if not name.startswith(NETWORK):
            continue
        parameter = own.get(name.removeprefix(NETWORK))
        if parameter is None or parameter.shape != value.shape:
            what = f"{name} {tuple(value.shape)} has no place in the network"
            raise LearndError(what, where=str(path), remedy="make it again for this backbone")
