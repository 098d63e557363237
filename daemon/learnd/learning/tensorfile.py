"""Tensors on the disk: safetensors files whose bytes depend on nothing but what is in them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

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
