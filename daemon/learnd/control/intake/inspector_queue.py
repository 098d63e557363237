"""The folders that wait for the inspector: it holds one at a time, and a file that kills it takes the blame.

The inspector (inspector.py) is a process of its own.  It names each file before it opens it, so when it is
lost, or has been silent for too long, the last name says which file was to blame; before the first, none was.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learnd.control.intake.inspection import Inspection
from learnd.control.processes.child import GONE, Child, Inbox, explain_exit
from learnd.errors import LearndError
from learnd.identity import label
from learnd.messages.convert import from_json, to_json
from learnd.messages.task import Problem
from learnd.settings.keys import Settings

DECODE_SECONDS = 120.0  # seconds that one file may take to decode before the inspector counts as hung
_TRIES = 3  # inspectors that may be lost on a folder before they open a file of it
_SLOWEST_RESTART = 60.0


@dataclass(frozen=True)
class Failed:
    """The inspector lives on, and could not check the folder: that says nothing about it.  where: as in Problem."""

    where: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """What became of a request: what the folder holds, the file on which the inspector was lost, or why it failed."""

    name: str
    pronounce: bool
    found: Inspection | Problem | Failed


@dataclass
class _Request:
    """A folder in the inspector's hands, or on the way there."""

    name: str
    pronounce: bool
    silent_at: float = 0.0
    path: str = ""  # the file that the inspector said it opens next
    lost: int = 0  # inspectors, before they opened anything


class Inspections:
    """All methods run on the service's one thread; the inbox carries what the inspector says to it."""

    def __init__(self, settings: Settings, inbox: Inbox, notice: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._inbox = inbox
        self._notice = notice
        self._inspector: Child | None = None
        self._ready = False  # it has said hello; ever_ready: it, or one before it
        self._ever_ready = False
        self._failures = 0  # starts, one after another, that brought no hello
        self._start_at = 0.0  # of the next one (monotonic seconds), if there is no inspector
        self._queue: dict[str, _Request] = {}  # in order of arrival
        self._current: _Request | None = None
        self.readers: tuple[str, ...] = ()  # extensions of files that plugins read

    def start(self) -> None:
        """Raises LearndError if no process can be spawned."""
        try:
            self._spawn()
        except OSError as error:
            raise _cannot_start(str(error)) from error

    def stop(self) -> None:
        if self._inspector is not None:
            self._inspector.kill()

    def __contains__(self, name: str) -> bool:
        return name in self._queue or (self._current is not None and self._current.name == name)

    @property
    def busy(self) -> bool:
        return self._current is not None or bool(self._queue)

    def add(self, name: str, pronounce: bool) -> None:
        """Have a folder inspected when its turn comes; pronounce comes back with the answer."""
        self._queue[name] = _Request(name, pronounce)
        self._next()

    def owns(self, child: Child) -> bool:
        return child is self._inspector

    def tick(self, now: float) -> float | None:
        """Do what is due.  Returns when something is again (monotonic seconds), or None."""
        if self._inspector is None and now >= self._start_at:
            self._respawn()
            self._next()
        if self._inspector is None:
            return self._start_at
        if self._current is None:
            return None
        if now > self._current.silent_at:
            self._inspector.kill()  # its last message, `gone`, does the rest
            self._current.silent_at = now + DECODE_SECONDS
        return self._current.silent_at

    def hear(self, message: dict[str, Any]) -> Answer | None:
        """Handle one message of the inspector: the answer to a request, where it is one."""
        answer, request = None, self._current
        if "hello" in message:
            self._ready, self._ever_ready, self._failures = True, True, 0
        elif "progress" in message and request is not None:
            request.path = message["progress"]["path"]
            request.silent_at = time.monotonic() + DECODE_SECONDS
        elif "inspected" in message and request is not None:
            answer = self._answer(request, from_json(Inspection, message["inspected"]))
        elif "failed" in message and request is not None:
            answer = self._answer(request, Failed(request.path or ".", str(message["failed"])))
        elif GONE in message:
            answer = self._lost(request, f"the process that decodes images {explain_exit(message[GONE])}")
        self._next()
        return answer

    def _answer(self, request: _Request, found: Inspection | Problem | Failed) -> Answer:
        self._current = None
        return Answer(request.name, request.pronounce, found)

    def _next(self) -> None:
        if self._current is not None or not self._queue or self._inspector is None:
            return
        self._current = request = self._queue.pop(next(iter(self._queue)))
        request.silent_at = time.monotonic() + DECODE_SECONDS
        folder, limits = self._settings.tasks / request.name, to_json(self._settings.intake)
        self._inspector.send({"inspect": str(folder), "limits": limits, "readers": list(self.readers)})

    # --- an inspector that is lost ----------------------------------------------------------------------------------

    def _lost(self, request: _Request | None, reason: str) -> Answer | None:
        tail = self._inspector.log_tail() if self._inspector else ""
        if not self._ever_ready:
            raise _cannot_start(tail or reason)
        if self._ready:
            self._respawn()
        else:
            self._later(tail or reason)
        if request is None:
            return None
        request.lost += 1
        if request.path or request.lost >= _TRIES:
            return self._answer(request, _blame(request, reason))
        self._notice("warning", f"{reason} before it opened a file of {label(request.name)}, which is checked again")
        self._current = None
        self._queue = {request.name: request, **self._queue}
        return None

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "learnd.control.intake.inspector_process"]
        log = self._settings.state / "logs" / "inspector.log"
        self._inspector, self._ready = Child("inspector", command, log, self._inbox), False

    def _respawn(self) -> None:
        """Start another; where the system has no process, no memory or no room for it, later."""
        try:
            self._spawn()
        except OSError as error:
            self._later(str(error))

    def _later(self, reason: str) -> None:
        self._failures += 1
        pause = min(_SLOWEST_RESTART, 2.0**self._failures)
        self._inspector, self._start_at = None, time.monotonic() + pause
        self._notice("error", f"the inspector cannot be started: {reason}; tried again in {pause:g} s")


def _blame(request: _Request, reason: str) -> Problem:
    """Checking this folder ended the inspector: no other folder suffers, and this one is rejected."""
    remedy = "open the file in an image viewer, save it again or remove it"
    return Problem("decoder-crash", request.path or ".", reason, remedy)


def _cannot_start(reason: str) -> LearndError:
    return LearndError(f"the inspector cannot start: {reason}", remedy="`learnd doctor` looks closer")
