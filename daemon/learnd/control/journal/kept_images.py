"""What the archives of kept images held when they were committed, and how much of it is kept."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from learnd.control.files.image_archives import END, Sizes
from learnd.control.journal.database import Database

Place = tuple[str, int]  # a task's id and a revision of it


@dataclass(frozen=True)
class Archive:
    """One of a revision's archives, by its file name.

    sizes: of each class the bytes that each image took when it was committed, by order of sha256.  kept: how many of
    each class, the first, are kept at most; None: all are.  counted: how many the budget reckons with; None: all.
    """

    name: str
    sizes: Sizes
    kept: int | None = None
    counted: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many images of each class are kept."""
        return {name: len(own[: self.kept]) for name, own in self.sizes.items()}

    @property
    def bytes(self) -> int:
        """Of the file, with the images that are kept."""
        return END + sum(sum(own[: self.kept]) for own in self.sizes.values())

    @property
    def reckoned(self) -> Sizes:
        """What the budget reckons with."""
        return {name: own[: self.counted] for name, own in self.sizes.items()}

    def held_to(self, most: int) -> Archive:
        """The same with at most so many images of each class; itself where that takes nothing."""
        deepest = max(self.counts.values(), default=0)
        return replace(self, kept=most) if most < deepest else self


class Archives:
    """The `archives` table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> dict[Place, list[Archive]]:
        """Those of every revision that a kept version holds."""
        found: dict[Place, list[Archive]] = {}
        for row in self._db.all("SELECT * FROM archives ORDER BY task_id, revision, name"):
            found.setdefault((row["task_id"], row["revision"]), []).append(_archive(row))
        return found

    def of(self, task_id: str, revision: int) -> list[Archive]:
        """Those of a revision; none before the budget has looked at it."""
        rows = self._db.all(
            "SELECT * FROM archives WHERE task_id = ? AND revision = ? ORDER BY name", task_id, revision
        )
        return [_archive(row) for row in rows]

    def add(self, found: Iterable[tuple[Place, Archive]]) -> None:
        with self._db.transaction():
            for place, one in found:
                sizes = json.dumps({name: list(own) for name, own in one.sizes.items()})
                row = *place, one.name, sizes, one.kept, one.counted
                self._db.run("INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?, ?)", *row)

    # --- what marks expects to run inside a transaction of the caller ------------------------------------------------

    def mark_trimmed(self, places: Iterable[Place], name: str, kept: int, by: int) -> None:
        """So many images per class are to be kept of these, by which each revision has so many bytes less."""
        for place in places:
            where = "WHERE task_id = ? AND revision = ?"
            self._db.run(f"UPDATE archives SET kept = ? {where} AND name = ?", kept, *place, name)
            self._db.run(f"UPDATE members SET bytes = bytes - ? {where}", by, *place)

    def mark_risen(self) -> None:
        """More may be kept from now on, and what is gone by now is gone: nobody reckons with it any more."""
        self._db.run("UPDATE archives SET counted = kept")

    def mark_gone(self) -> None:
        """Those of revisions that no version holds any more."""
        held = "SELECT 1 FROM members m WHERE m.task_id = archives.task_id AND m.revision = archives.revision"
        self._db.run(f"DELETE FROM archives WHERE NOT EXISTS ({held})")


def _archive(row: Any) -> Archive:
    sizes = {name: array("I", own) for name, own in json.loads(row["sizes"]).items()}  # 4 bytes instead of 36
    return Archive(row["name"], sizes, row["kept"], row["counted"])
