"""The dashboard where there is no terminal: a line for every change, for people or for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from learnd.control.journal.journal import Journal
from learnd.messages.convert import SCHEMA
from learnd.messages.plugins import Event
from learnd.ui.views.wording import one_line

LOOK_SECONDS = 0.5


def changes(journal: Journal, after: int) -> Iterator[tuple[int, Event]]:
    """The events after the one with this id, as far as they have happened."""
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
