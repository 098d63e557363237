"""The images of a state stay within memory.max_bytes, whatever came in whichever order."""

from __future__ import annotations

import itertools
from pathlib import Path

from learnd.control.budget import Budget
from learnd.control.eviction import archives_below, bytes_of
from tests.control.archives import counted, packed
from tests.control.home import Home

IMAGES = {"cats": {"a": 8}, "dogs": {"b": 4, "c": 4}, "owls": {"d": 6}}


def learn(home: Home, name: str) -> None:
    home.learn(name, images=packed(IMAGES[name], seed=len(name) + ord(name[0])))


def kept(home: Home) -> dict[str, dict[str, int]]:
    return {path.parent.parent.name: counted(path) for path in archives_below(home.generations.tasks)}


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
    assert home.journal.db.get("quota") is None


def test_what_is_kept_depends_on_the_tasks_and_not_on_their_order(tmp_path: Path) -> None:
    found = []
    for number, order in enumerate(itertools.permutations(IMAGES)):
        (tmp_path / str(number)).mkdir()
        home = Home(tmp_path / str(number))
        looked_after = budget(home, 4000)
        for name in order:
            learn(home, name)
            looked_after.tick()
        assert bytes_of(archives_below(home.generations.tasks)) <= 4000
        found.append([path.read_bytes() for path in archives_below(home.generations.tasks)])
        counts = kept(home)
    assert all(one == found[0] for one in found)
    assert len({n for classes in counts.values() for n in classes.values()}) == 1  # balanced over all classes


def test_what_went_is_said(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    budget(home, 1000, told).tick()
    (line,) = told.lines
    assert line.startswith("warning: 3 images of a class are kept to learn from")
    assert "5 images" in line
    assert home.journal.db.events(1)[0].kind == "evicted"


def test_a_start_finishes_what_a_kill_cut_off(tmp_path: Path) -> None:
    home = Home(tmp_path)
    learn(home, "cats")
    with home.journal.db.transaction():
        home.journal.db.put("quota", "[2, 0]")  # as of a daemon that was killed before it could trim
    budget(home, 1000).tick()
    assert kept(home) == {"cats": {"a": 2}}


def test_room_that_a_forgotten_task_leaves_is_used_before_more_goes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    looked_after = budget(home, 5200)
    for name in ("cats", "dogs"):
        learn(home, name)
        looked_after.tick()
    home.generations.forget("cats")
    learn(home, "owls")
    looked_after.tick()
    assert kept(home) == {"dogs": IMAGES["dogs"], "owls": IMAGES["owls"]}


def test_a_damaged_archive_stops_nothing(tmp_path: Path) -> None:
    home, told = Home(tmp_path), Told()
    learn(home, "cats")
    (path,) = archives_below(home.generations.tasks)
    path.write_bytes(b"no zip" * 500)
    budget(home, 1000, told).tick()
    assert told.lines[0].startswith("error: kept images are over memory.max_bytes, and cannot be removed")


def test_a_revision_whose_images_were_evicted_can_come_back(tmp_path: Path) -> None:
    home = Home(tmp_path)
    learn(home, "cats")
    learn(home, "dogs")
    budget(home, 1000).tick()
    home.generations.roll_back(1)
    home.generations.roll_back(2)
    assert set(kept(home)) == {"cats", "dogs"}
    assert home.generations.verify() > 0
