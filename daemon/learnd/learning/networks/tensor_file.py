"""Tensors on the disk: safetensors files whose bytes depend on nothing but what is in them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from learnd.errors import StateError
from learnd.identity import RESTORE, vouch

_ALIGNED = 8  # bytes: the data section starts at a multiple of it


def write_tensors(tensors: Mapping[str, Tensor], path: Path, note: Mapping[str, str]) -> None:
    """Write contiguous tensors and a note (the file's metadata).  Raises OSError, or ValueError as safetensors does.

    safetensors itself writes the entries of the metadata in an order that is another in each call.
    """
    data = save(dict(tensors))
    (length,) = struct.unpack_from("<Q", data)
    header = {"__metadata__": dict(sorted(note.items())), **json.loads(data[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.write(memoryview(data)[8 + length :])


def read_committed(path: Path, sha256: str, backbone_hash: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the note of a file of the state that was committed with this sha256.

    Raises StateError if it is not that, or of another backbone.
    """
    vouch(path, sha256)
    try:
        with safe_open(path, framework="pt") as opened:
            note = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (it is no mapping)
        made_with = note["backbone_hash"]
    except (SafetensorError, OSError, KeyError) as error:
        raise StateError(f"cannot be read ({error})", where=str(path), remedy=RESTORE) from error
    if made_with != backbone_hash:
        what = f"was made with backbone {made_with}, not {backbone_hash}"
        raise StateError(what, where=str(path), remedy="open the state with its own backbone")
    return tensors, note
