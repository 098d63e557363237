"""What becomes of a job that came back, or did not: knowledge, a retry, a rejection or a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from learnd.control import gate
from learnd.control.generations import Generations
from learnd.control.jobs import Lease, StaleEpoch
from learnd.control.journal import Journal
from learnd.errors import StateError
from learnd.settings import Settings
from learnd.wire import Outcome

_NO_ROOM_SECONDS = 30.0  # between attempts while the state's disk takes nothing


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
        except OSError as error:
            self.no_room(lease, error)

    def _settle(self, lease: Lease, outcome: Outcome, out: Path) -> None:
        jobs = self._journal.jobs
        if outcome.status == "changed":
            jobs.reopen(lease, outcome.reason)
            self._look(Path(lease.spec["folder"]).name)
        elif outcome.status == "rejected":
            jobs.give_up(lease, "rejected", outcome.reason, problems=outcome.problems)
            self._notice("warning", f"{lease.name} is rejected: {outcome.reason}")
        elif outcome.status == "failed":
            jobs.give_up(lease, "failed", outcome.reason)
            self._notice("error", f"{lease.name} failed: {outcome.reason}")
        else:
            self._commit(lease, outcome, out)

    def _commit(self, lease: Lease, outcome: Outcome, out: Path) -> None:
        try:
            report = gate.check(out, outcome)
        except gate.Refused as refusal:
            self._journal.jobs.give_up(lease, "failed", f"refused at the gate: {refusal}")
            self._notice("error", f"{lease.name} was refused at the gate: {refusal}")
            return
        generation = self._generations.commit(lease, report, outcome, out)
        measured = "" if report.accuracy is None else f", accuracy {report.accuracy:.3f} ({report.measured_on})"
        self._notice("info", f"learned {lease.name}: {report.algorithm}{measured}, version {generation.number}")

    def lost(self, lease: Lease, outcome: str, reason: str, tail: str) -> None:
        """The worker died, hung or overran with this job: try again, or fail with the tail of its log."""
        if not self._journal.jobs.holds(lease):
            return
        attempt, allowed = lease.attempts + 1, self._worker.attempts
        if attempt < allowed:
            delay = self._worker.retry_seconds * attempt
            again = f"attempt {attempt} of {allowed}: {reason}; tried again in {delay:g} s"
            self._journal.jobs.put_back(lease, outcome, again, delay)
        else:
            self._journal.jobs.give_up(lease, outcome, f"{reason} ({allowed} attempts)", tail)
            self._notice("error", f"{lease.name} failed: {reason} ({allowed} attempts)")

    def no_room(self, lease: Lease, error: OSError) -> None:
        """The state's disk takes nothing (it is full, above all): nothing is lost, the job waits for room."""
        reason = f"the state cannot be written ({error}); tried again in {_NO_ROOM_SECONDS:.0f} s"
        self._journal.jobs.put_back(lease, "failed", reason, _NO_ROOM_SECONDS, counts=False)
        self._notice("error", f"{lease.name}: {reason}")

    def keep_backbone(self, outcome: Outcome, out: Path, digest: str) -> None:
        """The state's own copy of its backbone has come; without it nothing can be learnt.  Raises StateError."""
        exported = out / "backbone.safetensors"
        if outcome.status != "done" or not exported.is_file():
            raise StateError(f"the backbone could not be exported: {outcome.reason}")
        self._generations.keep_backbone(self._backbone, exported, digest)
