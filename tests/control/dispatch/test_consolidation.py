"""The knowledge stands on another network as a whole or not at all: back and forward, killed, and forgotten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from learnd.control.dispatch.worker_slot import WorkerSlot
from learnd.control.journal.tasks import Content
from learnd.control.knowledge.change_requests import Undoing
from learnd.errors import StateError, TaskError
from learnd.messages.jobs import JobSpec
from learnd.messages.state_files import ADAPTED_FILE, EXEMPLARS_FILE, REPORT_FILE, STATISTICS_FILE
from tests.control.consolidations import consolidate, found, keeper
from tests.control.home import Home
from tests.patience import PATIENCE

FIRST, SECOND, THIRD = (f"{seed:064d}" for seed in range(3))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Two tasks on the first network."""
    (tmp_path / "state").mkdir()
    home = Home(tmp_path / "state")
    found(home)
    home.learn("cats", "d1")
    home.learn("dogs", "d2")
    return home


def accepted(home: Home, seed: int = 1) -> None:
    slept = consolidate(home, seed)
    assert slept is not None
    assert slept.outcome == "accepted", slept


def test_all_tasks_move_in_one_version_and_the_tasks_stay_what_they_are(home: Home) -> None:
    accepted(home)
    (newest, *_) = home.journal.history.versions()
    assert (newest.number, newest.tasks, newest.reason) == (3, 2, f"consolidated on backbone {SECOND[:12]}")
    assert [held.folder for held in newest.step.entering] == ["cats/2", "dogs/2"]
    assert [held.folder for held in newest.step.leaving] == ["cats/1", "dogs/1"]
    assert home.states() == {"cats/1": "learned", "dogs/1": "learned"}
    assert home.generations.backbone_hash() == SECOND
    assert home.generations.verify() == 16


def test_new_content_gets_a_number_that_nobody_had(home: Home) -> None:
    accepted(home)
    home.learn("cats", "d3")
    assert home.states() == {"cats/1": "learned", "cats/3": "learned", "dogs/1": "learned"}


def test_a_rollback_across_networks_takes_the_network_along(home: Home) -> None:
    before = home.knowledge()
    accepted(home)
    after = home.knowledge()
    for version, files, network in ((2, before, FIRST), (3, after, SECOND)):
        home.generations.roll_back(version)
        assert (home.knowledge(), home.generations.backbone_hash()) == (files, network)
        assert home.generations.backbone("conv4").file == str(home.generations.backbones / f"{network}.safetensors")


def test_a_network_that_is_damaged_is_not_returned_to(home: Home) -> None:
    accepted(home)
    (home.generations.backbones / f"{FIRST}.safetensors").write_bytes(b"rotten")
    with pytest.raises(StateError, match="is not what was committed"):
        home.generations.roll_back(2)
    assert home.journal.head == 3


def test_a_journal_of_before_there_were_consolidations_learns_of_its_network_at_the_start(home: Home) -> None:
    for table in ("foundations", "backbones"):
        home.journal.db.run(f"DELETE FROM {table}")
    home.generations.prepare()
    accepted(home)
    home.generations.roll_back(2)
    assert home.generations.backbone_hash() == FIRST


def test_networks_that_no_kept_version_needs_are_removed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    home = Home(tmp_path / "state", retention=2)
    found(home)
    home.learn("cats", "d1")
    accepted(home, 1)
    accepted(home, 2)
    accepted(home, 3)
    kept = {file.stem for file in home.generations.backbones.iterdir()}
    assert kept == {FIRST, THIRD, f"{3:064d}"}  # the first one had no teacher who could be forgotten
    assert home.files() == {"cats", *(f"cats/{n}" for n in (3, 4)), *_files("cats", 3), *_files("cats", 4)}
    Undoing(home.journal, home.generations).do("forget", "cats")
    assert home.generations.backbone_hash() == FIRST


def _files(task: str, revision: int) -> set[str]:
    names = (ADAPTED_FILE, STATISTICS_FILE, EXEMPLARS_FILE, REPORT_FILE)
    return {f"{task}/{revision}/{name}" for name in names}


