"""Consolidator: when the shared network is trained on what is kept, and what becomes of the candidate.

The worker trains, refits every task and measures; here it is decided, from the numbers alone, whether the knowledge
moves to the candidate.  Whatever happens to it, the knowledge that is there is not touched before that.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from learnd.control.dispatch.worker_slot import WorkerSlot
from learnd.control.files.lock import holder_of
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.journal.versions import LEARNED, BackboneRecord, Decision, StaleEpoch
from learnd.control.knowledge import result_check
from learnd.control.knowledge.consolidation_gate import ConsolidationVerdict, Limits, decide
from learnd.control.knowledge.generations import Generations
from learnd.errors import TaskError
from learnd.identity import sha256_of
from learnd.messages.convert import from_json, to_json
from learnd.messages.jobs import ConsolidateSpec, Member
from learnd.messages.outcomes import Consolidation, Outcome, OutcomeStatus
from learnd.messages.plugins import EventKind
from learnd.messages.report import Report
from learnd.messages.state_files import BACKBONE_FILE, CONSOLIDATION_FILE, REPORT_FILE
from learnd.settings.keys import Settings

_GLANCE = 0.2  # seconds between two looks for an answer
LAST_TRIED = "slept_at"  # of the journal's small facts: the version at which it was last tried


@dataclass(frozen=True)
class ConsolidationEnd:
    """How a consolidation ended.  outcome: "accepted" | "refused" | "failed"; version: of the knowledge now.

    verdict: plain JSON of a judgement.Verdict, empty if it failed before there was one.
    """

    outcome: str
    version: int
    reasons: tuple[str, ...] = ()
    verdict: dict[str, Any] = field(default_factory=dict)


class Consolidator:
    """For whoever holds the state's lock.  notice(level, text) tells people."""

    def __init__(
        self, settings: Settings, journal: Journal, generations: Generations, notice: Callable[[str, str], None]
    ) -> None:
        self._settings = settings.consolidate
        self._journal = journal
        self._generations = generations
        self._notice = notice
        self._quiet_since = time.monotonic()
        self.folder = generations.work / "consolidation"

    # --- when -----------------------------------------------------------------------------------------------------

    def wanted(self) -> int | None:
        """The steps of a consolidation that somebody asks for, or that is due by the settings; None: none is."""
        for request in self._journal.requests.pending("consolidate"):
            return int(request.argument or self._settings.steps)
        quiet = time.monotonic() - self._quiet_since
        if self._settings.when == "never" or quiet < self._settings.idle_seconds:
            return None
        return self._settings.steps if self._learnt_since() >= self._settings.every_tasks else None

    def _learnt_since(self) -> int:
        last = int(self._journal.db.get(LAST_TRIED) or 0)
        count = "SELECT COUNT(*) AS n FROM generations WHERE number > ? AND reason LIKE ? || '%'"
        row = self._journal.db.one(count, last, LEARNED)
        return 0 if row is None else int(row["n"])

    def look(self, slots: Sequence[WorkerSlot]) -> None:
        """A job comes first: if one waits for the worker that consolidates, stop that."""
        busy = [slot for slot in slots if slot.out is not None]
        due = self._journal.jobs.next_due()
        if due is not None or any(slot.lease is not None for slot in busy):
            self._quiet_since = time.monotonic()
        consolidating = any(slot.out is not None and slot.out.parent == self.folder for slot in busy)
        free = any(slot.ready and slot.out is None for slot in slots)
        if consolidating and due is not None and due <= time.time() and not free:
            self.stop.touch()

    @property
    def stop(self) -> Path:
        """Once this file is there the worker ends its consolidation; what it has done of it is lost, and no more."""
        return self.folder / "stop"

    def spec(self, steps: int) -> ConsolidateSpec:
        """The job.  Raises TaskError if nothing is known, StateError if a manifest is damaged."""
        members = self._generations.members()
        if not members:
            raise TaskError("nothing has been learnt yet: there is nothing to consolidate")
        return ConsolidateSpec(
            parent=self._journal.head,
            members=members,
            becomes=tuple(self._journal.tasks.next_revision(member.id) for member in members),
            steps=steps,
            seed=self._journal.head,
            stop=str(self.stop),
            out=str(self.folder / "out"),
            trimmed=tuple(member.id for member in members if self._is_trimmed(member)),
        )

    def _is_trimmed(self, member: Member) -> bool:
        archives = self._journal.history.archives.of(member.id, member.revision)
        return any(one.kept is not None for one in archives)

    # --- what becomes of it ---------------------------------------------------------------------------------------

    def settle(self, outcome: Outcome, out: Path) -> ConsolidationEnd | None:
        """Decide on the result, and answer whoever asked; None if it was stopped for a job and will be tried again."""
        self._quiet_since = time.monotonic()
        if outcome.status is OutcomeStatus.STOPPED:
            self._notice("info", "consolidation is put off: there is something to learn")
            return None
        if outcome.status is not OutcomeStatus.DONE:
            return self.failed(outcome.reason)
        try:
            made = from_json(Consolidation, json.loads((out / CONSOLIDATION_FILE).read_text()))
            self._check(made, out)
            return self._decide(made, decide(made, self._limits()), out)
        except (result_check.Refused, StaleEpoch, OSError, ValueError, KeyError, TypeError) as error:
            return self.failed(str(error))
        finally:
            shutil.rmtree(out.parent, ignore_errors=True)

    def failed(self, reason: str) -> ConsolidationEnd:
        """It came to nothing; the knowledge is what it was."""
        self._notice("warning", f"consolidation failed: {reason}")
        self._journal.note(EventKind.CONSOLIDATION_FAILED, reason)
        return self._answer(ConsolidationEnd("failed", self._journal.head, (reason,)))

    def _limits(self) -> Limits:
        given = self._settings
        return Limits(given.epsilon, given.flips, given.size, given.latency)

    def _check(self, made: Consolidation, out: Path) -> None:
        """Raises gate.Refused where a file is not what it should be, or a task is missing."""
        if sha256_of(out / BACKBONE_FILE) != made.backbone_sha256:
            raise result_check.Refused("the file is not what the worker said it wrote", where=BACKBONE_FILE)
        result_check.require_finite(out / BACKBONE_FILE)
        for form in made.forms:
            report = from_json(Report, json.loads((out / form.folder / REPORT_FILE).read_text()))
            result_check.check(out / form.folder, Outcome(OutcomeStatus.DONE, report=report, files=form.files))
        if {form.id for form in made.forms} != set(self._journal.history.held_by(made.parent)):
            raise StaleEpoch("the tasks are no longer those that the candidate was made from")

    def _decide(self, made: Consolidation, verdict: ConsolidationVerdict, out: Path) -> ConsolidationEnd:
        numbers, before = to_json(verdict), str(self._generations.backbone_hash())
        if not verdict.accepted:
            reason = f"a candidate network is refused: {'; '.join(verdict.reasons)}"
            decision = Decision(made.parent, None, before, made.backbone_hash, numbers)
            self._journal.history.refuse(decision, reason)
            self._notice("info", reason)
            return self._answer(ConsolidationEnd("refused", self._journal.head, verdict.reasons, numbers))
        learners = {*made.learners, *self._journal.history.learners_of(before)}  # it began as the old network
        network = BackboneRecord(made.backbone_hash, made.backbone_sha256, tuple(sorted(learners)))
        generation = self._generations.consolidate(out, made, network, numbers)
        rise = f"the mean went from {verdict.before:.4f} to {verdict.after:.4f}"
        self._notice("info", f"consolidated: version {generation.number}, {rise}")
        return self._answer(ConsolidationEnd("accepted", generation.number, (), numbers))

    def _answer(self, ended: ConsolidationEnd) -> ConsolidationEnd:
        self._journal.put(LAST_TRIED, str(self._journal.head))
        for request in self._journal.requests.pending("consolidate"):
            self._journal.requests.answer(request, {"ended": asdict(ended)})
        return ended


def have_daemon_consolidate(
    settings: Settings, steps: int | None, glance: Callable[[], None]
) -> ConsolidationEnd | None:
    """Ask the daemon that holds the state; None if it has gone without an answer.

    It may take as long as it takes: the daemon learns first what is there to learn.  glance: is called between looks.
    """
    with closing(Journal(settings.state / JOURNAL)) as journal:
        number = journal.requests.add("consolidate", "" if steps is None else str(steps))
        try:
            while (answer := journal.requests.answer_to(number)) is None:
                if holder_of(settings.state) is None:
                    return None
                glance()
                time.sleep(_GLANCE)
        finally:
            journal.requests.withdraw(number)
    return from_json(ConsolidationEnd, answer["ended"])
