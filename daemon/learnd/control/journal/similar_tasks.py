"""What surveys found tasks to be like: the nearest of each, and classes that somebody may want to join."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from learnd.control.journal.database import Database
from learnd.messages.outcomes import Near, Related, Twin


@dataclass(frozen=True)
class Likeness:
    """Two classes that nearly coincide.  task: whose survey found it."""

    task: str
    twin: Twin


# CROSS: few have a twin, so the search begins there, and not among all members.
_NOW = "CROSS JOIN members {0} ON {0}.task_id = {1} AND {0}.last IS NULL"  # what is not known any more is like nothing


class SimilarTasks:
    """The `nearest` and `twins` tables."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def record(self, version: int, found: Iterable[Related], ids: Mapping[str, str]) -> None:
        """In place of what was known of these tasks; ids: of all tasks by name.

        Nothing is kept where the head has moved on from the version.
        """
        with self._db.transaction():
            if int(self._db.get("head") or 0) != version:
                return
            for one in found:
                self._db.run("DELETE FROM nearest WHERE task_id = ?", one.id)
                self._db.run("DELETE FROM twins WHERE task_id = ?", one.id)
                for near in one.nearest:
                    self._db.run("INSERT INTO nearest VALUES (?, ?, ?)", one.id, ids[near.task], near.distance)
                for twin in one.twins:
                    row = one.id, twin.class_name, ids[twin.task], twin.other, twin.ratio
                    self._db.run("INSERT INTO twins VALUES (?, ?, ?, ?, ?)", *row)

    def nearest(self, task_id: str) -> list[Near]:
        """The nearest first."""
        rows = self._db.all(
            f"SELECT m.name, n.distance FROM nearest n {_NOW.format('m', 'n.other_id')} "
            "WHERE n.task_id = ? ORDER BY n.distance, m.name",
            task_id,
        )
        return [Near(row["name"], row["distance"]) for row in rows]

    def twins(self) -> list[Likeness]:
        """Each pair once, those that are most alike first."""
        rows = self._db.all(
            f"SELECT m.name, t.class, o.name AS other, t.other_class, t.ratio FROM twins t "
            f"{_NOW.format('m', 't.task_id')} {_NOW.format('o', 't.other_id')} ORDER BY t.ratio, m.name, t.class"
        )
        found: dict[frozenset[tuple[str, str]], Likeness] = {}
        for row in rows:
            pair = frozenset([(row["name"], row["class"]), (row["other"], row["other_class"])])
            twin = Twin(row["class"], row["other"], row["other_class"], row["ratio"])
            found.setdefault(pair, Likeness(row["name"], twin))
        return list(found.values())

    def mark_forgotten(self, task_id: str) -> None:
        """Expects to run inside a transaction of the caller."""
        for table in ("nearest", "twins"):
            self._db.run(f"DELETE FROM {table} WHERE task_id = ?1 OR other_id = ?1", task_id)
