"""The places of the workers: a process in each, started, watched for silence, ended, and started again.

Durations are measured by the monotonic clock alone: nobody is killed because a machine's clock was set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from learnd.control.dispatch.plugin_strikes import AT_IMPORT, AT_WORK, Strikes
from learnd.control.dispatch.worker_slot import SECOND_LOOK, WorkerSlot, slot_names
from learnd.control.journal.journal import Journal
from learnd.control.knowledge.generations import Generations
from learnd.control.processes.child import Inbox
from learnd.control.processes.start import WorkerPlace, devices, refuse_quarantined, start_worker
from learnd.errors import LearndError
from learnd.messages.convert import to_json_all
from learnd.messages.plugins import PluginInfo, PluginState
from learnd.messages.report import Report
from learnd.messages.worker import Hello, Loaded, WorkerState
from learnd.plugin_files import fingerprint
from learnd.settings.keys import Settings

SILENCE_SECONDS = 60.0  # a worker beats every 2 s; one that is silent for this long hangs
OVERDUE = "overdue"  # the message that comes after all that was said before the second look
_SLOWEST_RESTART = 60.0


class WorkerPool:
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
        self.slots = [WorkerSlot(name, named[index], index) for index, name in enumerate(slot_names(named))]

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
            self._journal.set_worker(slot.name, WorkerState.STOPPED)

    def _start(self, slot: WorkerSlot) -> None:
        slot.files = fingerprint(self._settings.plugins_dir)  # before it looks: what changes meanwhile is seen later
        backbone, barred = self._generations.backbone(self._settings.backbone), self._barred()
        try:
            slot.child = start_worker(
                WorkerPlace(slot.name, slot.device, slot.index), backbone, self._settings, self._inbox, barred
            )
        except OSError as error:  # no memory, no processes left, no room for the log
            self._delay(slot, f"it cannot be started: {error}")
            return
        slot.deadline = time.monotonic() + self._settings.worker.start_seconds
        self._journal.set_worker(slot.name, WorkerState.STARTING)

    def welcome(self, slot: WorkerSlot, hello: Hello) -> None:
        """It has started."""
        self._can_work(slot, hello)
        self._notice("info", f"{slot.name} is ready: {hello.backbone}, plugins in use: {_in_use(hello)}")
        self._tell_quarantined(hello.plugins)

    def loaded(self, slot: WorkerSlot, loaded: Loaded) -> None:
        """It has loaded the plugins again."""
        before = slot.hello
        if before is None:
            return  # it was not asked to
        now = replace(before, plugins=loaded.plugins, readers=loaded.readers, observers=loaded.observers)
        self._can_work(slot, now)
        self._notice("info", f"{slot.name} has loaded the plugins anew, in use: {_in_use(now)}")
        self._tell_quarantined(plugin for plugin in now.plugins if plugin not in before.plugins)

    def _can_work(self, slot: WorkerSlot, hello: Hello) -> None:
        slot.ready, slot.hello, slot.importing = True, hello, None
        slot.clear()
        self._ever_ready = True
        self._journal.set_worker(slot.name, WorkerState.READY, hello)
        self._journal.set_plugins(hello.plugins, slot.files)
        self.observers, self.files = hello.observers, slot.files
        known = [set(slot.hello.readers) for slot in self.slots if slot.hello is not None]
        self.readers = tuple(sorted(set.intersection(*known)))

    def _tell_quarantined(self, plugins: Iterable[PluginInfo]) -> None:
        """Raises PluginError at the first one, with its traceback, where the settings want that."""
        for plugin in plugins:
            if plugin.state is PluginState.QUARANTINED:
                why = (plugin.reason.strip() or "no reason given").splitlines()[0]
                self._notice("warning", f"plugin {plugin.name} ({plugin.source}) is quarantined: {why}")
                refuse_quarantined([plugin], self._settings)

    def follow_plugins(self) -> None:
        """Have every worker that has nothing to do load the plugins again, where their folder has changed.

        Until it has, it is as one that starts: a plugin that ends or holds it up then is to blame, and no job is.
        """
        idle = [slot for slot in self.slots if slot.ready and slot.out is None]
        files = fingerprint(self._settings.plugins_dir) if idle else ""
        for slot in idle:
            if slot.files != files and slot.child is not None:
                slot.ready, slot.files = False, files
                slot.deadline = time.monotonic() + self._settings.worker.start_seconds
                self._journal.set_worker(slot.name, WorkerState.STARTING)
                slot.child.send({"load": {"barred": to_json_all(self._barred())}})

    def _barred(self) -> tuple[PluginInfo, ...]:
        return self._strikes.barred(AT_IMPORT, AT_WORK)

    def strike(self, slot: WorkerSlot, algorithm: str, reason: str) -> None:
        """A worker was lost while this algorithm was at work on a job: once too often, and no worker has it any more.

        To be called before `end`, which forgets what the worker has said.
        """
        for plugin in slot.hello.plugins if slot.hello is not None else ():
            if (plugin.name, plugin.state) == (algorithm, "ok"):
                self._strikes.add(algorithm, plugin.source, f"was at work when a worker was lost: {reason}", AT_WORK)
        if algorithm in (plugin.name for plugin in self._barred()):
            for other in self.slots:
                other.files = ""  # so that it loads the plugins again

    def came_back(self, slot: WorkerSlot, report: Report | None) -> None:
        """A job was done to its end: the worker's earlier losses, and those of the algorithms used, were no habit."""
        slot.failures = 0
        if report is not None:
            used = [one.algorithm for one in report.candidates if one.outcome in ("chosen", "measured")]
            self._strikes.forgive(used)

    def refused(self, slot: WorkerSlot, reason: str) -> None:
        """It says itself that it cannot start.  Raises LearndError if none ever could."""
        if not self._ever_ready:
            raise LearndError(f"no worker can start on {slot.device}: {reason}", remedy="`learnd doctor` looks closer")

    def end(self, slot: WorkerSlot, reason: str) -> str:
        """The worker is lost, or must be: end it and plan its successor.  Returns the tail of its log.

        A plugin that it was just importing gets a strike.  Where neither that nor the attempts of a job put a bound
        to it, the successor waits, the longer the more often that happens until a job comes back.
        Raises LearndError if no worker has ever started and as many as a job has attempts did not.
        """
        assert slot.child is not None  # only a slot with a process can lose it
        slot.child.kill()
        tail = slot.child.log_tail()
        plugin, was_ready, had_job = slot.importing, slot.ready, slot.lease is not None
        slot.discard()
        slot.child, slot.ready, slot.hello, slot.importing = None, False, None, None
        slot.start_at = time.monotonic()
        self._journal.set_worker(slot.name, WorkerState.STARTING)
        if plugin is not None:
            self._strikes.add(plugin.name, plugin.source, f"killed the worker while being imported: {reason}")
        elif not had_job:
            last = f": {tail.splitlines()[-1]}" if tail else ""
            if not was_ready and slot.failures + 1 >= self._settings.worker.attempts:
                self.refused(slot, f"{reason}{last} ({slot.failures + 1} attempts)")
            self._delay(slot, f"{reason}{last}")
        return tail

    def renew(self, slot: WorkerSlot) -> None:
        """Its network is no longer the one that knowledge stands on: another process, with the new one, at once."""
        assert slot.child is not None  # only a slot with a process has a network
        slot.child.kill()
        slot.discard()
        slot.child, slot.ready, slot.hello, slot.importing = None, False, None, None
        slot.start_at = time.monotonic()
        self._journal.set_worker(slot.name, WorkerState.STARTING)
        self._start(slot)

    def _delay(self, slot: WorkerSlot, reason: str) -> None:
        slot.failures += 1
        pause = min(_SLOWEST_RESTART, 2.0**slot.failures)
        slot.start_at = time.monotonic() + pause
        self._journal.set_worker(slot.name, WorkerState.RESTARTING)
        often = f" {slot.failures} times since a job came back" if slot.failures > 1 else ""
        self._notice("warning", f"{slot.name} was lost{often}, the next one starts in {pause:g} s ({reason})")

    # --- what takes too long ----------------------------------------------------------------------------------------

    def doubt(self, slot: WorkerSlot) -> None:
        """See to it that an overdue worker is judged, but only after all that it has said so far is heard."""
        now = time.monotonic()
        if self.overdue(slot) is None:
            slot.doubted_at = None
        elif slot.doubted_at is None:
            slot.doubted_at = now
        elif now >= slot.doubted_at + SECOND_LOOK and slot.child is not None:
            slot.doubted_at = now
            self._inbox(slot.child, {OVERDUE: True})  # it queues up behind what came before

    def overdue(self, slot: WorkerSlot) -> str | None:
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
    return sum(plugin.state is PluginState.OK for plugin in hello.plugins)
