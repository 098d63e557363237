"""`versions`, `rollback` and `forget`, as people and scripts use them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.messages.task import TaskState
from tests.ui.conftest import Command, learn, mark


@pytest.fixture
def three(state: Path) -> Path:
    """The state with two more versions: moths and ants."""
    journal = Journal(state / JOURNAL)
    with journal.db.transaction():
        journal.db.run("DELETE FROM jobs WHERE state = 'queued'")  # else "next" would be learnt first
    for name in ("moths", "ants"):
        learn(journal, state, name)
    journal.close()
    return state


def states(learnd: Command) -> dict[str, str]:
    rows = learnd("tasks", "--json").json["tasks"]
    return {row["name"]: row["state"] for row in rows if row["newest"]}


def test_versions_lists_them_the_newest_first(learnd: Command, three: Path) -> None:
    data = learnd("versions", "--json").json
    assert data["schema"] == 1
    newest, _, oldest = data["versions"]
    assert (newest["version"], newest["head"], newest["reason"], newest["task"]) == (3, True, "learned ants", "ants")
    assert (newest["added"], newest["replaced"], newest["removed"]) == ([{"task": "ants", "revision": 1}], [], [])
    size = sum(path.stat().st_size for path in three.glob("tasks/*/*/*"))
    assert (newest["tasks"], newest["classes"], newest["bytes"]) == (3, 15, size)
    assert 0 < newest["accuracy"] <= 1
    assert (oldest["version"], oldest["head"]) == (1, False)
    lines = learnd("versions").out.splitlines()
    assert [line.split()[0] for line in lines] == ["version", "3", "2", "1"]
    assert "head" in lines[1]
    assert "learned ants" in lines[1]


def test_before_anything_is_learnt_there_is_no_version(learnd: Command, home: Path) -> None:
    assert learnd("versions", "--json").json["versions"] == []
    assert "nothing has been learnt" in learnd("versions").err
    said = learnd("rollback", "1")
    assert said.code == 3
    assert "there is no journal yet" in said.err


def test_a_rollback_and_the_way_forward_again(learnd: Command, three: Path) -> None:
    said = learnd("rollback", "1")
    assert said.code == 0
    assert "the knowledge is what it was at version 1; this is version 4" in said.err
    assert "undone: ants, moths\n" in said.err
    assert states(learnd)["moths"] == "forgotten"
    assert "undone: rolled back to version 1; `learnd retry` learns it again" in learnd("show", "moths").out

    data = learnd("rollback", "3", "--json").json
    assert data == {
        "schema": 1, "version": 5, "as": 3, "undone": [], "restored": ["ants", "moths"], "without": []
    }  # fmt: skip
    assert states(learnd)["moths"] == "learned"
    assert "rolled back to version 3; added ants, moths" in learnd("versions").out


def test_to_forget_needs_a_word_of_consent(learnd: Command, three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = learnd("forget", "moths")
    assert said.code == 2
    assert "add --yes" in said.err
    answers = iter(["n", "y"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _prompt: next(answers))
    assert learnd("forget", "moths").code == 1
    assert states(learnd)["moths"] == "learned"
    assert learnd("forget", "moths").code == 0
    assert states(learnd)["moths"] == "forgotten"


def test_what_is_forgotten_is_in_no_version_any_more(learnd: Command, three: Path) -> None:
    data = learnd("forget", "moths", "--yes", "--json").json
    assert data == {"schema": 1, "task": "moths", "version": 4, "duplicates": []}
    assert "learned moths (without moths, forgotten since)" in learnd("versions").out
    said = learnd("rollback", "2")
    assert "without what was forgotten since: moths" in said.err
    assert learnd("versions", "--json").json["versions"][0]["tasks"] == 1
    assert not list(three.glob("tasks/moths-*"))


def test_its_copies_are_named(learnd: Command, three: Path) -> None:
    journal = Journal(three / JOURNAL)
    mark(journal, "copy", TaskState.DUPLICATE, "the same content as moths", digest="moths")
    journal.close()
    assert "copy is a folder of the same content" in learnd("forget", "moths", "--yes").err


def test_a_mistyped_task_is_recognised_and_nothing_is_asked(learnd: Command, three: Path) -> None:
    said = learnd("forget", "moth", "--yes")
    assert said.code == 2
    assert "did you mean 'moths'?" in said.err


def test_a_version_that_is_not_there_is_said(learnd: Command, three: Path) -> None:
    said = learnd("rollback", "9")
    assert said.code == 1
    assert "version 9 is not kept: versions 1 to 3 are" in said.err


def test_when_all_is_forgotten_a_question_says_so(learnd: Command, three: Path, tmp_path: Path) -> None:
    for name in ("birds", "moths", "ants"):
        learnd("forget", name, "--yes")
    (tmp_path / "x.png").touch()
    said = learnd("predict", tmp_path / "x.png")
    assert said.code == 1
    assert "all was forgotten" in said.err
    assert "0 classes of 0 tasks" in learnd("status").out
