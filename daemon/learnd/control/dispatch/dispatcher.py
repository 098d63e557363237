"""Dispatch: gives jobs to workers on free devices, and makes of what comes back knowledge, a retry or a failure.

It knows a worker only as something that takes a job file and leaves a result file; nothing here assumes that the
worker shares this process tree, so that another executor can sit behind the same seam.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learnd.control.dispatch.consolidation import Consolidator
from learnd.control.dispatch.job_results import NO_ROOM_SECONDS, Results
from learnd.control.dispatch.progress_file import Posting
from learnd.control.dispatch.survey_schedule import Surveying
from learnd.control.dispatch.worker_pool import OVERDUE, SILENCE_SECONDS, WorkerPool
from learnd.control.dispatch.worker_slot import WorkerSlot
from learnd.control.journal.journal import Journal
from learnd.control.journal.queue import Lease
from learnd.control.knowledge.generations import Generations
from learnd.control.processes.child import GONE, Child, Inbox, explain_exit
from learnd.errors import LearndError, StateError
from learnd.messages.convert import SCHEMA, BadJson, from_json, legible, to_json
from learnd.messages.jobs import ConsolidateSpec, ExportSpec, LearnSpec, RoutingSpec, SurveySpec
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.worker import Hello, read_message
from learnd.settings.keys import Settings

_LONGEST_LOOK = 60.0  # seconds between two, if nothing is due


class Dispatcher:
    """Hands out jobs.  All methods run on the service's one thread; the inbox carries what workers say to it."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        generations: Generations,
        inbox: Inbox,
        look: Callable[[str], None],
        notice: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._generations = generations
        self._notice = notice
        self._results = Results(settings, journal, generations, look, notice)
        self._surveying = Surveying(journal, generations, settings.knowledge.survey_tasks, notice)
        self._pool = WorkerPool(settings, journal, generations, inbox, notice)
        self._posting = Posting(settings.state)
        self._consolidator = Consolidator(settings, journal, generations, notice)
        self._export_at = 0.0  # not before; seconds of time.monotonic()
        self._clock = time.time() - time.monotonic()

    @property
    def slots(self) -> list[WorkerSlot]:
        return self._pool.slots

    @property
    def readers(self) -> tuple[str, ...] | None:
        """The extensions of files that the plugins of every worker read; None until a worker has said so."""
        return self._pool.readers

    @property
    def observers(self) -> tuple[str, ...]:
        """The plugins that want events, as a worker last found them."""
        return self._pool.observers

    @property
    def plugin_files(self) -> str:
        """The fingerprint of the plugins folder when a worker last loaded it."""
        return self._pool.files

    @property
    def busy(self) -> bool:
        return any(slot.out is not None for slot in self.slots)

    @property
    def settled(self) -> bool:
        """Whether nothing is in hand and the knowledge has been surveyed as far as it can be."""
        return not self.busy and not self._surveying.due()

    def start(self) -> None:
        """Start a worker on every device."""
        self._pool.start()

    def stop(self) -> None:
        """End every worker; a job in hand goes back to the queue, and the attempt is not held against it."""
        self._pool.stop()
        for slot in self.slots:
            if slot.lease is not None and self._journal.jobs.holds(slot.lease):
                self._results.interrupted(slot.lease)

    # --- time -----------------------------------------------------------------------------------------------------

    def tick(self) -> float:
        """Do what is due: restart, stop what overran or hangs, hand out jobs.  Returns seconds until the next look."""
        self._follow_clock()
        self._pool.start_due()
        for slot in self.slots:
            if slot.lease is not None and not self._journal.jobs.holds(slot.lease):
                self._pool.end(slot, "the task was skipped or forgotten")
            elif slot.child is not None:
                self._pool.doubt(slot)
        self._pool.follow_plugins()  # first: a job finds the plugins that were there before it
        for slot in self.slots:
            if slot.ready and slot.out is None:
                self._hand_out(slot)
        self._let_jobs_pass()
        self._posting.post(self.slots)
        self._consolidator.look(self.slots)
        return self._next_look()

    def _follow_clock(self) -> None:
        """Only the delays of queued jobs outlive this process, so only they are Unix time."""
        before, self._clock = self._clock, time.time() - time.monotonic()
        if self._clock < before - 1.0:
            self._journal.jobs.clock_was_set_back(before - self._clock)

    def _next_look(self) -> float:
        now = time.monotonic()
        moments = [slot.start_at if slot.child is None else slot.due() for slot in self.slots]
        if any(slot.ready and slot.out is None for slot in self.slots) and self._journal.paused is None:
            due = self._journal.jobs.next_due()  # Unix seconds
            moments += [None if due is None else now + due - time.time()]
            moments += [self._export_at if self._export_at > now else None]
        waits = [moment - now for moment in moments if moment is not None]
        return max(0.01, min(waits, default=_LONGEST_LOOK))

    # --- handing out ----------------------------------------------------------------------------------------------

    def _hand_out(self, slot: WorkerSlot) -> None:
        if self._generations.backbone_hash() is None:
            if time.monotonic() >= self._export_at and not self.busy:
                self._export(slot)
            return
        if slot.hello is not None and self._generations.knows_as_other(slot.hello.backbone_hash):
            self._pool.renew(slot)
            return
        if self._journal.paused is not None:
            return
        lease = self._journal.jobs.lease(slot.name)
        if lease is None:
            self._survey(slot)
            self._consolidate(slot)
            return
        slot.lease, slot.silent_at = lease, time.monotonic() + SILENCE_SECONDS
        folder = self._generations.work / f"{lease.job}-{lease.epoch}"
        try:
            self._send(slot, self._learn_spec(lease, folder / "out"), folder)
        except OSError as error:
            slot.discard()
            self._results.no_room(lease, str(error))

    def _survey(self, slot: WorkerSlot) -> None:
        """If nobody works and no job waits, measure how accurately all that is known is classified."""
        if self.busy or not self._surveying.due() or self._journal.jobs.next_due() is not None:
            return
        folder = self._generations.work / "survey"
        shutil.rmtree(folder, ignore_errors=True)
        spec = self._surveying.spec(folder / "out")
        if spec is None:
            return
        try:
            self._send(slot, spec, folder)
        except OSError as error:
            slot.discard()
            self._surveying.came(spec.version, Outcome(OutcomeStatus.NO_ROOM, str(error)), folder)
        else:
            slot.survey = spec.version

    def _let_jobs_pass(self) -> None:
        """A survey in hand makes way where a job is due and every worker has something in hand."""
        due = self._journal.jobs.next_due()
        if due is None or due > time.time():
            return
        for slot in self.slots:
            if slot.survey is not None and not slot.makes_way and slot.child is not None:
                slot.makes_way = True
                slot.child.send({"drop": True})

    def _consolidate(self, slot: WorkerSlot) -> None:
        """Nothing is to be learnt: consolidate, where somebody asks for it or it is time to."""
        if self.busy or (steps := self._consolidator.wanted()) is None:
            return
        folder = self._consolidator.folder
        shutil.rmtree(folder, ignore_errors=True)
        try:
            self._send(slot, self._consolidator.spec(steps), folder)
            slot.deadline = time.monotonic() + self._settings.consolidate.seconds
        except (OSError, LearndError) as error:
            slot.discard()
            self._consolidator.failed(str(error))

    def _export(self, slot: WorkerSlot) -> None:
        """The first job of a new state: its own copy of the backbone, which outlives any upgrade of a package."""
        folder = self._generations.work / "backbone"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            self._send(slot, ExportSpec(out=str(folder / "out")), folder)
        except OSError as error:
            slot.discard()
            self._export_came(Outcome(OutcomeStatus.NO_ROOM, str(error)), folder, "")

    def _send(
        self, slot: WorkerSlot, spec: LearnSpec | SurveySpec | ExportSpec | ConsolidateSpec, folder: Path
    ) -> None:
        slot.out = folder / "out"
        slot.out.mkdir(parents=True)
        job = folder / "job.json"
        job.write_text(json.dumps({"schema": SCHEMA, **to_json(spec)}))
        slot.deadline = time.monotonic() + self._settings.worker.job_seconds
        slot.progress = None
        assert slot.child is not None  # a slot that is ready has one
        slot.child.send({"run": str(job)})

    def _learn_spec(self, lease: Lease, out: Path) -> LearnSpec:
        routing = self._settings.routing
        return LearnSpec(
            job=lease.job,
            epoch=lease.epoch,
            id=lease.id,
            name=lease.name,
            revision=lease.revision,
            folder=lease.spec.folder,
            files=lease.spec.files,
            digest=lease.digest,
            options=lease.spec.options,
            routing=RoutingSpec(
                routing.budget_seconds,
                routing.folds,
                routing.shortlist,
                routing.good_enough,
                self._left_out(lease),
            ),
            exemplars_per_class=self._settings.knowledge.exemplars_per_class,
            seed=int(lease.digest[:8], 16),  # the same content is learnt the same way, whenever it comes
            out=str(out),
        )

    def _left_out(self, lease: Lease) -> tuple[str, ...]:
        """The last attempt does without the algorithms that were at work when workers were lost to this job."""
        last = lease.attempts + 1 >= self._settings.worker.attempts
        return tuple(sorted(set(lease.spec.culprits))) if last else ()

    # --- what workers say -----------------------------------------------------------------------------------------

    def hear(self, child: Child, message: dict[str, Any]) -> None:
        """Handle one message of a worker; one of a process that was replaced meanwhile is dropped."""
        slot = next((slot for slot in self.slots if slot.child is child), None)
        if slot is None:
            return
        try:
            said = read_message(legible(message))
        except BadJson as error:
            self._lose(slot, "died", f"the worker sent a message that makes no sense ({error})")
            return
        if "beat" in said:
            slot.silent_at = time.monotonic() + SILENCE_SECONDS
        elif "progress" in said:
            slot.progress = said["progress"]
        elif "importing" in said:
            slot.importing = said["importing"]
        elif "hello" in said:
            self._welcome(slot, said["hello"])
        elif "loaded" in said:
            self._pool.loaded(slot, said["loaded"])
        elif "done" in said:
            self._finish(slot)
        elif "unwritten" in said:  # not even its result.json
            self._take(slot, Outcome(OutcomeStatus.NO_ROOM, said["unwritten"]))
        elif "failed" in said:
            self._pool.refused(slot, said["failed"])
            self._lose(slot, "died", said["failed"])
        elif OVERDUE in said:
            if (reason := self._pool.overdue(slot)) is not None:
                self._lose(slot, "overran", reason)
        elif GONE in said:
            self._lose(slot, "died", f"the worker {explain_exit(said[GONE])}")

    def _welcome(self, slot: WorkerSlot, hello: Hello) -> None:
        known = self._generations.backbone(self._settings.backbone)
        if self._generations.knows_as_other(hello.backbone_hash):  # the head moved while it started
            self._pool.renew(slot)
            return
        if known.hash is not None and known.hash != hello.backbone_hash:
            raise StateError(
                f"the worker holds backbone {hello.backbone_hash[:12]}, this state was made with {known.hash[:12]}",
                where=str(self._settings.state),
                remedy="restore state/backbones from a backup",
            )
        self._pool.welcome(slot, hello)

    def _lose(self, slot: WorkerSlot, outcome: str, reason: str) -> None:
        """The worker is lost, or must be: end it, and decide on its job."""
        lease, culprit = slot.lease, None
        if slot.progress and outcome != "broken":
            reason = f"{reason}, at: {slot.progress.stage}"
            culprit = slot.progress.algorithm or None
        if lease is not None and culprit is not None:
            self._pool.strike(slot, culprit, f"{reason}, while learning {lease.name}")
        self._notice("warning", f"{slot.name}: {reason}" + (f" while learning {lease.name}" if lease else ""))
        if slot.out is not None and slot.out.parent == self._consolidator.folder:
            self._consolidator.failed(reason)
        tail = self._pool.end(slot, reason)
        if lease is not None:
            self._results.lost(lease, outcome, reason, tail, culprit)

    # --- results --------------------------------------------------------------------------------------------------

    def _finish(self, slot: WorkerSlot) -> None:
        if slot.out is None:
            return
        try:
            outcome = from_json(Outcome, legible(json.loads((slot.out / "result.json").read_text())))
        except (OSError, ValueError) as error:
            self._lose(slot, "died", f"the worker left no readable result ({error})")
            return
        self._take(slot, outcome)

    def _take(self, slot: WorkerSlot, outcome: Outcome) -> None:
        lease, version, out = slot.lease, slot.survey, slot.out
        if out is None:
            return
        in_hand = lease is not None or version is not None
        if outcome.status is OutcomeStatus.BROKEN and in_hand:  # the next job shall not suffer from what this one broke
            self._lose(slot, "broken", outcome.reason)
            return
        slot.clear()
        self._pool.came_back(slot, outcome.report)
        if version is not None:
            self._surveying.came(version, outcome, out)
        elif out.parent == self._consolidator.folder:
            self._consolidator.settle(outcome, out)
        elif lease is None:
            self._export_came(outcome, out, slot.hello.backbone_hash if slot.hello else "")
        else:
            self._results.settle(lease, outcome, out)
        shutil.rmtree(out.parent, ignore_errors=True)

    def _export_came(self, outcome: Outcome, out: Path, digest: str) -> None:
        if not self._results.keep_backbone(outcome, out, digest):
            self._export_at = time.monotonic() + NO_ROOM_SECONDS
