"""What the dashboard reads from the journal: one consistent view of the rows that fit on a screen.

The cost of a read does not grow with the number of tasks.  The exception is the first read, and the one after a task
was forgotten or a version rolled back.  In between, event ids and version numbers say what is new.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from learnd.control.dispatch.plugin_strikes import Strike, Strikes
from learnd.control.journal.journal import Journal, WorkerRow
from learnd.messages.plugins import EventKind, PluginInfo
from learnd.messages.task import TaskState
from learnd.ui.views import json_output

JournalRow = dict[str, Any]

MAX_POINTS = 240  # versions that the sparklines can show
LATEST = 200  # results that are remembered
ROWS = 60  # of each panel, at least; more if the user has scrolled
# Events that change earlier versions or results.
_UNDO = (TaskState.FORGOTTEN, EventKind.ROLLBACK, EventKind.UNDONE, EventKind.RESTORED)
_BURST = 2000  # new events: from this number on, everything is read again


@dataclass(frozen=True)
class VersionPoint:
    """The knowledge at one version.  accuracy: the mean over its measured tasks, each when it was learnt, or None."""

    version: int
    tasks: int
    classes: int
    bytes: int
    accuracy: float | None


@dataclass(frozen=True)
class Facts:
    """Rows of the journal.  wins: learnt revisions by algorithm; pace: seconds per image of the latest jobs.

    accuracies_now: the accuracy among all classes of each task in the newest survey (the last row of the matrix).
    joins: how many pairs of classes look the same and are not joined.
    """

    counts: dict[str, int]
    workers: tuple[WorkerRow, ...]
    running: tuple[JournalRow, ...]  # name images worker epoch started
    queued: tuple[JournalRow, ...]  # name reason not_before
    waiting: tuple[JournalRow, ...]  # name reason
    # name revision algorithm accuracy ci_low ci_high seconds version updated flips compared
    results: tuple[JournalRow, ...]
    problems: tuple[JournalRow, ...]  # name state reason problems updated
    plugins: tuple[PluginInfo, ...]
    strikes: tuple[Strike, ...]
    wins: dict[str, int]
    curve: tuple[VersionPoint, ...]
    pace: tuple[float, ...]
    paused: float | None
    watching: dict[str, str] | None
    backbone: str | None
    accuracies_now: tuple[float, ...] = ()
    joins: int = 0


class JournalReader:
    """Follows one journal that is open for reading."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._db = journal.db
        self._event = -1  # the id of the last one seen
        self._learned: deque[tuple[str, int]] = deque(maxlen=LATEST)  # task ids and revisions, the newest last
        self._wins: Counter[str] = Counter()
        self._curve: deque[VersionPoint] = deque(maxlen=MAX_POINTS)
        self._sums = [0, 0, 0, 0.0, 0]  # tasks, classes, bytes, sum of accuracies, how many are measured

    def read(self, rows: int = ROWS, filter: str = "") -> Facts:
        """Return the facts as of now: at most `rows` per panel, of tasks whose name contains the filter.

        Raises StateError.
        """
        with self._db.view():
            self._follow()
            like = "%" + "".join("\\" + c if c in "\\%_" else c for c in filter) + "%"
            watching = self._db.get("watching")
            return Facts(
                counts=self._journal.tasks.counts(),
                workers=tuple(self._journal.workers()),
                running=self._rows(_RUNNING, like, rows),
                queued=self._rows(_QUEUED, like, rows),
                waiting=self._rows(_WAITING, like, rows),
                results=self._rows(_FOUND, like, rows) if filter else self._results(rows),
                problems=self._rows(_PROBLEMS, like, rows),
                plugins=self._journal.plugins(),
                strikes=tuple(Strikes(self._journal).all()),
                wins=dict(self._wins),
                curve=tuple(self._curve),
                pace=tuple(row["pace"] for row in self._db.all(_PACE)),
                paused=self._journal.paused,
                watching=None if watching is None else json.loads(watching),
                backbone=self._db.get("backbone"),
                accuracies_now=tuple(row["accuracy"] for row in self._db.all(_ACCURACIES_NOW)),
                joins=len(json_output.twins(self._journal)),
            )

    def _rows(self, sql: str, like: str, limit: int) -> tuple[JournalRow, ...]:
        return tuple(dict(row) for row in self._db.all(sql, like, limit))

    def _results(self, limit: int) -> tuple[JournalRow, ...]:
        found = []
        for one in list(reversed(self._learned))[:limit]:
            row = self._db.one(f"{_RESULT} WHERE id = ? AND revision = ? AND state = 'learned'", *one)
            found += [] if row is None else [dict(row)]
        return tuple(found)

    # --- what is followed -------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        last = self._db.last_event()
        if last == self._event:
            return
        new = self._db.all("SELECT kind FROM events WHERE id > ? ORDER BY id LIMIT ?", self._event, _BURST)
        if self._event < 0 or len(new) == _BURST or any(row["kind"] in _UNDO for row in new):
            self._read_all()
        else:
            self._extend()
        self._event = last

    def _read_all(self) -> None:
        self._learned.clear()
        self._curve.clear()
        self._sums = [0, 0, 0, 0.0, 0]
        self._extend()
        rows = self._db.all("SELECT algorithm, COUNT(*) AS n FROM tasks WHERE state = 'learned' GROUP BY algorithm")
        self._wins = Counter({row["algorithm"]: row["n"] for row in rows})

    def _extend(self) -> None:
        """Add a point for every version since the last one, and what was learnt there."""
        head, known = self._journal.head, self._curve[-1].version if self._curve else 0
        if head == known:
            return
        changes: dict[int, list[tuple[int, JournalRow]]] = {}
        for row in map(dict, self._db.all(_CHANGES, known)):
            if row["first"] > known:
                changes.setdefault(row["first"], []).append((1, row))
            if row["last"] is not None and row["last"] >= known:
                changes.setdefault(row["last"] + 1, []).append((-1, row))
        for version in range(known + 1, head + 1):
            for sign, row in changes.get(version, ()):
                if sign > 0 and row["version"] == version:  # a job made it, not a rollback
                    self._learned.append((row["task_id"], row["revision"]))
                    self._wins[row["algorithm"]] += 1
                measured = row["accuracy"] is not None
                step = (1, row["classes"], row["bytes"], row["accuracy"] or 0.0, int(measured))
                self._sums = [before + sign * by for before, by in zip(self._sums, step, strict=True)]
            tasks, classes, size, total, measured_tasks = self._sums
            mean = total / measured_tasks if measured_tasks else None
            self._curve.append(VersionPoint(version, int(tasks), int(classes), int(size), mean))


