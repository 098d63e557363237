"""Keeps the images of a state within its budget, whenever the knowledge has changed, a little at a time."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from learnd.control.files.image_archives import UNLIMITED, Levels, Quota, archives_in, is_left_of, link, sizes_of, trim
from learnd.control.journal.journal import Journal
from learnd.control.journal.kept_images import Archive, Place
from learnd.errors import StateError, StateUnavailable
from learnd.messages.plugins import EventKind

QUOTA = "quota"  # of the journal's small facts: to how many images of a class every archive is held, by which limit
SLICE = 0.02  # seconds of the daemon's one thread at a time
RETRY_WRITE_SECONDS = 60.0  # before what could not be written is tried again


@dataclass
class _File:
    """One file on the disk.  places: the revisions that it is part of; a consolidation's share those of older ones."""

    archive: Archive
    places: set[Place]


class Budget:
    """For whoever holds the state's lock.  most: bytes of all archives together; 0: no limit.

    notice(level, text) tells people.  The quota is reckoned from the archives as they were committed, so it depends on
    the tasks and not on their order.  If it can rise, as a task has gone or the limit is higher, what is gone by
    then counts no more, and leaves its room to what comes.  What is to go stands in the journal before any of it does:
    a kill leaves more, and the next start goes on.  A new task costs what it brings.
    """

    def __init__(self, journal: Journal, tasks: Path, most: int, notice: Callable[[str, str], None]) -> None:
        self._journal = journal
        self._archives = journal.history.archives
        self._tasks = tasks
        self._most = most or sys.maxsize
        self._notice = notice
        self._retry_at = 0.0
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet."""
        self._seen: int | None = None  # the version up to which it has been looked after
        self._files: dict[int, _File] = {}  # by inode
        self._inodes: dict[tuple[Place, str], int] = {}  # of every name of a file
        self._known: dict[str, set[Place]] = defaultdict(set)  # of a task the revisions that were looked at
        self._levels = Levels()
        self._quota: Quota | None = None  # to which all but the new ones are held
        self._new: list[int] = []
        self._due: list[int] = []  # the files that hold more images than they are to

    @property
    def settled(self) -> bool:
        """Whether all that can be done now is done."""
        return time.monotonic() < self._retry_at or (not self._due and self._seen == self._journal.head)

    def tick(self) -> float:
        """Look after what has come, for a moment; returns the seconds after which there is more to do."""
        now = time.monotonic()
        if now < self._retry_at:
            return self._retry_at - now
        try:
            head = self._journal.head
            if head != self._seen:
                self._look(head)
            self._evict(now + SLICE)
        except (OSError, StateUnavailable) as error:
            self._begin()  # what is in memory may be ahead of the journal and the disk
            self._retry_at = now + RETRY_WRITE_SECONDS
            self._notice("error", f"kept images are over memory.max_bytes, and cannot be removed now: {error}")
            return RETRY_WRITE_SECONDS
        return 0.0 if self._due else math.inf

    # --- what is there ------------------------------------------------------------------------------------------------

    def _look(self, head: int) -> None:
        """Find what has come and what has gone, and decide which images go."""
        held, first = self._journal.known_folders(), self._seen is None
        for place, name in [key for key in self._inodes if key[0] not in held]:
            self._drop(place, name)
        entered = held if first else {_place(one) for one in self._journal.history.entered_since(self._seen or 0)}
        self._add(entered & held, self._archives.all() if first else {})
        self._decide()
        self._seen = head

    def _add(self, places: Iterable[Place], known: dict[Place, list[Archive]]) -> None:
        """Note the archives of revisions, in the journal too where it does not know them."""
        unknown: list[tuple[Place, Archive]] = []
        for place in sorted(places):
            recorded = {one.name: one for one in known.get(place) or self._archives.of(*place)}
            for path in archives_in(self._folder(place)):
                if (place, path.name) in self._inodes:
                    continue
                try:
                    archive = self._add_one(place, path, recorded.get(path.name))
                except StateError as error:
                    self._notice("error", f"kept images that cannot be looked after, nor counted: {error}")
                    continue
                if path.name not in recorded:
                    unknown.append((place, archive))
        if unknown:
            self._archives.add(unknown)

    def _add_one(self, place: Place, path: Path, archive: Archive | None) -> Archive:
        """Count an archive, unless it is another name of a file that counts."""
        inode = path.stat().st_ino
        if inode not in self._files:
            archive = archive or Archive(path.name, sizes_of(path))
            inode = self._rejoin(place, path, archive) or inode
        if inode not in self._files:
            self._files[inode] = _File(archive or Archive(path.name, sizes_of(path)), set())
            found = self._files[inode].archive
            self._levels.add(path.name, found.reckoned)
            self._new.append(inode)
            if found.kept is not None and path.stat().st_size > found.bytes:
                self._due.append(inode)  # it was to be trimmed, and was not
        self._files[inode].places.add(place)
        self._inodes[place, path.name] = inode
        self._known[place[0]].add(place)
        return self._files[inode].archive

    def _rejoin(self, place: Place, path: Path, archive: Archive) -> int | None:
        """The inode of a file that has been trimmed, and that this one was a name of before; it becomes one again.

        So it is where a kill came in between, or a consolidation had taken it over already.
        """
        for kin in self._known.get(place[0], ()):
            inode = self._inodes.get((kin, path.name))
            other = None if inode is None else self._files[inode].archive
            if other is None or other.kept is None or other.sizes != archive.sizes:
                continue
            beside = self._folder(kin) / path.name
            with suppress(StateError, OSError):  # a disk without such names, or damage: then it counts for itself
                if is_left_of(beside, path, other.kept):
                    link(beside, path)
                    return inode
        return None

    def _drop(self, place: Place, name: str) -> None:
        inode = self._inodes.pop((place, name))
        file = self._files[inode]
        file.places.discard(place)
        self._known[place[0]].discard(place)
        if not file.places:
            del self._files[inode]
            self._levels.add(name, file.archive.reckoned, -1)

    def _folder(self, place: Place) -> Path:
        return self._tasks / place[0] / str(place[1])

    # --- what has to go -----------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Hold every file to the quota, in the journal, and say what that takes."""
        db = self._journal.db
        *kept, limit = json.loads(db.get(QUOTA) or json.dumps([*astuple(UNLIMITED), self._most]))
        standing = Quota(*kept)
        with db.transaction():
            quota = self._levels.fitting(self._most)
            if quota.exceeds(standing) or self._most > limit:
                self._archives.mark_risen()
                for file in self._files.values():
                    self._levels.add(file.archive.name, file.archive.reckoned, -1)
                    file.archive = replace(file.archive, counted=file.archive.kept)
                    self._levels.add(file.archive.name, file.archive.reckoned)
                quota = self._levels.fitting(self._most)
            if (quota, self._most) != (standing, limit):
                db.put(QUOTA, json.dumps([*astuple(quota), self._most]))
            message = self._hold_to(quota)
        if message:
            self._notice("warning", message)

    def _hold_to(self, quota: Quota) -> str:
        """What that takes, in a sentence; nothing if it takes nothing."""
        images = size = 0
        tasks: set[str] = set()
        inodes = self._new if quota == self._quota else list(self._files)
        self._new, self._quota = [], quota
        for inode in inodes:
            file = self._files[inode]
            had, held = file.archive, file.archive.held_to(quota.of(file.archive.name))
            if held is had:
                continue
            file.archive = held
            self._archives.mark_trimmed(file.places, held.name, held.kept or 0, had.bytes - held.bytes)
            self._due.append(inode)
            tasks |= {task_id for task_id, _ in file.places}
            images += sum(had.counts.values()) - sum(held.counts.values())
            size += had.bytes - held.bytes
        if not tasks:
            return ""
        name = self._name(min(tasks)) if len(tasks) == 1 else None
        what = f"{images} images of {name or f'{len(tasks)} tasks'} ({size:,} bytes) have to go"
        why = f"memory.max_bytes is {self._most:,}"
        held_out = f" and {quota.held_out} held-out ones" if quota.held_out < UNLIMITED.held_out else ""
        message = f"{what}: {why}, so of each class at most {quota.exemplars} are kept to learn from{held_out}"
        self._journal.db.note(EventKind.EVICTED, message, name)
        return message

    def _name(self, task_id: str) -> str:
        row = self._journal.db.one("SELECT name FROM members WHERE task_id = ? ORDER BY first DESC", task_id)
        return task_id if row is None else str(row["name"])

    def _evict(self, until: float) -> None:
        """Go on with the files that are due, one at least, as long as there is time."""
        while self._due:
            inode = self._due[-1]
            if inode in self._files:
                try:
                    self._trim(inode)
                except StateError as error:
                    self._notice("error", f"kept images that cannot be looked after: {error}")
            self._due.pop()
            if time.monotonic() > until:
                return

    def _trim(self, inode: int) -> None:
        file = self._files[inode]
        name, most = file.archive.name, file.archive.kept
        assert most is not None  # or it would not be due
        first, *twins = [self._folder(place) / name for place in sorted(file.places)]
        trim(first, most, twins)
        now = first.stat().st_ino
        self._files[now] = self._files.pop(inode)  # it was written again
        for place in file.places:
            self._inodes[place, name] = now


def _place(folder: str) -> Place:
    task_id, _, revision = folder.rpartition("/")
    return task_id, int(revision)
