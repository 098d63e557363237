"""What a task.yaml says of classes that are one, and what joins come to."""

from __future__ import annotations

import pytest

from learnd.messages.joins import answered_as, joins_of, pair_of, problems_of
from learnd.messages.task import Join, TaskOptions

A, B, C = ("birds", "sparrow"), ("garden", "sparrow"), ("zoo", "bird")


def test_a_class_is_named_by_its_task_and_a_slash() -> None:
    assert pair_of("birds/house sparrow") == ("birds", "house sparrow")
    assert pair_of("birds/cafe\u0301") == ("birds", "caf\u00e9")
    assert [pair_of(text) for text in ("birds", "birds/", "/sparrow", "birds/a/b", "")] == [None] * 5


def test_extends_joins_classes_of_equal_name_and_an_alias_comes_first() -> None:
    options = TaskOptions(extends="birds", alias={"spatz": "birds/sparrow"})
    assert joins_of(options, ("crow", "spatz")) == (Join("crow", "birds", "crow"), Join("spatz", "birds", "sparrow"))
    assert joins_of(TaskOptions(), ("crow",)) == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TaskOptions(alias={"crwo": "birds/crow"}), "no class 'crwo'"),
        (TaskOptions(alias={"crow": "birds"}), "'birds' does not name a class of a task"),
        (TaskOptions(alias={"crow": "garden/crow"}), "cannot be joined to itself"),
        (TaskOptions(extends="garden"), "cannot extend itself"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_remedy(options: TaskOptions, said: str) -> None:
    (problem,) = problems_of(options, "garden", {"crow", "spatz"}, "task.yaml")
    assert (problem.code, problem.where) == ("bad-join", "task.yaml")
    assert said in problem.what
    assert problem.remedy


def test_a_slip_in_a_class_is_guessed() -> None:
    (problem,) = problems_of(TaskOptions(alias={"crwo": "birds/crow"}), "garden", {"crow", "spatz"}, "task.yaml")
    assert problem.remedy == "did you mean 'crow'?"


def test_sound_joins_are_no_problem() -> None:
    options = TaskOptions(extends="birds", alias={"spatz": "birds/sparrow"})
    assert problems_of(options, "garden", {"crow", "spatz"}, "task.yaml") == []


def test_joins_are_followed_to_their_end() -> None:
    assert answered_as([A, B, C], {C: B, B: A}) == [A, A, A]
    assert answered_as([A, B, C], {}) == [A, B, C]


def test_what_points_to_nothing_that_is_known_stays_itself() -> None:
    assert answered_as([B, C], {B: A, C: B}) == [B, B]


def test_of_a_circle_the_first_by_name_is_the_one() -> None:
    tail = ("z", "z")
    for order in ([A, B, C, tail], [tail, C, B, A]):
        assert set(answered_as(order, {A: B, B: C, C: A, tail: C})) == {A}
