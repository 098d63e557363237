"""The places of the workers: a process in each, started, watched for silence, ended, and started again.

Durations are measured by the monotonic clock alone: nobody is killed because a machine's clock was set.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from learnd.control.generations import Generations
from learnd.control.jobs import Lease
from learnd.control.journal import Journal
from learnd.control.strikes import AT_IMPORT, AT_WORK, Strikes
from learnd.control.workers import Child, Inbox, devices, start_worker
from learnd.domain import PluginInfo, Report
from learnd.errors import LearndError
from learnd.plugindir import fingerprint
from learnd.settings import Settings
from learnd.wire import Hello, Loaded, to_json_all

SILENCE_SECONDS = 60.0  # a worker beats every 2 s; one that is silent for this long hangs
SECOND_LOOK = 0.2  # seconds that what an overdue worker said meanwhile has to come in, after the daemon was held up
OVERDUE = "overdue"  # the message that comes after all that was said before the second look
_SLOWEST_RESTART = 60.0


@dataclass
class Slot:
    """The place of one worker: its device, the process in it, and what that process works on.

    Moments are seconds of time.monotonic().
    """

    name: str
    device: str
    index: int
    child: Child | None = None
    files: str = ""  # the fingerprint of the plugins folder when it was last told to load them
    importing: tuple[str, str] | None = None  # name and source of the plugin that it said it imports next
    ready: bool = False
    hello: Hello | None = None
    lease: Lease | None = None
    out: Path | None = None  # of the job in hand, a lease's or the backbone's export
    deadline: float | None = None  # of the job in hand, or of the start
    silent_at: float = 0.0  # when a job's worker counts as hung unless it beats again
    doubted_at: float | None = None  # when it was first seen overdue
    start_at: float = 0.0  # of the next start, after a failed one
    failures: int = 0
    progress: dict[str, Any] = field(default_factory=dict)

    def clear(self) -> None:
        """Nothing is in hand any more."""
        self.lease, self.out, self.deadline, self.doubted_at, self.progress = None, None, None, None, {}

    def discard(self) -> None:
        """The same, and what was in hand goes."""
        if self.out is not None:
            shutil.rmtree(self.out.parent, ignore_errors=True)
        self.clear()

    def due(self) -> float | None:
        """When it is overdue with what it does, or is to be looked at again."""
        if self.doubted_at is not None:
            return self.doubted_at + SECOND_LOOK
        moments = [] if self.deadline is None else [self.deadline]
        return min([*moments, self.silent_at] if self.lease is not None else moments, default=None)


class Pool:
    """All methods run on the service's one thread; the inbox carries what workers say to it."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        generations: Generations,
        inbox: Inbox,
        notice: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._generations = generations
        self._inbox = inbox
        self._notice = notice
        self._strikes = Strikes(journal)
        self._ever_ready = False
        self.observers: tuple[str, ...] = ()  # plugins that implement learnd_event, as a worker last found them
        self.files = ""  # the fingerprint of the plugins folder when it found them
        self.readers: tuple[str, ...] | None = None  # what the plugins of every worker read; None: not known yet
        named = devices(settings)
        self.slots = [Slot(name, named[index], index) for index, name in enumerate(slot_names(named))]

    def start(self) -> None:
        """Start a worker on every device."""
        self._journal.clear_workers()
        self._strikes.pardon()
        self.start_due()

    def start_due(self) -> None:
        """Start a worker wherever there is none and it is time to."""
        for slot in self.slots:
            if slot.child is None and slot.start_at <= time.monotonic():
                self._start(slot)

    def stop(self) -> None:
        """End every worker."""
        for slot in self.slots:
            if slot.child is not None:
                slot.child.kill()
            self._journal.set_worker(slot.name, "stopped")

    def _start(self, slot: Slot) -> None:
        slot.files = fingerprint(self._settings.plugins_dir)  # before it looks: what changes meanwhile is seen later
        backbone, barred = self._generations.backbone(self._settings.backbone), self._barred()
        try:
            slot.child = start_worker(
                slot.name, slot.device, slot.index, backbone, self._settings, self._inbox, barred
            )
        except OSError as error:  # no memory, no processes left, no room for the log
            self._delay(slot)
            self._notice("error", f"{slot.name} cannot be started: {error}")
            return
        slot.deadline = time.monotonic() + self._settings.worker.start_seconds
        self._journal.set_worker(slot.name, "starting")

    def welcome(self, slot: Slot, hello: Hello) -> None:
        """It has started."""
        self._can_work(slot, hello)
        self._notice("info", f"{slot.name} is ready: {hello.backbone}, plugins in use: {_in_use(hello)}")
        self._tell_quarantined(hello.plugins)

    def loaded(self, slot: Slot, loaded: Loaded) -> None:
        """It has loaded the plugins anew."""
        before = slot.hello
        if before is None:
            return  # it was not asked to
        now = replace(before, plugins=loaded.plugins, readers=loaded.readers, observers=loaded.observers)
        self._can_work(slot, now)
        self._notice("info", f"{slot.name} has loaded the plugins anew, in use: {_in_use(now)}")
        self._tell_quarantined(plugin for plugin in now.plugins if plugin not in before.plugins)

    def _can_work(self, slot: Slot, hello: Hello) -> None:
        slot.ready, slot.hello, slot.importing, slot.failures = True, hello, None, 0
        slot.clear()
        self._ever_ready = True
        self._journal.set_worker(slot.name, "ready", hello)
        self._journal.set_plugins(hello.plugins, slot.files)
        self.observers, self.files = hello.observers, slot.files
        known = [set(slot.hello.readers) for slot in self.slots if slot.hello is not None]
        self.readers = tuple(sorted(set.intersection(*known)))

    def _tell_quarantined(self, plugins: Iterable[PluginInfo]) -> None:
        for plugin in plugins:
            if plugin.state == "quarantined":
                why = (plugin.reason.strip() or "no reason given").splitlines()[0]
                self._notice("warning", f"plugin {plugin.name} ({plugin.source}) is quarantined: {why}")

    def follow_plugins(self) -> None:
        """Have every worker that has nothing to do load the plugins anew, where their folder has changed.

        Until it has, it is as one that starts: a plugin that ends or holds it up then is to blame, and no job is.
        """
        idle = [slot for slot in self.slots if slot.ready and slot.out is None]
        files = fingerprint(self._settings.plugins_dir) if idle else ""
        for slot in idle:
            if slot.files != files and slot.child is not None:
                slot.ready, slot.files = False, files
                slot.deadline = time.monotonic() + self._settings.worker.start_seconds
                self._journal.set_worker(slot.name, "starting")
                slot.child.send({"load": {"barred": to_json_all(self._barred())}})

    def _barred(self) -> tuple[PluginInfo, ...]:
        return self._strikes.barred(AT_IMPORT, AT_WORK)

    def strike(self, slot: Slot, algorithm: str, reason: str) -> None:
        """A worker was lost while this algorithm was at work on a job: once too often, and no worker has it any more.

        To be called before `end`, which forgets what the worker has said.
        """
        for plugin in slot.hello.plugins if slot.hello is not None else ():
            if (plugin.name, plugin.state) == (algorithm, "ok"):
                self._strikes.add(algorithm, plugin.source, f"was at work when a worker was lost: {reason}", AT_WORK)
        if algorithm in (plugin.name for plugin in self._barred()):
            for other in self.slots:
                other.files = ""  # so that it loads the plugins anew

    def forgive(self, report: Report) -> None:
        """What the algorithms that have worked on this task may have to answer for was no habit of theirs."""
        self._strikes.forgive([one.algorithm for one in report.candidates if one.outcome in ("chosen", "measured")])

    def refused(self, slot: Slot, reason: str) -> None:
        """It says itself that it cannot start.  Raises LearndError where none ever could."""
        if not self._ever_ready:
            raise LearndError(f"no worker can start on {slot.device}: {reason}", remedy="`learnd doctor` looks closer")

    def end(self, slot: Slot, reason: str) -> str:
        """The worker is lost, or must be: end it and plan its successor.  Returns the tail of its log.

        A plugin that it was just importing gets a strike.  Raises LearndError where no worker has ever started and
        as many as a job has attempts did not.
        """
        assert slot.child is not None  # only a slot with a process can lose it
        slot.child.kill()
        tail = slot.child.log_tail()
        slot.discard()
        plugin, was_ready = slot.importing, slot.ready
        slot.child, slot.ready, slot.hello, slot.importing = None, False, None, None
        slot.start_at = time.monotonic()
        self._journal.set_worker(slot.name, "starting")
        if plugin is not None:
            self._strikes.add(*plugin, f"killed the worker while being imported: {reason}")
        elif was_ready:
            slot.failures = 0
        else:
            self._delay(slot)
            if slot.failures >= self._settings.worker.attempts:
                last = f": {tail.splitlines()[-1]}" if tail else ""
                self.refused(slot, f"{reason}{last} ({slot.failures} attempts)")
        return tail

    def _delay(self, slot: Slot) -> None:
        slot.failures += 1
        slot.start_at = time.monotonic() + min(_SLOWEST_RESTART, 2.0**slot.failures)

    # --- what takes too long ----------------------------------------------------------------------------------------

    def doubt(self, slot: Slot) -> None:
        """See to it that an overdue worker is judged, but only after all that it has said so far is heard."""
        now = time.monotonic()
        if self.overdue(slot) is None:
            slot.doubted_at = None
        elif slot.doubted_at is None:
            slot.doubted_at = now
        elif now >= slot.doubted_at + SECOND_LOOK and slot.child is not None:
            slot.doubted_at = now
            self._inbox(slot.child, {OVERDUE: True})  # it queues up behind what came before

    def overdue(self, slot: Slot) -> str | None:
        """What a worker takes too long for; None while it does not."""
        now, limits = time.monotonic(), self._settings.worker
        if slot.deadline is not None and now > slot.deadline:
            if not slot.ready:
                what = "start" if slot.hello is None else "load the plugins"
                return f"the worker did not {what} within {limits.start_seconds:.0f} s"
            return f"it overran its {limits.job_seconds:.0f} s (worker.job_seconds)"
        if slot.lease is not None and now > slot.silent_at:
            return f"the worker has been silent for {SILENCE_SECONDS:.0f} s"
        return None


def _in_use(hello: Hello) -> int:
    return sum(plugin.state == "ok" for plugin in hello.plugins)


def slot_names(names: Sequence[str]) -> list[str]:
    """A name for the worker on each device: CPU workers are numbered ("cpu:0", "cpu:1"), GPUs keep their names.

    The second worker on one GPU is "cuda:0#2".
    """
    taken: Counter[str] = Counter()
    found: list[str] = []
    for device in names:
        if device == "cpu":
            found.append(f"cpu:{taken['cpu']}")
        else:
            full = device if ":" in device else f"{device}:0"  # "cuda" is the first one
            found.append(f"{full}#{taken[full] + 1}" if taken[full] else full)
            device = full
        taken[device] += 1
    return found
