"""The fitted head on the disk, so that who asks one question need not make it of all that is known.

It is nothing that could be lost: everything in it comes from the statistics of its members, and where it is not that of
those who are asked about, damaged or absent, the head is made of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from learnd.errors import StateError
from learnd.learning.knowledge.classifier import UnifiedHead
from learnd.learning.knowledge.grouped_classifier import GroupedHead, assembled
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.tensor_file import read_committed, write_tensors
from learnd.messages.convert import SCHEMA, to_json_all
from learnd.messages.jobs import HeadFile, Member

_TENSORS = tuple(field.name for field in fields(UnifiedHead) if field.type == "Tensor")
_NUMBERS = tuple(field.name for field in fields(UnifiedHead) if field.type in ("float", "int"))


def key_of(members: Sequence[Member]) -> str:
    """What a head depends on beside its network, as a hash: who its members are, and what is joined."""
    parts = sorted(
        json.dumps([one.id, one.revision, one.name, one.statistics, to_json_all(one.joins)]) for one in members
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def save_head(head: GroupedHead, members: Sequence[Member], path: Path, backbone_hash: str) -> None:
    """Write a .safetensors file."""
    heads = {IDENTITY: head.plain, **{adapter: group.head for adapter, group in head.groups.items()}}
    tensors: dict[str, Tensor] = {}
    about: dict[str, object] = {}
    for adapter, one in heads.items():
        tensors |= {f"{adapter}/{name}": getattr(one, name).contiguous() for name in _TENSORS}
        about[adapter] = {name: getattr(one, name) for name in _NUMBERS} | {"classes": one.classes}
    note = {"backbone_hash": backbone_hash, "key": key_of(members), "heads": json.dumps(about), "schema": str(SCHEMA)}
    write_tensors(tensors, path, note)


def load_head(file: HeadFile, members: Sequence[Member], backbone_hash: str) -> GroupedHead | None:
    """What save_head wrote for these members; None if it is of others, damaged or not there."""
    try:
        tensors, note = read_committed(Path(file.path), file.sha256, backbone_hash)
    except StateError:  # the truth is in the statistics, and those are read then
        return None
    if note.get("key") != key_of(members):
        return None
    heads: dict[str, UnifiedHead] = {}
    for adapter, about in json.loads(note["heads"]).items():
        classes = tuple((task, name) for task, name in about.pop("classes"))
        values: dict[str, Any] = about | {name: tensors[f"{adapter}/{name}"] for name in _TENSORS}
        heads[adapter] = UnifiedHead(classes, **values)
    return assembled(members, heads)
