"""The dashboard in a pipe or with --json, without a terminal: one line per event."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.errors import StateError
from learnd.messages.convert import SCHEMA
from learnd.messages.plugins import Event
from learnd.settings.keys import Settings
from learnd.ui.views.formatting import one_line

REFRESH_SECONDS = 0.5


def print_changes(settings: Settings, *, as_json: bool) -> int:
    """Print a line per event from now on, until a signal comes or the reader closes the pipe."""
    path = settings.state / JOURNAL
    journal: Journal | None = None
    last = 0
    with suppress(KeyboardInterrupt):
        while True:
            if journal is None and path.exists():
                with suppress(StateError):  # a daemon that is starting has created the file and not yet filled it
                    journal = Journal(path, readonly=True)
                    last = journal.db.last_event()
            for number, event in changes(journal, last) if journal is not None else ():
                print(line(event, as_json=as_json), flush=True)
                last = number
            time.sleep(REFRESH_SECONDS)
    return 0


def changes(journal: Journal, after: int) -> Iterator[tuple[int, Event]]:
    """Yield (id, event) for the events after the one with this id."""
    while (found := journal.db.event_after(after)) is not None:
        yield found
        after = found[0]


def line(event: Event, *, as_json: bool) -> str:
    if as_json:
        said: dict[str, Any] = {"at": event.at, "kind": event.kind, "task": event.task, "message": event.message}
        return json.dumps({"schema": SCHEMA, **said})
    about = f" {event.task}:" if event.task else ""
    when = time.strftime("%H:%M:%S", time.localtime(event.at))
    return one_line(f"{when} {event.kind}{about} {event.message}")
