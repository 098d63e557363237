"""What is known of every task folder: one row a revision, and the verdict on it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learnd.control.journal.database import Database
from learnd.errors import TaskError
from learnd.messages.convert import from_json, to_json_all
from learnd.messages.plugins import EventKind
from learnd.messages.task import Problem, TaskState

# A row in one of these states was not accepted: new content of the folder takes the row over.
OPEN = (TaskState.WAITING, TaskState.REJECTED, TaskState.DUPLICATE)
RETRIABLE = (TaskState.FAILED, TaskState.SKIPPED, TaskState.REJECTED, TaskState.DUPLICATE, TaskState.FORGOTTEN)
SKIPPABLE = (*OPEN, TaskState.QUEUED, TaskState.RUNNING, TaskState.FAILED)


@dataclass(frozen=True)
class TaskRow:
    """A row of `tasks`; see schema.sql."""

    id: str
    revision: int
    name: str
    state: TaskState
    reason: str
    detail: str
    problems: tuple[Problem, ...]
    fingerprint: str
    digest: str
    ways: int
    images: int
    algorithm: str | None
    accuracy: float | None
    ci_low: float | None
    ci_high: float | None
    seconds: float | None
    version: int | None
    updated: float


@dataclass(frozen=True)
class Content:
    """What was found in a task's folder; empty values for what is not known.

    fingerprint: of paths, sizes and dates.  digest: of the bytes of all images.  images, ways: how many images and
    classes.  problems: every one, errors and warnings.
    """

    fingerprint: str = ""
    digest: str = ""
    images: int = 0
    ways: int = 0
    problems: tuple[Problem, ...] = ()


UNKNOWN = Content()


class TaskBook:
    """The `tasks` table.  Methods that start with `mark` expect to run inside a transaction of the caller."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[TaskRow]:
        """Every revision of every task, by name and revision."""
        return [_row(row) for row in self._db.all("SELECT * FROM tasks ORDER BY name, revision")]

    def latest(self, limit: int) -> list[TaskRow]:
        """The rows that changed last, the newest change first."""
        return [_row(row) for row in self._db.all("SELECT * FROM tasks ORDER BY updated DESC LIMIT ?", limit)]

    def revisions(self, name: str) -> list[TaskRow]:
        return [_row(row) for row in self._db.all("SELECT * FROM tasks WHERE name = ? ORDER BY revision", name)]

    def newest(self, task_id: str) -> TaskRow | None:
        row = self._db.one("SELECT * FROM tasks WHERE id = ? ORDER BY revision DESC LIMIT 1", task_id)
        return None if row is None else _row(row)

    def accepted(self, task_id: str) -> TaskRow | None:
        """The newest revision whose content was accepted: queued, running, learned or failed."""
        row = self._db.one(
            "SELECT * FROM tasks WHERE id = ? AND state IN ('queued', 'running', 'learned', 'failed') "
            "ORDER BY revision DESC LIMIT 1",
            task_id,
        )
        return None if row is None else _row(row)

    def declined(self, task_id: str) -> TaskRow | None:
        """The newest revision that was accepted once, where it is forgotten and nobody wants it tried again."""
        row = self._db.one(
            "SELECT * FROM tasks WHERE id = ? AND state NOT IN ('waiting', 'rejected', 'duplicate') "
            "ORDER BY revision DESC LIMIT 1",
            task_id,
        )
        return _row(row) if row is not None and row["state"] == "forgotten" and row["fingerprint"] else None

    def unaccepted(self) -> list[TaskRow]:
        """The rows whose folder may yet be accepted."""
        marks = ", ".join("?" * len(OPEN))
        return [_row(row) for row in self._db.all(f"SELECT * FROM tasks WHERE state IN ({marks})", *OPEN)]

    def unjudged(self) -> list[str]:
        """The ids of tasks whose verdict was taken back: their folders are to be looked at again."""
        marks = ", ".join("?" * len(OPEN))
        # The daemon asks all the time.  The + keeps SQLite from the index by state, and so from every row that waits.
        rows = self._db.all(f"SELECT id FROM tasks WHERE fingerprint = '' AND +state IN ({marks})", *OPEN)
        return [str(row["id"]) for row in rows]

    def ids_in(self, *states: TaskState) -> set[str]:
        """The tasks whose newest revision is in one of these states."""
        marks = ", ".join("?" * len(states))
        newest = "SELECT MAX(revision) FROM tasks WHERE id = t.id"
        rows = self._db.all(f"SELECT id FROM tasks t WHERE state IN ({marks}) AND revision = ({newest})", *states)
        return {row["id"] for row in rows}

    def counts(self) -> dict[str, int]:
        """How many tasks are in each state: every task once, by its newest revision."""
        every = self._db.all("SELECT state, COUNT(*) AS n FROM tasks GROUP BY state")
        followed = self._db.all(  # few tasks have a second revision, and the indices tell which
            "SELECT state, COUNT(*) AS n FROM tasks t WHERE id IN (SELECT id FROM tasks WHERE revision > 1) "
            "AND revision < (SELECT MAX(revision) FROM tasks WHERE id = t.id) GROUP BY state"
        )
        found = Counter({row["state"]: int(row["n"]) for row in every})
        found.subtract({row["state"]: int(row["n"]) for row in followed})
        return {state.value: found[state.value] for state in TaskState}

    def twin(self, digest: str, task_id: str) -> str | None:
        """The name of another task whose newest accepted content is the same, if there is one."""
        row = self._db.one(
            "SELECT name FROM tasks t WHERE digest = ? AND id != ? AND state IN ('queued', 'running', 'learned') "
            "AND revision = (SELECT MAX(revision) FROM tasks WHERE id = t.id "
            "AND state IN ('queued', 'running', 'learned', 'failed'))",
            digest,
            task_id,
        )
        return None if row is None else str(row["name"])

    def decline(self, task_id: str, name: str, state: TaskState, reason: str, content: Content) -> None:
        """Record why a folder is not accepted (yet): it is waiting, rejected or a duplicate."""
        with self._db.transaction():
            self.mark(task_id, self.open_revision(task_id), name, state, reason, content)
            if state != TaskState.WAITING:
                self._db.note(state, reason, name)

    def unchanged(self, task_id: str, fingerprint: str) -> None:
        """The folder was touched but holds what was accepted before: what waited for a verdict goes."""
        with self._db.transaction():
            self._db.run("DELETE FROM tasks WHERE id = ? AND state IN ('waiting', 'rejected', 'duplicate')", task_id)
            self._db.run(
                "UPDATE tasks SET fingerprint = ?1 WHERE id = ?2 "
                "AND revision = (SELECT MAX(revision) FROM tasks WHERE id = ?2)",
                fingerprint,
                task_id,
            )

    def vanished(self, row: TaskRow) -> None:
        """A folder that was never accepted is gone: its row goes, an event stays."""
        with self._db.transaction():
            self._db.run("DELETE FROM tasks WHERE id = ? AND revision = ?", row.id, row.revision)
            self._db.note(EventKind.VANISHED, f"the folder was removed while it was {row.state}", row.name)

    def open_revision(self, task_id: str) -> int:
        """The revision that new content of this task gets."""
        newest = self.newest(task_id)
        if newest is None:
            return 1
        return newest.revision if newest.state in OPEN else self.next_revision(task_id)

    def next_revision(self, task_id: str) -> int:
        """A number that no revision of this task ever had, be it learnt or derived."""
        row = self._db.one(
            "SELECT MAX(revision) AS last FROM (SELECT revision FROM tasks WHERE id = ?1 "
            "UNION SELECT revision FROM members WHERE task_id = ?1)",
            task_id,
        )
        return 1 + (int(row["last"]) if row is not None and row["last"] is not None else 0)

    def mark(
        self,
        task_id: str,
        revision: int,
        name: str,
        state: TaskState,
        reason: str = "",
        content: Content = UNKNOWN,
    ) -> None:
        """Insert a row, or overwrite its state and content."""
        listed, known = json.dumps(to_json_all(content.problems)), (content.fingerprint, content.digest)
        self._db.run(
            "INSERT INTO tasks "
            "(id, revision, name, state, reason, problems, fingerprint, digest, images, ways, updated) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, revision) DO UPDATE SET "
            "state = excluded.state, reason = excluded.reason, detail = '', problems = excluded.problems, "
            "fingerprint = excluded.fingerprint, digest = excluded.digest, images = excluded.images, "
            "ways = excluded.ways, updated = excluded.updated",
            *(task_id, revision, name, state, reason, listed, *known, content.images, content.ways, time.time()),
        )

    def mark_state(self, task_id: str, revision: int, state: TaskState, reason: str, detail: str = "") -> None:
        self._db.run(
            "UPDATE tasks SET state = ?, reason = ?, detail = ?, updated = ? WHERE id = ? AND revision = ?",
            *(state, reason, detail, time.time(), task_id, revision),
        )

    def release_twins(self, digest: str) -> None:
        """What was a duplicate of this content deserves another look: its twin will not learn it after all."""
        self._db.run("UPDATE tasks SET fingerprint = '' WHERE state = 'duplicate' AND digest = ?", digest)

    def mark_problems(self, task_id: str, revision: int, problems: Sequence[Problem]) -> None:
        listed = json.dumps(to_json_all(problems))
        self._db.run("UPDATE tasks SET problems = ? WHERE id = ? AND revision = ?", listed, task_id, revision)

    def mark_open(self, task_id: str, revision: int, reason: str) -> None:
        """Back to waiting, with nothing known of the content: the next scan judges it again."""
        self.mark_state(task_id, revision, TaskState.WAITING, reason)
        self._db.run(
            "UPDATE tasks SET fingerprint = '', digest = '', problems = '[]' WHERE id = ? AND revision = ?",
            *(task_id, revision),
        )

    def reopen_rejected(self, code: str) -> None:
        """What was rejected, and has a problem with this code, deserves another look."""
        with self._db.transaction():
            self._db.run(
                "UPDATE tasks SET fingerprint = '' WHERE state = 'rejected' AND EXISTS "
                "(SELECT 1 FROM json_each(problems) WHERE json_extract(value, '$.code') = ?)",
                code,
            )

    # --- what people ask for ------------------------------------------------------------------------------------

    def retry(self, name: str) -> TaskRow:
        """Judge a task again that was not learnt, or is forgotten; the daemon picks it up.  Raises TaskError."""
        with self._db.transaction():
            row = self._wanted(name, RETRIABLE, "retried")
            revision = row.revision
            if row.state == TaskState.FORGOTTEN:  # an older version may hold it still: its number stays its own
                self._db.run("UPDATE tasks SET fingerprint = '' WHERE id = ? AND state = 'forgotten'", row.id)
                revision = self.next_revision(row.id)
                self.mark(row.id, revision, row.name, TaskState.WAITING)
            self.mark_open(row.id, revision, "to be tried again")
            self._db.note(EventKind.RETRY, "asked for by a person", name)
        return row

    def skip(self, name: str) -> TaskRow:
        """Leave a task alone until it is retried; a job that runs is cancelled.  Raises TaskError."""
        with self._db.transaction():
            row = self._wanted(name, SKIPPABLE, "skipped")
            self.release_twins(row.digest)
            self._db.run(
                "UPDATE jobs SET state = 'cancelled' "
                "WHERE task_id = ? AND revision = ? AND state IN ('queued', 'running')",
                *(row.id, row.revision),
            )
            self.mark_state(
                row.id,
                row.revision,
                TaskState.SKIPPED,
                "skipped by a person; `learnd retry` takes it up again",
            )
            self._db.note(TaskState.SKIPPED, "asked for by a person", name)
        return row

    def _wanted(self, name: str, states: Sequence[TaskState], verb: str) -> TaskRow:
        rows = self.revisions(name)
        if not rows:
            raise TaskError(f"there is no task {name!r}", remedy="`learnd tasks` lists them")
        if rows[-1].state not in states:
            allowed = ", ".join(states)
            raise TaskError(f"{name!r} is {rows[-1].state} and cannot be {verb}", remedy=f"only {allowed} tasks can be")
        return rows[-1]


def _row(row: Any) -> TaskRow:
    values = dict(row)
    problems = tuple(from_json(Problem, item) for item in json.loads(values.pop("problems")))
    return TaskRow(**{**values, "state": TaskState(values["state"]), "problems": problems})
