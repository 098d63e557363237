"""Candidates as a worker leaves them, written by hand: safetensors, exemplars, report."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path

from learnd.messages.convert import to_json
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.report import MeasuredOn, Report
from learnd.messages.state_files import ADAPTED_FILE, EXEMPLARS_FILE, REPORT_FILE, STATISTICS_FILE
from tests.control.archives import packed

REPORT = Report(
    task="cats",
    id="cats",
    revision=1,
    digest="d1",
    classes=("a", "b"),
    images=10,
    queries=0,
    algorithm="protonet",
    candidates=(),
    accuracy=0.9,
    accuracy_ci=(0.8, 0.95),
    measured_on=MeasuredOn.CROSS_VALIDATION,
    measured_images=10,
    transductive=False,
    backbone="conv4",
    backbone_hash="b" * 64,
    device="cpu",
    seed=1,
    seconds=0.1,
)


def safetensors(tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def doubles(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def statistics(width: int = 3, total: float = 1.0) -> bytes:
    return safetensors(
        {
            "count": ("I64", (2,), struct.pack("<2q", 5, 5)),
            "sum": ("F64", (2, width), doubles(*[total] * (2 * width))),
            "within": ("F64", (1, width), doubles(*[0.5] * width)),
        }
    )


def candidate(out: Path, report: Report = REPORT, **files: bytes) -> Outcome:
    """A good candidate in out, but for the files given by name (dots as underscores)."""
    contents = {
        ADAPTED_FILE: safetensors({"mean": ("F32", (1,), struct.pack("<f", 1.0))}),
        STATISTICS_FILE: statistics(),
        EXEMPLARS_FILE: packed({"a": 1}),
        REPORT_FILE: json.dumps(to_json(report)).encode(),
    }
    contents |= {name.replace("_", "."): data for name, data in files.items()}
    out.mkdir(parents=True)
    for name, data in contents.items():
        (out / name).write_bytes(data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return Outcome(OutcomeStatus.DONE, report=report, files=hashes)


def named(name: str, revision: int = 1) -> Report:
    return replace(REPORT, task=name, id=name, revision=revision)
