"""The dashboard as it runs: look, draw, hear a key, and again.  It waits for nobody, and nobody waits for it."""

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
    """Where the facts come from: attached to a journal as soon and as long as there is one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._journal: Journal | None = None
        self._reader: JournalReader | None = None
        self._inode = 0
        self._seen: object = None
        self._facts = EMPTY
        self.trouble = ""  # why there is nothing new

    def read(self, rows: int, filter: str) -> Facts:
        """The newest facts; those before, where the journal cannot be read now."""
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
        if inode != self._inode:  # it has come, or another one was put in its place
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
    """On this terminal, until somebody leaves, a signal comes or it runs no more.  Returns the exit code."""
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
    """Returns when somebody leaves, or it runs no more."""
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
    """More of them where somebody has scrolled near the end of what is there."""
    furthest = max(cursor(view, panel, now) for panel in Panel)
    return ROWS * (1 + (furthest + ROWS // 2) // ROWS)


def can_draw() -> bool:
    """Whether this is a terminal on which lines can be put where they belong, and it is ours now."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return False
    return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
