"""The queue before the real inspector, and what becomes of a folder when that is lost."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learnd.control.intake.inspection import Inspection
from learnd.control.intake.inspector_queue import DECODE_SECONDS, Answer, Inspections
from learnd.control.processes.child import Child
from learnd.errors import LearndError
from learnd.messages.task import Problem
from learnd.settings.loading import load
from tests.broken import good_task
from tests.control.dispatch.test_dispatcher import Clock
from tests.control.intake.test_task_folders import heavy_task
from tests.patience import PATIENCE


class Desk:
    """The room under test, with its folders, turned by hand as the service turns it."""

    def __init__(self, home: Path) -> None:
        settings = load(None, {"tasks": str(home / "tasks"), "state": str(home / "state")}, {})
        self.tasks = settings.tasks
        self.tasks.mkdir()
        self.inbox: queue.SimpleQueue[tuple[Child, dict[str, Any]]] = queue.SimpleQueue()
        self.heard: list[dict[str, Any]] = []
        self.inspectors: list[Child] = []
        self.notices: list[str] = []
        self.room = Inspections(settings, self._hear, lambda _level, text: self.notices.append(text))
        self.room.start()

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        self.inbox.put((child, message))

    def turn(self) -> Answer | None:
        """Wait for one message, and handle it."""
        child, message = self.inbox.get(timeout=PATIENCE)
        if not self.room.owns(child):
            return None
        self.heard.append(message)
        if child not in self.inspectors:
            self.inspectors.append(child)
        return self.room.hear(message)

    def until(self, word: str) -> Child:
        """Until the inspector says this; returns it."""
        before = len(self.heard)
        while not any(word in message for message in self.heard[before:]):
            self.turn()
        return self.inspectors[-1]

    def answer(self) -> Answer:
        while True:
            answer = self.turn()
            if answer is not None:
                return answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("learnd.control.intake.inspector_queue.time", clock)
    return clock


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.room.stop()


def problem(answer: Answer) -> Problem:
    assert isinstance(answer.found, Problem)
    return answer.found


def test_folders_are_inspected_in_the_order_in_which_they_came(desk: Desk) -> None:
    for number, name in enumerate(("cats", "dogs", "birds")):
        good_task(desk.tasks / name, shots=4 + number)
        desk.room.add(name, pronounce=name == "dogs")
    assert all(name in desk.room for name in ("cats", "dogs", "birds"))

    answers = [desk.answer() for _ in range(3)]
    assert [answer.name for answer in answers] == ["cats", "dogs", "birds"]
    assert [answer.pronounce for answer in answers] == [False, True, False]
    assert all(isinstance(answer.found, Inspection) and answer.found.accepted for answer in answers)
    assert not desk.room.busy
    assert "cats" not in desk.room


def test_an_inspector_that_was_lost_before_it_was_asked_costs_the_folder_nothing(desk: Desk) -> None:
    idle = desk.until("hello")
    os.kill(idle.pid, signal.SIGSTOP)  # so that it is surely lost before it opens anything
    for name in ("cats", "dogs"):
        good_task(desk.tasks / name)
        desk.room.add(name, pronounce=True)
    os.kill(idle.pid, signal.SIGKILL)

    answers = [desk.answer(), desk.answer()]
    assert [(answer.name, type(answer.found)) for answer in answers] == [("cats", Inspection), ("dogs", Inspection)]
    assert "SIGKILL before it opened a file of cats, which is checked again" in desk.notices[0]


def test_a_folder_on_which_every_inspector_is_lost_is_to_blame_though_none_opened_a_file(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.until("hello")
    fragile = tmp_path / "fragile"
    fragile.write_text("#!/bin/sh\necho '{\"hello\": {}}'\nread request\nexit 7\n")
    fragile.chmod(0o755)
    monkeypatch.setattr("learnd.control.intake.inspector_queue.sys.executable", str(fragile))
    desk.room.stop()
    good_task(desk.tasks / "cats")
    desk.room.add("cats", pronounce=True)

    found = problem(desk.answer())
    assert (found.code, found.where) == ("decoder-crash", ".")
    assert found.what == "the process that decodes images ended with exit code 7"
    assert len(desk.inspectors) == 3
    assert not desk.room.busy


def test_a_file_that_kills_the_inspector_is_named_and_the_next_folder_is_fine(desk: Desk) -> None:
    heavy_task(desk.tasks / "heavy")
    good_task(desk.tasks / "next")
    desk.room.add("heavy", pronounce=True)
    desk.room.add("next", pronounce=True)
    os.kill(desk.until("progress").pid, signal.SIGKILL)

    found = problem(desk.answer())
    assert (found.code, found.where[:8]) == ("decoder-crash", "circles/")
    assert found.what == "the process that decodes images was killed by SIGKILL"
    assert isinstance(desk.answer().found, Inspection)


def test_a_file_on_which_the_inspector_hangs_is_blamed_as_well(desk: Desk, clock: Clock) -> None:
    heavy_task(desk.tasks / "heavy")
    desk.room.add("heavy", pronounce=True)
    inspector = desk.until("progress")
    os.kill(inspector.pid, signal.SIGSTOP)
    desk.room.tick(clock.monotonic() + DECODE_SECONDS - 1)
    os.kill(inspector.pid, 0)  # it is still there
    desk.room.tick(clock.monotonic() + DECODE_SECONDS + 1)
    assert "SIGKILL" in problem(desk.answer()).what


def test_an_inspector_that_is_lost_while_it_has_nothing_to_do_is_replaced(desk: Desk) -> None:
    os.kill(desk.until("hello").pid, signal.SIGKILL)
    desk.until("gone")
    desk.until("hello")
    assert len(desk.inspectors) == 2
    assert desk.notices == []


def test_an_inspector_that_never_starts_is_a_clear_error_with_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no Pillow here >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("learnd.control.intake.inspector_queue.sys.executable", str(broken))
    desk = Desk(tmp_path)
    with pytest.raises(LearndError, match="the inspector cannot start: no Pillow here"):
        desk.until("hello")


def test_an_inspector_that_cannot_even_be_spawned_is_a_clear_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.room.stop()
    monkeypatch.setattr("learnd.control.intake.inspector_queue.sys.executable", "/no/such/python")
    with pytest.raises(LearndError, match=r"the inspector cannot start: .*No such file"):
        desk.room.start()


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
def test_one_that_cannot_be_replaced_now_is_replaced_later_and_nothing_that_waits_is_lost(
    desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    lost = desk.until("hello")
    with monkeypatch.context() as without:
        without.setattr("learnd.control.intake.inspector_queue.sys.executable", python)
        os.kill(lost.pid, signal.SIGKILL)
        while not desk.notices:
            desk.turn()
        good_task(desk.tasks / "cats")
        desk.room.add("cats", pronounce=True)
        at = desk.room.tick(clock.monotonic())
    assert "the inspector cannot be started: " in desk.notices[0]
    assert "tried again in 2 s" in desk.notices[0]
    assert at is not None
    assert clock.monotonic() < at

    desk.room.tick(at)
    assert isinstance(desk.answer().found, Inspection)
