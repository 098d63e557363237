"""`learnd alias`, as people and scripts use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.journal.journal import JOURNAL, Journal
from learnd.messages.outcomes import Near, Related, Twin
from tests.ui.conftest import Command, learn


@pytest.fixture
def moths(state: Path) -> Path:
    """The state with moths besides birds; each has five classes."""
    journal = Journal(state / JOURNAL)
    with journal.db.transaction():
        journal.db.run("DELETE FROM jobs WHERE state = 'queued'")  # else "next" would be learnt first
    learn(journal, state, "moths")
    journal.close()
    return state


def classes(learnd: Command, task: str) -> list[str]:
    return list(learnd("show", task, "--json").json["revisions"][-1]["report"]["classes"])


def test_classes_are_joined_listed_shown_and_parted(learnd: Command, moths: Path) -> None:
    first = classes(learnd, "moths")[0]
    assert "no class is joined" in learnd("alias").err
    said = learnd("alias", f"moths/{first}", f"birds/{first}")
    assert (said.code, said.out) == (0, "")
    assert f"moths/{first} is answered as birds/{first}; the knowledge is version 3" in said.err
    listed = learnd("alias", "--json").json
    assert listed["version"] == 3
    assert listed["joins"] == [
        {"task": "moths", "class": first, "to_task": "birds", "to_class": first, "by": "alias", "in_force": True}
    ]
    line = f"moths/{first} is answered as birds/{first} (alias)"
    assert line in learnd("alias").out
    for task in ("birds", "moths"):
        assert line in learnd("show", task).out
        assert learnd("show", task, "--json").json["joins"] == listed["joins"]
    assert f"moths/{first} is itself again" in learnd("alias", "--remove", f"moths/{first}").err
    assert learnd("alias", "--json").json["joins"] == []


def test_a_join_that_waits_says_so(learnd: Command, moths: Path) -> None:
    first = classes(learnd, "moths")[0]
    learnd("alias", f"moths/{first}", f"birds/{first}")
    journal = Journal(moths / JOURNAL)
    with journal.db.transaction():
        journal.db.run("UPDATE joins SET to_task = 'bees'")
    journal.close()
    assert "(alias; it waits: that is not known)" in learnd("alias").out


@pytest.mark.parametrize("given", [("moths/a",), ("moths/a", "birds/a", "--remove", "moths/a")])
def test_half_a_wish_is_wrong_usage(given: tuple[str, ...], learnd: Command, moths: Path) -> None:
    said = learnd("alias", *given)
    assert said.code == 2
    assert "takes two classes" in said.err


def test_before_anything_is_learnt_nothing_is_joined(learnd: Command, home: Path) -> None:
    assert learnd("alias", "--json").json == {"schema": 1, "version": 0, "joins": [], "suggested": []}
    assert learnd("alias", "a/b", "c/d").code == 3


def test_a_task_that_is_not_there_is_an_error_that_guesses(learnd: Command, moths: Path) -> None:
    said = learnd("alias", "mohts/a", "birds/a")
    assert said.code != 0
    assert "did you mean 'moths'?" in said.err


def test_classes_that_look_alike_are_suggested_until_they_are_joined(learnd: Command, moths: Path) -> None:
    first = classes(learnd, "moths")[0]
    journal = Journal(moths / JOURNAL)
    ids = {name: one for one, _, name in journal.members()}
    found = Related(ids["moths"], (Near("birds", 2.5),), (Twin(first, "birds", first, 0.9),))
    journal.history.relations.record(journal.head, (found,), ids)
    journal.close()
    line = f"moths/{first} looks like birds/{first}; if they are one: learnd alias moths/{first} birds/{first}"
    for said in (learnd("show", "birds").out, learnd("show", "moths").out, learnd("alias").out):
        assert line in said
    assert "nearest tasks: birds (2.50)" in learnd("show", "moths").out
    data = learnd("show", "moths", "--json").json
    assert data["nearest"] == [{"task": "birds", "distance": 2.5}]
    suggested = {"task": "moths", "class": first, "to_task": "birds", "to_class": first, "ratio": 0.9}
    assert data["twins"] == learnd("alias", "--json").json["suggested"] == [suggested]
    learnd("alias", f"birds/{first}", f"moths/{first}")
    assert learnd("alias", "--json").json["suggested"] == []
