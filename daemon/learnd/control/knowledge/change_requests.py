"""`learnd rollback`, `forget` and `alias`, carried out: by the daemon where one runs, else by the command itself.

Only who holds the state's lock moves the head and removes files.  So a command that finds no daemon takes the lock; one
that finds a daemon leaves a request in the journal, which the daemon's one thread carries out between two commits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from learnd.control.files.lock import StateHeld, hold, holder_of
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.knowledge.aliases import Aliasing
from learnd.control.knowledge.generations import Generations
from learnd.errors import LearndError, StateError, StateUnavailable, TaskError
from learnd.settings.keys import Settings

ANSWER_SECONDS = 60.0  # seconds for the daemon to take a request up
_GLANCE = 0.05

_KINDS = {kind.__name__: kind for kind in (TaskError, StateUnavailable, StateError)}


@dataclass(frozen=True)
class Undone:
    """What a rollback or a forgetting did.  version: of the knowledge now.

    undone and restored: the tasks of which a revision left the knowledge, or came back.  without: those that the
    version held and that were forgotten since.  duplicates: the tasks of the same content as the forgotten one.
    """

    version: int
    undone: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()


class Undoing:
    """For whoever holds the state's lock."""

    def __init__(self, journal: Journal, generations: Generations) -> None:
        self._journal = journal
        self._generations = generations

    def do(self, kind: str, argument: str) -> Undone:
        """Carry out "rollback" to a version, "forget" a task, or "alias" or "part" classes (a JSON list of them).

        To do it again changes nothing more, but for "part".  Raises TaskError if there is no such version, task or
        class, StateError if the state does not allow it.
        """
        if kind == "rollback":
            return self._roll_back(int(argument))
        if kind == "forget":
            return self._forget(argument)
        aliasing = Aliasing(self._journal, self._generations)
        (aliasing.join if kind == "alias" else aliasing.part)(*json.loads(argument))
        return Undone(self._journal.head)

    def _roll_back(self, version: int) -> Undone:
        step = self._generations.roll_back(version)
        return Undone(
            self._journal.head,
            undone=tuple(sorted(held.name for held in step.leaving)),
            restored=tuple(sorted(held.name for held in step.entering)),
            without=self._journal.history.without(version),
        )

    def _forget(self, name: str) -> Undone:
        digests = {row.digest for row in self._journal.tasks.revisions(name)} - {""}
        self._generations.forget(name)
        alike = [row.name for row in self._journal.tasks.unaccepted() if row.digest in digests]
        return Undone(self._journal.head, undone=(name,), duplicates=tuple(sorted(alike)))

    def serve(self, notice: Callable[[str, str], None]) -> None:
        """Carry out what commands have asked for, and answer.  notice(level, text) tells people."""
        for request in self._journal.requests.pending("rollback", "forget", "alias", "part"):
            what = f"{request.kind} {request.argument}"
            try:
                answer = {"undone": asdict(self.do(request.kind, request.argument))}
                notice("info", f"{what}, as asked: the knowledge is version {self._journal.head}")
            except OSError as error:
                answer = {"error": _told(_no_room(error))}
                notice("error", f"{what}: {error}")
            except LearndError as error:
                answer = {"error": _told(error)}
                notice("warning", f"{what}: {error}")
            self._journal.requests.answer(request, answer)


def ask(settings: Settings, kind: str, argument: str) -> Undone:
    """Have it done, by the daemon or here and now.  Raises what `Undoing.do` raises.

    Raises StateUnavailable, too, where the daemon does not take it up within ANSWER_SECONDS.
    """
    while True:
        try:
            if holder_of(settings.state) is None:
                return _here(settings, kind, argument)
            answer = _by_daemon(settings, kind, argument)
        except StateHeld:  # a daemon has just started
            continue
        if answer is not None:
            return _read(answer)


def _here(settings: Settings, kind: str, argument: str) -> Undone:
    with hold(settings.state), closing(Journal(settings.state / JOURNAL, create=True)) as journal:
        generations = Generations(settings.state, journal, settings.knowledge.retention)
        generations.prepare()  # what an earlier kill left
        try:
            return Undoing(journal, generations).do(kind, argument)
        except OSError as error:
            raise _no_room(error) from error


def _by_daemon(settings: Settings, kind: str, argument: str) -> dict[str, Any] | None:
    """The daemon's answer; None if it has gone without one."""
    with closing(Journal(settings.state / JOURNAL)) as journal:
        number = journal.requests.add(kind, argument)
        until = time.monotonic() + ANSWER_SECONDS
        try:
            while (answer := journal.requests.answer_to(number)) is None:
                if holder_of(settings.state) is None:
                    return None
                if time.monotonic() > until:
                    what = f"the daemon has not taken it up within {ANSWER_SECONDS:.0f} s"
                    raise StateUnavailable(what, remedy="learnd status says what it does, learnd versions what is done")
                time.sleep(_GLANCE)
        finally:
            journal.requests.withdraw(number)
    return answer


def _no_room(error: OSError) -> StateUnavailable:
    remedy = "free the disk or mend its rights, and try again: nothing is lost"
    return StateUnavailable(f"the state cannot be written now ({error.strerror})", where=error.filename, remedy=remedy)


def _told(error: LearndError) -> dict[str, Any]:
    kind = next((name for name, kind in _KINDS.items() if isinstance(error, kind)), "TaskError")
    return {"kind": kind, "what": error.what, "where": error.where, "remedy": error.remedy}


def _read(answer: dict[str, Any]) -> Undone:
    """Raises the error that the daemon reported."""
    if "error" in answer:
        said = dict(answer["error"])
        raise _KINDS[said.pop("kind")](said.pop("what"), **said)
    found = answer["undone"]
    return Undone(found.pop("version"), **{name: tuple(names) for name, names in found.items()})
