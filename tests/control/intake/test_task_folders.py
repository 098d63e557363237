"""Verdicts on folders, with the real inspector."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from learnd.control.intake.task_folders import Folders
from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import TaskRow
from learnd.control.journal.versions import Step
from learnd.control.processes.child import Child
from learnd.identity import nfc, task_id
from learnd.messages.task import TaskState
from learnd.settings.loading import load
from tests.broken import draw, good_task
from tests.control.dispatch.test_dispatcher import Clock
from tests.patience import PATIENCE


class Yard:
    """A watched folder, its journal and the room under test; `until` turns the wheel."""

    def __init__(self, home: Path, quiet: str = "0.2") -> None:
        flags = {"tasks": str(home / "tasks"), "state": str(home / "state"), "watch.quiet_seconds": quiet}
        settings = load(None, flags, {})
        self.tasks = settings.tasks
        self.tasks.mkdir()
        settings.state.mkdir()
        self.journal = Journal(settings.state / "journal.sqlite", create=True)
        self.notices: list[str] = []
        self.inbox: queue.Queue[tuple[Child, dict[str, Any]]] = queue.Queue()
        self.children: list[Child] = []
        self.folders = Folders(settings, self.journal, self._hear, lambda _level, text: self.notices.append(text))
        self.folders.start()

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        self.children.append(child)
        self.inbox.put((child, message))

    def until(self, wanted: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not wanted():
            assert time.monotonic() < end, (self.notices, self.journal.tasks.all())
            pause = self.folders.tick()
            try:
                child, message = self.inbox.get(timeout=min(pause, 0.2))
            except queue.Empty:
                continue
            if self.folders.owns(child):
                self.folders.hear(message)

    def settle(self) -> None:
        self.until(lambda: self.folders.settled)

    def row(self, name: str) -> TaskRow:
        return self.journal.tasks.revisions(name)[-1]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path)
    yield yard
    yard.folders.stop()
    yard.journal.close()


def test_a_new_folder_waits_until_it_is_quiet_and_is_then_queued(yard: Yard) -> None:
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    assert (yard.row("shapes").state, yard.row("shapes").images) == (TaskState.WAITING, 8)
    yard.settle()
    assert (yard.row("shapes").state, yard.row("shapes").ways) == (TaskState.QUEUED, 2)


def test_a_folder_that_was_moved_in_is_taken_at_once(yard: Yard) -> None:
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes", renamed=True)
    yard.settle()
    assert [event.kind for event in yard.journal.db.events(task="shapes")] == ["queued"]


def test_what_was_moved_in_may_still_be_filled_so_it_is_not_rejected_before_it_is_quiet(yard: Yard) -> None:
    (good_task(yard.tasks / "shapes") / "triangles").mkdir()
    yard.folders.look("shapes", renamed=True)
    yard.until(lambda: yard.journal.tasks.all())
    assert yard.row("shapes").state == TaskState.WAITING
    assert "not fit yet" in yard.row("shapes").reason
    yard.settle()
    assert yard.row("shapes").state == TaskState.REJECTED


def test_the_reason_names_no_place_where_the_folder_itself_is_meant(yard: Yard) -> None:
    good_task(yard.tasks / "shapes", classes=("circles",))
    yard.folders.look("shapes")
    yard.settle()
    (problem,) = yard.row("shapes").problems
    assert problem.where == "."
    assert yard.row("shapes").reason == problem.what


def test_a_second_look_at_what_is_judged_writes_nothing(yard: Yard) -> None:
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes", renamed=True)
    yard.settle()
    before = yard.row("shapes")
    yard.folders.look_everywhere()
    assert yard.folders.settled
    assert yard.row("shapes") == before


def test_a_skipped_folder_is_left_alone_whatever_becomes_of_it(yard: Yard) -> None:
    folder = good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    yard.journal.tasks.skip("shapes")
    draw(folder / "circles" / "more.png", seed=77)
    yard.folders.look("shapes")
    assert yard.folders.settled
    assert yard.row("shapes").state == TaskState.SKIPPED


def test_a_folder_that_vanishes_before_it_was_accepted_leaves_an_event(yard: Yard) -> None:
    folder = good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    shutil.rmtree(folder)
    yard.folders.look_everywhere()
    assert yard.journal.tasks.all() == []
    assert [event.kind for event in yard.journal.db.events(task="shapes")] == ["vanished"]
    yard.settle()


def test_a_name_that_is_no_utf8_is_recorded_as_it_can_be_read(yard: Yard) -> None:
    good_task(yard.tasks / os.fsdecode(b"caf\xe9"))
    yard.folders.look_everywhere()
    yard.settle()
    assert [(row.name, row.state) for row in yard.journal.tasks.all()] == [("caf\\udce9", TaskState.REJECTED)]
    yard.folders.look_everywhere()
    assert yard.folders.settled


def test_two_folders_of_one_name_do_not_take_turns(yard: Yard) -> None:
    good_task(yard.tasks / "caf\u00e9")
    good_task(yard.tasks / "cafe\u0301", shots=5)
    for _ in range(2):
        yard.folders.look_everywhere()
        yard.settle()
    assert [(row.name, row.revision, row.images) for row in yard.journal.tasks.all()] == [("caf\u00e9", 1, 8)]
    assert any("both called" in notice for notice in yard.notices)


# --- waiting, and what ends it: told by a clock that the test turns --------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("task_folders", "inspector_queue"):
        monkeypatch.setattr(f"learnd.control.intake.{module}.time", clock)
    return clock


@pytest.fixture
def patient(tmp_path: Path, clock: Clock) -> Iterator[Yard]:
    """A yard that wants a minute of quiet, which only the clock of the test brings."""
    yard = Yard(tmp_path, quiet="60")
    yield yard
    yard.folders.stop()
    yard.journal.close()


def judged(yard: Yard, clock: Clock) -> TaskRow:
    """What becomes of the folder "shapes" when it has been quiet for long enough."""
    yard.folders.look("shapes")
    clock.ahead += 60
    yard.settle()
    return yard.row("shapes")


def test_a_folder_that_waits_says_why_and_is_never_given_up(patient: Yard, clock: Clock) -> None:
    folder = good_task(patient.tasks / "shapes")
    patient.folders.look("shapes")
    assert patient.row("shapes").reason == "just seen: 8 files; quiet for 60 s needed"

    for more in range(3):
        clock.ahead += 3600
        (folder / "circles" / f"new{more}.png.part").touch()
        patient.folders.tick()
        assert not patient.folders.settled
    assert patient.row("shapes").reason.startswith("still growing: 11 files, 3 of them unfinished, changed 0.0 s ago")


def test_a_marker_makes_waiting_needless(patient: Yard) -> None:
    (good_task(patient.tasks / "shapes") / ".ready").touch()
    patient.folders.look("shapes")
    patient.settle()
    assert patient.row("shapes").state == TaskState.QUEUED


def test_what_was_moved_in_half_and_filled_before_it_was_quiet_is_accepted(patient: Yard, clock: Clock) -> None:
    folder = good_task(patient.tasks / "shapes", classes=("circles",))
    patient.folders.look("shapes", renamed=True)
    patient.until(lambda: patient.journal.tasks.all())
    good_task(folder)
    assert judged(patient, clock).state == TaskState.QUEUED
    assert "rejected" not in {event.kind for event in patient.journal.db.events()}


def test_a_rejected_folder_names_every_problem_and_is_accepted_when_it_is_mended(patient: Yard, clock: Clock) -> None:
    folder = good_task(patient.tasks / "shapes")
    (folder / "triangles").mkdir()
    (folder / "circles" / "0.png").write_bytes(b"nothing of the kind")
    row = judged(patient, clock)
    assert (row.state, {problem.where for problem in row.problems}) == (
        TaskState.REJECTED,
        {"circles/0.png", "triangles"},
    )
    assert "(and 1 more)" in row.reason

    (folder / "triangles").rmdir()
    (folder / "circles" / "0.png").unlink()
    row = judged(patient, clock)
    assert (row.state, row.revision, row.images, row.problems) == (TaskState.QUEUED, 1, 7, ())


def test_a_rejected_folder_that_is_removed_leaves_the_table(patient: Yard, clock: Clock) -> None:
    folder = patient.tasks / "shapes"
    folder.mkdir()
    assert judged(patient, clock).state == TaskState.REJECTED
    shutil.rmtree(folder)
    patient.folders.look("shapes")
    assert patient.journal.tasks.all() == []


def test_a_folder_that_was_only_touched_stays_what_it_is(patient: Yard, clock: Clock) -> None:
    folder = good_task(patient.tasks / "shapes")
    before = judged(patient, clock)
    os.utime(folder / "circles" / "0.png", (1, 1))
    after = judged(patient, clock)

    assert [row.revision for row in patient.journal.tasks.revisions("shapes")] == [1]
    assert (after.state, after.digest) == (TaskState.QUEUED, before.digest)
    assert after.fingerprint != before.fingerprint
    patient.folders.look("shapes")
    assert patient.folders.settled


def test_new_content_of_a_task_that_is_done_is_a_new_revision(patient: Yard, clock: Clock) -> None:
    folder = good_task(patient.tasks / "shapes")
    judged(patient, clock)
    held = patient.journal.jobs.lease("cpu:0")
    assert held is not None
    patient.journal.jobs.give_up(held, "failed", "no way")
    draw(folder / "circles" / "more.png", seed=77)

    row = judged(patient, clock)
    assert (row.state, row.revision, row.images) == (TaskState.QUEUED, 2, 9)


def test_a_copy_is_a_duplicate_until_it_differs(patient: Yard, clock: Clock) -> None:
    shutil.copytree(good_task(patient.tasks / "original"), patient.tasks / "shapes")
    patient.folders.look("original", renamed=True)
    patient.settle()
    row = judged(patient, clock)
    assert (row.state, row.reason) == (TaskState.DUPLICATE, "the same content as original")

    draw(patient.tasks / "shapes" / "circles" / "more.png", seed=77)
    row = judged(patient, clock)
    assert (row.state, row.revision) == (TaskState.QUEUED, 1)


def forget(yard: Yard, name: str) -> None:
    yard.journal.history.forget(task_id(name), name, None, Step())


def test_a_forgotten_folder_is_not_queued_again_by_itself_though_it_is_touched(yard: Yard) -> None:
    folder = good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    yard.settle()
    forget(yard, "shapes")
    yard.folders.look("shapes")
    assert yard.folders.settled
    for image in folder.rglob("*.png"):
        image.touch()
    yard.folders.look("shapes")
    yard.settle()
    assert [row.state for row in yard.journal.tasks.all()] == [TaskState.FORGOTTEN]


@pytest.mark.parametrize("by", ["change", "retry"])
def test_a_forgotten_folder_is_queued_again_when_it_changes_or_is_retried(by: str, yard: Yard) -> None:
    folder = good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    yard.settle()
    forget(yard, "shapes")
    if by == "change":
        draw(folder / "circles" / "more.png", seed=77)
        yard.folders.look("shapes")
    else:
        yard.journal.tasks.retry("shapes")
        yard.folders.tick()
    yard.settle()
    assert [row.state for row in yard.journal.tasks.all()] == [TaskState.FORGOTTEN, TaskState.QUEUED]


def test_a_skipped_folder_that_is_retried_is_judged_again(patient: Yard, clock: Clock) -> None:
    good_task(patient.tasks / "shapes")
    judged(patient, clock)
    patient.journal.tasks.skip("shapes")
    patient.folders.look("shapes")
    assert patient.folders.settled
    patient.journal.tasks.retry("shapes")
    assert judged(patient, clock).state == TaskState.QUEUED


# --- twins and other names --------------------------------------------------------------------------------------------


def test_a_copy_of_what_is_not_learned_after_all_is_taken_up_at_once(patient: Yard, clock: Clock) -> None:
    shutil.copytree(good_task(patient.tasks / "original"), patient.tasks / "shapes")
    for name in ("original", "shapes"):
        patient.folders.look(name, renamed=True)
    patient.settle()
    assert patient.row("shapes").state == TaskState.DUPLICATE

    held = patient.journal.jobs.lease("cpu:0")
    assert held is not None
    patient.journal.jobs.give_up(held, "failed", "no way")
    patient.folders.tick()
    assert not patient.folders.settled
    clock.ahead += 60
    patient.settle()
    assert patient.row("shapes").state == TaskState.QUEUED


def test_a_copy_that_is_gone_when_its_verdict_is_taken_back_leaves_the_table(patient: Yard) -> None:
    shutil.copytree(good_task(patient.tasks / "original"), patient.tasks / "shapes")
    for name in ("original", "shapes"):
        patient.folders.look(name, renamed=True)
    patient.settle()
    shutil.rmtree(patient.tasks / "shapes")
    patient.journal.tasks.skip("original")
    patient.folders.tick()
    assert [row.name for row in patient.journal.tasks.all()] == ["original"]
    assert patient.folders.settled


def test_a_name_that_is_longer_composed_than_any_file_may_be_is_a_task_like_any_other(yard: Yard) -> None:
    name = "\u0958" * 85  # 255 bytes; its composed form, as Unicode has it, is of twice as many characters
    good_task(yard.tasks / name)
    yard.folders.look_everywhere()
    yard.folders.look(name)
    yard.settle()
    assert [(row.name, row.state) for row in yard.journal.tasks.all()] == [(nfc(name), TaskState.QUEUED)]


# --- while it is being inspected --------------------------------------------------------------------------------------


def heavy_task(folder: Path) -> Path:
    """Eight times the same forty megapixels: they keep the inspector busy for a second, and the disk hardly."""
    first = folder / "circles" / "0.png"
    first.parent.mkdir(parents=True)
    (folder / "squares").mkdir()
    Image.new("1", (8000, 5000)).save(first)
    for place in [*(f"circles/{n}.png" for n in range(1, 4)), *(f"squares/{n}.png" for n in range(4))]:
        os.link(first, folder / place)
    return folder


def inspecting(yard: Yard) -> Child:
    """The inspector, at the moment when it has named a file of "shapes" and opens it."""
    yard.folders.look("shapes", renamed=True)
    yard.until(lambda: len(yard.children) > 1)  # its hello, and then the name of a file
    return yard.children[-1]


def test_a_folder_that_kills_the_inspector_is_rejected_and_the_next_one_is_fine(patient: Yard) -> None:
    heavy_task(patient.tasks / "shapes")
    good_task(patient.tasks / "next")
    inspector = inspecting(patient)
    patient.folders.look("next", renamed=True)
    os.kill(inspector.pid, signal.SIGKILL)
    patient.settle()

    assert patient.row("shapes").state == TaskState.REJECTED
    assert [problem.code for problem in patient.row("shapes").problems] == ["decoder-crash"]
    assert "SIGKILL" in patient.row("shapes").reason
    assert patient.row("next").state == TaskState.QUEUED


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, every inspector runs out of memory as soon as it is asked."""
    full, python = tmp_path / "memory is full", tmp_path / "python"
    full.touch()
    python.write_text(f"""#!{sys.executable}
from pathlib import Path
from learnd.control.intake import inspection, inspector_process
inspect = inspection.inspect
def short_of_memory(*request):
    if Path({str(full)!r}).exists():
        raise MemoryError("no room for the pixels")
    return inspect(*request)
inspection.inspect = short_of_memory
inspector_process.main()
""")
    python.chmod(0o755)
    monkeypatch.setattr("learnd.control.intake.inspector_queue.sys.executable", str(python))
    monkeypatch.setattr("learnd.control.intake.inspection_retries.FIRST_PAUSE", 0.01)
    return full


