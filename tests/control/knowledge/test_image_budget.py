"""The images of a state stay within memory.max_bytes, whatever came in whichever order."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from learnd.control.files.image_archives import ARCHIVES
from learnd.control.knowledge import image_budget as rooms
from learnd.control.knowledge.image_budget import Budget
from learnd.errors import StateError, StateUnavailable
from learnd.identity import vouch
from learnd.messages.state_files import EXEMPLARS_FILE
from tests.control.archives import counted, packed
from tests.control.consolidations import consolidate, found
from tests.control.home import Home

IMAGES = {"cats": {"a": 8}, "dogs": {"b": 4, "c": 4}, "owls": {"d": 6}}


@pytest.fixture(autouse=True)
def without_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tick does all there is, however slow the disk."""
    monkeypatch.setattr(rooms, "SLICE", math.inf)


def learn(home: Home, name: str) -> None:
    home.learn(name, images=packed(IMAGES[name], seed=len(name) + ord(name[0])))


def archives(home: Home) -> list[Path]:
    return sorted(path for name in ARCHIVES for path in home.generations.tasks.glob(f"*/*/{name}"))


def total(home: Home) -> int:
    return sum(archive.stat().st_size for archive in archives(home))


def kept(home: Home) -> dict[str, dict[str, int]]:
    return {path.parent.parent.name: counted(path) for path in archives(home)}


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, level: str, text: str) -> None:
        self.lines.append(f"{level}: {text}")


def budget(home: Home, most: int, told: Told | None = None) -> Budget:
    return Budget(home.journal, home.generations.tasks, most, told or Told())


def test_without_need_nothing_goes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in IMAGES:
        learn(home, name)
    for most in (0, 100_000):
        budget(home, most).tick()
    assert kept(home) == IMAGES
    assert all(one.kept is None for own in home.journal.history.archives.all().values() for one in own)


def test_what_is_kept_depends_on_the_tasks_and_not_on_their_order(tmp_path: Path) -> None:
    found = []
    for number, order in enumerate(itertools.permutations(IMAGES)):
        (tmp_path / str(number)).mkdir()
        home = Home(tmp_path / str(number))
        looked_after = budget(home, 4000)
        for name in order:
            learn(home, name)
            looked_after.tick()
        assert total(home) <= 4000
        found.append([path.read_bytes() for path in archives(home)])
        counts = kept(home)
    assert all(one == found[0] for one in found)
    assert len({n for classes in counts.values() for n in classes.values()}) == 1  # balanced over all classes


