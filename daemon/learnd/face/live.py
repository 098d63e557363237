"""The live table of `learnd run`: what is known, who is busy, and the tasks that changed last.

It reads the journal on a thread and a connection of its own, and draws only when something has changed, at most
twice a second: an idle daemon stays idle.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from learnd.control.journal import JOURNAL, Journal
from learnd.errors import StateError
from learnd.face import report, screen, snapshot
from learnd.face.wording import COLOURS, device_line, knowledge_line, one_line
from learnd.identity import printable

if TYPE_CHECKING:
    from learnd.settings import Settings

Stages = Callable[[], dict[str, str]]  # what each busy worker is at

DRAW_SECONDS = 0.5
NOTICES = 5  # that are shown
OTHER_LINES = 13  # that are neither a task nor a device
HINT = Text("Ctrl-C stops; learnd predict IMAGE asks", style="dim")


class Notices:
    """The last words of the daemon.  Called on its thread, read on that of the table."""

    def __init__(self) -> None:
        self._said: deque[tuple[str, str, str]] = deque(maxlen=NOTICES)

    def __call__(self, level: str, text: str) -> None:
        self._said.append((time.strftime("%H:%M:%S"), level, text))

    def last(self) -> tuple[tuple[str, str, str], ...]:
        """(time, level, text) of each, the newest last."""
        return tuple(self._said)


class _Terminal:
    """A stream whose terminal may go: what is written afterwards goes nowhere, as nobody reads along any more."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> int:
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def _do(self, work: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            work()
        except OSError:  # EIO of a terminal that was closed
            self._gone = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def live(settings: Settings, stages: Stages, notices: Notices) -> Iterator[None]:
    """Show the table on stderr as long as the body runs; what it said last stays on the screen.

    Where the terminal goes meanwhile, the body runs on.
    """
    console = screen.console(err=True)
    console.file = cast("IO[str]", _Terminal(sys.stderr))
    stop = threading.Event()
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as area:
        work = (settings, stages, notices, area, stop)
        thread = threading.Thread(target=_follow, args=work, name="live", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)


def _follow(settings: Settings, stages: Stages, notices: Notices, area: Live, stop: threading.Event) -> None:
    journal: Journal | None = None
    drawn: object = None
    finished = False
    while not finished:
        finished = stop.wait(DRAW_SECONDS if drawn else 0.0)
        try:
            journal = journal or Journal(settings.state / JOURNAL)
        except StateError:  # the daemon that is starting says what is wrong, or is about to create it
            journal = None
        now = (journal and journal.db.data_version(), stages(), notices.last(), area.console.size, finished)
        if now != drawn:
            table = draw(settings, journal, stages(), notices, area.console)
            area.update(table if finished else Group(table, HINT), refresh=True)
            drawn = now
    if journal is not None:
        journal.close()


def draw(
    settings: Settings, journal: Journal | None, stages: dict[str, str], notices: Notices, console: Console
) -> Group:
    """The whole table as it is now."""
    parts: list[Table | Text] = []
    if journal is not None:
        head = _head(settings, journal, stages)
        rows = console.height - OTHER_LINES - len(journal.workers())
        parts += [head, Text(), _latest(journal, max(3, rows))]
    parts.append(Text())
    for when, level, text in notices.last():
        line = Text.assemble((f"{when} ", "dim"), (one_line(text), COLOURS.get(level, "")))
        line.truncate(console.width, overflow="ellipsis")
        parts.append(line)
    return Group(*parts)


def _head(settings: Settings, journal: Journal, stages: dict[str, str]) -> Table:
    table = screen.columns("", "", flexible="")
    table.add_row("watching", _line(str(settings.tasks)))
    table.add_row("knowledge", _line(knowledge_line(snapshot.knowledge(settings, journal))))
    table.add_row("tasks", report.counts(journal.tasks.counts()))
    for device in snapshot.devices(journal, running=True):
        stage = stages.get(device["name"])
        table.add_row(device["name"], _line(device_line(device) + (f": {stage}" if stage and device["busy"] else "")))
    return table


def _latest(journal: Journal, limit: int) -> Table:
    table = screen.columns("task", "state", "algorithm", "accuracy", "", flexible="", right=("accuracy",))
    for row in journal.tasks.latest(limit):
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.3f}"
        name = printable(row.name) + (f" (revision {row.revision})" if row.revision > 1 else "")
        table.add_row(name, screen.coloured(row.state), row.algorithm or "", accuracy, _line(row.reason))
    return table


def _line(text: str) -> Text:
    """One line, cut where the terminal ends."""
    return Text(one_line(text), overflow="ellipsis", no_wrap=True)
