"""What surveys found tasks to be like is kept as long as both are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.journal.similar_tasks import SimilarTasks
from learnd.messages.outcomes import Near, Related, Twin
from tests.control.home import Home

IDS = {"cats": "cats", "dogs": "dogs", "ants": "ants"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for number, name in enumerate(IDS):
        home.learn(name, f"d{number}")
    return home


@pytest.fixture
def kept(home: Home) -> SimilarTasks:
    kept = home.journal.history.relations
    kept.record(
        3,
        (
            Related("cats", (Near("dogs", 1.5), Near("ants", 0.25)), (Twin("a", "dogs", "b", 0.9),)),
            Related("dogs", (Near("cats", 1.5),), (Twin("b", "cats", "a", 0.9), Twin("a", "ants", "a", 0.5))),
        ),
        IDS,
    )
    return kept


def pairs(kept: SimilarTasks) -> list[tuple[str, str, str, str]]:
    return [(one.task, one.twin.class_name, one.twin.task, one.twin.other) for one in kept.twins()]


def test_the_nearest_come_first_and_each_pair_of_classes_once(kept: SimilarTasks) -> None:
    assert kept.nearest("cats") == [Near("ants", 0.25), Near("dogs", 1.5)]
    assert kept.nearest("ants") == []
    assert pairs(kept) == [("dogs", "a", "ants", "a"), ("cats", "a", "dogs", "b")]


def test_a_new_survey_replaces_what_was_known_of_the_tasks_that_it_asked_about(kept: SimilarTasks) -> None:
    kept.record(3, (Related("dogs", (), ()),), IDS)
    assert kept.nearest("dogs") == []
    assert pairs(kept) == [("cats", "a", "dogs", "b")]


def test_a_survey_of_an_earlier_head_is_dropped(kept: SimilarTasks, home: Home) -> None:
    home.generations.roll_back(2)
    kept.record(3, (Related("cats", (), ()),), IDS)
    assert kept.nearest("cats") == [Near("dogs", 1.5)]  # ants are not known now
    assert pairs(kept) == [("cats", "a", "dogs", "b")]


def test_what_is_forgotten_is_like_nothing(kept: SimilarTasks, home: Home) -> None:
    home.generations.forget("dogs")
    assert kept.nearest("cats") == [Near("ants", 0.25)]
    assert pairs(kept) == []
    for table in ("nearest", "twins"):
        assert not home.journal.db.all(f"SELECT 1 FROM {table} WHERE task_id = 'dogs' OR other_id = 'dogs'")
