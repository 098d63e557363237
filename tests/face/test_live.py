"""The live table of `learnd run`: what it shows, and that it costs nothing while nothing changes."""

from __future__ import annotations

import io
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from learnd.control.journal import JOURNAL, Journal
from learnd.domain import TaskState
from learnd.face import live as module
from learnd.face.live import Notices, draw, live
from learnd.settings import load
from tests.face.conftest import mark


def drawn(state: Path, *, stages: dict[str, str], notices: Notices, width: int = 100, height: int = 40) -> str:
    console = Console(record=True, width=width, height=height, file=io.StringIO())
    journal = Journal(state / JOURNAL)
    console.print(draw(load(environ={}), journal, stages, notices, console))
    journal.close()
    return console.export_text()


def test_it_shows_what_is_known_who_is_busy_and_the_latest_tasks(state: Path) -> None:
    notices = Notices()
    notices("warning", "bad is rejected: 'cats' is the only class")

    text = drawn(state, stages={"cpu:0": "embed 3/10"}, notices=notices)

    assert "version 1: 5 classes of 1 task" in text
    assert "1 failed" in text
    assert "cpu:0      learning now: embed 3/10" in text
    assert "birds (revision 2)  skipped" in text
    assert "bad is rejected: 'cats' is the only class" in text


def test_it_fits_a_small_terminal(state: Path) -> None:
    notices = Notices()
    for number in range(20):
        notices("info", f"{number} " + "word " * 50)

    lines = drawn(state, stages={}, notices=notices, width=60, height=20).splitlines()

    assert len(lines) < 20
    assert max(map(len, lines)) <= 60
    assert "19 word" in lines[-1]


def test_before_there_is_a_journal_it_shows_the_notices(home: Path) -> None:
    console = Console(record=True, file=io.StringIO())
    notices = Notices()
    notices("info", "starting")

    console.print(draw(load(environ={}), None, {}, notices, console))

    assert "starting" in console.export_text()


def test_a_terminal_that_goes_does_not_end_what_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the thread would be a warning, and with that an error here."""
    ours, theirs = os.openpty()
    terminal = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(module, "DRAW_SECONDS", 0.01)
    looks = threading.Semaphore(0)
    busy: dict[str, str] = {}

    def stages() -> dict[str, str]:
        looks.release()
        return dict(busy)

    with live(load(environ={}), stages, Notices()):
        assert os.read(ours, 10)  # it draws there
        os.close(ours)
        for number in range(5):
            busy["cpu:0"] = f"embed {number}/5"  # something new to draw
            for _ in range(3):
                assert looks.acquire(timeout=10)
    monkeypatch.undo()
    with pytest.raises(OSError, match="Input/output error"):  # it was gone indeed
        os.write(terminal.fileno(), b"x")
    with suppress(OSError):
        terminal.close()


def test_it_draws_once_for_every_change_and_never_else(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawings = threading.Semaphore(0)
    count = 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        drawings.release()
        return draw(*arguments)

    monkeypatch.setattr(module, "draw", counted)
    monkeypatch.setattr(module, "DRAW_SECONDS", 0.01)
    journal = Journal(state / JOURNAL)
    looks = threading.Semaphore(0)

    def stages() -> dict[str, str]:
        looks.release()
        return {}

    with live(load(environ={}), stages, Notices()):
        assert drawings.acquire(timeout=10)
        for _ in range(20):
            assert looks.acquire(timeout=10)
        assert count == 1
        mark(journal, "another", TaskState.WAITING, "just seen")
        assert drawings.acquire(timeout=10)
        assert count == 2
    journal.close()
    assert count == 3  # and as it was at the end
