"""The daemon's one loop, with the real watcher and inspector and the light worker of test_dispatch."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learnd.control.intake.task_folders import Folders
from learnd.control.intake.watcher import FolderEvent
from learnd.control.journal.database import Database
from learnd.control.journal.journal import JOURNAL, Journal
from learnd.control.journal.tasks import TaskRow
from learnd.control.knowledge.change_requests import ask
from learnd.control.knowledge.image_budget import Budget
from learnd.control.processes.child import Child, Inbox
from learnd.control.processes.start import WorkerPlace
from learnd.control.service import EventCollector, Service
from learnd.errors import LearndError, StateError, StateUnavailable
from learnd.messages.jobs import BackboneSpec
from learnd.messages.plugins import PluginInfo
from learnd.messages.task import TaskState
from learnd.settings.keys import Settings
from learnd.settings.loading import load
from tests.broken import good_task
from tests.control.dispatch.test_dispatcher import Crew
from tests.patience import PATIENCE

# --- the events -----------------------------------------------------------------------------------------------


def test_a_thousand_rings_wake_the_service_once() -> None:
    woken: list[bool] = []
    events = EventCollector(lambda: woken.append(True))
    for _ in range(1000):
        events(FolderEvent("cats"))
    events(FolderEvent("dogs"))
    events(FolderEvent(None))
    assert len(woken) == 1
    assert events.take() == {"cats": False, "dogs": False, None: False}


def test_a_ring_after_the_look_wakes_it_again() -> None:
    woken: list[bool] = []
    events = EventCollector(lambda: woken.append(True))
    events(FolderEvent("cats"))
    events.take()
    events(FolderEvent("cats"))
    assert len(woken) == 2
    assert events.take() == {"cats": False}
    assert events.take() == {}


@pytest.mark.parametrize("renamed", [[True, False], [False, True]])
def test_that_a_folder_was_moved_in_is_not_lost_among_other_events(renamed: list[bool]) -> None:
    events = EventCollector(lambda: None)
    for moved_in in renamed:
        events(FolderEvent("cats", moved_in))
    assert events.take() == {"cats": True}


def test_no_event_is_lost_however_many_threads_report() -> None:
    woken = threading.Semaphore(0)
    events = EventCollector(woken.release)
    seen: set[str | None] = set()
    ringers = [
        threading.Thread(target=lambda row=row: [events(FolderEvent(f"{row}-{n}")) for n in range(200)])
        for row in range(4)
    ]
    for ringer in ringers:
        ringer.start()
    while len(seen) < 800:
        assert woken.acquire(timeout=PATIENCE)
        seen |= set(events.take())
    for ringer in ringers:
        ringer.join()
    assert events.take() == {}


# --- the daemon -------------------------------------------------------------------------------------------------------


class House:
    """A watched folder, a state, and daemons that live in them one after another."""

    def __init__(self, home: Path, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
        places = {"tasks": str(home / "tasks"), "state": str(home / "state"), "backbone": "conv4", "devices": "cpu"}
        self.settings = load(None, places | {"watch.quiet_seconds": "0", "worker.retry_seconds": "0"}, {})
        self.crew = crew
        self.notices: list[tuple[str, str]] = []
        self.when: dict[str, Callable[[], None]] = {}  # what to do when a worker begins such a job, or a notice comes
        self.patch = monkeypatch
        self.again()

    def again(self) -> None:
        """Another daemon."""
        self.service = Service(self.settings, self._notice)
        self.patch.setattr("learnd.control.dispatch.worker_pool.start_worker", self._start_worker)

    def _start_worker(
        self,
        place: WorkerPlace,
        backbone: BackboneSpec,
        settings: Settings,
        inbox: Inbox,
        barred: tuple[PluginInfo, ...],
    ) -> Child:
        def heard(child: Child, message: dict[str, Any]) -> None:
            inbox(child, message)
            if "progress" in message:
                self._do(message["progress"]["stage"])

        return self.crew.start_worker(place, backbone, settings, heard, barred)

    def _notice(self, level: str, text: str) -> None:
        self.notices.append((level, text))
        self._do(text)

    def _do(self, what: str) -> None:
        self.when.pop(what, lambda: None)()

    def run(self, *, once: bool = True) -> int:
        return self.service.run(once=once)

    def journal(self) -> Journal:
        return Journal(self.settings.state / JOURNAL)

    def rows(self) -> list[TaskRow]:
        journal = self.journal()
        try:
            return journal.tasks.all()
        finally:
            journal.close()

    def skip(self, name: str) -> None:
        """As `learnd skip` does."""
        journal = self.journal()
        journal.tasks.skip(name)
        journal.close()

    def states(self) -> dict[str, TaskState]:
        return {row.name: row.state for row in self.rows()}


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield House(tmp_path, Crew(tmp_path), monkeypatch)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_once_with_nothing_to_do_makes_the_folders_and_exits_with_0(house: House) -> None:
    assert house.run() == 0
    assert house.settings.tasks.is_dir()
    assert house.rows() == []


def test_once_learns_what_is_there_and_exits_with_0(house: House) -> None:
    for number, name in enumerate(("cats", "dogs")):
        good_task(house.settings.tasks / name, shots=4 + number)
        house.crew.learns(name)
    assert house.run() == 0
    assert house.states() == {"cats": TaskState.LEARNED, "dogs": TaskState.LEARNED}


def test_once_exits_with_1_where_a_folder_is_rejected_and_learns_the_others(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    good_task(house.settings.tasks / "broken", classes=("only",))
    house.crew.learns("cats")
    assert house.run() == 1
    assert house.states() == {"cats": TaskState.LEARNED, "broken": TaskState.REJECTED}


def test_once_exits_with_1_where_a_task_failed(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.will("cats", "die")
    assert house.run() == 1
    assert house.rows()[0].reason == "the worker ended with exit code 7, at: learn (3 attempts)"


def test_once_takes_up_the_copy_of_what_could_not_be_learned(house: House) -> None:
    shutil.copytree(good_task(house.settings.tasks / "cats"), house.settings.tasks / "copy")
    house.crew.leaves("cats", {"status": "failed", "reason": "no way"}, {})
    house.crew.learns("copy")
    assert house.run() == 1
    assert house.states() == {"cats": TaskState.FAILED, "copy": TaskState.LEARNED}


def test_once_does_not_end_before_it_has_seen_what_was_wished_at_the_last_moment(house: House) -> None:
    shutil.copytree(good_task(house.settings.tasks / "cats"), house.settings.tasks / "copy")
    house.crew.will("cats", "die")  # and it is to be tried again in an hour
    house.crew.learns("copy")
    house.settings = replace(house.settings, worker=replace(house.settings.worker, retry_seconds=3600))
    house.again()
    tick = Folders.tick

    def wish(folders: Folders) -> float:
        pause = tick(folders)
        if [(row.state, row.reason[:9]) for row in house.rows()][:1] == [(TaskState.QUEUED, "attempt 1")]:
            house.skip("cats")
        return pause

    house.patch.setattr(Folders, "tick", wish)
    assert house.run() == 0
    assert house.states() == {"cats": TaskState.SKIPPED, "copy": TaskState.LEARNED}


def test_it_waits_for_nothing_while_kept_images_are_to_go(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.learns("cats")
    tick, wait = Budget.tick, Service._wait
    left, pauses = [0.0, 0.0, 0.0], list[float]()

    def ticked(budget: Budget) -> float:
        pause = tick(budget)
        return left.pop() if left else pause

    def waited(service: Service, parts: Any, seconds: float) -> bool:
        pauses.append(seconds)
        return wait(service, parts, seconds)

    house.patch.setattr(Budget, "tick", ticked)
    house.patch.setattr(Service, "_wait", waited)
    assert house.run() == 0
    assert pauses[:3] == [0.0, 0.0, 0.0]
    assert pauses[3] > 0


def test_a_second_run_learns_nothing_again(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.learns("cats")
    house.run()
    before = house.rows()
    assert house.run() == 0
    assert house.rows() == before


def test_a_signal_ends_it_and_the_job_in_hand_goes_back(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.will("cats", "hang")
    house.when = {"learn": interrupt}

    assert house.run(once=False) == 0
    assert [(row.state, row.reason) for row in house.rows()] == [(TaskState.QUEUED, "the daemon was stopped")]


def test_what_ran_when_a_daemon_was_killed_is_done_by_the_next(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.will("cats", "hang")
    house.when = {"learn": interrupt}
    house.run(once=False)
    journal = house.journal()  # as a daemon leaves it that had no time to put anything back
    held = journal.jobs.lease("cpu:0")
    journal.close()
    assert held is not None
    (house.settings.state / "work" / "1-2" / "out").mkdir(parents=True)

    house.crew.learns("cats")
    assert house.run() == 0
    assert house.states() == {"cats": TaskState.LEARNED}
    said = [text for _, text in house.notices]
    assert "removed what an earlier daemon left unfinished: work/1-2" in said
    assert "1 job(s) that ran when the daemon stopped are queued again" in said


def test_a_pause_ends_with_the_daemon_that_it_was_given_to(house: House) -> None:
    house.settings.state.mkdir()
    journal = Journal(house.settings.state / JOURNAL, create=True)
    journal.pause()
    journal.close()
    good_task(house.settings.tasks / "cats")
    house.crew.learns("cats")
    assert house.run() == 0
    assert house.states() == {"cats": TaskState.LEARNED}


def test_what_another_process_wishes_is_seen_without_being_told(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.will("cats", "hang")
    house.when = {"learn": lambda: house.skip("cats")}
    assert house.run() == 0
    assert house.states() == {"cats": TaskState.SKIPPED}


def test_what_a_command_asks_for_is_carried_out_between_two_commits(house: House) -> None:
    for number, name in enumerate(("cats", "dogs")):
        good_task(house.settings.tasks / name, shots=4 + number)
        house.crew.learns(name)
    house.run()
    wishes = (("rollback", "1"), ("forget", "dogs"))
    asked = [threading.Thread(target=ask, args=(house.settings, *wish)) for wish in wishes]
    house.when = {
        "cpu:0 is ready: conv4, plugins in use: 0": asked[0].start,
        "rollback 1, as asked: the knowledge is version 3": asked[1].start,
        "forget dogs, as asked: the knowledge is version 3": interrupt,
    }
    assert house.run(once=False) == 0
    for command in asked:
        command.join()
    assert house.states() == {"cats": TaskState.LEARNED, "dogs": TaskState.FORGOTTEN}
    assert sorted(path.name[:4] for path in (house.settings.state / "tasks").iterdir()) == ["cats"]


def test_what_was_asked_of_a_daemon_that_was_killed_is_done_by_the_next_before_anything_else(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.learns("cats")
    house.run()
    journal = house.journal()
    journal.requests.add("forget", "cats")
    journal.close()
    assert house.run() == 0
    assert house.states() == {"cats": TaskState.FORGOTTEN}


def test_a_folder_that_comes_while_it_runs_is_learned(house: House, tmp_path: Path) -> None:
    house.crew.learns("cats")
    good_task(tmp_path / "aside")
    ready = "cpu:0 is ready: conv4, plugins in use: 0"
    learned = "learned cats: protonet, accuracy 0.900 (cross-validation), version 1"
    house.when = {
        ready: lambda: os.rename(tmp_path / "aside", house.settings.tasks / "cats"),
        learned: interrupt,
    }
    assert house.run(once=False) == 0
    assert house.states() == {"cats": TaskState.LEARNED}


def test_a_state_made_with_another_backbone_ends_it_before_any_worker_starts(house: House) -> None:
    good_task(house.settings.tasks / "cats")
    house.crew.learns("cats")
    house.run()
    house.crew.started.clear()
    other = load(None, {"tasks": str(house.settings.tasks), "state": str(house.settings.state)}, {})
    with pytest.raises(StateError, match="made with backbone 'conv4', the settings say 'lite0-meta'"):
        Service(other, lambda *_: None).run()
    assert house.crew.started == []


def fill(house: House) -> None:
    """The disk is full: SQLite may take no further page for the journal."""
    room = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[None]:
        self.run("PRAGMA max_page_count = 1")  # which SQLite rounds up to what the file has
        with room(self):
            yield

    house.patch.setattr(Database, "transaction", transaction)


def test_a_full_disk_under_the_journal_is_a_clear_end_and_the_next_daemon_goes_on(house: House) -> None:
    for number in range(12):
        good_task(house.settings.tasks / f"{'a long name ' * 10}{number}", shots=4 + number)
        house.crew.learns(f"{'a long name ' * 10}{number}")
    house.when = {"cpu:0 is ready: conv4, plugins in use: 0": lambda: fill(house)}
    with pytest.raises(StateUnavailable, match=r"journal.sqlite: the journal cannot be .*is full") as error:
        house.run()
    assert error.value.exit_code == 1  # the service unit starts it again; 3 would be the end

    house.patch.undo()
    house.again()
    assert house.run() == 0
    assert set(house.states().values()) == {TaskState.LEARNED}


@pytest.mark.parametrize(
    "what",
    [
        "learnd.control.files.lock.os.pwrite",
        "learnd.control.knowledge.generations.Generations.prepare",
        "learnd.control.processes.child.subprocess.Popen",
        "learnd.control.dispatch.dispatcher.Dispatcher.tick",  # the backbone's export, above all
    ],
)
def test_whatever_else_the_system_refuses_is_a_clear_end_too(house: House, what: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "state/work")

    house.patch.setattr(what, full)
    good_task(house.settings.tasks / "cats")
    with pytest.raises(LearndError, match="No space left on device") as error:
        house.run()
    assert error.value.exit_code == 1
