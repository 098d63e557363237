"""From rings to verdicts: what every task folder is, and what becomes of it.

An event only says where to look.  A scan tells what is there, readiness whether it is complete, the inspector (a
process of its own) what it holds; then it waits, is rejected, is a duplicate, is what is known already, or is queued.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from learnd.control.intake.folder_complete import Ready, Sighting, assess
from learnd.control.intake.folder_layout import NOT_AN_IMAGE
from learnd.control.intake.folder_scan import scan, task_folders
from learnd.control.intake.inspection_retries import TRIES, Retries
from learnd.control.intake.inspector_queue import Answer, Failed, Inspections
from learnd.control.intake.name_owners import Owners
from learnd.control.intake.record_inspection import Verdicts, first_error
from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import OPEN, Content, TaskRow
from learnd.control.processes.child import Child, Inbox
from learnd.identity import label, task_id
from learnd.messages.task import Problem, TaskState
from learnd.settings.keys import Settings


class Folders:
    """All methods run on the service's one thread.  notice(level, text) tells people."""

    def __init__(self, settings: Settings, journal: Journal, inbox: Inbox, notice: Callable[[str, str], None]) -> None:
        self._root = settings.tasks
        self._quiet = settings.watch.quiet_seconds
        self._journal = journal
        self._notice = notice
        self._owners = Owners(settings.tasks, journal, notice)
        self._inspections = Inspections(settings, inbox, notice)
        self._sightings: dict[str, Sighting] = {}
        self._due: dict[str, float] = {}  # when to look at a waiting folder again (monotonic seconds)
        self._again: set[str] = set()  # collected while it was being inspected
        self._readers: tuple[str, ...] | None = None  # what plugins read, once a worker has said it
        self._unread: set[str] = set()  # hold files that a plugin may be able to read
        self._retries = Retries()
        self._verdicts = Verdicts(settings.tasks, journal, notice)

    def start(self) -> None:
        """Raises LearndError if the inspector cannot be started."""
        self._inspections.start()

    def stop(self) -> None:
        self._inspections.stop()

    @property
    def settled(self) -> bool:
        """Nothing waits for its verdict."""
        return not (self._due or self._inspections.busy or self._again or self._unread)

    def use_readers(self, readers: tuple[str, ...] | None) -> None:
        """The extensions that the plugins of every worker read; None: no worker has said so yet.

        A folder that was rejected may be fit now; what was learnt stays as it is until it changes.
        """
        if readers is None or readers == self._readers:
            return
        self._readers = self._inspections.readers = readers
        if set(readers) - set(self._journal.readers()):
            self._journal.tasks.reopen_rejected(NOT_AN_IMAGE)
        self._journal.put("readers", json.dumps(readers))
        unread, self._unread = self._unread, set()
        for name in unread:
            self.look(name)
        self._look_again()

    # --- looking --------------------------------------------------------------------------------------------------

    def look_everywhere(self) -> None:
        """Scan every folder, and note which of those that waited are gone."""
        try:
            names = task_folders(self._root)
        except OSError as error:
            self._notice("error", f"the watched folder cannot be read: {error}")
            return
        for name in self._owners.survey(names):
            self.look(name)
        there = {label(name) for name in names}
        for row in self._journal.tasks.unaccepted():
            if row.name not in there:
                self._vanished(row)

    def look(self, name: str, renamed: bool = False) -> None:
        """Scan one folder of the watched folder.  renamed: it has just arrived by one rename."""
        if not self._owners.owns(name):
            return
        if name in self._inspections:
            self._again.add(name)
            return
        seen = scan(self._root / name)
        row = self._journal.tasks.newest(task_id(name))
        if seen is None:
            self._forget(name)
            if row is not None and row.state in OPEN:
                self._vanished(row)
            return
        if row is not None and (row.state == TaskState.SKIPPED or _judged(row, seen.fingerprint)):
            self._forget(name)
            if row.state == TaskState.REJECTED and self._may_be_read(row.problems):
                self._unread.add(name)
            return
        held = self._retries.held_until(name, seen.fingerprint, time.monotonic())
        if held is not None:
            self._due[name] = held
            return
        sighting, verdict = assess(self._sightings.get(name), seen, time.monotonic(), self._quiet, renamed)
        self._sightings[name] = sighting
        if isinstance(verdict, Ready):
            self._due.pop(name, None)
            if self._inspections.busy:
                self._wait(name, "complete; to be checked", seen.fingerprint, seen.images)
            self._inspections.add(name, verdict.pronounce)
        else:
            self._due[name] = verdict.until
            self._wait(name, verdict.reason, seen.fingerprint, seen.images)

    def _may_be_read(self, problems: tuple[Problem, ...]) -> bool:
        """Whether a verdict must wait for a worker to say what plugins read."""
        return self._readers is None and any(problem.code == NOT_AN_IMAGE for problem in problems)

    def _forget(self, name: str) -> None:
        self._unread.discard(name)
        self._retries.forget(name)
        self._sightings.pop(name, None)
        self._due.pop(name, None)

    def _vanished(self, row: TaskRow) -> None:
        self._journal.tasks.vanished(row)
        self._notice("info", f"{row.name} was removed while it was {row.state}")

    def _wait(self, name: str, reason: str, fingerprint: str, images: int) -> None:
        """Say why it waits; once for each thing seen, so that a scan that saw nothing new writes nothing."""
        row = self._journal.tasks.newest(task_id(name))
        if row is None or row.state != TaskState.WAITING or row.fingerprint != fingerprint:
            self._say_waiting(name, reason, fingerprint, images)

    def _say_waiting(self, name: str, reason: str, fingerprint: str, images: int) -> None:
        content = Content(fingerprint, images=images)
        self._journal.tasks.decline(task_id(name), label(name), TaskState.WAITING, reason, content)

    def tick(self) -> float:
        """Look where it is time to.  Returns seconds until the next time."""
        now = time.monotonic()
        for name in [name for name, moment in self._due.items() if moment <= now]:
            del self._due[name]
            self.look(name)
        self._look_again()
        moments = list(self._due.values())
        if (moment := self._inspections.tick(now)) is not None:
            moments.append(moment)
        return max(0.0, min(moments, default=now + 60.0) - now)

    def _look_again(self) -> None:
        """Folders whose verdict was taken back: the task was retried, or its twin is not learnt after all."""
        for identity in self._journal.tasks.unjudged():
            name = self._owners.folder(identity)
            if name is not None and name not in self._inspections:
                self.look(name)

    # --- inspecting -----------------------------------------------------------------------------------------------

    def owns(self, child: Child) -> bool:
        return self._inspections.owns(child)

    def hear(self, message: dict[str, Any]) -> None:
        """Handle one message of the inspector."""
        answer = self._inspections.hear(message)
        if answer is None:
            return
        row = self._journal.tasks.newest(task_id(answer.name))
        if row is not None and row.state == TaskState.SKIPPED:  # by a person, while it was being inspected
            self._forget(answer.name)
        else:
            self._decide(answer)
        if answer.name in self._again:
            self._again.discard(answer.name)
            self.look(answer.name)

    # --- deciding -------------------------------------------------------------------------------------------------

    def _decide(self, answer: Answer) -> None:
        name, found = answer.name, answer.found
        if isinstance(found, Problem):
            self._blame(name, found)
        elif isinstance(found, Failed):
            self._try_again(name, found)
        elif found.changed:
            self._again.add(name)
        elif self._may_be_read(found.problems):
            self._unread.add(name)
            reason = "holds files that a plugin may read: it waits for a worker to say so"
            self._wait(name, reason, found.fingerprint, len(found.files))
        elif not found.accepted and not answer.pronounce:
            reason = f"not fit yet, looked at again when it is quiet: {first_error(found.problems)}"
            self._due[name] = time.monotonic() + self._quiet
            self._wait(name, reason, found.fingerprint, len(found.files))
        else:
            self._forget(name)
            if found.accepted:
                self._verdicts.accept(name, found)
            else:
                self._verdicts.reject(name, found.problems, found.fingerprint, len(found.files))

    def _blame(self, name: str, problem: Problem) -> None:
        seen = scan(self._root / name)
        if seen is not None:
            self._verdicts.reject(name, (problem,), seen.fingerprint, seen.images)

    def _try_again(self, name: str, failed: Failed) -> None:
        """Later, with the reason; a content that fails each time is rejected in the end."""
        seen = scan(self._root / name)
        if seen is None:
            self._again.add(name)
            return
        now = time.monotonic()
        pause = self._retries.failed(name, seen.fingerprint, now)
        what = f"could not be checked ({failed.reason})"
        if pause is None:
            self._forget(name)
            remedy = "state/logs/inspector.log may say more; mend that, then: learnd retry"
            problem = Problem("not-checked", failed.where, f"{what}, {TRIES} times", remedy)
            self._verdicts.reject(name, (problem,), seen.fingerprint, seen.images)
            return
        self._due[name] = now + pause
        reason = f"{Problem('not-checked', failed.where, what, '')}; tried again in {pause:g} s"
        self._say_waiting(name, reason, seen.fingerprint, seen.images)
        self._notice("warning", f"{label(name)}: {reason}")


def _judged(row: TaskRow, fingerprint: str) -> bool:
    return row.state != TaskState.WAITING and row.fingerprint == fingerprint
