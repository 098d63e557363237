"""What becomes of a job that came back, or did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.control.dispatch.job_results import Results
from learnd.control.journal.queue import Lease
from learnd.control.journal.tasks import Content
from learnd.errors import StateError
from learnd.messages.jobs import JobSpec
from learnd.messages.outcomes import Outcome, OutcomeStatus
from learnd.messages.state_files import BACKBONE_FILE
from learnd.messages.task import Problem, TaskState
from learnd.settings.loading import load
from tests.control.candidates import candidate, named
from tests.control.knowledge.test_generations import Home


class Desk(Home):
    """A state, and the results under test with everything they say."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        settings = load(None, {"state": str(state), "backbone": "conv4", "worker.retry_seconds": "10"}, {})
        self.looked: list[str] = []
        self.notices: list[tuple[str, str]] = []
        self.results = Results(
            settings,
            self.journal,
            self.generations,
            self.looked.append,
            lambda level, text: self.notices.append((level, text)),
        )

    def lease(self, name: str, digest: str = "d1") -> Lease:
        spec = JobSpec(f"/tasks/{name} ")  # a name that ends in a blank is a name too
        self.journal.jobs.accept(name, name, Content(digest, digest, ways=2, images=10), spec)
        return self.lease_again()

    def lease_again(self) -> Lease:
        held = self.journal.jobs.lease("cpu:0")
        assert held is not None
        return held

    def candidate(self, held: Lease, **files: bytes) -> tuple[Outcome, Path]:
        out = self.state / "work" / f"{held.job}-{held.epoch}" / "out"
        return candidate(out, named(held.name, held.revision), **files), out

    def state_of(self, name: str) -> TaskState:
        return self.journal.tasks.revisions(name)[-1].state

    def last_event(self) -> tuple[str, str]:
        event = self.journal.db.events()[-1]
        return event.kind, event.message


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_good_candidate_becomes_a_version_and_people_are_told(desk: Desk) -> None:
    held = desk.lease("cats")
    desk.results.settle(held, *desk.candidate(held))
    assert (desk.state_of("cats"), desk.journal.head, desk.generations.verify()) == (TaskState.LEARNED, 1, 4)
    assert desk.notices == [("info", "learned cats: protonet, accuracy 0.900 (cross-validation), version 1")]


def test_a_refused_candidate_is_a_failure_with_the_gates_reason(desk: Desk) -> None:
    held = desk.lease("cats")
    desk.results.settle(held, *desk.candidate(held, adapted_safetensors=b"rubbish"))
    row = desk.journal.tasks.revisions("cats")[0]
    assert row.state == TaskState.FAILED
    assert row.reason.startswith("refused at the gate: adapted.safetensors: it is no safetensors file")
    assert (desk.journal.head, [level for level, _ in desk.notices]) == (0, ["error"])


def test_a_rejection_by_the_worker_keeps_its_problems(desk: Desk, tmp_path: Path) -> None:
    problem = Problem("undecodable", "a/1.png", "is no image", "save it again")
    desk.results.settle(
        desk.lease("cats"), Outcome(OutcomeStatus.REJECTED, "a/1.png: is no image", (problem,)), tmp_path
    )
    assert desk.journal.tasks.revisions("cats")[0].problems == (problem,)
    assert desk.notices == [("warning", "cats is rejected: a/1.png: is no image")]


def test_a_failure_is_final_and_said(desk: Desk, tmp_path: Path) -> None:
    desk.results.settle(desk.lease("cats"), Outcome(OutcomeStatus.FAILED, "every algorithm failed"), tmp_path)
    assert (desk.state_of("cats"), desk.journal.jobs.next_due()) == (TaskState.FAILED, None)
    assert desk.notices == [("error", "cats failed: every algorithm failed")]


def test_a_changed_folder_is_judged_anew_by_its_name_on_the_disk(desk: Desk, tmp_path: Path) -> None:
    desk.results.settle(desk.lease("cats"), Outcome(OutcomeStatus.CHANGED, "a/1.png is another file now"), tmp_path)
    assert (desk.state_of("cats"), desk.looked) == (TaskState.WAITING, ["cats "])


@pytest.mark.parametrize("status", ["done", "failed", "rejected", "changed"])
def test_a_result_that_comes_too_late_is_dropped_with_a_word(desk: Desk, status: str) -> None:
    late = desk.lease("cats")
    outcome, out = desk.candidate(late)
    desk.journal.tasks.skip("cats")
    desk.results.settle(late, outcome if status == "done" else Outcome(status, "no way"), out)

    assert (desk.state_of("cats"), desk.journal.head, desk.looked) == (TaskState.SKIPPED, 0, [])
    assert [text.startswith("a late result is dropped") for _, text in desk.notices] == [True]


