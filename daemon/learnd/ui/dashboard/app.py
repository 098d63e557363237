"""The loop of the dashboard: read the journal, draw, wait for a key.  The daemon never waits for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from learnd.control.dispatch.progress_file import posted
from learnd.control.files.lock import holder_of
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.errors import StateError
from learnd.settings.keys import Settings
from learnd.ui.dashboard.actions import carry_out
from learnd.ui.dashboard.device_usage import DeviceUsage
from learnd.ui.dashboard.journal_reader import ROWS, Facts, JournalReader
from learnd.ui.dashboard.keys import ActionKind, DashboardView, cursor, press
from learnd.ui.dashboard.layout import lay_out
from learnd.ui.dashboard.panels import EMPTY, Panel, ScreenContent, build_content
from learnd.ui.dashboard.symbols import SymbolSet
from learnd.ui.dashboard.terminal import Terminal, TerminalClosed
from learnd.ui.dashboard.without_terminal import REFRESH_SECONDS
from learnd.ui.views import console


class FactsSource:
    """Reads the facts.  It opens the journal as soon as there is one, and again if another file takes its place."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._journal: Journal | None = None
        self._reader: JournalReader | None = None
        self._inode = 0
        self._seen: object = None
        self._facts = EMPTY
        self.trouble = ""  # why the journal cannot be read now

    def read(self, rows: int, filter: str) -> Facts:
        """Return the newest facts, or the last ones if the journal cannot be read now."""
        try:
            self._attach()
            if self._journal is not None and self._reader is not None:
                asked = (self._journal.db.data_version(), rows, filter, self._inode)
                if asked != self._seen:
                    self._facts, self._seen = self._reader.read(rows, filter), asked
            self.trouble = ""
        except StateError as error:
            self.close()
            self.trouble = error.what
        return self._facts

    def _attach(self) -> None:
        path = self._settings.state / JOURNAL
        inode = path.stat().st_ino if path.exists() else 0
        if inode != self._inode:  # the file is new, or another one has taken its place
            self.close()
            self._facts, self._inode = EMPTY, inode
        if self._journal is None and inode:
            self._journal = Journal(path, readonly=True)
            self._reader = JournalReader(self._journal)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._journal, self._reader, self._seen = None, None, None


def show(
    settings: Settings, view: DashboardView, symbols: SymbolSet, running: Callable[[], bool] = lambda: True
) -> int:
    """Show the dashboard until the user quits, a signal comes or running() is false.  Returns the exit code."""
    terminal = Terminal(sys.stdin.fileno(), sys.stdout, console.console())
    source = FactsSource(settings)
    try:
        with terminal.taken():
            _follow(settings, terminal, source, view, symbols, running)
    except TerminalClosed as end:
        return end.code
    finally:
        source.close()
    return 0


def _follow(
    settings: Settings,
    terminal: Terminal,
    source: FactsSource,
    view: DashboardView,
    symbols: SymbolSet,
    running: Callable[[], bool],
) -> None:
    """Return when the user quits or running() is false."""
    rows, usage = ROWS, DeviceUsage()
    while running():
        facts = source.read(rows, view.filter)
        state, tasks = settings.state, str(settings.tasks)
        now = build_content(facts, holder_of(state), posted(state), tasks, time.time(), usage.read())
        said = f"the journal cannot be read now: {source.trouble}" if source.trouble and not view.message else ""
        size = terminal.size()
        shown = lay_out(now, _with(view, said), size, symbols)
        terminal.paint(shown)
        for key in terminal.wait(REFRESH_SECONDS):
            view, action = press(view, key, now)
            if action is not None and action.do == ActionKind.QUIT:
                return
            if action is not None:
                view = carry_out(action, view, settings, shown, size)
        rows = _rows_for(view, now)


def _with(view: DashboardView, said: str) -> DashboardView:
    return replace(view, message=said) if said else view


def _rows_for(view: DashboardView, now: ScreenContent) -> int:
    """Read more rows if the user has scrolled near the end of those that were read."""
    furthest = max(cursor(view, panel, now) for panel in Panel)
    return ROWS * (1 + (furthest + ROWS // 2) // ROWS)


def can_draw() -> bool:
    """Whether stdin and stdout are a terminal that can move its cursor, and this is its foreground process."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return False
    return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
