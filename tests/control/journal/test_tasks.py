"""What is known of every folder: verdicts, revisions, twins, and what people may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from learnd.control.journal.journal import Journal
from learnd.control.journal.queue import Lease
from learnd.control.journal.tasks import RETRIABLE, SKIPPABLE, Content, TaskBook
from learnd.control.journal.versions import Step
from learnd.errors import TaskError
from learnd.messages.jobs import JobSpec
from learnd.messages.task import Problem, Severity, TaskState

PROBLEM = Problem("one-class", ".", "has one class", "add another")
WARNING = Problem("not-an-image", "a/x.csv", "is no image", "remove it", Severity.WARNING)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite", create=True)
    yield journal
    journal.close()


@pytest.fixture
def book(journal: Journal) -> TaskBook:
    return journal.tasks


def judge(book: TaskBook, name: str, state: TaskState, reason: str = "", digest: str = "") -> None:
    book.decline(name, name, state, reason, Content(f"f-{reason}", digest))


def accept(journal: Journal, name: str, digest: str = "d1") -> None:
    journal.jobs.accept(name, name, Content("f", digest, ways=2, images=4), JobSpec(name))


def lease(journal: Journal) -> Lease:
    held = journal.jobs.lease("cpu:0")
    assert held is not None
    return held


def bring(journal: Journal, state: TaskState) -> None:
    """A task "cats" in that state."""
    if state in (TaskState.WAITING, TaskState.REJECTED, TaskState.DUPLICATE):
        judge(journal.tasks, "cats", state)
        return
    accept(journal, "cats")
    if state == TaskState.RUNNING:
        lease(journal)
    elif state == TaskState.FAILED:
        journal.jobs.give_up(lease(journal), "failed", "no way")
    elif state == TaskState.SKIPPED:
        journal.tasks.skip("cats")
    elif state == TaskState.LEARNED:
        journal.tasks.mark_state("cats", 1, TaskState.LEARNED, "")
    elif state == TaskState.FORGOTTEN:
        journal.history.forget("cats", "cats", None, Step())


def events(journal: Journal) -> list[tuple[str, str]]:
    return [(event.kind, event.message) for event in journal.db.events()]


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_a_later_verdict_takes_the_place_of_an_earlier_one(journal: Journal, book: TaskBook) -> None:
    judge(book, "cats", TaskState.WAITING, "still growing")
    book.decline("cats", "cats", TaskState.REJECTED, "one class", Content("g", images=3, problems=(PROBLEM, WARNING)))
    (row,) = book.all()
    assert (row.revision, row.state, row.reason, row.fingerprint) == (1, TaskState.REJECTED, "one class", "g")
    assert (row.problems, row.images) == ((PROBLEM, WARNING), 3)
    assert events(journal) == [("rejected", "one class")]  # that a folder waits is no event


def test_a_verdict_on_changed_content_leaves_what_was_learned_as_it_is(journal: Journal, book: TaskBook) -> None:
    bring(journal, TaskState.LEARNED)
    judge(book, "cats", TaskState.REJECTED, "one class")
    assert [(row.revision, row.state) for row in book.revisions("cats")] == [
        (1, TaskState.LEARNED),
        (2, TaskState.REJECTED),
    ]
    accepted = book.accepted("cats")
    assert accepted is not None
    assert accepted.revision == 1


def test_content_that_went_back_to_what_was_accepted_takes_the_new_verdict_away(
    journal: Journal, book: TaskBook
) -> None:
    bring(journal, TaskState.LEARNED)
    judge(book, "cats", TaskState.REJECTED, "one class")
    book.unchanged("cats", "touched")
    assert [(row.state, row.fingerprint) for row in book.all()] == [(TaskState.LEARNED, "touched")]


def test_a_folder_that_was_removed_before_it_was_accepted_leaves_an_event(journal: Journal, book: TaskBook) -> None:
    judge(book, "cats", TaskState.WAITING, "just seen")
    book.vanished(book.all()[0])
    assert book.all() == []
    assert events(journal) == [("vanished", "the folder was removed while it was waiting")]


def test_only_what_may_yet_be_accepted_is_open(journal: Journal, book: TaskBook) -> None:
    accept(journal, "dogs")
    for state in (TaskState.WAITING, TaskState.REJECTED, TaskState.DUPLICATE):
        judge(book, state.value, state)
    assert {row.name for row in book.unaccepted()} == {"waiting", "rejected", "duplicate"}


# --- looking up -------------------------------------------------------------------------------------------------------


def test_nothing_is_known_of_a_task_that_never_was(book: TaskBook) -> None:
    assert (book.newest("cats"), book.accepted("cats"), book.revisions("cats")) == (None, None, [])
    assert book.open_revision("cats") == 1


def test_every_task_counts_once_by_its_newest_revision(journal: Journal, book: TaskBook) -> None:
    bring(journal, TaskState.LEARNED)
    judge(book, "cats", TaskState.REJECTED)
    accept(journal, "dogs", "d2")
    counts = book.counts()
    assert (counts["learned"], counts["rejected"], counts["queued"]) == (0, 1, 1)
    assert set(counts) == {state.value for state in TaskState}


def test_the_latest_changes_come_first(book: TaskBook) -> None:
    for name in ("a", "b", "c"):
        judge(book, name, TaskState.WAITING)
    assert [row.name for row in book.latest(2)] == ["c", "b"]
    assert [row.name for row in book.all()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (TaskState.QUEUED, True),
        (TaskState.RUNNING, True),
        (TaskState.LEARNED, True),
        (TaskState.FAILED, False),
        (TaskState.SKIPPED, False),
        (TaskState.WAITING, False),
    ],
)
def test_only_what_was_accepted_and_did_not_fail_has_twins(
    journal: Journal, book: TaskBook, state: TaskState, counts: bool
) -> None:
    bring(journal, state)
    assert book.twin("d1", "copy") == ("cats" if counts else None)
    assert book.twin("d1", "cats") is None  # nobody is his own


def test_content_that_a_task_no_longer_has_makes_no_twin(journal: Journal, book: TaskBook) -> None:
    bring(journal, TaskState.LEARNED)
    accept(journal, "cats", "d2")
    assert (book.twin("d1", "copy"), book.twin("d2", "copy")) == (None, "cats")


# --- what people ask for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(TaskState))
def test_retry_opens_what_ended_badly_and_nothing_else(journal: Journal, book: TaskBook, state: TaskState) -> None:
    bring(journal, state)
    if state not in RETRIABLE:
        with pytest.raises(TaskError, match=f"'cats' is {state} and cannot be retried"):
            book.retry("cats")
        assert book.all()[0].state == state
        return
    assert book.retry("cats").state == state  # what it was
    row = book.all()[-1]
    assert (row.state, row.fingerprint, row.digest) == (TaskState.WAITING, "", "")
    assert events(journal)[-1] == ("retry", "asked for by a person")


@pytest.mark.parametrize("state", list(TaskState))
def test_skip_sets_aside_whatever_is_not_learned(journal: Journal, book: TaskBook, state: TaskState) -> None:
    bring(journal, state)
    if state not in SKIPPABLE:
        with pytest.raises(TaskError, match=f"'cats' is {state} and cannot be skipped"):
            book.skip("cats")
        return
    book.skip("cats")
    assert book.all()[0].state == TaskState.SKIPPED
    assert journal.jobs.next_due() is None


@pytest.mark.parametrize("wish", ["retry", "skip"])
def test_a_wish_about_a_task_that_is_not_there_says_where_to_look(book: TaskBook, wish: str) -> None:
    with pytest.raises(TaskError, match="there is no task 'cats'") as error:
        getattr(book, wish)("cats")
    assert error.value.remedy == "`learnd tasks` lists them"


def test_what_is_forgotten_is_declined_until_it_is_retried(journal: Journal, book: TaskBook) -> None:
    bring(journal, TaskState.FORGOTTEN)
    judge(book, "cats", TaskState.WAITING, "touched")
    declined = book.declined("cats")
    assert declined is not None
    assert (declined.revision, declined.digest) == (1, "d1")
    book.unchanged("cats", "g")
    book.retry("cats")
    assert book.declined("cats") is None
    assert [(row.revision, row.state) for row in book.all()] == [(1, TaskState.FORGOTTEN), (2, TaskState.WAITING)]


def test_a_wish_is_about_the_newest_revision(journal: Journal, book: TaskBook) -> None:
    bring(journal, TaskState.LEARNED)
    judge(book, "cats", TaskState.REJECTED)
    book.skip("cats")
    assert [row.state for row in book.revisions("cats")] == [TaskState.LEARNED, TaskState.SKIPPED]


def test_whose_verdict_was_taken_back_is_found_without_a_look_at_those_that_wait(journal: Journal) -> None:
    for name in ("cats", "dogs"):
        journal.tasks.decline(name, name, TaskState.REJECTED, "empty", Content("f"))
    assert journal.tasks.unjudged() == []
    journal.tasks.retry("dogs")
    assert journal.tasks.unjudged() == ["dogs"]

    asked: list[str] = []
    journal.db._connection.set_trace_callback(asked.append)
    journal.tasks.unjudged()
    (plan,) = journal.db.all(f"EXPLAIN QUERY PLAN {asked[0]}")
    assert "tasks_unjudged" in plan["detail"]


def test_a_task_is_in_the_state_of_its_newest_revision(journal: Journal) -> None:
    bring(journal, TaskState.FAILED)
    judge(journal.tasks, "dogs", TaskState.REJECTED)
    assert journal.tasks.ids_in(TaskState.FAILED, TaskState.REJECTED) == {"cats", "dogs"}
    accept(journal, "cats", "d2")
    assert journal.tasks.ids_in(TaskState.FAILED, TaskState.REJECTED) == {"dogs"}