def test_the_delay_grows_with_every_attempt_until_the_job_has_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float] = []
    put_back = desk.journal.jobs.put_back

    def at_once(lease: Lease, outcome: str, reason: str, delay: float = 0.0, *, culprit: str | None) -> None:
        delays.append(delay)
        put_back(lease, outcome, reason, culprit=culprit)

    monkeypatch.setattr(desk.journal.jobs, "put_back", at_once)
    desk.results.lost(desk.lease("cats"), "died", "the worker ended with exit code 7", "tail 1", None)
    assert desk.last_event() == (
        "requeued",
        "attempt 1 of 3: the worker ended with exit code 7; tried again in 10 s",
    )
    desk.results.lost(desk.lease_again(), "overran", "it overran", "tail 2", None)
    assert desk.state_of("cats") == TaskState.QUEUED
    desk.results.lost(desk.lease_again(), "died", "the worker ended with exit code 7", "tail 3", None)

    row = desk.journal.tasks.revisions("cats")[0]
    assert delays == [10.0, 20.0]
    assert (row.state, row.detail) == (TaskState.FAILED, "tail 3")
    assert row.reason == "the worker ended with exit code 7 (3 attempts)"


def test_a_worker_that_was_lost_with_a_skipped_job_costs_nothing(desk: Desk) -> None:
    held = desk.lease("cats")
    desk.journal.tasks.skip("cats")
    desk.results.lost(held, "died", "the worker died", "", None)
    assert (desk.state_of("cats"), desk.notices) == (TaskState.SKIPPED, [])


def test_a_state_that_cannot_be_written_holds_nothing_against_the_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    held = desk.lease("cats")
    monkeypatch.setattr("learnd.control.knowledge.generations.move_durably", full)
    desk.results.settle(held, *desk.candidate(held))

    row = desk.journal.tasks.revisions("cats")[0]
    assert (row.state, desk.journal.head) == (TaskState.QUEUED, 0)
    assert "No space left on device" in row.reason
    assert desk.journal.db.all("SELECT attempts FROM jobs")[0]["attempts"] == 0
    assert [level for level, _ in desk.notices] == ["error"]


@pytest.mark.parametrize("verdict", ["lost", "no_room", "interrupted"])
def test_a_job_that_is_skipped_while_its_fate_is_decided_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    """`learnd skip` is another process: it may come between the look at the lease and the writing."""
    held = desk.lease("cats")
    monkeypatch.setattr(desk.journal.jobs, "holds", lambda lease: True)
    desk.journal.tasks.skip("cats")
    if verdict == "lost":
        desk.results.lost(held, "died", "the worker died", "", None)
    elif verdict == "no_room":
        desk.results.no_room(held, "disk full")
    else:
        desk.results.interrupted(held)
    assert (desk.state_of("cats"), desk.notices) == (TaskState.SKIPPED, [])


def test_ears_that_are_closed_are_not_taken_for_a_full_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(level: str, text: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    held = desk.lease("cats")
    monkeypatch.setattr(desk.results, "_notice", closed)
    with pytest.raises(BrokenPipeError):
        desk.results.settle(held, *desk.candidate(held))
    assert (desk.state_of("cats"), desk.journal.head) == (TaskState.LEARNED, 1)


def test_a_worker_without_room_waits_for_it(desk: Desk, tmp_path: Path) -> None:
    desk.results.settle(desk.lease("cats"), Outcome(OutcomeStatus.NO_ROOM, "No space left on device"), tmp_path)
    assert desk.state_of("cats") == TaskState.QUEUED
    assert desk.journal.db.all("SELECT attempts FROM jobs")[0]["attempts"] == 0


def test_a_backbone_that_finds_no_room_is_asked_for_again(desk: Desk, tmp_path: Path) -> None:
    assert not desk.results.keep_backbone(Outcome(OutcomeStatus.NO_ROOM, "No space left on device"), tmp_path, "b" * 64)
    assert desk.notices == [("error", "the backbone cannot be kept (No space left on device); tried again in 30 s")]


def test_an_exported_backbone_becomes_the_states_own(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / BACKBONE_FILE).write_bytes(b"weights")
    desk.results.keep_backbone(Outcome(OutcomeStatus.DONE), tmp_path, "b" * 64)
    kept = desk.generations.backbone("conv4")
    assert kept.hash == "b" * 64
    assert Path(kept.file or "").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "outcome", [Outcome(OutcomeStatus.FAILED, "out of memory"), Outcome(OutcomeStatus.DONE, "no file")]
)
def test_without_a_backbone_there_is_no_daemon(desk: Desk, tmp_path: Path, outcome: Outcome) -> None:
    with pytest.raises(StateError, match=f"could not be exported: {outcome.reason}"):
        desk.results.keep_backbone(outcome, tmp_path, "b" * 64)
    assert desk.generations.backbone_hash() is None
