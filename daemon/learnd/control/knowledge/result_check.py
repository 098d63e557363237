"""The gate between a candidate and the knowledge: what does not pass is refused, with the reason.

It trusts nothing a worker says: files are read again, and their numbers checked, without torch.
"""

from __future__ import annotations

import json
import math
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

from learnd.control.files.image_archives import ARCHIVES, vouch_for
from learnd.errors import LearndError, StateError
from learnd.identity import sha256_of
from learnd.messages.outcomes import Outcome
from learnd.messages.report import Report
from learnd.messages.state_files import ADAPTED_FILE, REPORT_FILE, REQUIRED_FILES, STATISTICS_FILE

_HEADER_LIMIT = 100_000_000
_FLOATS = {"F32": "f", "F64": "d"}
_WIDTHS = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL"), 1),
}


class Refused(LearndError):
    """The candidate may not become knowledge."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a safetensors file: dtype name, shape, and its bytes [start, end) in the data section."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def check(out: Path, outcome: Outcome) -> Report:
    """The report of a candidate that may be committed.  Raises Refused."""
    report = outcome.report
    if report is None:
        raise Refused("the worker gave no report")
    for name in REQUIRED_FILES:
        if name not in outcome.files:
            raise Refused("the candidate lacks a file", where=name)
    for name, digest in outcome.files.items():
        path = out / name
        if not path.is_file() or sha256_of(path) != digest:
            raise Refused("the file is not what the worker said it wrote", where=name)
    for name in filter(outcome.files.__contains__, ARCHIVES):
        try:
            vouch_for(out / name, {})
        except StateError as error:
            raise Refused(error.what, where=name) from error
    for value in (report.accuracy, *(report.accuracy_ci or ())):
        if value is not None and not 0.0 <= value <= 1.0:
            raise Refused(f"an accuracy of {value} is impossible", where=REPORT_FILE)
    require_finite(out / ADAPTED_FILE)
    _check_statistics(require_finite(out / STATISTICS_FILE), len(report.classes))
    return report


def _check_statistics(tensors: dict[str, TensorInfo], ways: int) -> None:
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    width = shapes.get("sum", (0, 0))[-1]
    expected = {"count": (ways,), "sum": (ways, width)}
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            raise Refused(f"{name} has shape {shapes.get(name)}, not {shape}", where=STATISTICS_FILE)
    within = shapes.get("within", ())
    if len(within) != 2 or within[1] != width:
        raise Refused(f"within has shape {within}, not (rows, {width})", where=STATISTICS_FILE)


def read_header(data: bytes, where: str) -> tuple[dict[str, TensorInfo], int]:
    """The tensors of a safetensors file and where its data section starts.  Raises Refused if it is none."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(_HEADER_LIMIT, len(data) - 8):
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        tensors = {
            name: TensorInfo(item["dtype"], tuple(item["shape"]), *item["data_offsets"])
            for name, item in header.items()
        }
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise Refused(f"it is no safetensors file ({error})", where=where) from error
    for name, tensor in tensors.items():
        size = math.prod(tensor.shape) * _WIDTHS.get(tensor.dtype, 0)
        if tensor.end - tensor.start != size or tensor.end > len(data) - 8 - length:
            raise Refused(f"tensor {name} does not fill its place", where=where)
    return tensors, 8 + length


def require_finite(path: Path) -> dict[str, TensorInfo]:
    """Read a safetensors file and refuse any float32 or float64 that is not finite."""
    data = path.read_bytes()
    tensors, base = read_header(data, path.name)
    for name, tensor in tensors.items():
        code = _FLOATS.get(tensor.dtype)
        if code is None:
            continue
        values = array(code)
        values.frombytes(data[base + tensor.start : base + tensor.end])
        if not all(map(math.isfinite, values)):
            raise Refused(f"tensor {name} holds a value that is not finite", where=path.name)
    return tensors
