"""Observers: every event of the journal is sent to the plugins that implement `learnd_event`.

They run in a process of their own, since they import what they like.  One event is under way at a time, so that nothing
here ever waits for a plugin; one that raises is blamed, one that ends the process or hangs is called no more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from learnd.control.dispatch.plugin_strikes import AT_EVENT, AT_IMPORT, Strikes
from learnd.control.journal.journal import Journal
from learnd.control.processes.child import GONE, Child, Inbox, explain_exit
from learnd.control.processes.start import start_observer
from learnd.messages.convert import legible, to_json
from learnd.settings.keys import Settings

EVENT_SECONDS = 30.0  # seconds that the observers may take for one event
_STARTS = 3  # that may fail before they are given up
_LONGEST_LOOK = 60.0
_LONGEST_MESSAGE = 10_000  # characters of it that are sent: a pipe takes it whole

Plugin = tuple[str, str]  # name, source


class Observers:
    """All methods run on the service's one thread.  Events are sent from the moment that this is made."""

    def __init__(self, settings: Settings, journal: Journal, inbox: Inbox, notice: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._journal = journal
        self._inbox = inbox
        self._notice = notice
        self._strikes = Strikes(journal)
        self._last_sent = journal.db.last_event()  # the id of the newest one that was sent, or is being sent
        self._found: tuple[tuple[str, ...], str] = ((), "")  # what a worker found: see use
        self._stale = False  # the process has loaded what was there before
        self._wanted = False
        self._child: Child | None = None
        self._ready = False
        self._at: Plugin | None = None  # the plugin that is being imported or called
        self._overdue_at: float | None = None  # of the start, or of the event under way (monotonic seconds)
        self._start_at = 0.0
        self._failures = 0
        self._blamed: set[Plugin] = set()

    def use(self, names: tuple[str, ...], files: str) -> None:
        """The plugins that a worker found to observe, and the fingerprint of the plugins folder it found them in.

        Without any there is no process.  If either changes, a new process starts after the current event.
        """
        if (names, files) != self._found:
            self._found, self._wanted, self._stale = (names, files), bool(names), self._child is not None
            self._failures, self._start_at = 0, 0.0
            self._blamed.clear()

    @property
    def settled(self) -> bool:
        """Everything has been sent, or nobody listens."""
        if not self._wanted:
            return True
        return self._child is not None and self._idle and self._last_sent == self._journal.db.last_event()

    @property
    def _idle(self) -> bool:
        return self._ready and self._overdue_at is None

    def owns(self, child: Child) -> bool:
        return child is self._child

    def stop(self) -> None:
        if self._child is not None:
            self._child.kill()

    def tick(self) -> float:
        """Start the process, tell the next event, end what hangs.  Returns seconds until the next look."""
        now = time.monotonic()
        if self._child is not None and self._overdue_at is not None and now > self._overdue_at:
            self._child.kill()  # its last message, `gone`, comes after all that it said and does the rest
            self._overdue_at = math.inf
        if self._child is not None and self._idle and self._stale:
            self._child.kill()  # what it says last is nobody's
            self._child, self._ready = None, False
        if self._child is None and self._wanted and now >= self._start_at:
            self._start(now)
        elif self._idle and self._wanted:
            self._tell_next(now)
        moments = [self._start_at if self._child is None and self._wanted else None, self._overdue_at]
        return max(0.0, min([moment for moment in moments if moment is not None] + [now + _LONGEST_LOOK]) - now)

    def _start(self, now: float) -> None:
        try:
            self._child = start_observer(self._settings, self._inbox, self._strikes.barred(AT_IMPORT, AT_EVENT))
        except OSError as error:
            self._failed(f"cannot be started: {error}")
            return
        self._ready, self._stale, self._overdue_at = False, False, now + self._settings.worker.start_seconds

    def _tell_next(self, now: float) -> None:
        found = self._journal.db.event_after(self._last_sent)
        if found is None or self._child is None:
            return
        self._last_sent, event = found
        sent = to_json(event)
        self._overdue_at = now + EVENT_SECONDS
        self._child.send({"event": {**sent, "message": event.message[:_LONGEST_MESSAGE]}})

    def hear(self, message: dict[str, Any]) -> None:
        """Handle one message of the process."""
        said = legible(message)
        if "importing" in said or "calling" in said:
            plugin = said.get("importing") or said.get("calling")
            self._at = None if plugin is None else (plugin["name"], plugin["source"])
        elif "hello" in said:
            self._ready, self._overdue_at, self._failures = True, None, 0
            if not self._stale:  # else it is replaced
                self._wanted = bool(said["hello"]["observers"])
            if not self._wanted:
                self.stop()
        elif "raised" in said:
            self._blame((said["raised"]["name"], said["raised"]["source"]), said["raised"]["reason"])
        elif "delivered" in said:
            self._at = self._overdue_at = None
        elif "failed" in said:
            self._notice("warning", f"observers: {said['failed']}")
        elif GONE in said:
            self._gone(explain_exit(said[GONE]))

    def _blame(self, plugin: Plugin, reason: str) -> None:
        """Said once a plugin; the log has every traceback.  No event: that would be the next one it raises on."""
        if plugin not in self._blamed:
            self._blamed.add(plugin)
            self._notice("warning", f"plugin {plugin[0]} ({plugin[1]}): its learnd_event raised {reason}")

    def _gone(self, how: str) -> None:
        plugin, ready = self._at, self._ready
        self._child, self._ready, self._at, self._overdue_at = None, False, None, None
        if not self._wanted:
            return
        if plugin is None:
            self._failed(how)
            return
        role, what = (AT_EVENT, "called with an event") if ready else (AT_IMPORT, "imported")
        reason = f"killed the observers while being {what}: the process {how}"
        self._strikes.add(*plugin, reason, role)
        self._notice("warning", f"plugin {plugin[0]} ({plugin[1]}) {reason}")

    def _failed(self, how: str) -> None:
        self._failures += 1
        self._start_at = time.monotonic() + 2.0**self._failures
        self._wanted = self._failures < _STARTS
        end = "" if self._wanted else "; they hear nothing until a plugin changes or the daemon starts again"
        self._notice("warning", f"the process of the observers {how}{end}")
