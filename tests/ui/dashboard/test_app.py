"""The dashboard opens the journal as soon as there is one, and follows it."""

from __future__ import annotations

import os
from pathlib import Path

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.settings.loading import load
from learnd.ui.dashboard.app import FactsSource
from learnd.ui.dashboard.journal_reader import ROWS


def test_it_waits_for_a_journal_and_follows_it_and_its_replacement(home: Path) -> None:
    source = FactsSource(load(environ={}))
    assert source.read(ROWS, "").paused is None
    (home / "state").mkdir()
    journal = Journal(home / "state" / JOURNAL, create=True)
    assert source.read(ROWS, "").paused is None
    journal.pause()
    assert source.read(ROWS, "").paused is not None
    journal.close()

    Journal(home / "other.sqlite", create=True).close()
    os.replace(home / "other.sqlite", home / "state" / JOURNAL)
    assert source.read(ROWS, "").paused is None
    assert source.trouble == ""
    source.close()


def test_the_last_facts_stay_while_the_journal_cannot_be_read(state: Path) -> None:
    source = FactsSource(load(environ={}))
    before = source.read(ROWS, "")
    content = (state / JOURNAL).read_bytes()
    (state / JOURNAL).write_bytes(b"no journal" * 1000)  # in place: it is the same file
    assert source.read(ROWS - 1, "") == before
    assert source.read(ROWS, "") == before
    assert source.trouble
    (state / JOURNAL).write_bytes(content)
    assert source.read(ROWS, "") == before
    assert source.trouble == ""
    source.close()
