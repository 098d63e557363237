"""Strikes: counted for ever, and standing while the plugin is the same and the daemon runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.dispatch.plugin_strikes import AT_EVENT, AT_IMPORT, AT_WORK, Strikes
from learnd.control.journal.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite", create=True)


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    file = tmp_path / "evil.py"
    file.write_text("import os; os._exit(7)")
    return file


def barred(journal: Journal) -> list[str]:
    return [plugin.name for plugin in Strikes(journal).barred(AT_IMPORT)]


def test_a_struck_plugin_is_kept_away_with_the_reason(journal: Journal, evil: Path) -> None:
    Strikes(journal).add("evil", str(evil), "killed the worker")
    (info,) = Strikes(journal).barred(AT_IMPORT)
    assert (info.name, info.source, info.state, info.reason) == ("evil", str(evil), "quarantined", "killed the worker")


def test_it_is_tried_again_when_its_file_has_changed(journal: Journal, evil: Path) -> None:
    Strikes(journal).add("evil", str(evil), "killed the worker")
    evil.write_text("mended = True")
    assert barred(journal) == []
    evil.unlink()
    assert barred(journal) == []


def test_it_is_tried_again_by_the_next_daemon_and_the_count_goes_on(journal: Journal, evil: Path) -> None:
    strikes = Strikes(journal)
    strikes.add("evil", str(evil), "killed the worker")
    strikes.add("gone", "entry point", "killed the worker")
    strikes.pardon()
    assert barred(journal) == []
    strikes.add("evil", str(evil), "killed it again")
    assert barred(journal) == ["evil"]
    assert [(strike.name, strike.count) for strike in strikes.all()] == [("evil", 2), ("gone", 1)]


def test_a_plugin_that_is_no_file_stays_away_while_the_daemon_runs(journal: Journal) -> None:
    Strikes(journal).add("gone", "entry point", "killed the worker")
    assert barred(journal) == ["gone"]


def test_what_a_plugin_did_as_an_observer_is_held_against_the_observer_alone(journal: Journal, evil: Path) -> None:
    strikes = Strikes(journal)
    strikes.add("evil", str(evil), "killed the observers", AT_EVENT)
    assert strikes.barred(AT_IMPORT) == ()
    assert [plugin.name for plugin in strikes.barred(AT_IMPORT, AT_EVENT)] == ["evil"]


def at_work(journal: Journal) -> list[str]:
    return [plugin.name for plugin in Strikes(journal).barred(AT_WORK)]


def test_at_work_it_takes_three_in_a_row(journal: Journal, evil: Path) -> None:
    strikes = Strikes(journal)
    for number in range(2):
        strikes.add("wild", str(evil), f"killed worker {number}", AT_WORK)
    assert at_work(journal) == []
    strikes.forgive(["wild", "tame"])
    for number in range(3):
        assert at_work(journal) == []
        strikes.add("wild", str(evil), f"killed worker {number}", AT_WORK)
    assert at_work(journal) == ["wild"]
    strikes.forgive(["wild"])  # by a worker that had loaded it before
    assert at_work(journal) == ["wild"]
    strikes.pardon()
    assert at_work(journal) == []
    assert [strike.count for strike in strikes.all()] == [5]


def test_strikes_of_another_content_do_not_add_up(journal: Journal, evil: Path) -> None:
    strikes = Strikes(journal)
    for number in range(4):
        evil.write_text(f"version = {number // 2}")
        strikes.add("wild", str(evil), "killed the worker", AT_WORK)
    assert at_work(journal) == []


def test_what_an_earlier_learnd_has_written_still_counts(journal: Journal, evil: Path) -> None:
    strikes = Strikes(journal)
    strikes.add("evil", str(evil), "killed the worker")
    written = (journal.db.get("plugin_strikes") or "").replace('"standing": 1', '"standing": true')
    assert "true" in written
    journal.put("plugin_strikes", written)
    assert barred(journal) == ["evil"]
