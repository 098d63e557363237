"""The place of one worker: its device, the process in it, and what that process works on."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learnd.control.journal.queue import Lease
from learnd.control.processes.child import Child
from learnd.messages.worker import Hello, Importing, StageProgress

SECOND_LOOK = 0.2  # seconds that what an overdue worker said meanwhile has to come in, after the daemon was held up


@dataclass
class WorkerSlot:
    """Moments are seconds of time.monotonic()."""

    name: str
    device: str
    index: int
    child: Child | None = None
    files: str = ""  # the fingerprint of the plugins folder when it last loaded them
    importing: Importing | None = None  # the plugin that it said it imports next
    ready: bool = False
    hello: Hello | None = None
    lease: Lease | None = None
    out: Path | None = None  # of the job in hand: a lease's, a survey or the backbone's export
    survey: int | None = None  # the version that a survey in hand asks about
    makes_way: bool = False  # it was asked to
    deadline: float | None = None  # of the job in hand, or of the start
    silent_at: float = 0.0  # when a job's worker counts as hung unless it beats again
    doubted_at: float | None = None  # when it was first seen overdue
    start_at: float = 0.0  # of the next start, after one that failed or a worker that was lost
    failures: int = 0  # such, since a job came back
    progress: StageProgress | None = None

    def clear(self) -> None:
        """Nothing is in hand any more."""
        self.lease, self.out, self.deadline, self.doubted_at, self.progress = None, None, None, None, None
        self.survey, self.makes_way = None, False

    def discard(self) -> None:
        """The same, and what was in hand goes."""
        if self.out is not None:
            shutil.rmtree(self.out.parent, ignore_errors=True)
        self.clear()

    def due(self) -> float | None:
        """When it is overdue with what it does, or is to be looked at again."""
        if self.doubted_at is not None:
            return self.doubted_at + SECOND_LOOK
        moments = [] if self.deadline is None else [self.deadline]
        return min([*moments, self.silent_at] if self.lease is not None else moments, default=None)


def slot_names(names: Sequence[str]) -> list[str]:
    """A name for the worker on each device: CPU workers are numbered ("cpu:0", "cpu:1"), GPUs keep their names.

    The second worker on one GPU is "cuda:0#2".
    """
    taken: Counter[str] = Counter()
    found: list[str] = []
    for device in names:
        if device == "cpu":
            found.append(f"cpu:{taken['cpu']}")
        else:
            full = device if ":" in device else f"{device}:0"  # "cuda" is the first one
            found.append(f"{full}#{taken[full] + 1}" if taken[full] else full)
            device = full
        taken[device] += 1
    return found
