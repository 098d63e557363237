"""Without a terminal: one line per event.  NO_COLOR: the same words without colours."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.messages.plugins import Event
from learnd.messages.task import TaskState
from learnd.ui.dashboard.terminal import ansi
from learnd.ui.dashboard.without_terminal import changes, line
from tests.ui.conftest import mark


def test_every_event_is_printed_once_and_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    journal.note("one", "a")
    journal.note("two", "b")
    (first, _), (second, event) = changes(journal, 0)
    assert (first, second, event.kind) == (1, 2, "two")
    assert list(changes(journal, 2)) == []
    journal.close()


def test_an_event_is_one_line_whatever_it_contains() -> None:
    event = Event(0.0, "failed", "birds", "killed\n\x1b[31mand worse")
    assert line(event, as_json=False).endswith("failed birds: killed \\x1b[31mand worse")
    said = json.loads(line(event, as_json=True))
    assert said == {"schema": 1, "at": 0.0, "kind": "failed", "task": "birds", "message": event.message}


@pytest.mark.slow
def test_without_a_terminal_the_command_prints_lines(state: Path) -> None:
    """It prints only events after its start, and does not say when that is: so events are added until it prints."""
    journal = Journal(state / JOURNAL)
    command = [sys.executable, "-m", "learnd", "top", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as top:
        assert top.stdout is not None
        while not select.select([top.stdout], [], [], 0.5)[0]:
            mark(journal, "another", TaskState.REJECTED, "it is empty")
        first = json.loads(top.stdout.readline())
        top.terminate()
    journal.close()
    assert (first["kind"], first["task"]) == ("rejected", "another")


def test_no_color_keeps_the_words_without_colours() -> None:
    text = Text.assemble(("failed", "bold red"))
    assert ansi(text, Console(force_terminal=True, color_system="standard")) == "\x1b[1;31mfailed\x1b[0m"
    assert ansi(text, Console(force_terminal=True, color_system="standard", no_color=True)) == "\x1b[1mfailed\x1b[0m"
