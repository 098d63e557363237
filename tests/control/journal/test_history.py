"""What every version held, and what the tasks say after a way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.journal.versions import Generation, Held, StaleEpoch, Step
from learnd.errors import TaskError
from tests.control.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Three versions: cats, dogs, cats anew."""
    home = Home(tmp_path)
    home.learn("cats", "d1")
    home.learn("dogs", "d2")
    home.learn("cats", "d3")
    return home


def names(held: tuple[Held, ...]) -> list[str]:
    return [f"{one.name}/{one.revision}" for one in held]


def test_every_version_says_what_it_changed_and_what_it_holds_the_newest_first(home: Home) -> None:
    home.generations.roll_back(1)
    told = [
        (one.number, one.reason, names(one.step.entering), names(one.step.leaving), one.tasks)
        for one in home.journal.history.versions()
    ]
    assert told == [
        (4, "rolled back to version 1", ["cats/1"], ["cats/2", "dogs/1"], 1),
        (3, "learned cats", ["cats/2"], ["cats/1"], 2),
        (2, "learned dogs", ["dogs/1"], [], 2),
        (1, "learned cats", ["cats/1"], [], 1),
    ]
    newest, *_, oldest = home.journal.history.versions()
    assert (newest.classes, newest.bytes) == (oldest.classes, oldest.bytes)
    assert newest.step.entering[0].accuracy == 0.9


def test_a_way_back_is_what_would_enter_and_leave(home: Home) -> None:
    step = home.journal.history.way_to(1)
    assert (names(step.entering), names(step.leaving)) == (["cats/1"], ["cats/2", "dogs/1"])
    assert home.journal.history.way_to(3) == Step()


@pytest.mark.parametrize("version", [0, 4])
def test_there_is_no_way_to_a_version_that_is_not_kept(version: int, home: Home) -> None:
    with pytest.raises(TaskError, match=f"version {version} is not kept: versions 1 to 3 are"):
        home.journal.history.way_to(version)


def test_after_a_rollback_the_tasks_say_what_is_known_and_what_is_undone(home: Home) -> None:
    home.learn("cats", "d4")
    home.generations.roll_back(2)
    assert home.states() == {
        "cats/1": "learned",
        "cats/2": "forgotten",  # though it was not the head's: its content is not what is known
        "cats/3": "forgotten",
        "dogs/1": "learned",
    }
    reason = home.journal.tasks.revisions("cats")[2].reason
    assert reason == "undone: rolled back to version 2; `learnd retry` learns it again"
    home.generations.roll_back(3)
    assert home.states() == {"cats/1": "learned", "cats/2": "learned", "cats/3": "forgotten", "dogs/1": "learned"}


def test_what_was_undone_and_learnt_again_is_another_revision_and_no_version_loses_its_own(home: Home) -> None:
    home.generations.roll_back(1)
    home.journal.tasks.retry("dogs")
    assert home.states()["dogs/2"] == "waiting"
    assert home.learn("dogs", "d2") == 5
    home.generations.roll_back(3)
    assert [held.folder for held in home.journal.history.held_by(6).values()] == ["cats/2", "dogs/1"]
    assert home.states()["dogs/2"] == "forgotten"
    assert home.generations.verify() == 16


def test_of_a_forgotten_task_one_row_is_left_and_which_versions_held_it(home: Home) -> None:
    home.generations.forget("cats")
    (row,) = home.journal.tasks.revisions("cats")
    assert (row.state, row.revision, row.digest, row.fingerprint) == ("forgotten", 2, "d3", "d3")
    assert (row.ways, row.images, row.algorithm, row.accuracy, row.version) == (0, 0, None, None, None)
    history = home.journal.history
    assert [history.without(version) for version in (1, 2, 3, 4)] == [("cats",), ("cats",), ("cats",), ()]
    assert [version.tasks for version in history.versions()] == [1, 1, 1, 0]
    events = [(event.kind, event.task) for event in home.journal.db.events()]
    assert [kind for kind, task in events if task == "cats"] == ["forgotten"]
    assert home.journal.db.all("SELECT * FROM jobs WHERE task_id = 'cats'") == []


def test_an_observer_that_has_heard_everything_hears_of_a_forgetting(home: Home) -> None:
    heard = home.journal.db.last_event()
    home.generations.forget("cats")  # to which the newest event belonged
    following = home.journal.db.event_after(heard)
    assert following is not None
    assert following[1].kind == "forgotten"


def test_a_task_that_runs_is_forgotten_too_and_its_result_comes_too_late(home: Home) -> None:
    late = home.lease("cats", "d5")
    home.generations.forget("cats")
    with pytest.raises(StaleEpoch):
        home.commit(late)
    assert home.states() == {"cats/3": "forgotten", "dogs/1": "learned"}


def test_what_was_never_learnt_is_forgotten_without_a_new_version(home: Home) -> None:
    home.lease("birds", "d9")
    home.generations.forget("birds")
    assert (home.journal.head, home.states()["birds/1"]) == (3, "forgotten")


def test_the_head_moves_from_its_own_parent_only(home: Home) -> None:
    with pytest.raises(StaleEpoch, match="the head is no longer 2"), home.journal.db.transaction():
        home.journal.history.advance(Generation(3, 99, 2, "m"), "late", Step())


def test_versions_that_are_no_longer_kept_cannot_be_returned_to(home: Home) -> None:
    assert home.journal.history.retire(2) == []  # cats/1 is needed by version 2
    assert home.journal.history.retire(1) == ["cats/1"]
    assert home.journal.history.retire(3) == []  # what is gone does not come back
    assert [version.number for version in home.journal.history.versions()] == [3]
    with pytest.raises(TaskError, match="versions 3 to 3 are"):
        home.journal.history.way_to(2)
