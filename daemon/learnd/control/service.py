"""The daemon: one thread that hears the watcher, the inspector, the workers and the clock, in one queue."""

from __future__ import annotations

import json
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from learnd.control.dispatch.dispatcher import Dispatcher
from learnd.control.dispatch.observers import Observers
from learnd.control.files.lock import hold
from learnd.control.intake.folder_scan import task_folders
from learnd.control.intake.task_folders import Folders
from learnd.control.intake.watcher import FolderEvent, Watcher
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.knowledge.change_requests import Undoing
from learnd.control.knowledge.generations import Generations
from learnd.control.knowledge.image_budget import Budget
from learnd.control.processes.child import Child
from learnd.errors import StateUnavailable
from learnd.identity import task_id
from learnd.messages.task import TaskState
from learnd.settings.keys import Settings

_GLANCE = 1.0  # seconds between looks for what a command wrote into the journal
_REST = 200  # times as long as a rescan took: it never costs more than 0.5 % of a core, however many tasks there are

Notice = Callable[[str, str], None]  # level ("info" | "warning" | "error"), text


@dataclass(frozen=True)
class _Said:
    child: Child
    message: dict[str, Any]


@dataclass(frozen=True)
class _Stop:
    signal: int


class EventCollector:
    """Collects the watcher's events, so that a thousand events about one folder cause one scan."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._collected: dict[str | None, bool] = {}

    def __call__(self, event: FolderEvent) -> None:
        """Called on the watcher's thread."""
        with self._lock:
            first = not self._collected
            self._collected[event.folder] = self._collected.get(event.folder, False) or event.renamed
        if first:
            self._wake()

    def take(self) -> dict[str | None, bool]:
        """Return what was collected since the last time: folder name (None: everywhere) -> arrived by rename."""
        with self._lock:
            collected, self._collected = self._collected, {}
        return collected


@dataclass(frozen=True)
class _Parts:
    """What the loop drives."""

    journal: Journal
    folders: Folders
    dispatcher: Dispatcher
    undoing: Undoing
    budget: Budget
    observers: Observers
    watcher: Watcher


class Service:
    """`Service(settings, notice).run()` is the daemon.

    Raises StateError if the state is held or damaged, and StateUnavailable if a full disk, missing rights or a
    lack of processes stops it: started again, it goes on.
    """

    def __init__(self, settings: Settings, notice: Notice) -> None:
        self._settings = settings
        self._notice = notice
        self._inbox: queue.SimpleQueue[_Said | _Stop | None] = queue.SimpleQueue()
        self._events = EventCollector(lambda: self._inbox.put(None))

    def run(self, *, once: bool = False) -> int:
        """Learn until a signal comes; with once, until nothing is left to learn.

        Returns 0, or with once 1 where a task whose folder is there failed or was rejected.
        """
        settings = self._settings
        try:
            settings.tasks.mkdir(parents=True, exist_ok=True)
            settings.state.mkdir(parents=True, exist_ok=True)
            with hold(settings.state), closing(Journal(settings.state / JOURNAL, create=True)) as journal:
                return self._serve(journal, once)
        except OSError as error:  # one that no room had an answer to
            where = str(error.filename or settings.state)
            remedy = "see that the daemon's user may write there and the disk has room, and start again"
            raise StateUnavailable(error.strerror or str(error), where=where, remedy=remedy) from error

    def _serve(self, journal: Journal, once: bool) -> int:
        settings = self._settings
        generations = Generations(settings.state, journal, settings.knowledge.retention)
        self._recover(journal, generations)
        generations.backbone(settings.backbone)  # or say at once that this state was made with another
        folders = Folders(settings, journal, self._hear, self._notice)
        dispatcher = Dispatcher(settings, journal, generations, self._hear, folders.look, self._notice)
        parts = _Parts(
            journal,
            folders,
            dispatcher,
            Undoing(journal, generations),
            Budget(journal, generations.tasks, settings.memory.max_bytes, self._notice),
            Observers(settings, journal, self._hear, self._notice),
            Watcher(settings.tasks, settings.watch, self._events, self._notice),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda found, _frame: self._inbox.put(_Stop(found)))
        try:
            folders.start()
            dispatcher.start()
            parts.watcher.start()
            self._loop(parts, once)
        finally:
            parts.watcher.stop()
            dispatcher.stop()
            folders.stop()
            parts.observers.stop()
        return 1 if once and self._fell_short(journal) else 0

    def _fell_short(self, journal: Journal) -> bool:
        """Whether a folder that is there could not be learnt; what failed long ago and was removed is history."""
        unlearnt = journal.tasks.ids_in(TaskState.FAILED, TaskState.REJECTED)
        return not unlearnt.isdisjoint(map(task_id, task_folders(self._settings.tasks)))

    def _recover(self, journal: Journal, generations: Generations) -> None:
        for orphan in generations.prepare():
            self._notice("info", f"removed what an earlier daemon left unfinished: {orphan}")
        again = journal.jobs.recover()
        if again:
            self._notice("info", f"{again} job(s) that ran when the daemon stopped are queued again")
        journal.resume()  # whoever paused an earlier daemon is not here to resume this one

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        """Called on a child's reader thread."""
        self._inbox.put(_Said(child, message))

    def _loop(self, parts: _Parts, once: bool) -> None:
        journal, folders, dispatcher = parts.journal, parts.folders, parts.dispatcher
        budget, watcher, observers = parts.budget, parts.watcher, parts.observers
        rescan_at, seen, backend = 0.0, journal.db.data_version(), ""
        while True:
            if watcher.backend != backend:
                backend = watcher.backend
                journal.put("watching", json.dumps({"path": str(self._settings.tasks), "backend": backend}))
            now = time.monotonic()
            version = journal.db.data_version()
            if now >= rescan_at or version != seen:
                parts.undoing.serve(self._notice)
                watcher.check()
                folders.look_everywhere()
                took = time.monotonic() - now
                rescan_at, seen = now + max(watcher.rescan_seconds, _REST * took), version
            # In this order: what dispatch gives up may call for another look at a folder.
            pause = min(dispatcher.tick(), folders.tick(), observers.tick(), rescan_at - now, _GLANCE)
            pause = min(pause, budget.tick())
            settled = all(part.settled for part in (folders, observers, dispatcher, budget))
            idle = settled and journal.jobs.next_due() is None
            if once and idle and self._inbox.empty() and journal.db.data_version() == seen:
                return
            if self._wait(parts, max(0.0, pause)):
                return

    def _wait(self, parts: _Parts, seconds: float) -> bool:
        """Handle what comes within so many seconds; True when it is time to stop."""
        folders, dispatcher, observers = parts.folders, parts.dispatcher, parts.observers
        try:
            item = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return False
        if isinstance(item, _Stop):
            self._notice("info", f"stopping ({signal.Signals(item.signal).name})")
            return True
        if item is None:
            for name, renamed in self._events.take().items():
                if name is None:
                    folders.look_everywhere()
                else:
                    folders.look(name, renamed)
        elif folders.owns(item.child):
            folders.hear(item.message)
        elif observers.owns(item.child):
            observers.hear(item.message)
        else:
            dispatcher.hear(item.child, item.message)
            folders.use_readers(dispatcher.readers)
            observers.use(dispatcher.observers, dispatcher.plugin_files)
        return False
