"""watchdog's observer, used as a event source: that something changed, and where; never what a folder holds.

watchdog's own inotify observer swallows two things that we must hear: that a sub-directory could not be
watched (a limit was hit), and that the kernel's queue ran over. Its classes take an InotifyFD from outside,
so ours listens in. Imported only where a event source is wanted.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import cast

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver

_LIMITS = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_WANTED: list[type[FileSystemEvent]] = [  # not "opened" and "read": our own reading would ring
    DirAttribEvent, DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileAttribEvent,
    FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileModifiedEvent, FileMovedEvent,
]  # fmt: skip


class _Handler(FileSystemEventHandler):
    def __init__(self, heard: Callable[[FileSystemEvent], None]) -> None:
        self._heard = heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._heard(event)


class EventSource:
    """Rings for every change below root, from threads of its own, until it is stopped or dies.

    heard(event) for each change; missed(error) when something could not be watched (an OSError) or the kernel
    dropped events (None). Neither may block. Raises OSError if root itself cannot be watched.
    """

    def __init__(
        self, root: str, heard: Callable[[FileSystemEvent], None], missed: Callable[[OSError | None], None]
    ) -> None:
        self._observer = _observer(missed)
        try:
            self._observer.schedule(_Handler(heard), root, recursive=True, event_filter=_WANTED)
            self._observer.start()
        except BaseException:
            self._observer.on_thread_stop()
            raise

    @property
    def alive(self) -> bool:
        """All of its threads run, and root is still watched."""
        return self._observer.is_alive() and all(emitter.is_alive() for emitter in self._observer.emitters)

    def stop(self) -> None:
        """End the threads and wait for them."""
        self._observer.stop()
        self._observer.join()


def _observer(missed: Callable[[OSError | None], None]) -> BaseObserver:
    if sys.platform != "linux":
        from watchdog.observers import Observer

        return cast(BaseObserver, Observer())
    return _inotify_observer(missed)


def _inotify_observer(missed: Callable[[OSError | None], None]) -> BaseObserver:
    from watchdog.observers.inotify import InotifyFullEmitter
    from watchdog.observers.inotify_c import (
        CallbackId,
        InotifyEvent,
        InotifyFD,
        Mask,
        WatchCallback,
        WatchDescriptor,
    )

    class Ears(InotifyFD):
        def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
            # As InotifyFD does, but without its warning when a directory that was moved out comes back.
            try:
                with self._lock:
                    watch = self._get_or_create_watch(path, mask)
                    if watch.wd == -1:  # what it makes of a directory that may not be read
                        raise PermissionError(errno.EACCES, "it may not be read")
                    watch.callbacks[id_] = callback
                    return watch.wd
            except OSError as error:
                if error.errno in _LIMITS:
                    missed(error)
                raise

        def handle_event(self, event: InotifyEvent) -> None:
            super().handle_event(event)
            if event.is_queue_overflow:
                missed(None)

    class Observer(BaseObserver):
        def __init__(self) -> None:
            self._ears = Ears()
            self._ears.start()
            # The full emitter tells a directory that was moved in from one that was made there.
            super().__init__(InotifyFullEmitter, inotify_fd=self._ears)

        def on_thread_stop(self) -> None:
            super().on_thread_stop()
            self._ears.stop()
            self._ears.join()

    return Observer()
