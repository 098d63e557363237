"""A state in miniature: the data of `learnd report`."""

from __future__ import annotations

from typing import Any

REPORT: dict[str, Any] = {
    "algorithm": "ridge",
    "accuracy": 0.875,
    "measured_on": "cross-validation",
    "candidates": [
        {
            "algorithm": "ridge",
            "bid": 0.8,
            "accuracy": 0.875,
            "seconds": 0.01,
            "outcome": "chosen",
            "reason": "7 of 8 right",
            "bid_reason": "",
        }
    ],
    "classes": ["crow", "wren"],
    "asked": [4, 4],
    "confusions": [{"class_name": "crow", "told_as": "wren", "images": 1}],
    "mistakes": [{"path": "crow/3.png", "class_name": "crow", "told_as": "wren", "probability": 0.61}],
}
TASK: dict[str, Any] = {
    "id": "birds-1",
    "name": "birds",
    "state": "learned",
    "reason": "",
    "ways": 2,
    "images": 8,
    "algorithm": "ridge",
    "accuracy": 0.875,
    "accuracy_ci": [0.5, 0.98],
    "seconds": 0.2,
}
DETAIL: dict[str, Any] = {**TASK, "report": REPORT, "nearest": [{"task": "moths", "distance": 1.5}], "thumbs": []}
DATA: dict[str, Any] = {
    "learnd": "0.1.0",
    "at": 1_700_000_000.0,
    "path": "/lab/state",
    "knowledge": {"version": 2, "tasks": 1, "classes": 2, "bytes": 4096, "backbone": "conv4"},
    "tasks": [TASK],
    "details": [DETAIL],
    "joins": [],
    "twins": [],
    "versions": [],
    "decisions": [],
}
