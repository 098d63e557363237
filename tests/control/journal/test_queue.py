"""The queue and its one committing transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.journal.journal import Journal
from learnd.control.journal.queue import Lease
from learnd.control.journal.tasks import Content
from learnd.control.journal.versions import Generation, Held, StaleEpoch, Step
from learnd.messages.jobs import JobSpec
from learnd.messages.report import Report
from learnd.messages.task import Problem, TaskOptions, TaskState


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite", create=True)


def accept(journal: Journal, name: str, digest: str = "d1", priority: int = 0) -> int:
    spec = JobSpec(f"/tasks/{name}", options=TaskOptions(priority=priority))
    return journal.jobs.accept(name, name, Content(f"f-{digest}", digest, ways=2, images=10), spec)


def lease(journal: Journal) -> Lease:
    found = journal.jobs.lease("cpu:0")
    assert found is not None
    return found


def report(name: str, revision: int = 1) -> Report:
    return Report(
        task=name,
        id=name,
        revision=revision,
        digest="d1",
        classes=("a", "b"),
        images=10,
        queries=0,
        algorithm="protonet",
        candidates=(),
        accuracy=0.9,
        accuracy_ci=(0.8, 0.95),
        measured_on="cross-validation",
        measured_images=10,
        transductive=False,
        backbone="conv4",
        backbone_hash="b" * 64,
        device="cpu",
        seed=1,
        seconds=0.1,
    )


def finish(journal: Journal, held: Lease) -> None:
    head = journal.head
    journal.jobs.finish(
        held,
        report(held.name, held.revision),
        Generation(head + 1, held.epoch, head, f"m{head + 1}"),
        Step((Held(held.id, held.revision, held.name, 2, 1000),), journal.history.current(held.id)),
    )


def test_a_finished_job_moves_the_head_and_marks_the_task_in_one_go(journal: Journal) -> None:
    accept(journal, "cats")
    finish(journal, lease(journal))

    row = journal.tasks.revisions("cats")[0]
    assert (journal.head, row.state, row.version, row.algorithm) == (1, TaskState.LEARNED, 1, "protonet")
    assert journal.size().classes == 2
    assert [name for _, _, name in journal.members()] == ["cats"]


def test_a_finish_that_fails_midway_leaves_everything_as_it_was(journal: Journal) -> None:
    accept(journal, "cats")
    held = lease(journal)
    with pytest.raises(StaleEpoch, match="head"):
        journal.jobs.finish(held, report("cats"), Generation(8, held.epoch, 7, "m8"), Step())

    assert journal.head == 0
    assert journal.jobs.holds(held)
    assert journal.tasks.revisions("cats")[0].state == TaskState.RUNNING


def test_a_result_with_an_old_epoch_is_refused(journal: Journal) -> None:
    accept(journal, "cats")
    old = lease(journal)
    journal.jobs.put_back(old, "died", "the worker died")
    new = lease(journal)

    with pytest.raises(StaleEpoch):
        finish(journal, old)
    finish(journal, new)
    assert journal.head == 1


def test_every_lease_draws_a_new_epoch_across_jobs(journal: Journal) -> None:
    accept(journal, "cats", "d1")
    accept(journal, "dogs", "d2")
    assert lease(journal).epoch < lease(journal).epoch


def test_no_two_workers_get_the_same_job(journal: Journal) -> None:
    accept(journal, "cats")
    lease(journal)
    assert journal.jobs.lease("cpu:1") is None


def test_higher_priority_goes_first_then_the_older(journal: Journal) -> None:
    accept(journal, "old", "d1")
    accept(journal, "young", "d2")
    accept(journal, "urgent", "d3", priority=5)
    assert [lease(journal).name for _ in range(3)] == ["urgent", "old", "young"]


def test_a_job_that_was_put_back_waits_for_its_time(journal: Journal) -> None:
    accept(journal, "cats")
    journal.jobs.put_back(lease(journal), "died", "the worker died", delay=3600)
    assert journal.jobs.lease("cpu:0") is None
    assert journal.jobs.next_due() is not None


def test_what_ran_when_the_daemon_died_is_queued_again_and_not_held_against_it(
    journal: Journal, tmp_path: Path
) -> None:
    accept(journal, "cats")
    lease(journal)
    journal.close()

    after = Journal(tmp_path / "journal.sqlite")
    assert after.jobs.recover() == 1
    assert after.tasks.revisions("cats")[0].state == TaskState.QUEUED
    again = after.jobs.lease("cpu:0")
    assert again is not None
    assert again.attempts == 0


def test_new_content_of_a_learned_task_is_a_new_revision_that_takes_the_old_ones_place(
    journal: Journal,
) -> None:
    accept(journal, "cats", "d1")
    finish(journal, lease(journal))
    assert accept(journal, "cats", "d2") == 2
    finish(journal, lease(journal))

    assert [(row.revision, row.state) for row in journal.tasks.revisions("cats")] == [
        (1, TaskState.LEARNED),
        (2, TaskState.LEARNED),
    ]
    assert [revision for _, revision, _ in journal.members()] == [2]
    assert journal.known_folders() == {("cats", 1), ("cats", 2)}


def test_new_content_before_the_old_was_started_replaces_its_job(journal: Journal) -> None:
    accept(journal, "cats", "d1")
    assert accept(journal, "cats", "d2") == 1
    assert lease(journal).digest == "d2"
    assert journal.jobs.lease("cpu:1") is None


def test_a_skipped_job_is_cancelled_even_while_it_runs(journal: Journal) -> None:
    accept(journal, "cats")
    held = lease(journal)
    journal.tasks.skip("cats")

    assert not journal.jobs.holds(held)
    with pytest.raises(StaleEpoch):
        finish(journal, held)
    assert journal.tasks.revisions("cats")[0].state == TaskState.SKIPPED


def test_a_job_given_up_says_why_and_keeps_the_log(journal: Journal) -> None:
    accept(journal, "cats")
    journal.jobs.give_up(lease(journal), "died", "it died three times", "Traceback ...")
    row = journal.tasks.revisions("cats")[0]
    assert (row.state, row.reason, row.detail) == (TaskState.FAILED, "it died three times", "Traceback ...")


def test_a_job_whose_files_are_to_blame_is_rejected_with_every_problem(journal: Journal) -> None:
    accept(journal, "cats")
    problem = Problem("undecodable", "a/1.png", "no image", "save it again")
    journal.jobs.give_up(lease(journal), "rejected", "1 problem", problems=(problem,))
    row = journal.tasks.revisions("cats")[0]
    assert (row.state, row.problems) == (TaskState.REJECTED, (problem,))


def test_retry_opens_the_row_so_that_the_next_scan_judges_it_again(journal: Journal) -> None:
    accept(journal, "cats", "d1")
    journal.jobs.give_up(lease(journal), "died", "it died")
    journal.tasks.retry("cats")
    row = journal.tasks.revisions("cats")[0]
    assert (row.state, row.fingerprint, row.revision) == (TaskState.WAITING, "", 1)
    assert accept(journal, "cats", "d1") == 1
    assert lease(journal).name == "cats"


def test_when_a_task_changes_its_former_duplicates_are_judged_again(journal: Journal) -> None:
    accept(journal, "cats", "d1")
    journal.tasks.decline("copy", "copy", TaskState.DUPLICATE, "same as cats", Content("f", "d1"))
    assert journal.tasks.twin("d1", "copy") == "cats"
    accept(journal, "cats", "d2")
    assert journal.tasks.revisions("copy")[0].fingerprint == ""
    assert journal.tasks.twin("d1", "copy") is None


def test_a_retried_job_for_older_content_never_follows_the_newer(journal: Journal) -> None:
    accept(journal, "cats", "d1")
    journal.jobs.put_back(lease(journal), "died", "the worker died")
    journal.tasks.decline("cats", "cats", TaskState.WAITING, "growing", Content("f2"))
    assert accept(journal, "cats", "d2") == 2
    finish(journal, lease(journal))
    assert journal.jobs.lease("cpu:0") is None
    assert [(row.revision, row.state) for row in journal.tasks.revisions("cats")] == [(2, TaskState.LEARNED)]


def test_an_older_revision_that_ends_after_a_newer_one_is_refused(journal: Journal) -> None:
    accept(journal, "cats", "d1")
    older = lease(journal)
    accept(journal, "cats", "d2")
    finish(journal, lease(journal))
    with pytest.raises(StaleEpoch):
        finish(journal, older)
    assert [revision for _, revision, _ in journal.members()] == [2]


@pytest.mark.parametrize("end", ["reopen", "give_up", "skip"])
def test_a_duplicate_of_what_is_not_learned_after_all_is_judged_again(journal: Journal, end: str) -> None:
    accept(journal, "cats", "d1")
    held = lease(journal)
    journal.tasks.decline("copy", "copy", TaskState.DUPLICATE, "same as cats", Content("f", "d1"))
    if end == "reopen":
        journal.jobs.reopen(held, "renamed")
    elif end == "give_up":
        journal.jobs.give_up(held, "died", "it died")
    else:
        journal.tasks.skip("cats")
    assert journal.tasks.revisions("copy")[0].fingerprint == ""
