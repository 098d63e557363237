"""Joins belong to a version of the knowledge: they come and go with it, whoever said them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnd.control.knowledge.change_requests import Undoing
from learnd.errors import TaskError
from learnd.messages.task import Join, TaskOptions
from tests.control.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """cats and dogs, of the classes a and b each."""
    home = Home(tmp_path)
    home.learn("cats", "d1")
    home.learn("dogs", "d2")
    return home


def joins(home: Home) -> dict[str, tuple[Join, ...]]:
    return {member.name: member.joins for member in home.generations.members() if member.joins}


def ask(home: Home, kind: str, *classes: str) -> int:
    return Undoing(home.journal, home.generations).do(kind, json.dumps(classes)).version


CAT = Join("a", "cats", "a")


def test_an_alias_is_a_version_like_any_other(home: Home) -> None:
    assert ask(home, "alias", "dogs/a", "cats/a") == 3
    assert joins(home) == {"dogs": (CAT,)}
    assert ask(home, "alias", "dogs/a", "cats/a") == 3  # to ask again changes nothing
    assert home.journal.history.versions()[0].reason == "joined dogs/a to cats/a"
    assert home.generations.verify() == 8

    home.generations.roll_back(2)
    assert joins(home) == {}
    home.generations.roll_back(3)
    assert joins(home) == {"dogs": (CAT,)}
    assert ask(home, "part", "dogs/a") == 6
    assert joins(home) == {}
    assert home.journal.history.versions()[0].reason == "parted dogs/a from cats/a"


@pytest.mark.parametrize("name", ["cats", "dogs"])
def test_to_forget_either_task_undoes_an_alias_for_good(name: str, home: Home) -> None:
    ask(home, "alias", "dogs/a", "cats/a")
    home.generations.forget(name)
    home.learn(name, "d9")
    assert joins(home) == {}
    home.generations.roll_back(3)
    assert joins(home) == {}


def test_what_a_task_yaml_says_holds_as_long_as_its_revision(home: Home) -> None:
    home.learn("dogs", "d3", options=TaskOptions(alias={"b": "cats/a"}))
    assert joins(home) == {"dogs": (Join("b", "cats", "a"),)}
    home.learn("dogs", "d4", options=TaskOptions(extends="cats"))
    assert joins(home) == {"dogs": (CAT, Join("b", "cats", "b"))}
    home.generations.roll_back(3)
    assert joins(home) == {"dogs": (Join("b", "cats", "a"),)}
    home.generations.forget("cats")  # the folder of dogs says it still: it waits for cats
    assert joins(home) == {"dogs": (Join("b", "cats", "a"),)}
    home.generations.forget("dogs")
    assert joins(home) == {}
    assert home.journal.db.all("SELECT * FROM joins") == []


def test_what_a_person_asks_for_comes_before_what_a_task_yaml_says(home: Home) -> None:
    home.learn("dogs", "d3", options=TaskOptions(alias={"b": "cats/a"}))
    ask(home, "alias", "dogs/b", "cats/b")
    assert joins(home) == {"dogs": (Join("b", "cats", "b"),)}
    ask(home, "part", "dogs/b")
    assert joins(home) == {"dogs": (Join("b", "cats", "a"),)}


def test_an_alias_outlives_new_content_of_its_task(home: Home) -> None:
    ask(home, "alias", "dogs/a", "cats/a")
    home.learn("dogs", "d3")
    assert joins(home) == {"dogs": (CAT,)}


def test_what_no_kept_version_needs_is_let_go(tmp_path: Path) -> None:
    home = Home(tmp_path, retention=2)
    home.learn("cats", "d1")
    home.learn("dogs", "d2", options=TaskOptions(extends="cats"))
    ask(home, "alias", "dogs/a", "cats/b")
    ask(home, "part", "dogs/a")
    home.learn("dogs", "d3")
    home.learn("ants", "d4")
    assert home.journal.db.all("SELECT * FROM joins") == []


@pytest.mark.parametrize(
    ("kind", "classes", "said"),
    [
        ("alias", ("dogs/a", "cat/a"), "no task 'cat' has been learnt.*did you mean 'cats'"),
        ("alias", ("dogs/c", "cats/a"), "'dogs' has no class 'c'.*choose from: a, b"),
        ("alias", ("dogs", "cats/a"), "'dogs' does not name a class.*TASK/CLASS"),
        ("alias", ("dogs/a", "dogs/a"), "cannot be joined to itself"),
        ("alias", ("cats/b", "dogs/b"), "dogs/b is answered as it already"),
        ("alias", ("dogs/b", "cats/a"), "is joined to cats/b.*--remove dogs/b"),
        ("part", ("cats/a",), "is not joined to anything by a person"),
        ("part", ("moths/a",), "is not joined to anything by a person"),
    ],
)
def test_what_cannot_be_joined_is_said_and_changes_nothing(
    kind: str, classes: tuple[str, ...], said: str, home: Home
) -> None:
    ask(home, "alias", "dogs/b", "cats/b")
    with pytest.raises(TaskError, match=f"(?s){said}"):
        ask(home, kind, *classes)
    assert home.journal.head == 3


def test_there_is_no_way_round_in_a_circle(home: Home) -> None:
    home.learn("ants", "d3")
    ask(home, "alias", "dogs/a", "cats/a")
    ask(home, "alias", "cats/a", "ants/a")
    with pytest.raises(TaskError, match="dogs/a is answered as it already"):
        ask(home, "alias", "ants/a", "dogs/a")
