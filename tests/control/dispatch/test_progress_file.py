"""How far jobs are, from the daemon to whoever watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.dispatch import progress_file
from learnd.control.dispatch.progress_file import JobProgress, Posting, posted
from learnd.control.dispatch.worker_slot import WorkerSlot
from learnd.control.journal.queue import Lease
from learnd.messages.jobs import JobSpec
from learnd.messages.worker import StageProgress


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(progress_file, "_PAUSE", 0.0)
    return tmp_path


def slot(done: int, *, leased: bool = True) -> WorkerSlot:
    lease = Lease(1, 7, "birds-1", "birds", 1, "d", 0, JobSpec("/tasks/birds")) if leased else None
    progress = StageProgress("embed", done, 10)
    return WorkerSlot("cpu:0", "cpu", 0, lease=lease, progress=progress)


def test_what_a_worker_said_last_is_there_for_others(state: Path) -> None:
    progress_file = Posting(state)
    for done in (3, 4):
        progress_file.post([slot(done)])
        assert posted(state) == (JobProgress("cpu:0", 7, "embed", done, 10),)
    progress_file.post([slot(5, leased=False)])
    assert posted(state) == ()
    assert not list(state.iterdir())


def test_it_writes_no_more_often_than_somebody_looks(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnd.control.dispatch.progress_file._PAUSE", 3600.0)
    progress_file = Posting(state)
    progress_file.post([slot(3)])
    progress_file.post([slot(4)])
    assert posted(state)[0].done == 3


def test_nothing_is_shown_where_nothing_could_be_written_or_read(state: Path) -> None:
    (state / "progress.json").write_text("[{")
    assert posted(state) == ()
    (state / "progress.json").write_text("[7]")
    assert posted(state) == ()
    Posting(state / "gone").post([slot(3)])
    assert posted(state / "gone") == ()
