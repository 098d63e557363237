"""`retry` and `skip` write a wish into the journal."""

from __future__ import annotations

from pathlib import Path

from tests.ui.conftest import Command


def state_of(learnd: Command, name: str) -> str:
    rows = learnd("tasks", "--json").json["tasks"]
    return str(next(row["state"] for row in rows if row["name"] == name and row["newest"]))


def test_a_failed_task_is_tried_again(learnd: Command, state: Path) -> None:
    said = learnd("retry", "bugs")

    assert said.code == 0
    assert "when it starts" in said.err
    assert state_of(learnd, "bugs") == "waiting"


def test_a_waiting_task_is_left_alone_until_it_is_retried(learnd: Command, state: Path) -> None:
    assert learnd("skip", "grows").code == 0
    assert state_of(learnd, "grows") == "skipped"
    assert learnd("retry", "grows").code == 0
    assert state_of(learnd, "grows") == "waiting"


def test_what_cannot_be_retried_is_said(learnd: Command, state: Path) -> None:
    said = learnd("retry", "now")

    assert said.code == 1
    assert "'now' is running and cannot be retried" in said.err
    assert state_of(learnd, "now") == "running"