_OF_JOB = "FROM jobs j JOIN tasks t ON t.id = j.task_id AND t.revision = j.revision"
_FLIPS = "(SELECT SUM({}) FROM surveys s WHERE s.version = tasks.version AND s.task_id != tasks.id)"
_RESULT = (
    "SELECT name, revision, algorithm, accuracy, ci_low, ci_high, seconds, version, updated, "
    f"{_FLIPS.format('s.flips')} AS flips, {_FLIPS.format('s.compared')} AS compared FROM tasks"
)
_NAMED = r"name LIKE ?1 ESCAPE '\'"
_RUNNING = (
    f"SELECT t.name, t.images, j.worker, j.epoch, a.started {_OF_JOB} JOIN attempts a ON a.epoch = j.epoch "
    f"WHERE j.state = 'running' AND t.{_NAMED} ORDER BY j.worker LIMIT ?2"
)
_QUEUED = (
    f"SELECT t.name, t.images, t.reason, j.not_before {_OF_JOB} WHERE j.state = 'queued' AND t.{_NAMED} "
    "ORDER BY j.priority DESC, j.id LIMIT ?2"
)
_WAITING = f"SELECT name, reason FROM tasks WHERE state = 'waiting' AND {_NAMED} ORDER BY rowid DESC LIMIT ?2"
_FOUND = f"{_RESULT} WHERE state = 'learned' AND {_NAMED} ORDER BY updated DESC LIMIT ?2"
_PROBLEMS = (
    f"SELECT name, state, reason, problems, updated FROM tasks t WHERE state IN ('failed', 'rejected') AND {_NAMED} "
    "AND NOT EXISTS (SELECT 1 FROM tasks n WHERE n.id = t.id AND n.revision > t.revision) "
    "ORDER BY updated DESC LIMIT ?2"
)
_ACCURACIES_NOW = (
    "SELECT 1.0 * unified_hits / unified_tries AS accuracy FROM surveys WHERE unified_tries > 0 "
    "AND version = (SELECT MAX(version) FROM surveys) ORDER BY name LIMIT 200"
)
_PACE = (
    "SELECT (a.ended - a.started) / MAX(t.images, 1) AS pace FROM attempts a JOIN jobs j ON j.id = a.job_id "
    "JOIN tasks t ON t.id = j.task_id AND t.revision = j.revision "
    "WHERE a.outcome = 'done' AND a.epoch > (SELECT MAX(epoch) FROM attempts) - 60 ORDER BY a.epoch DESC LIMIT 20"
)
_CHANGES = (
    "SELECT m.task_id, m.revision, m.first, m.last, m.classes, m.bytes, t.accuracy, t.algorithm, t.version "
    "FROM members m LEFT JOIN tasks t ON t.id = m.task_id AND t.revision = m.revision "
    "WHERE m.first > ?1 OR m.last >= ?1"
)
