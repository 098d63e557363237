"""The journal: the one durable record of what must be done and what was done.

Views of one database: `tasks` (what is known of each folder), `jobs` (the queue and the commit), `history` (what every
version held), `requests` (what commands ask of the daemon) and `surveys` (how accurately each task was classified).
Every method that writes is one transaction.  Whoever holds the state's lock leases jobs and adds versions; `retry` and
`skip` write through the same guarded transactions, `rollback` and `forget` leave a request.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from learnd.control.journal.database import Database
from learnd.control.journal.history import History
from learnd.control.journal.queue import Jobs
from learnd.control.journal.requests import Requests
from learnd.control.journal.surveys import Surveys
from learnd.control.journal.tasks import TaskBook
from learnd.messages.convert import from_json, to_json, to_json_all
from learnd.messages.plugins import EventKind, PluginInfo
from learnd.messages.task import TaskState
from learnd.messages.worker import Hello, WorkerState

JOURNAL = "journal.sqlite"  # in the state folder


@dataclass(frozen=True)
class WorkerRow:
    """A worker as other processes see it.  task: the one it works on.

    state: starting | ready | restarting (lost, and the next one waits a while) | stopped.
    """

    name: str
    state: str
    task: str | None
    hello: Hello | None


@dataclass(frozen=True)
class KnowledgeSize:
    """How much the head holds."""

    version: int
    tasks: int
    classes: int
    bytes: int


class Journal:
    """state/journal.sqlite, opened by one thread; readonly: to read alone.  Raises StateError as Database does."""

    def __init__(self, path: Path, *, create: bool = False, readonly: bool = False) -> None:
        self.db = Database(path, create=create, readonly=readonly)
        self.tasks = TaskBook(self.db)
        self.history = History(self.db, self.tasks)
        self.jobs = Jobs(self.db, self.tasks, self.history)
        self.requests = Requests(self.db)
        self.surveys = Surveys(self.db)

    def close(self) -> None:
        self.db.close()

    def put(self, key: str, value: str) -> None:
        with self.db.transaction():
            self.db.put(key, value)

    def note(self, kind: EventKind | TaskState, message: str, task: str | None = None) -> None:
        """Append an event."""
        with self.db.transaction():
            self.db.note(kind, message, task)

    @property
    def head(self) -> int:
        """The version of the knowledge; 0 before anything was learnt."""
        return self.history.head

    def members(self) -> list[tuple[str, int, str]]:
        """(task id, revision, name) of all that the head holds, in the order that never changes: by task id."""
        rows = self.db.all("SELECT task_id, revision, name FROM members WHERE last IS NULL ORDER BY task_id")
        return [(row["task_id"], row["revision"], row["name"]) for row in rows]

    def origin(self, task_id: str, revision: int) -> tuple[int, int, str] | None:
        """The generation that brought a revision: its number, its epoch and its manifest's sha256."""
        row = self.db.one(
            "SELECT number, epoch, manifest FROM generations WHERE number = "
            "(SELECT MIN(first) FROM members WHERE task_id = ? AND revision = ?)",
            *(task_id, revision),
        )
        return None if row is None else (row["number"], row["epoch"], row["manifest"])

    def size(self) -> KnowledgeSize:
        row = self.db.one(
            "SELECT COUNT(*) AS tasks, TOTAL(classes) AS classes, TOTAL(bytes) AS bytes FROM members WHERE last IS NULL"
        )
        assert row is not None  # an aggregate always gives one row
        return KnowledgeSize(self.head, int(row["tasks"]), int(row["classes"]), int(row["bytes"]))

    def known_folders(self) -> set[tuple[str, int]]:
        """Every (task id, revision) that any kept version holds."""
        return {(row["task_id"], row["revision"]) for row in self.db.all("SELECT task_id, revision FROM members")}

    def manifest(self, number: int) -> str:
        """The sha256 of a generation's manifest; "" for 0, from which everything descends."""
        row = self.db.one("SELECT manifest FROM generations WHERE number = ?", number)
        return "" if row is None else str(row["manifest"])

    def generations(self) -> list[tuple[int, int, str]]:
        """Every generation's number, epoch and manifest sha256, oldest first."""
        rows = self.db.all("SELECT number, epoch, manifest FROM generations ORDER BY number")
        return [(row["number"], row["epoch"], row["manifest"]) for row in rows]

    # --- a pause: jobs in hand are finished, and no other begins ----------------------------------------------------

    @property
    def paused(self) -> float | None:
        """Since when (Unix seconds), or None."""
        since = self.db.get("paused")
        return float(since) if since else None

    def pause(self) -> None:
        """It lasts until `resume`, or until a daemon starts again."""
        if self.paused is None:
            with self.db.transaction():
                self.db.put("paused", str(time.time()))
                self.db.note(EventKind.PAUSED, "no job begins until it is resumed; those in hand are finished")

    def resume(self) -> None:
        if self.paused is not None:
            with self.db.transaction():
                self.db.put("paused", "")
                self.db.note(EventKind.RESUMED, "jobs begin again")

    # --- the workers, so that other processes can see them --------------------------------------------------------

    def clear_workers(self) -> None:
        with self.db.transaction():
            self.db.run("DELETE FROM workers")

    def set_worker(self, name: str, state: WorkerState, hello: Hello | None = None) -> None:
        """Note a worker's state; a hello, once given, stays until the next one."""
        said = None if hello is None else json.dumps(to_json(hello))
        with self.db.transaction():
            self.db.run(
                "INSERT INTO workers VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET state = excluded.state, "
                "hello = COALESCE(excluded.hello, hello)",
                *(name, state, said),
            )

    def workers(self) -> list[WorkerRow]:
        rows = self.db.all(
            "SELECT w.*, t.name AS task FROM workers w LEFT JOIN jobs j ON j.worker = w.name AND j.state = 'running' "
            "LEFT JOIN tasks t ON t.id = j.task_id AND t.revision = j.revision ORDER BY w.name"
        )
        hellos = [None if row["hello"] is None else from_json(Hello, json.loads(row["hello"])) for row in rows]
        return [
            WorkerRow(row["name"], row["state"], row["task"], hello) for row, hello in zip(rows, hellos, strict=True)
        ]

    def readers(self) -> tuple[str, ...]:
        """The extensions of files that plugins read, as workers last said."""
        return tuple(json.loads(self.db.get("readers") or "[]"))

    def plugins(self) -> tuple[PluginInfo, ...]:
        """The plugins as a worker last found them."""
        found = json.loads(self.db.get("plugins") or "[]")
        return tuple(from_json(PluginInfo, item) for item in found)

    def plugin_files(self) -> str | None:
        """The fingerprint of the plugins folder (see `learnd.plugin_files`) as it was when a worker found these."""
        return self.db.get("plugin_files")

    def set_plugins(self, plugins: Iterable[PluginInfo], files: str) -> None:
        """Note what a worker found, and in which state of the folder."""
        with self.db.transaction():
            self.db.put("plugins", json.dumps(to_json_all(plugins)))
            self.db.put("plugin_files", files)