def test_what_went_is_said(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    budget(home, 1000, told).tick()
    (line,) = told.lines
    assert line.startswith("warning: 5 images of cats (")
    assert "memory.max_bytes is 1,000, so of each class at most 3 are kept to learn from" in line
    (event,) = home.journal.db.events(1)
    assert (event.kind, event.task) == ("evicted", "cats")
    assert home.journal.size().bytes == sum(f.stat().st_size for f in home.generations.tasks.glob("cats/1/*"))


def test_a_start_finishes_what_a_kill_cut_off(tmp_path: Path) -> None:
    home = Home(tmp_path)
    learn(home, "cats")
    budget(home, 0).tick()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("learnd.control.knowledge.image_budget.trim", killed)
        with pytest.raises(KeyboardInterrupt):
            budget(home, 1000).tick()
    assert kept(home) == {"cats": {"a": 8}}
    assert home.generations.verify() == 4
    budget(home, 1000).tick()
    assert kept(home) == {"cats": {"a": 3}}
    assert home.generations.verify() == 4
    assert [event.kind for event in home.journal.db.events(9)].count("evicted") == 1


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_nothing_goes_while_there_is_room_for_what_is_left(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    budget(home, 1000).tick()
    whole = total(home) + 2600  # as many as dogs take; as they were committed both would need more
    looked_after = budget(home, whole, told)
    learn(home, "dogs")
    looked_after.tick()
    assert kept(home) == {"cats": {"a": 3}, "dogs": IMAGES["dogs"]}
    assert total(home) <= whole
    learn(home, "owls")
    looked_after.tick()
    assert kept(home) == {"cats": {"a": 2}, "dogs": {"b": 2, "c": 2}, "owls": {"d": 2}}


def test_a_limit_that_was_once_too_low_cuts_no_later_task(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    budget(home, 1000).tick()
    looked_after = budget(home, 100_000, told)
    looked_after.tick()
    learn(home, "dogs")
    looked_after.tick()
    assert kept(home) == {"cats": {"a": 3}, "dogs": IMAGES["dogs"]}
    assert told.lines == []


def test_the_room_that_a_forgotten_task_leaves_is_used(tmp_path: Path) -> None:
    home = Home(tmp_path)
    looked_after = budget(home, 5000)
    for name in ("cats", "dogs"):
        learn(home, name)
        looked_after.tick()
    home.generations.forget("cats")
    looked_after.tick()
    learn(home, "owls")
    looked_after.tick()
    assert kept(home)["owls"] == IMAGES["owls"]
    assert total(home) <= 5000


def test_a_task_that_comes_while_there_is_no_room_is_held_to_the_same_and_that_is_said(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    looked_after = budget(home, 2600, told)
    for name in ("cats", "owls"):
        learn(home, name)
        looked_after.tick()
    assert kept(home) == {"cats": {"a": 4}, "owls": {"d": 4}}
    assert [event.task for event in home.journal.db.events(9) if event.kind == "evicted"] == [None]
    assert "6 images of 2 tasks" in told.lines[-1]


def test_a_damaged_archive_is_named_and_the_others_are_looked_after(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    learn(home, "owls")
    (home.generations.tasks / "cats" / "1" / EXEMPLARS_FILE).write_bytes(b"no zip" * 500)
    budget(home, 1000, told).tick()
    assert told.lines[0].startswith("error: kept images that cannot be looked after")
    assert "cats/1/exemplars.zip" in told.lines[0]
    assert counted(home.generations.tasks / "owls" / "1" / EXEMPLARS_FILE) == {"d": 3}


def test_what_two_revisions_share_is_counted_once_and_stays_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, told = Home(tmp_path), Told()
    found(home)
    learn(home, "cats")
    budget(home, 2500).tick()
    consolidate(home, 1)
    first, second = archives(home)
    second.unlink()
    second.hardlink_to(first)  # as a consolidation takes them over
    budget(home, 2500, told).tick()
    assert told.lines == []
    with monkeypatch.context() as patch:
        patch.setattr("learnd.control.files.image_archives.link", killed)  # between the two names
        with pytest.raises(KeyboardInterrupt):
            budget(home, 1000, told).tick()
    assert second.stat().st_ino != first.stat().st_ino
    budget(home, 1000, told).tick()
    assert second.stat().st_ino == first.stat().st_ino
    assert len(told.lines) == 1
    assert counted(second) == {"a": 3}
    assert home.generations.verify() == 8


def test_what_was_taken_over_before_it_was_trimmed_is_one_file_again(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    found(home)
    learn(home, "cats")
    (first,) = archives(home)
    whole, looked_after = first.read_bytes(), budget(home, 1000, told)
    looked_after.tick()
    consolidate(home, 1)
    second = archives(home)[1]
    second.write_bytes(whole)
    looked_after.tick()
    assert second.stat().st_ino == first.stat().st_ino
    assert counted(first) == {"a": 3}
    assert len(told.lines) == 1
    assert home.generations.verify() == 8
    assert home.journal.history.archives.of("cats", 2) == home.journal.history.archives.of("cats", 1)


def test_it_takes_a_moment_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, told = Home(tmp_path), Told()
    for name in IMAGES:
        learn(home, name)
    monkeypatch.setattr(rooms, "SLICE", -1.0)  # time for one alone
    looked_after = budget(home, 2000, told)
    sizes, pauses = [], []
    while not looked_after.settled:
        pauses.append(looked_after.tick())
        sizes.append(total(home))
    assert pauses == [0.0, 0.0, math.inf]  # it does not wait for anything else to happen
    assert len(set(sizes)) == 3
    assert sizes[-1] <= 2000
    assert len(told.lines) == 1  # before any of it is done


def test_on_a_full_disk_it_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    looked_after = budget(home, 1000, told)
    with monkeypatch.context() as patch:
        patch.setattr("learnd.control.files.image_archives.write_durably", full)
        looked_after.tick()
        looked_after.tick()
    warning, error = told.lines
    assert warning.startswith("warning: 5 images of cats")
    assert error.startswith("error: kept images are over memory.max_bytes, and cannot be removed now")
    assert looked_after.settled  # for now
    monkeypatch.setattr(rooms, "RETRY_WRITE_SECONDS", 0.0)
    looked_after._retry_at = 0.0
    looked_after.tick()
    assert kept(home) == {"cats": {"a": 3}}


def test_where_the_journal_has_no_room_it_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    looked_after = budget(home, 1000, told)
    with monkeypatch.context() as patch:
        patch.setattr(home.journal.db, "note", no_room)
        assert 0 < looked_after.tick() <= rooms.RETRY_WRITE_SECONDS
    assert told.lines == ["error: kept images are over memory.max_bytes, and cannot be removed now: no room"]
    assert kept(home) == {"cats": {"a": 8}}
    looked_after._retry_at = 0.0
    looked_after.tick()
    assert kept(home) == {"cats": {"a": 3}}
    assert home.generations.verify() == 4


def no_room(*_: object) -> None:
    raise StateUnavailable("no room")


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("most", [100_000, 1000], ids=["whole", "evicted"])
def test_images_that_are_missing_are_named(most: int, tmp_path: Path) -> None:
    home = Home(tmp_path)
    learn(home, "cats")
    budget(home, most).tick()
    assert home.generations.verify() == 4
    for fewer in ({"a": 2}, {}):
        (home.generations.tasks / "cats" / "1" / EXEMPLARS_FILE).write_bytes(packed(fewer))
        with pytest.raises(StateError, match=r"cats/1/exemplars\.zip"):
            home.generations.verify()


def test_the_doctor_may_look_while_images_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    learn(home, "cats")
    looked_after = budget(home, 1000)

    def in_between(path: Path, sha256: str) -> None:
        if path.name in ARCHIVES:
            looked_after.tick()
        vouch(path, sha256)

    monkeypatch.setattr("learnd.control.knowledge.generations.vouch", in_between)
    assert home.generations.verify() == 4
    assert kept(home) == {"cats": {"a": 3}}


def test_a_revision_whose_images_were_evicted_can_come_back(tmp_path: Path) -> None:
    home = Home(tmp_path)
    learn(home, "cats")
    learn(home, "dogs")
    budget(home, 1000).tick()
    home.generations.roll_back(1)
    home.generations.roll_back(2)
    assert set(kept(home)) == {"cats", "dogs"}
    assert home.generations.verify() > 0
