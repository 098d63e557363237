"""What becomes of a job that came back, or did not: knowledge, a retry, a rejection or a failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from learnd.control.journal.journal import Journal
from learnd.control.journal.queue import Lease
from learnd.control.journal.versions import StaleEpoch
from learnd.control.knowledge import result_check
from learnd.control.knowledge.generations import Generations
from learnd.errors import StateError
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.state_files import BACKBONE_FILE
from learnd.settings.keys import Settings

NO_ROOM_SECONDS = 30.0  # between attempts while the state's disk takes nothing


class Results:
    """Settles leases.  look(folder name) judges a folder again; notice(level, text) tells people."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        generations: Generations,
        look: Callable[[str], None],
        notice: Callable[[str, str], None],
    ) -> None:
        self._look = look
        self._backbone = settings.backbone
        self._worker = settings.worker
        self._journal = journal
        self._generations = generations
        self._notice = notice

    def settle(self, lease: Lease, outcome: Outcome, out: Path) -> None:
        """Do what a worker's outcome calls for; what comes with an old epoch is dropped."""
        try:
            self._settle(lease, outcome, out)
        except StaleEpoch as stale:
            self._notice("info", f"a late result is dropped: {stale}")

    def _settle(self, lease: Lease, outcome: Outcome, out: Path) -> None:
        match outcome.status:
            case OutcomeStatus.DONE:
                self._commit(lease, outcome, out)
            case OutcomeStatus.CHANGED:
                self._journal.jobs.reopen(lease, outcome.reason)
                self._look(Path(lease.spec.folder).name)
            case OutcomeStatus.REJECTED:
                self._journal.jobs.give_up(lease, "rejected", outcome.reason, problems=outcome.problems)
                self._notice("warning", f"{lease.name} is rejected: {outcome.reason}")
            case OutcomeStatus.NO_ROOM:
                self.no_room(lease, outcome.reason)
            case OutcomeStatus.FAILED:
                self._fail(lease, "failed", outcome.reason)
            case OutcomeStatus.BROKEN:  # the dispatcher ends such a worker first, and calls `lost`
                self._fail(lease, "failed", outcome.reason)
            case OutcomeStatus.DAMAGED | OutcomeStatus.DROPPED | OutcomeStatus.STOPPED:
                self._fail(lease, "failed", f"a learn job cannot end as {outcome.status}: {outcome.reason}")
            case _:
                assert_never(outcome.status)

    def _fail(self, lease: Lease, outcome: str, reason: str, detail: str = "") -> None:
        self._journal.jobs.give_up(lease, outcome, reason, detail)
        self._notice("error", f"{lease.name} failed: {reason}")

    def _commit(self, lease: Lease, outcome: Outcome, out: Path) -> None:
        try:  # around what touches the state's disk, and nothing else
            report = result_check.check(out, outcome)
            if self._generations.knows_as_other(report.backbone_hash):  # a consolidation or a rollback came between
                reason = "the shared network has changed meanwhile; it is learnt again on the new one"
                self._journal.jobs.put_back(lease, "network", reason, counts=False)
                return
            generation = self._generations.commit(lease, report, outcome, out)
        except result_check.Refused as refusal:
            self._fail(lease, "failed", f"refused at the gate: {refusal}")
        except OSError as error:
            self.no_room(lease, str(error))
        else:
            measured = "" if report.accuracy is None else f", accuracy {report.accuracy:.3f} ({report.measured_on})"
            self._notice("info", f"learned {lease.name}: {report.algorithm}{measured}, version {generation.number}")

    def lost(self, lease: Lease, outcome: str, reason: str, tail: str, culprit: str | None) -> None:
        """The worker died, broke, hung or overran with this job: try again, or fail with the tail of its log.

        culprit: the algorithm that was at work.
        """
        if not self._journal.jobs.holds(lease):
            return
        attempt, allowed = lease.attempts + 1, self._worker.attempts
        with suppress(StaleEpoch):  # skipped meanwhile: nothing is left to be decided
            if attempt < allowed:
                delay = self._worker.retry_seconds * attempt
                again = f"attempt {attempt} of {allowed}: {reason}; tried again in {delay:g} s"
                self._journal.jobs.put_back(lease, outcome, again, delay, culprit=culprit)
            else:
                self._fail(lease, outcome, f"{reason} ({allowed} attempts)", tail)

    def no_room(self, lease: Lease, why: str) -> None:
        """The disk takes nothing (it is full, above all): nothing is lost, the job waits for room."""
        reason = f"the state cannot be written ({why}); tried again in {NO_ROOM_SECONDS:.0f} s"
        with suppress(StaleEpoch):  # skipped meanwhile: nothing is left to be decided
            self._journal.jobs.put_back(lease, "no_room", reason, NO_ROOM_SECONDS, counts=False)
            self._notice("error", f"{lease.name}: {reason}")

    def interrupted(self, lease: Lease) -> None:
        """The daemon stops: the job goes back to the queue, and the attempt is not held against it."""
        with suppress(StaleEpoch):  # skipped meanwhile: nothing is left to be decided
            self._journal.jobs.put_back(lease, "interrupted", "the daemon was stopped", counts=False)

    def keep_backbone(self, outcome: Outcome, out: Path, digest: str) -> bool:
        """The state's own copy of its backbone has come; without it nothing can be learnt.

        False if the disk has no room for it yet.  Raises StateError if it cannot be had at all.
        """
        exported = out / BACKBONE_FILE
        why = outcome.reason
        if outcome.status is OutcomeStatus.DONE and exported.is_file():
            try:
                self._generations.keep_backbone(self._backbone, exported, digest)
                return True
            except OSError as error:
                why = str(error)
        elif outcome.status is not OutcomeStatus.NO_ROOM:
            raise StateError(f"the backbone could not be exported: {why}")
        self._notice("error", f"the backbone cannot be kept ({why}); tried again in {NO_ROOM_SECONDS:.0f} s")
        return False
