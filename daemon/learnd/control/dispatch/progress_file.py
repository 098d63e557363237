"""How far the jobs in hand are, for whoever watches: a file beside the journal, as none of it is worth a commit."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learnd.control.dispatch.worker_slot import WorkerSlot
from learnd.messages.convert import from_json, legible, to_json, to_json_all

PROGRESS_FILE = "progress.json"  # in the state folder
_PAUSE = 0.5  # seconds between two writes at least


@dataclass(frozen=True)
class JobProgress:
    """What the worker of a leased job said last: a stage, and done of its total steps.

    epoch: the lease's, which tells this job from any other; algorithm: the one at work, "" where none is.
    """

    worker: str
    epoch: int
    stage: str
    done: int
    total: int
    algorithm: str = ""


class Posting:
    """The daemon's end.  Nothing depends on it: what cannot be written is not shown."""

    def __init__(self, state: Path) -> None:
        self._path = state / PROGRESS_FILE
        self._posted: tuple[JobProgress, ...] = ()
        self._next = 0.0  # seconds of time.monotonic()

    def post(self, slots: Sequence[WorkerSlot]) -> None:
        """To be called often: it writes where something is new, and not too soon after the last time."""
        now = time.monotonic()
        wanted = tuple(
            JobProgress(slot.name, slot.lease.epoch, **to_json(slot.progress))
            for slot in slots
            if slot.lease is not None and slot.progress
        )
        if wanted == self._posted or (wanted and now < self._next):
            return
        self._posted, self._next = wanted, now + _PAUSE
        beside = self._path.with_suffix(".tmp")
        try:
            if wanted:
                beside.write_text(json.dumps(to_json_all(wanted)))
                os.replace(beside, self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError:  # a full disk is said by what matters more
            self._posted = ()


def posted(state: Path) -> tuple[JobProgress, ...]:
    """The watcher's end: what was posted last, of jobs that may have ended since.  () where nothing is legible."""
    try:
        return tuple(from_json(JobProgress, legible(item)) for item in json.loads((state / PROGRESS_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return ()
