"""`pause` and `resume`, which are for a daemon that runs."""

from __future__ import annotations

from pathlib import Path

from learnd.control.files.lock import hold
from tests.ui.conftest import Command


def test_a_pause_is_told_by_status_until_it_is_over(learnd: Command, state: Path) -> None:
    assert learnd("status", "--json").json["paused"] is None
    with hold(state):
        assert "paused" in learnd("pause").err
        assert learnd("status", "--json").json["paused"] > 0
        assert "paused since" in learnd("status").out
        assert "jobs begin again" in learnd("resume").err
        assert learnd("status", "--json").json["paused"] is None


def test_without_a_daemon_there_is_nothing_to_pause(learnd: Command, state: Path) -> None:
    for command in ("pause", "resume"):
        said = learnd(command)
        assert said.code == 1
        assert "no daemon runs on this state" in said.err


def test_what_is_in_hand_is_named(learnd: Command, state: Path) -> None:
    with hold(state):
        assert "still being learnt: " in learnd("pause").err
