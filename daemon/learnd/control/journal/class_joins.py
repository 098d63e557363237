"""Which classes are answered as another: what every revision's task.yaml says, and what people asked for.

What a task.yaml says holds as long as its revision does.  What people ask for is a change of the knowledge like any
other: it begins with a version and may end before another, and a rollback takes it along.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from learnd.control.journal.database import Database
from learnd.messages.task import Join


@dataclass(frozen=True)
class Alias:
    """What a person asked for, of a task by its id."""

    task_id: str
    join: Join


class Joins:
    """The `joins` table.  Methods that write expect to run inside a transaction of the caller."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of_head(self) -> dict[str, tuple[Join, ...]]:
        """All that holds now, by task id; what people asked for comes before what a task.yaml says."""
        rows = self._db.all(
            "SELECT j.* FROM joins j LEFT JOIN members m ON m.task_id = j.task_id AND m.last IS NULL "
            "LEFT JOIN derived d ON d.task_id = m.task_id AND d.revision = m.revision "
            "WHERE j.first IS NOT NULL AND j.last IS NULL OR j.revision = COALESCE(d.source, m.revision) "
            "ORDER BY j.task_id, j.class, j.first"  # NULL is first
        )
        found: dict[str, dict[str, Join]] = defaultdict(dict)
        for row in rows:
            found[row["task_id"]][row["class"]] = Join(row["class"], row["to_task"], row["to_class"])
        return {task_id: tuple(by_class.values()) for task_id, by_class in found.items()}

    def asked_at(self, version: int) -> frozenset[Alias]:
        """What people had asked for, and had not taken back, at a version."""
        rows = self._db.all("SELECT * FROM joins WHERE first <= ?1 AND (last IS NULL OR last >= ?1)", version)
        return frozenset(Alias(row["task_id"], Join(row["class"], row["to_task"], row["to_class"])) for row in rows)

    def mark_learnt(self, task_id: str, revision: int, joins: Iterable[Join]) -> None:
        """What the task.yaml of a revision says, in place of what was known of it."""
        self._db.run("DELETE FROM joins WHERE task_id = ? AND revision = ?", task_id, revision)
        for join in joins:
            self._insert(task_id, join, revision, None)

    def mark_changed(self, version: int, made: Iterable[Alias], ended: Iterable[Alias]) -> None:
        """What a version adds to what people asked for, and what it takes back."""
        for one in ended:
            self._db.run(
                "UPDATE joins SET last = ? WHERE task_id = ? AND class = ? AND first IS NOT NULL AND last IS NULL",
                *(version - 1, one.task_id, one.join.class_name),
            )
        for one in made:
            self._insert(one.task_id, one.join, None, version)

    def mark_forgotten(self, task_id: str, name: str) -> None:
        """What is said of a task goes, and what people asked for that points to it; no other task.yaml changes."""
        self._db.run("DELETE FROM joins WHERE task_id = ? OR (to_task = ? AND first IS NOT NULL)", task_id, name)

    def mark_retired(self, oldest: int) -> None:
        """What no version from the oldest on needs goes."""
        held = "SELECT 1 FROM members m LEFT JOIN derived d USING (task_id, revision) WHERE m.task_id = joins.task_id"
        self._db.run(
            f"DELETE FROM joins WHERE last < ? OR (revision IS NOT NULL AND NOT EXISTS "
            f"({held} AND COALESCE(d.source, m.revision) = joins.revision))",
            oldest,
        )

    def _insert(self, task_id: str, join: Join, revision: int | None, first: int | None) -> None:
        self._db.run(
            "INSERT INTO joins VALUES (?, ?, ?, ?, ?, ?, NULL)",
            *(task_id, join.class_name, join.task, join.other, revision, first),
        )
