"""Reports that something changed in the watched folder, and where.  An event says where to look, a scan what is there.

Two backends: "inotify" (on macOS "fsevents") rings at once; "polling" never rings, and the service looks by
itself every poll_seconds. With either, the service rescans everything every rescan_seconds and calls check()
then, so that no lost event, dead thread, unmounted folder or exhausted limit makes the daemon blind.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnd.control.intake.filesystem import backend_for
from learnd.control.intake.folder_scan import is_ignored

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent

    from learnd.control.intake.file_events import EventSource
    from learnd.settings.keys import WatchSettings


@dataclass(frozen=True)
class FolderEvent:
    """Look at the task folder of this name, or at everything (None).

    renamed: the folder has just arrived by one rename.
    """

    folder: str | None
    renamed: bool = False


class Watcher:
    """Watches root until stopped.

    report(FolderEvent) is called from other threads, once for every event: it must be quick and thread-safe, and so
    must notice(level, text), which tells a person; level is "info", "warning" or "error". start, check and stop
    belong to one thread.
    """

    def __init__(
        self,
        root: Path,
        settings: WatchSettings,
        report: Callable[[FolderEvent], None],
        notice: Callable[[str, str], None],
    ) -> None:
        self._root = os.path.realpath(root)
        self._settings = settings
        self._report = report
        self._notice = notice
        self._events: EventSource | None = None
        self._identity: tuple[int, int] | None = None
        self._refused: list[OSError] = []  # filled by the observer's threads
        self.backend = "polling"  # "inotify" | "fsevents" | "polling"

    @property
    def rescan_seconds(self) -> float:
        """How often the service must look at everything by itself."""
        return self._settings.poll_seconds if self.backend == "polling" else self._settings.rescan_seconds

    def start(self) -> None:
        """Choose the backend and begin.  Scan everything after this: what came before is not reported."""
        chosen, why = backend_for(Path(self._root))
        wanted = self._settings.backend
        if wanted not in ("auto", chosen):
            if wanted == "inotify":
                self._notice("warning", f"watching by inotify as configured, although {self._root}: {why}")
            chosen = wanted
        elif chosen == "polling":
            self._notice("info", f"watching {self._root} by polling: {why}")
        self.backend = chosen
        self._identity = _identity(self._root)
        if self._identity is None:
            self._notice("error", self._gone())
        else:
            self._listen()

    def stop(self) -> None:
        """End every thread; silent from now on."""
        if self._events is not None:
            self._events.stop()
            self._events = None

    def check(self) -> None:
        """Supervise: restart what died, and fall back to polling, loudly, where the kernel refuses."""
        identity = _identity(self._root)
        if identity != self._identity:
            self._root_changed(identity)
        elif self._refused:
            self._fall_back(self._refused[0])
        elif self._events is not None and not self._events.alive:
            self._notice("warning", f"the {self.backend} thread watching {self._root} died; starting another")
            self._restart()

    def _root_changed(self, identity: tuple[int, int] | None) -> None:
        was, self._identity = self._identity, identity
        if identity is None:
            self._notice("error", self._gone())
            self.stop()
            return
        how = "is there again" if was is None else "is now another folder (replaced, or mounted over)"
        self._notice("warning", f"{self._root} {how}; watching it")
        self._restart()

    def _restart(self) -> None:
        self.stop()
        self._listen()
        self._report(FolderEvent(None))

    def _listen(self) -> None:
        if self.backend == "polling":
            return
        from learnd.control.intake.file_events import EventSource

        self._refused = []
        try:
            self._events = EventSource(self._root, self._heard, self._missed)
        except OSError as error:
            self._fall_back(error)
            return
        if self._refused:
            self._fall_back(self._refused[0])

    def _fall_back(self, error: OSError) -> None:
        self.stop()
        self._refused = []
        if error.errno in (errno.ENOENT, errno.ENOTDIR):  # it went away meanwhile; check() sees it return
            self._identity = None
            self._notice("error", self._gone())
            return
        self.backend = "polling"
        every = f"looking every {self._settings.poll_seconds:g} s instead (polling)"
        self._notice("warning", f"{_limit(error)}; {every}")
        self._report(FolderEvent(None))

    def _gone(self) -> str:
        return f"the watched folder {self._root} is not there; waiting for it to come (back)"

    def _missed(self, error: OSError | None) -> None:
        """Called on the observer's thread: a watch was refused, or events were dropped."""
        if error is None:
            self._notice("warning", "the kernel's queue of changes ran over; looking at everything")
        else:
            self._refused.append(error)
        if error is None or len(self._refused) == 1:
            self._report(FolderEvent(None))

    def _heard(self, event: FileSystemEvent) -> None:
        """Called on the observer's thread: report the task folder that an event is about, or those."""
        source, target = self._place(event.src_path), self._place(event.dest_path)
        for place in {source, target}:
            name, _, below = place.partition("/")
            if name and not is_ignored(name):
                arrived = event.is_directory and event.event_type == "moved" and place == target and not below
                self._report(FolderEvent(name, renamed=arrived))

    def _place(self, path: bytes | str) -> str:
        """A path relative to root; empty for root itself and for what is not below it."""
        text = os.fsdecode(path)
        return text[len(self._root) + 1 :] if text.startswith(self._root + os.sep) else ""


def _identity(root: str) -> tuple[int, int] | None:
    try:
        status = os.stat(root)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _limit(error: OSError) -> str:
    """What stood in the way, and which knob turns it."""
    if error.errno == errno.ENOSPC:
        knob = "fs.inotify.max_user_watches"
        return f"the kernel's limit on inotify watches is reached (raise it: sysctl {knob}=1048576)"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        knob = "fs.inotify.max_user_instances=1024"
        return f"the limit on inotify instances or open files is reached (raise it: sysctl {knob}, or ulimit -n)"
    return f"inotify cannot be used here ({error.strerror or error})"
