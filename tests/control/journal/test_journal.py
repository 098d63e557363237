"""The file that everything hangs on."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from learnd.control.journal.journal import Journal
from learnd.control.journal.tasks import Content
from learnd.errors import StateError, StateUnavailable, TaskError
from learnd.messages.jobs import JobSpec
from learnd.messages.task import TaskState
from learnd.messages.worker import Hello, WorkerState
from tests.control.rights import Unprivileged


def test_it_is_opened_so_that_a_commit_survives_a_power_cut(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    assert [row[0] for row in journal.db.all("PRAGMA journal_mode")] == ["wal"]
    assert [row[0] for row in journal.db.all("PRAGMA synchronous")] == [2]  # FULL


def test_a_command_does_not_make_a_journal_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no journal yet"):
        Journal(tmp_path / "j.sqlite")
    assert not (tmp_path / "j.sqlite").exists()


def test_an_empty_journal_and_what_is_none_are_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").touch()
    with pytest.raises(StateError, match="the journal is empty") as error:
        Journal(tmp_path / "j.sqlite")
    assert "once a daemon has started" in (error.value.remedy or "")

    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE birds (name TEXT)")
    other.close()
    with pytest.raises(StateError, match="a database of something else"):
        Journal(tmp_path / "other.sqlite")


def test_a_damaged_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_bytes(b"this is no database, but long enough to be read as one" * 50)
    with pytest.raises(StateError, match="cannot be read") as error:
        Journal(tmp_path / "j.sqlite")
    assert error.value.exit_code == 3


def test_damage_far_inside_is_as_clear(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    (empty,) = (row[0] for row in journal.db.all("PRAGMA page_count"))
    for number in range(200):
        journal.note("test", f"a long message, so that it takes some pages {number} " * 10)
    journal.close()
    data = bytearray((tmp_path / "j.sqlite").read_bytes())
    page = 4096
    for start in range(empty * page, len(data), page):  # past the schema, and the roots of the tables
        data[start : start + page] = b"\xff" * page
    (tmp_path / "j.sqlite").write_bytes(data)

    journal = Journal(tmp_path / "j.sqlite")
    with pytest.raises(StateError, match="cannot be read") as error:
        journal.db.events(1000)
    assert error.value.exit_code == 3


def test_a_full_disk_is_no_damage_and_leaves_what_was_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    journal.note("test", "before")
    journal.db.all("PRAGMA max_page_count = 1")  # SQLite rounds it up to what the file has
    with pytest.raises(StateUnavailable, match="is full") as error:
        journal.note("test", "more than fits " * 10_000)
    assert error.value.exit_code == 1

    journal.db.all("PRAGMA max_page_count = 1000000")
    journal.note("test", "after")
    assert [event.message for event in journal.db.events()] == ["before", "after"]


def test_a_journal_of_a_newer_learnd_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j.sqlite", create=True).close()
    with sqlite3.connect(tmp_path / "j.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()
    with pytest.raises(StateError, match="schema 99"):
        Journal(tmp_path / "j.sqlite")


def test_a_journal_of_an_older_learnd_is_brought_up_to_date_by_a_daemon_and_by_no_reader(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    journal.note("test", "from before")
    with journal.db.transaction():
        for table in ("requests", "forgotten", "surveys"):  # those that schemas 2 and 3 have brought
            journal.db.run(f"DROP TABLE {table}")
        journal.db.put("schema_version", "1")
    journal.close()

    with pytest.raises(StateError, match="schema 1") as error:
        Journal(tmp_path / "j.sqlite")
    assert "start the daemon once" in (error.value.remedy or "")
    journal = Journal(tmp_path / "j.sqlite", create=True)
    assert journal.requests.pending() == []
    assert journal.history.without(1) == ()
    assert journal.surveys.all() == []
    assert [event.message for event in Journal(tmp_path / "j.sqlite").db.events()] == ["from before"]


def test_another_process_is_noticed_by_the_data_version_and_oneself_is_not(tmp_path: Path) -> None:
    daemon = Journal(tmp_path / "j.sqlite", create=True)
    before = daemon.db.data_version()
    daemon.note("test", "own")
    assert daemon.db.data_version() == before
    Journal(tmp_path / "j.sqlite").note("test", "other")
    assert daemon.db.data_version() != before
    assert [event.message for event in daemon.db.events()] == ["own", "other"]


def test_a_worker_is_seen_with_the_task_it_works_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    hello = Hello("cpu", 7, "conv4", "b" * 64, (), {"torch": "2"})
    journal.set_worker("cpu:0", WorkerState.READY, hello)
    journal.jobs.accept("cats", "cats", Content("f", "d", ways=2, images=4), JobSpec("cats"))
    assert [(w.state, w.task) for w in journal.workers()] == [("ready", None)]
    journal.jobs.lease("cpu:0")
    assert [(w.state, w.task, w.hello) for w in journal.workers()] == [("ready", "cats", hello)]


def test_a_waiting_folder_that_returns_to_what_is_known_leaves_no_row(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    journal.jobs.accept("cats", "cats", Content("f1", "d", ways=2, images=4), JobSpec("cats"))
    journal.jobs.lease("cpu:0")
    journal.tasks.decline("cats", "cats", TaskState.WAITING, "growing", Content("f2"))
    assert [row.revision for row in journal.tasks.revisions("cats")] == [1, 2]
    journal.tasks.unchanged("cats", "f3")
    assert [(row.revision, row.fingerprint) for row in journal.tasks.revisions("cats")] == [(1, "f3")]


def test_skip_and_retry_of_what_cannot_be_say_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    with pytest.raises(TaskError, match="no task 'cats'"):
        journal.tasks.skip("cats")
    journal.jobs.accept("cats", "cats", Content("f1", "d", ways=2, images=4), JobSpec("cats"))
    with pytest.raises(TaskError, match="'cats' is queued and cannot be retried"):
        journal.tasks.retry("cats")


# --- where nothing can be written ------------------------------------------------------------------------------------


def left_by(folder: Path, *, killed: bool) -> Path:
    """The journal of a daemon that knew a version 7 and ended, or was killed."""
    folder.mkdir()
    path = folder / "j.sqlite"
    journal = Journal(path, create=True)
    journal.put("head", "7")
    if killed:
        for file in folder.iterdir():
            shutil.copy(file, folder / f"as it was {file.name}")
    journal.close()
    if killed:
        for file in folder.glob("as it was *"):
            file.rename(folder / file.name.removeprefix("as it was "))
    return path


def write_protect(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("name", ["state", "50% of all? #1"])
def test_it_can_be_read_where_nothing_can_be_written(unprivileged: Unprivileged, killed: bool, name: str) -> None:
    path = left_by(unprivileged.place / name, killed=killed)
    before = sorted(file.name for file in path.parent.iterdir())
    assert len(before) == (3 if killed else 1)
    write_protect(path.parent)
    with unprivileged:
        journal = Journal(path)
        assert journal.head == 7
        with pytest.raises(StateUnavailable, match="readonly"):
            journal.put("head", "8")
        journal.close()
    assert sorted(file.name for file in path.parent.iterdir()) == before


def test_commits_that_can_be_read_only_elsewhere_are_named_and_never_left_out(unprivileged: Unprivileged) -> None:
    path = left_by(unprivileged.place / "state", killed=True)
    (path.parent / "j.sqlite-shm").unlink()  # as a backup leaves it out
    write_protect(path.parent)
    with unprivileged, pytest.raises(StateUnavailable, match=r"j\.sqlite-wal holds commits") as error:
        Journal(path)
    assert "copy the whole state folder" in (error.value.remedy or "")


def test_one_that_may_not_be_read_is_still_called_that(unprivileged: Unprivileged) -> None:
    path = left_by(unprivileged.place / "state", killed=False)
    path.chmod(0o000)
    with unprivileged, pytest.raises(StateUnavailable, match="unable to open"):
        Journal(path)


def test_who_only_reads_cannot_write_and_sees_what_is_committed_meanwhile(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    reader = Journal(tmp_path / "j.sqlite", readonly=True)
    before = reader.db.data_version()
    journal.note("test", "one")
    assert reader.db.data_version() != before
    with reader.db.view():
        assert reader.db.last_event() == 1
        journal.note("test", "two")  # the reader does not hold it up
        assert reader.db.last_event() == 1
    assert reader.db.last_event() == 2
    with pytest.raises(StateError):
        reader.note("test", "three")


def test_who_only_reads_leaves_the_journal_of_a_stopped_daemon_as_it_is(tmp_path: Path) -> None:
    Journal(tmp_path / "j.sqlite", create=True).close()
    content = (tmp_path / "j.sqlite").read_bytes()
    reader = Journal(tmp_path / "j.sqlite", readonly=True)
    assert reader.db.last_event() == 0
    reader.close()
    assert (tmp_path / "j.sqlite").read_bytes() == content


def test_a_pause_lasts_until_it_is_resumed_and_is_noted_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    journal.resume()
    assert journal.paused is None
    journal.pause()
    since = journal.paused
    journal.pause()
    assert journal.paused == since is not None
    journal.resume()
    assert journal.paused is None
    assert [event.kind for event in journal.db.events()] == ["paused", "resumed"]


def test_a_daemon_that_stops_leaves_a_whole_file_though_somebody_reads_it_still(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite", create=True)
    reader = Journal(tmp_path / "j.sqlite", readonly=True)
    journal.note("test", "one")
    journal.close()
    shutil.copyfile(tmp_path / "j.sqlite", tmp_path / "copy.sqlite")
    copy = Journal(tmp_path / "copy.sqlite")
    assert copy.db.last_event() == 1
    copy.close()
    assert (tmp_path / "j.sqlite-wal").stat().st_size == 0
    assert reader.db.last_event() == 1
    reader.close()
