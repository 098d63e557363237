"""What is written of a folder that has been checked: rejected, a duplicate, what is known already, or queued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from learnd.control.intake.inspection import Inspection
from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import Content
from learnd.identity import label, task_id
from learnd.messages.jobs import JobSpec
from learnd.messages.task import Problem, Severity, TaskState


class Verdicts:
    """root: the watched folder.  notice(level, text) tells people."""

    def __init__(self, root: Path, journal: Journal, notice: Callable[[str, str], None]) -> None:
        self._root = root
        self._journal = journal
        self._notice = notice

    def reject(self, name: str, problems: tuple[Problem, ...], fingerprint: str, images: int) -> None:
        reason = first_error(problems)
        content = Content(fingerprint, images=images, problems=problems)
        self._journal.tasks.decline(task_id(name), label(name), TaskState.REJECTED, reason, content)
        self._notice("warning", f"{label(name)} is rejected: {reason}")

    def accept(self, name: str, inspection: Inspection) -> None:
        """Queue it; or say that it is a duplicate, or what is known already."""
        identity, tasks = task_id(name), self._journal.tasks
        before = (tasks.accepted(identity), tasks.declined(identity))
        if any(row is not None and row.digest == inspection.digest for row in before):
            tasks.unchanged(identity, inspection.fingerprint)
            return
        twin = tasks.twin(inspection.digest, identity)
        content = Content(
            fingerprint=inspection.fingerprint,
            digest=inspection.digest,
            images=len(inspection.files),
            ways=len({file.class_name for file in inspection.files}),
            problems=inspection.problems,
        )
        if twin is not None:
            same = f"the same content as {twin}"
            tasks.decline(identity, label(name), TaskState.DUPLICATE, same, replace(content, ways=0, problems=()))
            self._notice("info", f"{label(name)} is a duplicate: {same}")
            return
        spec = JobSpec(str(self._root / name), inspection.files, inspection.options)
        self._journal.jobs.accept(identity, label(name), content, spec)


def first_error(problems: tuple[Problem, ...]) -> str:
    """The first in a line, and how many more there are."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0]}{more}"
