"""From rings to verdicts: what every task folder is, and what becomes of it.

A ring only says where to look.  A scan tells what is there, readiness whether it is complete, the inspector (a
process of its own) what it holds; then it waits, is rejected, is a duplicate, is what is known already, or is queued.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learnd.control.intake import Inspection
from learnd.control.journal import Journal
from learnd.control.readiness import Ready, Sighting, judge
from learnd.control.scan import scan, task_folders
from learnd.control.taskbook import TaskRow
from learnd.control.workers import GONE, Child, Inbox, explain_exit
from learnd.domain import Problem, Severity, TaskState
from learnd.errors import LearndError
from learnd.identity import label, nfc, task_id
from learnd.settings import Settings
from learnd.wire import from_json, to_json

_SILENCE = 120.0  # seconds that one file may take to decode before the inspector counts as hung


@dataclass
class _Request:
    """A folder in the inspector's hands, or on the way there."""

    name: str
    pronounce: bool
    silent_at: float = 0.0
    path: str = ""  # the file that the inspector said it opens next


class Folders:
    """All methods run on the service's one thread.  notice(level, text) tells people."""

    def __init__(self, settings: Settings, journal: Journal, inbox: Inbox, notice: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._root = settings.tasks
        self._journal = journal
        self._inbox = inbox
        self._notice = notice
        self._inspector: Child | None = None
        self._ready = False
        self._sightings: dict[str, Sighting] = {}
        self._due: dict[str, float] = {}  # when to look at a waiting folder again (monotonic seconds)
        self._queue: dict[str, _Request] = {}  # in order of arrival
        self._current: _Request | None = None
        self._again: set[str] = set()  # rung while it was being inspected

    def start(self) -> None:
        command = [sys.executable, "-m", "learnd.control.inspector"]
        self._inspector = Child("inspector", command, self._settings.state / "logs" / "inspector.log", self._inbox)

    def stop(self) -> None:
        if self._inspector is not None:
            self._inspector.kill()

    @property
    def settled(self) -> bool:
        """Nothing waits for its verdict."""
        return not (self._due or self._queue or self._current or self._again)

    # --- looking --------------------------------------------------------------------------------------------------

    def look_everywhere(self) -> None:
        """Scan every folder, and note which of those that waited are gone."""
        try:
            names = task_folders(self._root)
        except OSError as error:
            self._notice("error", f"the watched folder cannot be read: {error}")
            return
        for name in names:
            self.look(name)
        there = {label(name) for name in names}
        for row in self._journal.tasks.unaccepted():
            if row.name not in there:
                self._vanished(row)

    def look(self, name: str, renamed: bool = False) -> None:
        """Scan one folder of the watched folder.  renamed: it has just arrived by one rename."""
        if name in self._queue or (self._current is not None and self._current.name == name):
            self._again.add(name)
            return
        if name != nfc(name) and os.path.isdir(self._root / nfc(name)):
            self._notice("warning", f"two folders are both called {label(name)}: one of them is ignored; rename it")
            return
        seen = scan(self._root / name)
        row = self._journal.tasks.newest(task_id(name))
        if seen is None:
            self._forget(name)
            if row is not None and row.state in (TaskState.WAITING, TaskState.REJECTED, TaskState.DUPLICATE):
                self._vanished(row)
            return
        if row is not None and (row.state == TaskState.SKIPPED or _judged(row, seen.fingerprint)):
            self._forget(name)
            return
        now = time.monotonic()
        quiet = self._settings.watch.quiet_seconds
        sighting, verdict = judge(self._sightings.get(name), seen, now, quiet, renamed)
        self._sightings[name] = sighting
        if isinstance(verdict, Ready):
            self._due.pop(name, None)
            self._enqueue(name, verdict.pronounce, seen.fingerprint, seen.images)
        else:
            self._due[name] = verdict.until
            self._wait(name, verdict.reason, seen.fingerprint, seen.images)

    def _forget(self, name: str) -> None:
        self._sightings.pop(name, None)
        self._due.pop(name, None)

    def _vanished(self, row: TaskRow) -> None:
        self._journal.tasks.vanished(row)
        self._notice("info", f"{row.name} was removed while it was {row.state}")

    def _wait(self, name: str, reason: str, fingerprint: str, images: int) -> None:
        """Say why it waits; once for each thing seen, so that a scan that saw nothing new writes nothing."""
        row = self._journal.tasks.newest(task_id(name))
        if row is None or row.state != TaskState.WAITING or row.fingerprint != fingerprint:
            self._journal.tasks.judge(
                task_id(name), label(name), TaskState.WAITING, reason, fingerprint=fingerprint, images=images
            )

    def tick(self) -> float:
        """Look where it is time to.  Returns seconds until the next time."""
        now = time.monotonic()
        for name in [name for name, moment in self._due.items() if moment <= now]:
            del self._due[name]
            self.look(name)
        current = self._current
        if current is not None and now > current.silent_at and self._inspector is not None:
            self._inspector.kill()  # its last message, `gone`, does the rest
            current.silent_at = now + _SILENCE
        moments = [*self._due.values(), *([current.silent_at] if current else [])]
        return max(0.0, min(moments, default=now + 60.0) - now)

    # --- inspecting -----------------------------------------------------------------------------------------------

    def _enqueue(self, name: str, pronounce: bool, fingerprint: str, images: int) -> None:
        self._queue[name] = _Request(name, pronounce)
        if self._current is not None:
            self._wait(name, "complete; to be checked", fingerprint, images)
        self._next()

    def _next(self) -> None:
        if self._current is not None or not self._queue or self._inspector is None:
            return
        self._current = self._queue.pop(next(iter(self._queue)))
        self._current.silent_at = time.monotonic() + _SILENCE
        limits = to_json(self._settings.intake)
        self._inspector.send({"inspect": str(self._root / self._current.name), "limits": limits})

    def owns(self, child: Child) -> bool:
        return child is self._inspector

    def hear(self, message: dict[str, Any]) -> None:
        """Handle one message of the inspector."""
        request = self._current
        if "progress" in message and request is not None:
            request.path = message["progress"]["path"]
            request.silent_at = time.monotonic() + _SILENCE
        elif "inspected" in message and request is not None:
            self._current = None
            self._decide(request, from_json(Inspection, message["inspected"]))
            self._done(request)
        elif "failed" in message and request is not None:
            self._blame(request, str(message["failed"]))
        elif "hello" in message:
            self._ready = True
        elif GONE in message:
            self._restart()
            if request is not None:
                self._blame(request, f"the process that decodes images {explain_exit(message[GONE])}")

    def _restart(self) -> None:
        if not self._ready:
            tail = self._inspector.log_tail() if self._inspector else ""
            raise LearndError(f"the inspector cannot start: {tail}", remedy="`learnd doctor` looks closer")
        self._ready = False
        self.start()

    def _blame(self, request: _Request, reason: str) -> None:
        """Checking this folder ended the inspector: no other folder suffers, and this one is rejected."""
        self._current = None
        remedy = "open the file in an image viewer, save it again or remove it"
        problem = Problem("decoder-crash", request.path or ".", reason, remedy)
        seen = scan(self._root / request.name)
        if seen is not None:
            self._reject(request.name, (problem,), seen.fingerprint, seen.images)
        self._done(request)

    def _done(self, request: _Request) -> None:
        if request.name in self._again:
            self._again.discard(request.name)
            self.look(request.name)
        self._next()

    # --- deciding -------------------------------------------------------------------------------------------------

    def _decide(self, request: _Request, inspection: Inspection) -> None:
        name = request.name
        if inspection.changed:
            self._again.add(name)
            return
        if not inspection.accepted and not request.pronounce:
            reason = f"not fit yet, looked at again when it is quiet: {_first_error(inspection.problems)}"
            self._due[name] = time.monotonic() + self._settings.watch.quiet_seconds
            self._wait(name, reason, inspection.fingerprint, len(inspection.files))
            return
        self._forget(name)
        row = self._journal.tasks.newest(task_id(name))
        if row is not None and row.state == TaskState.SKIPPED:  # by a person, while it was being inspected
            return
        if inspection.accepted:
            self._accept(name, inspection)
        else:
            self._reject(name, inspection.problems, inspection.fingerprint, len(inspection.files))

    def _reject(self, name: str, problems: tuple[Problem, ...], fingerprint: str, images: int) -> None:
        reason = _first_error(problems)
        self._journal.tasks.judge(
            task_id(name),
            label(name),
            TaskState.REJECTED,
            reason,
            fingerprint=fingerprint,
            problems=problems,
            images=images,
        )
        self._notice("warning", f"{label(name)} is rejected: {reason}")

    def _accept(self, name: str, inspection: Inspection) -> None:
        identity, tasks = task_id(name), self._journal.tasks
        accepted = tasks.accepted(identity)
        if accepted is not None and accepted.digest == inspection.digest:
            tasks.unchanged(identity, inspection.fingerprint)
            return
        twin = tasks.twin(inspection.digest, identity)
        images = len(inspection.files)
        if twin is not None:
            same = f"the same content as {twin}"
            seen = inspection.fingerprint
            tasks.judge(
                identity,
                label(name),
                TaskState.DUPLICATE,
                same,
                fingerprint=seen,
                digest=inspection.digest,
                images=images,
            )
            self._notice("info", f"{label(name)} is a duplicate: {same}")
            return
        self._journal.jobs.accept(
            identity,
            label(name),
            fingerprint=inspection.fingerprint,
            digest=inspection.digest,
            ways=len({file.class_name for file in inspection.files}),
            images=images,
            priority=inspection.options.priority,
            spec={
                "folder": str(self._root / name),
                "files": to_json_all(inspection.files),
                "options": to_json(inspection.options),
            },
            problems=inspection.problems,
        )


def to_json_all(values: tuple[Any, ...]) -> list[Any]:
    return [to_json(value) for value in values]


def _judged(row: TaskRow, fingerprint: str) -> bool:
    return row.state != TaskState.WAITING and row.fingerprint == fingerprint


def _first_error(problems: tuple[Problem, ...]) -> str:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0].where}: {errors[0].what}{more}"
