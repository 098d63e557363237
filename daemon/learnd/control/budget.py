"""Keeps the images of a state within its budget, whenever the knowledge has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from learnd.control.eviction import (
    ARCHIVES,
    Evicted,
    Quota,
    archives_below,
    bytes_of,
    fitting,
    largest,
    trim,
)
from learnd.control.journal import Journal
from learnd.errors import LearndError

QUOTA = "quota"  # in meta: how many images of each class every archive is held to, once anything had to go


class Budget:
    """For whoever holds the state's lock.  most: bytes of all archives together; 0: no limit.

    notice(level, text) tells people.  A new task costs what it brings; all archives are looked at where the budget is
    overrun, which each of its few quotas is only once.
    """

    def __init__(self, journal: Journal, tasks: Path, most: int, notice: Callable[[str, str], None]) -> None:
        self._journal = journal
        self._tasks = tasks
        self._most = most
        self._notice = notice
        self._seen: int | None = None  # the version up to which it has been looked after
        self._bytes = 0  # at most so many are there

    def tick(self) -> None:
        """Look after what has come since the last time.  What cannot be done now is tried at the next start."""
        head = self._journal.head
        if not self._most or head == self._seen:
            return
        first = self._seen is None
        came = archives_below(self._tasks) if first else self._archives_since(self._seen or 0)
        self._seen = head
        try:
            self._hold(came, self._quota())
            self._bytes += bytes_of(came)
            if self._bytes > self._most:
                self._tighten()
        except (LearndError, OSError) as error:
            self._notice("error", f"kept images are over memory.max_bytes, and cannot be removed: {error}")

    def _archives_since(self, version: int) -> list[Path]:
        folders = [self._tasks / folder for folder in self._journal.history.entered_since(version)]
        return [folder / name for folder in folders for name in ARCHIVES if (folder / name).is_file()]

    def _quota(self) -> Quota | None:
        kept = self._journal.db.get(QUOTA)
        return None if kept is None else Quota(*json.loads(kept))

    def _tighten(self) -> None:
        """What is there may be less than was reckoned, as tasks were forgotten; else less is kept from now on."""
        archives = archives_below(self._tasks)
        self._bytes = bytes_of(archives)
        if self._bytes <= self._most:
            return
        quota = fitting(archives, self._quota() or largest(archives), self._most)
        with self._journal.db.transaction():  # before anything goes: a kill in between leaves more, and never less
            self._journal.db.put(QUOTA, json.dumps([quota.exemplars, quota.held_out]))
        gone = self._hold(archives, quota)
        self._bytes = bytes_of(archives)
        what = f"{quota.exemplars} images of a class are kept to learn from and {quota.held_out} held-out ones at most"
        why = f"{gone.images} images ({gone.bytes:,} bytes) had to go: memory.max_bytes is {self._most:,}"
        self._journal.db.note("evicted", f"{what}; {why}")
        self._notice("warning", f"{what}; {why}")

    def _hold(self, archives: Iterable[Path], quota: Quota | None) -> Evicted:
        """Hold archives to a quota."""
        if quota is None:
            return Evicted(0, 0)
        gone = [trim(archive, quota.of(archive)) for archive in archives]
        return Evicted(sum(one.images for one in gone), sum(one.bytes for one in gone))
