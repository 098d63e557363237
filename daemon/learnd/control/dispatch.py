"""Dispatch: gives jobs to workers on free devices, and makes of what comes back knowledge, a retry or a failure.

It knows a worker only as something that takes a job file and leaves a result file; nothing here assumes that the
worker shares this process tree, so that another executor can sit behind the same seam.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnd.control.generations import Generations
from learnd.control.jobs import Lease
from learnd.control.journal import Journal
from learnd.control.results import Results
from learnd.control.workers import GONE, Child, Inbox, devices, explain_exit, start_worker
from learnd.domain import SCHEMA, ImageFile, TaskOptions
from learnd.errors import LearndError, StateError
from learnd.settings import Settings
from learnd.wire import ExportSpec, Hello, LearnSpec, Outcome, RoutingSpec, from_json, to_json

LEASE_SECONDS = 60.0  # a worker beats every 2 s; one that is silent for this long hangs
_SLOWEST_RESTART = 60.0


@dataclass
class Slot:
    """The place of one worker: its device, the process in it, and what that process works on."""

    name: str
    device: str
    index: int
    child: Child | None = None
    ready: bool = False
    hash: str = ""  # of the backbone it holds
    lease: Lease | None = None
    out: Path | None = None  # of the job in hand, a lease's or the backbone's export
    deadline: float = 0.0  # of the job in hand, or of the start; Unix seconds
    silent_at: float = 0.0  # when the lease ends unless the worker beats again
    renewed: float = 0.0
    start_at: float = 0.0  # of the next start, after a failed one
    failures: int = 0
    progress: dict[str, Any] = field(default_factory=dict)


class Dispatcher:
    """Holds the workers.  All methods run on the service's one thread; the inbox carries what workers say to it."""

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
        self._inbox = inbox
        self._notice = notice
        self._results = Results(settings, journal, generations, look, notice)
        names = devices(settings)
        self.slots = [Slot(_slot_name(names, index), device, index) for index, device in enumerate(names)]
        self._ever_ready = False

    # --- the pool -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a worker on every device."""
        self._journal.clear_workers()
        for slot in self.slots:
            self._start(slot)

    def stop(self) -> None:
        """End every worker; a job in hand goes back to the queue, and the attempt is not held against it."""
        for slot in self.slots:
            if slot.child is not None:
                slot.child.kill()
            if slot.lease is not None and self._journal.jobs.holds(slot.lease):
                self._journal.jobs.put_back(slot.lease, "interrupted", "the daemon was stopped", counts=False)
            self._journal.set_worker(slot.name, "stopped")

    def _start(self, slot: Slot) -> None:
        backbone = self._generations.backbone(self._settings.backbone)
        slot.ready = False
        try:
            slot.child = start_worker(slot.name, slot.device, slot.index, backbone, self._settings, self._inbox)
        except OSError as error:  # no memory, no processes left, no room for the log
            slot.failures += 1
            slot.start_at = time.time() + min(_SLOWEST_RESTART, 2.0**slot.failures)
            self._notice("error", f"{slot.name} cannot be started: {error}")
            return
        slot.deadline = time.time() + self._settings.worker.start_seconds
        self._journal.set_worker(slot.name, "starting")

    @property
    def busy(self) -> bool:
        return any(slot.out is not None for slot in self.slots)

    # --- time -----------------------------------------------------------------------------------------------------

    def tick(self) -> float:
        """Do what is due: restart, stop what overran or hangs, hand out jobs.  Returns seconds until the next look."""
        now = time.time()
        for slot in self.slots:
            if slot.child is None and slot.start_at <= now:
                self._start(slot)
            elif slot.child is not None and slot.deadline and now > slot.deadline:
                self._lose(slot, "overran", self._overrun_reason(slot))
            elif slot.lease is not None and now > slot.silent_at:
                self._lose(slot, "overran", f"the worker has been silent for {LEASE_SECONDS:.0f} s")
            elif slot.lease is not None and not self._journal.jobs.holds(slot.lease):
                self._lose(slot, "cancelled", "the task was skipped")
        for slot in self.slots:
            if slot.ready and slot.out is None:
                self._hand_out(slot)
        return self._next_look(now)

    def _next_look(self, now: float) -> float:
        moments = [slot.deadline for slot in self.slots if slot.child is not None and slot.deadline]
        moments += [slot.start_at for slot in self.slots if slot.child is None]
        due = self._journal.jobs.next_due()
        if due is not None and any(slot.ready and slot.out is None for slot in self.slots):
            moments.append(due)
        return max(0.01, min(moments, default=now + 60.0) - now)

    def _overrun_reason(self, slot: Slot) -> str:
        if not slot.ready:
            return f"the worker did not start within {self._settings.worker.start_seconds:.0f} s"
        return f"it overran its {self._settings.worker.job_seconds:.0f} s (worker.job_seconds)"

    # --- handing out ----------------------------------------------------------------------------------------------

    def _hand_out(self, slot: Slot) -> None:
        if self._generations.backbone_hash() is None:
            if not any(other.out is not None for other in self.slots):
                self._export(slot)
            return
        lease = self._journal.jobs.lease(slot.name, LEASE_SECONDS)
        if lease is None:
            return
        now = time.time()
        slot.lease, slot.silent_at, slot.renewed = lease, now + LEASE_SECONDS, now
        folder = self._generations.work / f"{lease.job}-{lease.epoch}"
        try:
            self._send(slot, self._learn_spec(lease, folder / "out"), folder)
        except OSError as error:
            self._clear(slot)
            self._results.no_room(lease, error)

    def _export(self, slot: Slot) -> None:
        """The first job of a new state: its own copy of the backbone, which outlives any upgrade of a package."""
        folder = self._generations.work / "backbone"
        shutil.rmtree(folder, ignore_errors=True)
        self._send(slot, ExportSpec(out=str(folder / "out")), folder)

    def _send(self, slot: Slot, spec: LearnSpec | ExportSpec, folder: Path) -> None:
        slot.out = folder / "out"
        slot.out.mkdir(parents=True)
        job = folder / "job.json"
        job.write_text(json.dumps({"schema": SCHEMA, **to_json(spec)}))
        slot.deadline = time.time() + self._settings.worker.job_seconds
        slot.progress = {}
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
            folder=lease.spec["folder"],
            files=tuple(from_json(ImageFile, item) for item in lease.spec["files"]),
            digest=lease.digest,
            options=from_json(TaskOptions, lease.spec["options"]),
            routing=RoutingSpec(routing.budget_seconds, routing.folds, routing.shortlist, routing.good_enough),
            exemplars_per_class=self._settings.knowledge.exemplars_per_class,
            seed=int(lease.digest[:8], 16),  # the same content is learnt the same way, whenever it comes
            out=str(out),
        )

    # --- what workers say -----------------------------------------------------------------------------------------

    def hear(self, child: Child, message: dict[str, Any]) -> None:
        """Handle one message of a worker; one of a process that was replaced meanwhile is dropped."""
        slot = next((slot for slot in self.slots if slot.child is child), None)
        if slot is None:
            return
        if "beat" in message:
            self._renew(slot)
        elif "progress" in message:
            slot.progress = message["progress"]
        elif "hello" in message:
            self._welcome(slot, from_json(Hello, message["hello"]))
        elif "done" in message:
            self._finish(slot)
        elif "failed" in message:
            self._failed_start(slot, str(message["failed"]))
        elif GONE in message:
            self._lose(slot, "died", f"the worker {explain_exit(message[GONE])}")

    def _renew(self, slot: Slot) -> None:
        now = time.time()
        slot.silent_at = now + LEASE_SECONDS
        if slot.lease is not None and now - slot.renewed > LEASE_SECONDS / 3:
            slot.renewed = now
            self._journal.jobs.renew(slot.lease, LEASE_SECONDS)

    def _welcome(self, slot: Slot, hello: Hello) -> None:
        known = self._generations.backbone(self._settings.backbone)
        if known.hash is not None and known.hash != hello.backbone_hash:
            raise StateError(
                f"the worker holds backbone {hello.backbone_hash[:12]}, this state was made with {known.hash[:12]}",
                where=str(self._settings.state),
                remedy="restore state/backbones from a backup",
            )
        slot.ready, slot.hash, slot.deadline, slot.failures = True, hello.backbone_hash, 0.0, 0
        self._ever_ready = True
        self._journal.set_worker(slot.name, "ready", hello)
        self._journal.put("plugins", json.dumps([to_json(plugin) for plugin in hello.plugins]))
        self._notice("info", f"{slot.name} is ready: {hello.backbone}, {len(hello.plugins)} algorithms")
        for plugin in hello.plugins:
            if plugin.state == "quarantined":
                last_line = (plugin.reason.strip() or "no reason given").splitlines()[-1]
                self._notice("warning", f"plugin {plugin.name} ({plugin.source}) is quarantined: {last_line}")

    def _failed_start(self, slot: Slot, reason: str) -> None:
        if not self._ever_ready:
            raise LearndError(f"no worker can start on {slot.device}: {reason}", remedy="`learnd doctor` looks closer")
        self._lose(slot, "died", reason)

    def _lose(self, slot: Slot, outcome: str, reason: str) -> None:
        """The worker is lost, or must be: end it, decide on its job, and plan its successor."""
        assert slot.child is not None  # only a slot with a process can lose it
        slot.child.kill()
        tail = slot.child.log_tail()
        lease, was_ready = slot.lease, slot.ready
        self._clear(slot)
        slot.child, slot.ready = None, False
        slot.failures = 0 if was_ready else slot.failures + 1
        slot.start_at = time.time() + (0.0 if was_ready else min(_SLOWEST_RESTART, 2.0**slot.failures))
        self._journal.set_worker(slot.name, "starting")
        if outcome == "cancelled":
            return
        self._notice("warning", f"{slot.name}: {reason}" + (f" while learning {lease.name}" if lease else ""))
        if lease is not None:
            self._results.lost(lease, outcome, reason, tail)

    # --- results --------------------------------------------------------------------------------------------------

    def _finish(self, slot: Slot) -> None:
        lease, out = slot.lease, slot.out
        if out is None:
            return
        try:
            outcome = from_json(Outcome, json.loads((out / "result.json").read_text()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._lose(slot, "died", f"the worker left no readable result ({error})")
            return
        self._clear(slot, keep=out)
        if lease is None:
            self._results.keep_backbone(outcome, out, slot.hash)
        else:
            self._results.settle(lease, outcome, out)
        shutil.rmtree(out.parent, ignore_errors=True)

    def _clear(self, slot: Slot, keep: Path | None = None) -> None:
        """Nothing is in hand any more; the work folder goes unless keep still needs it."""
        if slot.out is not None and slot.out != keep:
            shutil.rmtree(slot.out.parent, ignore_errors=True)
        slot.lease, slot.out, slot.deadline, slot.progress = None, None, 0.0, {}


def _slot_name(names: tuple[str, ...], index: int) -> str:
    """ "cuda:0" as it is; CPU workers are numbered: "cpu:0", "cpu:1"."""
    return names[index] if ":" in names[index] else f"{names[index]}:{names[:index].count(names[index])}"
