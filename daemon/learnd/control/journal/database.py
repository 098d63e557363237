"""The file under the journal: SQLite in WAL mode with synchronous=FULL, its schema, small facts and events."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from learnd.errors import StateError, StateUnavailable
from learnd.messages.plugins import Event, EventKind
from learnd.messages.task import TaskState

SCHEMA_VERSION = 7

# What SQLite says of a disk, its rights and its locks, and not of what is written in the file.
_PASSING = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOMEM,
)


class Database:
    """One connection, for one thread.  Reads outside a transaction see the newest commit.

    Every method raises StateError if the file is absent (unless create), damaged, or of another schema, and
    StateUnavailable if it cannot be read or written now: a full disk, missing rights, a lock that is held.
    One that lies where nothing can be written can be read all the same, as its last daemon left it.  readonly: nothing
    can be written through it, and a daemon that writes meanwhile never waits for it.
    """

    def __init__(self, path: Path, *, create: bool = False, readonly: bool = False) -> None:
        if not create and not path.is_file():
            raise _absent(path)
        self._path, self._owned = path, create
        try:
            self._open(path.absolute().as_uri() + ("?mode=ro" if readonly else ""), readonly)
        except StateUnavailable as unavailable:
            if create or not _wants_to_write(unavailable):
                raise
            if _unmerged(path):
                raise _left_behind(path) from unavailable
            # Nobody writes it now, or SQLite would have found the files of whoever does.
            self._open(f"{path.absolute().as_uri()}?immutable=1", readonly)
        self._migrate(path, create)

    def _open(self, address: str, readonly: bool) -> None:
        try:
            self._connection = sqlite3.connect(address, timeout=30, isolation_level=None, uri=True)
        except sqlite3.DatabaseError as error:
            raise _trouble(error, self._path) from error
        self._connection.row_factory = sqlite3.Row
        if readonly:
            self.run("PRAGMA query_only=ON")
            return
        self.run("PRAGMA journal_mode=WAL")
        self.run("PRAGMA synchronous=FULL")

    def _migrate(self, path: Path, create: bool) -> None:
        found = 0
        if self.one("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is not None:
            found = int(self.get("schema_version") or 0)
        elif not create:  # a daemon is about to: a reader that wrote the schema as well would stop it
            raise _empty(path) if self.one("SELECT 1 FROM sqlite_master") is None else _foreign(path)
        if found > SCHEMA_VERSION or (found < SCHEMA_VERSION and not create):
            newer = "use the learnd version that wrote it, or a newer one"
            remedy = newer if found > SCHEMA_VERSION else "start the daemon once (learnd run): it brings it up to date"
            what = f"the journal has schema {found}, this learnd knows {SCHEMA_VERSION}"
            raise StateError(what, where=str(path), remedy=remedy)
        if found < SCHEMA_VERSION:
            from importlib import resources  # it costs readers 15 ms, and only a new state needs it

            script = resources.files("learnd.control.journal").joinpath("schema.sql").read_text(encoding="utf-8")
            with self.transaction():
                for statement in script.split(";\n"):
                    self.run(statement)
                self.put("schema_version", str(SCHEMA_VERSION))

    def close(self) -> None:
        """A daemon's leaves everything in the file itself, even where somebody reads it still."""
        if self._owned:
            with suppress(StateError):  # a full disk: then the log beside it keeps what it holds
                self.run("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.  Takes the write lock at once, so that what is read inside still holds at the commit."""
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # on a full disk SQLite may have rolled back by itself
                self.run("ROLLBACK")
            raise

    @contextmanager
    def view(self) -> Iterator[None]:
        """All that is read inside is of one moment, whatever is committed meanwhile.  Keep it short."""
        self.run("BEGIN")
        try:
            yield
        finally:
            self.run("ROLLBACK")

    def run(self, sql: str, *values: Any) -> int:
        """Execute one statement; returns the number of rows it changed."""
        try:
            return self._connection.execute(sql, values).rowcount
        except sqlite3.DatabaseError as error:
            raise _trouble(error, self._path) from error

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _trouble(error, self._path) from error

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def get(self, key: str) -> str | None:
        """A small fact (`meta`)."""
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row["value"])

    def put(self, key: str, value: str) -> None:
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    def note(self, kind: EventKind | TaskState, message: str, task: str | None = None) -> None:
        """Append an event."""
        self.run(
            "INSERT INTO events (at, kind, task, message) VALUES (?, ?, ?, ?)",
            time.time(),
            kind,
            task,
            message,
        )

    def events(self, limit: int = 20, task: str | None = None) -> list[Event]:
        """The newest events, of one task or of all, oldest first."""
        rows = self.all(
            "SELECT at, kind, task, message FROM events WHERE ?1 IS NULL OR task = ?1 ORDER BY id DESC LIMIT ?2",
            task,
            limit,
        )
        return [Event(**row) for row in reversed(rows)]

    def last_event(self) -> int:
        """The id of the newest event, which only grows; 0 if there is none."""
        row = self.one("SELECT MAX(id) AS id FROM events")
        return 0 if row is None or row["id"] is None else int(row["id"])

    def event_after(self, number: int) -> tuple[int, Event] | None:
        """The next event after the one with this id, and its own id."""
        row = self.one("SELECT id, at, kind, task, message FROM events WHERE id > ? ORDER BY id LIMIT 1", number)
        return None if row is None else (row["id"], Event(row["at"], row["kind"], row["task"], row["message"]))

    def scrub(self) -> None:
        """What was deleted leaves the file and its log as well; the cost is that of rewriting the journal."""
        self.run("VACUUM")
        self.run("PRAGMA wal_checkpoint(TRUNCATE)")

    def data_version(self) -> int:
        """Changes when another process has committed; costs microseconds."""
        row = self.one("PRAGMA data_version")
        return 0 if row is None else int(row[0])


def _wants_to_write(error: StateUnavailable) -> bool:
    """Whether SQLite cannot open a journal, as it would have to put files of its own beside it first."""
    code = getattr(error.__cause__, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _unmerged(path: Path) -> bool:
    """Whether a daemon that was killed has left commits that are not in the journal itself yet."""
    beside = path.with_name(f"{path.name}-wal")
    return beside.exists() and beside.stat().st_size > 0


def _left_behind(path: Path) -> StateUnavailable:
    what = f"{path.name}-wal holds commits that can be read only where files can be written"
    remedy = "copy the whole state folder to such a place, and ask there (--state DIR)"
    return StateUnavailable(what, where=str(path), remedy=remedy)


def _absent(path: Path) -> StateError:
    return StateError("there is no journal yet", where=str(path), remedy="start the daemon once: learnd run")


def _empty(path: Path) -> StateError:
    remedy = "ask again once a daemon has started (learnd run); where tasks were learnt, restore it from a backup"
    return StateError("the journal is empty", where=str(path), remedy=remedy)


def _foreign(path: Path) -> StateError:
    remedy = "restore the journal from a backup, or move the state folder away to start from the beginning"
    return StateError("is a database of something else, and no journal", where=str(path), remedy=remedy)


def _trouble(error: sqlite3.DatabaseError, path: Path) -> StateError:
    """What may pass, as opposed to damage, which no second attempt repairs."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # an extended code: its low byte is the kind
    if code & 0xFF in _PASSING:
        remedy = "free the disk or mend its rights, and start again: nothing is lost"
        return StateUnavailable(f"the journal cannot be read or written now ({error})", where=str(path), remedy=remedy)
    remedy = "restore it from a backup, or move the state folder away to start from the beginning"
    return StateError(f"the journal cannot be read ({error})", where=str(path), remedy=remedy)
