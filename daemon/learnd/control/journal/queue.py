"""The queue: jobs with a lease and an epoch, and the one transaction that commits what was learnt.

Every lease draws a new epoch (a fencing token): whoever comes back with an older one is too late and changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from learnd.control.journal.database import Database
from learnd.control.journal.history import History
from learnd.control.journal.tasks import Content, TaskBook
from learnd.control.journal.versions import LEARNED, Generation, StaleEpoch, Step
from learnd.messages.convert import from_json, to_json
from learnd.messages.jobs import JobSpec
from learnd.messages.joins import joins_of
from learnd.messages.plugins import EventKind
from learnd.messages.report import Report
from learnd.messages.task import Problem, TaskState


@dataclass(frozen=True)
class Lease:
    """A job in the hands of one worker.  attempts counts the failed ones before this."""

    job: int
    epoch: int
    id: str
    name: str
    revision: int
    digest: str
    attempts: int
    spec: JobSpec


class Jobs:
    """The `jobs` and `attempts` tables."""

    def __init__(self, db: Database, book: TaskBook, history: History) -> None:
        self._db = db
        self._book = book
        self._history = history

    def accept(self, task_id: str, name: str, content: Content, spec: JobSpec) -> int:
        """Queue a job for new content and return its revision.  A job for older content is cancelled."""
        with self._db.transaction():
            newest = self._book.newest(task_id)
            # Twins of the content that this task no longer has deserve another look.
            self._db.run(
                "UPDATE tasks SET fingerprint = '' WHERE state = 'duplicate' AND id != ?1 AND digest IN "
                "(SELECT digest FROM tasks WHERE id = ?1 AND digest != ?2)",
                *(task_id, content.digest),
            )
            revision = self._book.open_revision(task_id)
            if newest is not None and newest.state == TaskState.QUEUED:
                revision = newest.revision
            # Older content must not be learnt after the newer, and take its place; a worker that has it is stopped.
            self._db.run(
                "UPDATE jobs SET state = 'cancelled' WHERE task_id = ? AND state IN ('queued', 'running')", task_id
            )
            self._db.run(
                "DELETE FROM tasks WHERE id = ? AND revision < ? AND state IN ('queued', 'running')",
                *(task_id, revision),
            )
            self._book.mark(task_id, revision, name, TaskState.QUEUED, content=content)
            self._db.run(
                "INSERT INTO jobs (task_id, revision, state, priority, spec) VALUES (?, ?, 'queued', ?, ?)",
                *(task_id, revision, spec.options.priority, json.dumps(to_json(spec))),
            )
            self._db.note(
                TaskState.QUEUED, f"revision {revision}: {content.ways} classes, {content.images} images", name
            )
        return revision

    def folder(self, task_id: str) -> str | None:
        """The name of the folder that the newest job of a task was made from, if there was one."""
        row = self._db.one("SELECT spec FROM jobs WHERE task_id = ? ORDER BY id DESC LIMIT 1", task_id)
        return None if row is None else Path(json.loads(row["spec"])["folder"]).name

    def lease(self, worker: str) -> Lease | None:
        """Hand the next job to worker: highest priority first, then the oldest.  None if nothing is due."""
        now = time.time()
        if self.next_due() is None:
            return None
        with self._db.transaction():
            row = self._db.one(
                "SELECT j.*, t.name, t.digest FROM jobs j JOIN tasks t ON t.id = j.task_id AND t.revision = j.revision "
                "WHERE j.state = 'queued' AND j.not_before <= ? ORDER BY j.priority DESC, j.id LIMIT 1",
                now,
            )
            if row is None:
                return None
            epoch = self._history.draw_epoch()
            self._db.run(
                "UPDATE jobs SET state = 'running', epoch = ?, worker = ? WHERE id = ?",
                *(epoch, worker, row["id"]),
            )
            self._db.run(
                "INSERT INTO attempts (job_id, epoch, worker, started) VALUES (?, ?, ?, ?)",
                row["id"],
                epoch,
                worker,
                now,
            )
            self._book.mark_state(row["task_id"], row["revision"], TaskState.RUNNING, "")
        return Lease(
            job=row["id"],
            epoch=epoch,
            id=row["task_id"],
            name=row["name"],
            revision=row["revision"],
            digest=row["digest"],
            attempts=row["attempts"],
            spec=from_json(JobSpec, json.loads(row["spec"])),
        )

    def next_due(self) -> float | None:
        """When the next queued job may start (Unix seconds), or None."""
        row = self._db.one("SELECT MIN(not_before) AS due FROM jobs WHERE state = 'queued'")
        return None if row is None or row["due"] is None else float(row["due"])

    def clock_was_set_back(self, seconds: float) -> None:
        """Jobs that wait shall not wait longer because somebody set the clock."""
        with self._db.transaction():
            self._db.run("UPDATE jobs SET not_before = not_before - ? WHERE state = 'queued'", seconds)

    def holds(self, lease: Lease) -> bool:
        """Whether the lease is still the one that counts."""
        found = self._db.one(
            "SELECT 1 FROM jobs WHERE id = ? AND epoch = ? AND state = 'running'", lease.job, lease.epoch
        )
        return found is not None

    def finish(self, lease: Lease, report: Report, generation: Generation, step: Step) -> None:
        """The commit: finish the job, insert the generation and move the head, all or nothing.

        Raises StaleEpoch if the lease no longer holds or another commit moved the head meanwhile.
        """
        low, high = report.accuracy_ci or (None, None)
        number = generation.number
        with self._db.transaction():
            self._history.advance(generation, LEARNED + lease.name, step)
            joins = joins_of(lease.spec.options, report.classes)
            self._history.joins.mark_learnt(lease.id, lease.revision, joins)
            self._history.leaderboard.mark_learnt(lease.id, lease.revision, report.candidates)
            self._end(lease, "done", "done", None)
            self._book.mark_state(lease.id, lease.revision, TaskState.LEARNED, "")
            self._db.run(
                "UPDATE tasks SET algorithm = ?, accuracy = ?, ci_low = ?, ci_high = ?, seconds = ?, version = ? "
                "WHERE id = ? AND revision = ?",
                *(
                    report.algorithm,
                    report.accuracy,
                    low,
                    high,
                    report.seconds,
                    number,
                    lease.id,
                    lease.revision,
                ),
            )
            self._db.note(
                TaskState.LEARNED, f"{report.algorithm}, version {number}, {report.seconds:.2f} s", lease.name
            )

    def give_up(
        self, lease: Lease, outcome: str, reason: str, detail: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        """End a job for good: the task has failed, or is rejected where its files are to blame."""
        state = TaskState.REJECTED if outcome == "rejected" else TaskState.FAILED
        with self._db.transaction():
            self._end(lease, "failed", outcome, reason)
            self._book.release_twins(lease.digest)
            self._book.mark_state(lease.id, lease.revision, state, reason, detail)
            if problems:
                self._book.mark_problems(lease.id, lease.revision, problems)
            self._db.note(state, reason, lease.name)

    def put_back(
        self,
        lease: Lease,
        outcome: str,
        reason: str,
        delay: float = 0.0,
        *,
        counts: bool = True,
        culprit: str | None = None,
    ) -> None:
        """Queue a job again after delay seconds; counts says whether this attempt is held against it.

        culprit: the algorithm at work when its worker was lost; it joins the culprits of the job.
        """
        with self._db.transaction():
            self._end(lease, "queued", outcome, reason)
            self._db.run(
                "UPDATE jobs SET not_before = ?, attempts = attempts + ? WHERE id = ?",
                *(time.time() + delay, int(counts), lease.job),
            )
            if culprit is not None:
                spec = replace(lease.spec, culprits=(*lease.spec.culprits, culprit))
                self._db.run("UPDATE jobs SET spec = ? WHERE id = ?", json.dumps(to_json(spec)), lease.job)
            self._book.mark_state(lease.id, lease.revision, TaskState.QUEUED, reason)
            self._db.note(EventKind.REQUEUED, reason, lease.name)

    def reopen(self, lease: Lease, reason: str) -> None:
        """The files are no longer those that were accepted: the folder is judged again."""
        with self._db.transaction():
            self._end(lease, "cancelled", "changed", reason)
            self._book.release_twins(lease.digest)
            self._book.mark_open(lease.id, lease.revision, reason)
            self._db.note(EventKind.CHANGED, reason, lease.name)

    def recover(self) -> int:
        """At start-up, with the state's lock held: what was running when the daemon died is queued again."""
        with self._db.transaction():
            self._db.run("UPDATE attempts SET ended = ?, outcome = 'interrupted' WHERE ended IS NULL", time.time())
            self._db.run("UPDATE tasks SET state = 'queued' WHERE state = 'running'")
            count = self._db.run("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
            if count:
                self._db.note(EventKind.RECOVERED, f"{count} job(s) that ran when the daemon stopped are queued again")
        return count

    def _end(self, lease: Lease, job_state: str, outcome: str, error: str | None) -> None:
        changed = self._db.run(
            "UPDATE jobs SET state = ? WHERE id = ? AND epoch = ? AND state = 'running'",
            *(job_state, lease.job, lease.epoch),
        )
        if changed != 1:
            raise StaleEpoch(f"{lease.name}: lease {lease.epoch} no longer holds")
        self._db.run(
            "UPDATE attempts SET ended = ?, outcome = ?, error = ? WHERE epoch = ?",
            *(time.time(), outcome, error, lease.epoch),
        )
