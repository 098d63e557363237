"""The colour of every state and level: on the terminal, in the dashboard."""

from __future__ import annotations

COLOURS = {
    "learned": "green",
    "ok": "green",
    "chosen": "green",
    "passed": "green",
    "spared": "dim",
    "running": "cyan",
    "queued": "cyan",
    "waiting": "yellow",
    "warn": "yellow",
    "warning": "yellow",
    "quarantined": "yellow",
    "rejected": "red",
    "failed": "red",
    "out of memory": "red",
    "fail": "red",
    "error": "red",
}
