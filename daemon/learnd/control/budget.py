"""Keeps the images of a state within its budget, whenever the knowledge has changed, a little at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from learnd.control.archives import Archive, Place
from learnd.control.eviction import Levels, Quota, archives_in, sizes_of, trim
from learnd.control.journal import Journal
from learnd.errors import StateError

SLICE = 0.02  # seconds of the daemon's one thread at a time
NO_ROOM_SECONDS = 60.0  # before what could not be written is tried again


@dataclass
class _File:
    """One file on the disk.  places: the revisions that it is part of; a consolidation's share those of older ones."""

    archive: Archive
    places: set[Place]
    sure: bool = False  # that it holds no more than it is to: a kill may have come between the word and the deed


@dataclass
class _Gone:
    """What an eviction has taken so far."""

    tasks: set[str] = field(default_factory=set)
    images: int = 0
    bytes: int = 0


class Budget:
    """For whoever holds the state's lock.  most: bytes of all archives together; 0: no limit.

    notice(level, text) tells people.  A new task costs what it brings.
    """

    def __init__(self, journal: Journal, tasks: Path, most: int, notice: Callable[[str, str], None]) -> None:
        self._journal = journal
        self._archives = journal.history.archives
        self._tasks = tasks
        self._most = most
        self._notice = notice
        self._seen: int | None = None  # the version up to which it has been looked after
        self._files: dict[int, _File] = {}  # by inode
        self._inodes: dict[tuple[Place, str], int] = {}  # of every name of a file
        self._levels = Levels()
        self._due: list[int] = []  # the files that may hold too many images
        self._gone = _Gone()
        self._retry_at = 0.0

    @property
    def settled(self) -> bool:
        """Whether all that can be done now is done."""
        return time.monotonic() < self._retry_at or (not self._due and self._seen == self._journal.head)

    def tick(self) -> None:
        """Look after what has come since the last time, for a moment.  What cannot be done now is tried again later."""
        if time.monotonic() < self._retry_at:
            return
        try:
            head = self._journal.head
            if head != self._seen:
                self._look(head)
            self._evict(time.monotonic() + SLICE)
        except OSError as error:
            self._retry_at = time.monotonic() + NO_ROOM_SECONDS
            self._notice("error", f"kept images are over memory.max_bytes, and cannot be removed now: {error}")

    @property
    def _quota(self) -> Quota:
        return self._levels.fitting(self._most) if self._most else self._levels.largest()

    # --- what is there ------------------------------------------------------------------------------------------------

    def _look(self, head: int) -> None:
        """Find what has come and what has gone, and which files may have to lose images."""
        held, before = self._journal.known_folders(), self._quota
        for place, name in [key for key in self._inodes if key[0] not in held]:
            self._drop(place, name)
        if self._seen is None:
            known = self._archives.all()
            self._add(held, known)
            self._due = list(self._files)
        else:
            came = {_place(folder) for folder in self._journal.history.entered_since(self._seen)} & held
            new = self._add(came, {})
            self._due += self._files if self._quota != before else new
        self._seen = head

    def _add(self, places: Iterable[Place], known: dict[Place, list[Archive]]) -> list[int]:
        """Note the archives of revisions, in the journal too where it does not know them; returns their inodes."""
        unknown: list[tuple[Place, Archive]] = []
        found: list[int] = []
        for place in sorted(places):
            recorded = {one.name: one for one in known.get(place, ())}
            for path in archives_in(self._folder(place)):
                if (place, path.name) in self._inodes:
                    continue
                try:
                    inode = path.stat().st_ino
                    like = self._files[inode].archive if inode in self._files else None
                    archive = recorded.get(path.name) or like or Archive(path.name, sizes_of(path))
                except StateError as error:
                    self._notice("error", f"kept images that cannot be looked after, nor counted: {error}")
                    continue
                if path.name not in recorded:
                    unknown.append((place, archive))
                if inode not in self._files:
                    self._files[inode] = _File(archive, set())
                    self._levels.add(path.name, archive.sizes)
                self._files[inode].places.add(place)
                self._inodes[place, path.name] = inode
                found.append(inode)
        if unknown:
            self._archives.add(unknown)
        return found

    def _drop(self, place: Place, name: str) -> None:
        inode = self._inodes.pop((place, name))
        file = self._files[inode]
        file.places.discard(place)
        if not file.places:
            del self._files[inode]
            self._levels.add(name, file.archive.sizes, -1)

    def _folder(self, place: Place) -> Path:
        return self._tasks / place[0] / str(place[1])

    # --- what has to go -----------------------------------------------------------------------------------------------

    def _evict(self, until: float) -> None:
        """Go on with the files that are due, one at least, as long as there is time."""
        quota = self._quota if self._due else Quota(0, 0)
        while self._due:
            inode = self._due[-1]
            if inode in self._files:
                try:
                    self._hold(inode, quota)
                except StateError as error:
                    self._notice("error", f"kept images that cannot be looked after: {error}")
            self._due.pop()
            if self._due and time.monotonic() > until:
                return
        if self._gone.images:
            self._tell(self._quota)
            self._gone = _Gone()

    def _hold(self, inode: int, quota: Quota) -> None:
        """Hold a file to the quota; what an earlier one took is gone for good."""
        file = self._files[inode]
        had, name = file.archive, file.archive.name
        most = min(quota.of(name), had.deepest if had.kept is None else had.kept)
        if most == had.deepest or (most == had.kept and file.sure):
            return
        places = sorted(file.places)
        if most != had.kept:
            self._archives.trim(places, name, most)
        first, *twins = [self._folder(place) / name for place in places]
        by = trim(first, most, twins)
        file.archive, file.sure = replace(had, kept=most), True
        if by:
            self._archives.shrink(places, by)
            self._gone.tasks |= {task_id for task_id, _ in places}
            self._gone.images += sum(had.counts.values()) - sum(file.archive.counts.values())
            self._gone.bytes += by
            self._follow(inode, first.stat().st_ino, name)

    def _follow(self, inode: int, now: int, name: str) -> None:
        """The file was written anew, and has another inode."""
        self._files[now] = self._files.pop(inode)
        for place in self._files[now].places:
            self._inodes[place, name] = now

    def _tell(self, quota: Quota) -> None:
        names = [name for task_id, _, name in self._journal.members() if task_id in self._gone.tasks]
        whose = names[0] if len(names) == 1 else f"{len(names)} tasks"
        what = f"{self._gone.images} images of {whose} ({self._gone.bytes:,} bytes) had to go"
        why = f"memory.max_bytes is {self._most:,}, so {quota.exemplars} images of a class are kept to learn from"
        told = f"{what}: {why} and {quota.held_out} held-out ones at most"
        self._journal.note("evicted", told, names[0] if len(names) == 1 else None)
        self._notice("warning", told)


def _place(folder: str) -> Place:
    task_id, _, revision = folder.rpartition("/")
    return task_id, int(revision)
