"""`plugins` tells what the daemon found, and why a plugin is quarantined."""

from __future__ import annotations

from pathlib import Path

from tests.face.conftest import Command


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
    assert learnd("plugins", "info", "ridge", "--json").json["plugin"]["options"] == {"strength": 1.0}
    assert "strength  1.0" in learnd("plugins", "info", "ridge").out


def test_info_shows_the_whole_traceback_of_a_quarantined_plugin(learnd: Command, state: Path) -> None:
    text = learnd("plugins", "info", "mine").out

    assert "mine: quarantined" in text
    assert "Traceback (most recent call last)" in text


def test_an_unknown_plugin_is_wrong_usage(learnd: Command, state: Path) -> None:
    said = learnd("plugins", "info", "rigde")

    assert said.code == 2
    assert "Did you mean 'ridge'?" in said.err
    assert learnd("plugins", "info").code == 2
    assert learnd("plugins", "list", "ridge").code == 2