def test_a_folder_that_could_not_be_checked_waits_with_the_reason_and_is_tried_again(full: Path, yard: Yard) -> None:
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    yard.until(lambda: "could not be checked" in yard.row("shapes").reason)
    waiting = yard.row("shapes")
    assert waiting.state == TaskState.WAITING
    assert waiting.reason == "could not be checked (MemoryError: no room for the pixels); tried again in 0.01 s"

    full.unlink()
    yard.settle()
    assert yard.row("shapes").state == TaskState.QUEUED


def test_it_is_rejected_after_a_few_tries_and_a_person_may_ask_for_more(full: Path, yard: Yard) -> None:
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    yard.settle()
    row = yard.row("shapes")
    assert row.state == TaskState.REJECTED
    assert row.reason == "could not be checked (MemoryError: no room for the pixels), 4 times"
    assert [problem.code for problem in row.problems] == ["not-checked"]
    assert sum("tried again" in notice for notice in yard.notices) == 3

    full.unlink()
    yard.journal.tasks.retry("shapes")
    yard.folders.tick()
    yard.settle()
    assert yard.row("shapes").state == TaskState.QUEUED


def test_a_scan_in_between_does_not_try_it_earlier(full: Path, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnd.control.intake.inspection_retries.FIRST_PAUSE", 1000.0)
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes")
    yard.until(lambda: "could not be checked" in yard.row("shapes").reason)
    yard.folders.look_everywhere()
    assert len(yard.notices) == 1
    assert "tried again in 1000 s" in yard.row("shapes").reason
    assert 990 < yard.folders.tick() <= 1000


@pytest.mark.parametrize("verdict", ["accepted", "not fit yet", "fatal"])
def test_a_skip_holds_whatever_the_inspector_finds(patient: Yard, verdict: str) -> None:
    folder = heavy_task(patient.tasks / "shapes")
    if verdict == "not fit yet":
        (folder / "triangles").mkdir()
    patient.folders.look("shapes")
    inspector = inspecting(patient)
    patient.journal.tasks.skip("shapes")
    if verdict == "fatal":
        os.kill(inspector.pid, signal.SIGKILL)
    patient.settle()

    rows = patient.journal.tasks.revisions("shapes")
    assert [(row.revision, row.state) for row in rows] == [(1, TaskState.SKIPPED)]
    assert patient.journal.jobs.next_due() is None


# --- what plugins read ------------------------------------------------------------------------------------------------


def sounds(folder: Path) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            (folder / name / f"{number}.wav").write_bytes(f"{name}{number}".encode())
    return folder


def test_other_files_wait_for_a_worker_to_say_what_plugins_read(yard: Yard) -> None:
    sounds(yard.tasks / "birds")
    yard.folders.look("birds", renamed=True)
    yard.until(lambda: any("waits for a worker" in row.reason for row in yard.journal.tasks.all()))
    assert not yard.folders.settled

    yard.folders.use_readers((".wav",))
    yard.settle()
    assert (yard.row("birds").state, yard.row("birds").images) == (TaskState.QUEUED, 4)
    assert yard.journal.readers() == (".wav",)


def test_what_nobody_reads_is_rejected_once_that_is_known_and_judged_again_when_it_changes(yard: Yard) -> None:
    sounds(yard.tasks / "birds")
    yard.folders.look("birds", renamed=True)
    yard.folders.use_readers(())
    yard.settle()
    assert yard.row("birds").state == TaskState.REJECTED

    yard.folders.use_readers((".mp3", ".wav"))
    yard.settle()
    assert yard.row("birds").state == TaskState.QUEUED


def test_a_folder_of_images_waits_for_no_worker(yard: Yard) -> None:
    good_task(yard.tasks / "shapes")
    yard.folders.look("shapes", renamed=True)
    yard.settle()
    assert yard.row("shapes").state == TaskState.QUEUED


def test_a_folder_that_goes_while_it_waits_for_that_is_forgotten(yard: Yard) -> None:
    sounds(yard.tasks / "birds")
    yard.folders.look("birds", renamed=True)
    yard.until(lambda: any("waits for a worker" in row.reason for row in yard.journal.tasks.all()))
    shutil.rmtree(yard.tasks / "birds")
    yard.folders.look("birds")
    assert yard.folders.settled
