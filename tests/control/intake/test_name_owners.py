"""One folder a task, however many spell its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from learnd.control.intake.name_owners import Owners
from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import Content
from learnd.identity import task_id
from learnd.messages.jobs import JobSpec

# One name, four ways: letters and marks apart, with the marks of the s in either order; half composed; composed.
APART, SWAPPED, HALF, COMPOSED = "s\u0323\u0307e\u0301", "s\u0307\u0323e\u0301", "\u1e63\u0307\u00e9", "\u1e69\u00e9"


class Place:
    def __init__(self, home: Path) -> None:
        self.root = home / "tasks"
        self.root.mkdir()
        self.journal = Journal(home / "journal.sqlite", create=True)
        self.notices: list[str] = []
        self.owners = self.again()

    def again(self) -> Owners:
        """What another daemon knows."""
        self.owners = Owners(self.root, self.journal, lambda _level, text: self.notices.append(text))
        return self.owners

    def survey(self) -> tuple[str, ...]:
        return self.owners.survey(sorted(folder.name for folder in self.root.iterdir()))

    def make(self, *names: str) -> None:
        for name in names:
            (self.root / name).mkdir()

    def learn(self, name: str) -> None:
        content = Content("f", "d", ways=2, images=4)
        self.journal.jobs.accept(task_id(name), name, content, JobSpec(str(self.root / name)))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.journal.close()


def test_folders_of_different_names_are_all_tasks(place: Place) -> None:
    place.make("cats", "dogs", APART)
    assert set(place.survey()) == {"cats", "dogs", APART}
    assert place.notices == []


def test_of_two_spellings_one_is_the_task_and_the_other_is_named_once(place: Place) -> None:
    place.make(APART, SWAPPED)
    owners = {*place.survey(), *place.survey()}
    assert len(owners) == 1
    assert sum(place.owners.owns(name) for name in (APART, SWAPPED)) == 1
    (notice,) = place.notices
    ignored = ({APART, SWAPPED} - owners).pop()
    assert f"{ignored!a} is ignored" in notice


def test_the_composed_spelling_goes_first(place: Place) -> None:
    place.make(APART, HALF, COMPOSED)
    assert place.survey() == (COMPOSED,)
    assert len(place.notices) == 2


@pytest.mark.parametrize(("first", "second"), [(APART, SWAPPED), (SWAPPED, APART), (HALF, COMPOSED)])
def test_who_came_first_stays_the_task_whoever_joins(place: Place, first: str, second: str) -> None:
    place.make(first)
    assert place.survey() == (first,)
    place.make(second)
    assert not place.owners.owns(second)
    assert place.survey() == (first,)


@pytest.mark.parametrize("learned", [APART, SWAPPED, HALF])
def test_what_was_learned_stays_the_task_for_the_next_daemon_too(place: Place, learned: str) -> None:
    place.make(APART, SWAPPED, HALF, COMPOSED)
    place.learn(learned)
    place.again()
    assert place.survey() == (learned,)


def test_when_the_folder_goes_the_other_takes_its_place_and_a_new_rival_is_named_again(place: Place) -> None:
    place.make(APART, SWAPPED)
    (owner,) = place.survey()
    other = ({APART, SWAPPED} - {owner}).pop()
    (place.root / owner).rmdir()
    assert place.owners.owns(other)
    assert place.survey() == (other,)
    assert len(place.notices) == 1
    assert place.owners.folder(task_id(owner)) == other
    place.make(owner)
    assert place.survey() == (other,)
    assert len(place.notices) == 2


def test_the_ring_of_a_renamed_folder_is_no_rival(place: Place) -> None:
    place.make(APART)
    place.survey()
    (place.root / APART).rename(place.root / SWAPPED)
    assert place.owners.owns(SWAPPED)
    assert not place.owners.owns(APART)
    assert place.notices == []
