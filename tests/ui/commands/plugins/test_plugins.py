"""`plugins` tells what the daemon that runs has loaded, and why a plugin is quarantined."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from learnd.control.files.lock import Holder
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.plugin_files import fingerprint
from tests.ui.conftest import PLUGINS, Command


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that has run for an hour."""
    monkeypatch.setattr(
        "learnd.ui.commands.plugins.plugins.holder_of", lambda _state: Holder(1, "here", time.time() - 3600)
    )


def test_the_list_says_what_each_does_or_why_not(learnd: Command, state: Path) -> None:
    data = learnd("plugins", "--json").json

    assert data["schema"] == 1
    assert [(row["name"], row["source"], row["state"]) for row in data["plugins"]] == [
        ("ridge", "built-in", "ok"),
        ("mine", "/home/x/plugins/mine.py", "quarantined"),
    ]
    text = learnd("plugins", "list").out
    assert "a linear head" in text
    assert "SyntaxError: never closed" in text


def test_info_shows_the_options_of_a_plugin(learnd: Command, state: Path) -> None:
    assert learnd("plugins", "info", "ridge", "--json").json["plugin"]["options"] == {
        "strength": 1.0,
        "normalise": True,
    }
    text = learnd("plugins", "info", "ridge").out
    assert "strength   1.0" in text
    assert "normalise  true" in text  # as it would stand in config.yaml


def test_info_shows_the_whole_traceback_of_a_quarantined_plugin(learnd: Command, state: Path) -> None:
    text = learnd("plugins", "info", "mine").out

    assert "mine: quarantined" in text
    assert "File 'mine.py', line 3" in text


def test_an_unknown_plugin_is_wrong_usage(learnd: Command, state: Path) -> None:
    said = learnd("plugins", "info", "rigde")

    assert said.code == 2
    assert "did you mean 'ridge'?" in said.err
    assert learnd("plugins", "info").code == 2
    assert learnd("plugins", "list", "ridge").code == 2


def test_a_change_that_no_worker_has_loaded_yet_is_said(learnd: Command, state: Path, home: Path) -> None:
    (home / "plugins").mkdir()
    (home / "plugins" / "mine.py").touch()
    journal = Journal(home / "state" / JOURNAL)
    journal.set_plugins(PLUGINS, fingerprint(home / "plugins"))
    journal.close()
    assert "has just changed" not in learnd("plugins").err

    (home / "plugins" / "mine.py").write_text("# mended")

    assert "plugins has just changed: a worker loads it as soon as one has nothing to do" in learnd("plugins").err


def test_the_list_is_a_leaderboard_over_what_is_known(learnd: Command, state: Path) -> None:
    with closing(Journal(state / JOURNAL)) as journal:
        before = journal.history.leaderboard.standings()
        assert before["ridge"].wins == 1  # birds
    row = next(row for row in learnd("plugins", "--json").json["plugins"] if row["name"] == "ridge")
    assert (row["bids"], row["measured"], row["wins"], row["rank"]) == (1, 1, 1, 1.0)
    mine = next(row for row in learnd("plugins", "--json").json["plugins"] if row["name"] == "mine")
    assert (mine["bids"], mine["wins"], mine["rank"]) == (0, 0, None)
    lines = learnd("plugins", "list").out.splitlines()
    assert lines[0].split()[:7] == ["algorithm", "state", "bids", "measured", "wins", "rank", "seconds"]
    assert lines[1].split()[:6] == ["ridge", "ok", "1", "1", "1", "1.00"]
    learnd("forget", "birds", "--yes")
    assert "wins" not in learnd("plugins", "list").out.splitlines()[0]