def test_it_sleeps_when_asked_and_by_itself_only_after_enough_tasks_and_rest(home: Home) -> None:
    sleep = keeper(home)
    assert sleep.wanted() is None
    home.journal.requests.add("consolidate", "7")
    assert sleep.wanted() == 7
    sleep.failed("no reason")
    assert sleep.wanted() is None
    assert home.journal.requests.pending() == []


def test_a_job_that_is_due_wakes_it_where_no_other_worker_is_free(home: Home) -> None:
    sleep = keeper(home)
    asleep = WorkerSlot("cpu:0", "cpu", 0, ready=True, out=sleep.folder / "out")
    (sleep.folder / "out").mkdir(parents=True)
    content = Content("f", "d9", ways=2, images=4)
    home.journal.jobs.accept("birds", "birds", content, JobSpec("/tasks/birds"))
    sleep.look([asleep, WorkerSlot("cpu:1", "cpu", 1, ready=True)])
    assert not sleep.stop.exists()
    sleep.look([asleep])
    assert sleep.stop.exists()


@pytest.mark.slow
def test_killed_at_any_moment_it_has_moved_or_not_and_can_be_done_again(home: Home, tmp_path: Path) -> None:
    home.journal.close()
    copies = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.control.killed", str(home.state), str(copies), "consolidate", "1"]
    subprocess.run(command, check=True, timeout=PATIENCE)

    *killed, whole = [Home(copies / str(n)) for n in range(1, len(list(copies.iterdir())) + 1)]
    before, after = _seen(Home(home.state)), _seen(whole)
    outcomes = []
    for left in killed:  # Home has swept, as the next start does
        assert _seen(left) in (before, after)
        outcomes.append(_seen(left) == after)
        left.generations.verify()
        if not outcomes[-1] and len(outcomes) % 8 == 0:
            accepted(left)
            assert _seen(left) == after
        left.journal.close()
    assert outcomes == sorted(outcomes)  # from the transaction on, it is done
    assert set(outcomes) == {False, True}


def _seen(home: Home) -> tuple[object, ...]:
    versions = [(version.number, version.reason) for version in home.journal.history.versions()]
    networks = sorted(file.name for file in home.generations.backbones.iterdir())
    decided, network = len(home.journal.history.decisions()), home.generations.backbone_hash()
    return home.knowledge(), home.files(), home.states(), versions, networks, decided, network


def test_with_a_task_goes_every_network_that_it_helped_to_train(home: Home) -> None:
    before = {path: data for path, data in home.knowledge().items() if path.startswith("dogs")}
    accepted(home)
    Undoing(home.journal, home.generations).do("forget", "cats")
    assert (home.journal.head, home.generations.backbone_hash()) == (4, FIRST)
    assert home.knowledge() == before
    assert home.files() == {"dogs", "dogs/1", *_files("dogs", 1)}
    assert [file.stem for file in home.generations.backbones.iterdir()] == [FIRST]
    assert [version.number for version in home.journal.history.versions()] == [4, 2, 1]
    assert home.journal.history.decisions() == []
    with pytest.raises(TaskError, match="version 3 cannot be returned to"):
        home.generations.roll_back(3)
    home.generations.verify()
    accepted(home, 2)
    assert home.generations.backbone_hash() == THIRD


def test_what_only_a_tainted_network_knew_waits_to_be_learnt_anew(home: Home) -> None:
    accepted(home)
    home.learn("birds", "d5")
    Undoing(home.journal, home.generations).do("forget", "cats")
    assert [member.name for member in home.generations.members()] == ["dogs"]
    assert home.states() == {
        "birds/1": "forgotten",
        "birds/2": "waiting",
        "cats/1": "forgotten",
        "dogs/1": "learned",
    }


def test_a_network_that_began_as_a_tainted_one_is_tainted_too(home: Home) -> None:
    accepted(home, 1)
    consolidate(home, 2, learners=("dogs",))
    Undoing(home.journal, home.generations).do("forget", "cats")
    assert home.generations.backbone_hash() == FIRST


def test_a_task_that_had_no_part_in_it_leaves_the_network_as_it_is(home: Home) -> None:
    consolidate(home, 1, learners=("dogs",))
    Undoing(home.journal, home.generations).do("forget", "cats")
    assert home.generations.backbone_hash() == SECOND
    assert [member.name for member in home.generations.members()] == ["dogs"]
