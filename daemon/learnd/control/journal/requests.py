"""What commands ask of the daemon that runs, and what it answers: a table of the journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from learnd.control.journal.database import Database


@dataclass(frozen=True)
class Request:
    """kind: "rollback" (argument: a version) | "forget" (of a task) | "consolidate" (steps, or "")."""

    id: int
    kind: str
    argument: str


class Requests:
    """The `requests` table.  A request stays until its answer is collected, or it is withdrawn."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, kind: str, argument: str) -> int:
        """Returns the request's id."""
        with self._db.transaction():
            self._db.run("INSERT INTO requests (kind, argument) VALUES (?, ?)", kind, argument)
            row = self._db.one("SELECT last_insert_rowid() AS id")
        assert row is not None  # it always gives one
        return int(row["id"])

    def pending(self, *kinds: str) -> list[Request]:
        """Those that nobody has carried out, the oldest first; of these kinds, or of all."""
        rows = self._db.all("SELECT id, kind, argument FROM requests WHERE answer IS NULL ORDER BY id")
        return [Request(**row) for row in rows if not kinds or row["kind"] in kinds]

    def answer(self, request: Request, data: dict[str, Any]) -> None:
        """data: plain JSON.  One that was withdrawn meanwhile needs none."""
        with self._db.transaction():
            self._db.run("UPDATE requests SET answer = ? WHERE id = ?", json.dumps(data), request.id)

    def answer_to(self, number: int) -> dict[str, Any] | None:
        """What was answered; None: it is not carried out yet."""
        row = self._db.one("SELECT answer FROM requests WHERE id = ?", number)
        return None if row is None or row["answer"] is None else dict(json.loads(row["answer"]))

    def withdraw(self, number: int) -> None:
        """It is carried out no more, unless it was already; its answer goes as well."""
        with self._db.transaction():
            self._db.run("DELETE FROM requests WHERE id = ?", number)
