"""A candidate network is judged by what every task loses or gains; the knowledge moves to it whole or not at all."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from learnd.control.dispatch.consolidation import ConsolidationEnd, Consolidator
from learnd.control.files.image_archives import sizes_of, trim
from learnd.control.journal.kept_images import Archive
from learnd.control.knowledge import result_check
from learnd.errors import TaskError
from learnd.identity import sha256_of
from learnd.learning.jobs.candidate_network import Lesson
from learnd.learning.jobs.consolidate import consolidate
from learnd.learning.jobs.learn import learn
from learnd.learning.jobs.predict import predict
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.knowledge import held_out
from learnd.learning.knowledge.kept_images import divide, kept_images
from learnd.learning.networks.backbone import Backbone, export
from learnd.messages.convert import to_json_all
from learnd.messages.jobs import ConsolidateSpec
from learnd.messages.state_files import EXEMPLARS_FILE, HELD_OUT_FEATURES_FILE
from learnd.messages.task import TaskOptions
from learnd.settings.loading import load
from tests.control.home import Home
from tests.e2e.conftest import MakeTask
from tests.learning.drawn import random_conv4
from tests.learning.halves import halves_task, planted, seeing, worker_seeing
from tests.learning.specs import learn_spec, predict_spec
from tests.live import LiveDaemon
from tests.patience import PATIENCE

LEFT, RIGHT, BOTH = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)


def silent(*_: object) -> None: ...


@dataclass
class Night:
    """A state whose tasks are really learnt, in this process, on a network that looks at halves of images."""

    home: Home
    folder: Path
    networks: dict[str, WorkerContext]

    def begin(self, network: WorkerContext) -> None:
        self.networks[network.backbone.hash] = network
        exported = self.folder / "exported.safetensors"
        export(network.backbone, exported)
        self.home.generations.keep_backbone("halves", exported, network.backbone.hash)

    @property
    def worker(self) -> WorkerContext:
        """With the network that the head stands on."""
        return self.networks[str(self.home.generations.backbone_hash())]

    def learn(self, name: str, side: str, images: int = 16, holdout: float = 0.0) -> None:
        mark = 60 * len(self.home.journal.generations())
        lesson = halves_task(self.folder / "tasks" / name, side, images, mark)
        held = self.home.lease(name, f"digest of {name}")
        out = self.home.state / "work" / f"{held.job}-{held.epoch}" / "out"
        options = TaskOptions(holdout=holdout)
        spec = replace(learn_spec(lesson, out, options, name), id=name, revision=held.revision)
        outcome = learn(spec, self.worker, silent)
        self.home.generations.commit(held, result_check.check(out, outcome), outcome, out)

    def evict(self, name: str, most: int) -> None:
        """So many images of a class are left, as the budget does it."""
        path = self.home.generations.tasks / name / "1" / EXEMPLARS_FILE
        sizes = sizes_of(path)
        self.home.journal.history.archives.add([((name, 1), Archive(path.name, sizes, most))])
        trim(path, most)

    def sleep(
        self, candidate: Backbone, change: Callable[[ConsolidateSpec], object] = silent
    ) -> ConsolidationEnd | None:
        """As a worker and the control plane do it between them; the candidate is what the training gives."""
        self.shown: list[Lesson] = []
        self.networks[candidate.hash] = replace(self.worker, backbone=candidate)
        sleep = self.keeper()
        spec = sleep.spec(10)
        Path(spec.out).mkdir(parents=True, exist_ok=True)
        outcome = consolidate(spec, self.worker, silent, planted(candidate, self.shown))
        change(spec)
        return sleep.settle(outcome, Path(spec.out))

    def keeper(self) -> Consolidator:
        settings = load(None, {"state": str(self.home.state), "tasks": str(self.folder / "watched")}, {})
        return Consolidator(settings, self.home.journal, self.home.generations, silent)

    def answers(self) -> str:
        """Of every task on its own, and of all at once, to the byte."""
        images = sorted((self.folder / "tasks").rglob("[0-3].png"))
        members = list(self.home.generations.members())
        tasks: list[str | None] = [None, *(one.name for one in members)]
        specs = [predict_spec(images, members, self.home.state / "work", task) for task in tasks]
        told = [predict(spec, self.worker, silent) for spec in specs]
        assert [one.status for one in told] == ["done"] * len(told), told[0].reason
        return json.dumps([to_json_all(one.predictions) for one in told])


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    (tmp_path / "state").mkdir()
    home = Home(tmp_path / "state")
    with closing(home.journal):
        yield Night(home, tmp_path, {})


def ended(slept: ConsolidationEnd | None, outcome: str) -> ConsolidationEnd:
    assert slept is not None
    assert slept.outcome == outcome, slept
    return slept


def test_a_candidate_that_ruins_one_task_and_lifts_the_mean_is_refused_and_the_task_is_named(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("ruined", "left")
    for name in ("one", "two", "three"):
        night.learn(name, "right")
    before = night.home.knowledge(), night.home.files(), night.answers()
    slept = ended(night.sleep(seeing(*RIGHT)), "refused")
    assert slept.verdict["after"] > slept.verdict["before"] + 0.1
    fallen = {reason.split()[0] for reason in slept.reasons if "may fall" in reason}
    assert fallen == {"ruined"}
    assert slept.verdict["worst"] == "ruined"
    assert (night.home.knowledge(), night.home.files(), night.answers()) == before
    assert night.home.journal.head == 4
    (decision,) = night.home.journal.history.decisions()
    assert (decision.version, decision.verdict["accepted"]) == (None, False)
    assert decision.verdict["reasons"] == list(slept.reasons)


def test_an_accepted_one_moves_every_task_and_a_rollback_answers_as_before_to_the_byte(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "left")
    night.learn("b", "right")
    before = night.home.knowledge(), night.answers(), night.home.generations.backbone_hash()
    new = seeing(*BOTH)
    verdict = ended(night.sleep(new), "accepted").verdict
    assert verdict["after"] > verdict["before"]
    after = night.home.knowledge(), night.answers(), new.hash
    assert night.home.generations.backbone_hash() == new.hash
    assert after[1] != before[1]
    assert [member.revision for member in night.home.generations.members()] == [2, 2]
    night.home.generations.verify()

    for version, wanted in ((2, before), (3, after), (2, before)):
        night.home.generations.roll_back(version)
        seen = night.home.knowledge(), night.answers(), night.home.generations.backbone_hash()
        assert seen == wanted
        assert night.home.states() == {"a/1": "learned", "b/1": "learned"}
    night.home.generations.verify()


def test_held_out_images_judge_and_are_asked_about_in_the_new_network_too(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "left", holdout=0.25)
    night.learn("b", "right", holdout=0.25)
    new = seeing(*BOTH)
    ended(night.sleep(new), "accepted")
    assert {len(lesson.labels) for lesson in night.shown} == {24}  # of 32 images of a task, 8 are held out
    for member in night.home.generations.members():
        folder = Path(member.folder)
        held = held_out.load(folder / HELD_OUT_FEATURES_FILE, new.hash, sha256_of(folder / HELD_OUT_FEATURES_FILE))
        assert torch.bincount(held.labels).tolist() == [4, 4]


def test_nothing_that_judges_is_shown_to_the_training(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "left")
    night.sleep(seeing(*BOTH))
    remembered, judged = divide(kept_images(night.home.generations.tasks / "a" / "1"))
    assert (len(remembered), len(judged)) == (24, 8)
    (lesson,) = night.shown
    assert len(lesson.images) == 24


def test_what_was_learnt_meanwhile_makes_the_candidate_worthless(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")
    ended(night.sleep(seeing(*BOTH), lambda _: night.learn("b", "left")), "failed")
    assert night.home.journal.head == 2
    assert night.home.generations.backbone_hash() == seeing(*LEFT).hash


def test_new_content_that_waits_keeps_its_revision_to_itself(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")
    ended(night.sleep(seeing(*BOTH), lambda _: night.home.lease("a", "other content")), "failed")
    ended(night.sleep(seeing(*BOTH)), "accepted")
    assert night.home.states() == {"a/1": "learned", "a/2": "running"}
    assert [member.revision for member in night.home.generations.members()] == [3]


@pytest.mark.parametrize("kept", [20, 16], ids=["above exemplars_per_class", "evicted"])
def test_what_learnt_from_more_than_is_kept_is_judged_as_it_serves_now(kept: int, night: Night) -> None:
    night.begin(worker_seeing(*BOTH))
    night.learn("a", "right", images=24)
    night.learn("b", "left")
    night.evict("a", kept)
    before = night.answers()
    slept = ended(night.sleep(seeing(*LEFT)), "refused")
    assert any(reason.startswith("a") for reason in slept.reasons), slept.reasons
    assert night.answers() == before


@pytest.mark.parametrize("kept", [20, 16], ids=["above exemplars_per_class", "evicted"])
def test_it_moves_all_the_same_to_what_is_better_even_so(kept: int, night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right", images=24)
    night.evict("a", kept)
    ended(night.sleep(seeing(*BOTH)), "accepted")
    (member,) = night.home.generations.members()
    assert len(kept_images(Path(member.folder))) == 2 * kept
    report = night.home.generations.report(member.id, member.revision)
    assert report is not None
    assert report["images"] == 2 * kept  # of 48 that it had been learnt from


def test_of_a_class_of_which_nothing_is_kept_nothing_can_be_made(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")
    night.evict("a", 0)
    slept = ended(night.sleep(seeing(*BOTH)), "failed")
    assert "no image of its class 'bright' is kept" in slept.reasons[0]
    assert night.shown == []  # it is said before anything is trained


def test_what_is_left_of_evicted_images_has_to_tell_what_is_lost(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")
    night.learn("b", "right")
    night.evict("a", 3)  # a fourth would judge
    slept = ended(night.sleep(seeing(*BOTH)), "failed")
    assert "of its images are left, and none can be held out" in slept.reasons[0]


def test_who_never_had_more_moves_without_a_judge(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right", images=3)
    night.learn("b", "right")
    ended(night.sleep(seeing(*BOTH)), "accepted")


def test_what_the_candidate_leaves_as_it_is_needs_no_image(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")
    night.learn("b", "right")
    night.evict("a", 0)
    monkeypatch.setattr("learnd.learning.jobs.consolidate.changed_by", lambda *_: frozenset({"an adapter of others"}))
    monkeypatch.setattr("tests.learning.halves.CHANGED", frozenset({"an adapter of others"}))
    slept = ended(night.sleep(seeing(*BOTH)), "refused")
    assert slept.reasons[0].startswith("the mean does not rise")  # as nothing has changed for either
    assert {lesson.id for lesson in night.shown} == {"b"}


def test_a_file_that_is_not_what_the_worker_wrote_is_refused(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")

    def rot(spec: ConsolidateSpec) -> None:
        Path(spec.out, "a/2/adapted.safetensors").write_bytes(b"rot")

    slept = ended(night.sleep(seeing(*BOTH), rot), "failed")
    assert "not what the worker said" in slept.reasons[0]
    assert night.home.journal.head == 1


def test_where_something_is_to_be_learnt_it_stops_and_nothing_has_happened(night: Night) -> None:
    night.begin(worker_seeing(*LEFT))
    night.learn("a", "right")
    sleep = night.keeper()
    spec = sleep.spec(10)
    Path(spec.out).mkdir(parents=True)
    sleep.stop.touch()
    outcome = consolidate(spec, night.worker, silent)
    assert outcome.status == "stopped"
    assert sleep.settle(outcome, Path(spec.out)) is None
    assert night.home.journal.history.decisions() == []


def test_without_knowledge_there_is_nothing_to_do(night: Night) -> None:
    with pytest.raises(TaskError, match="nothing has been learnt yet"):
        night.keeper().spec(10)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_daemon_that_is_asked_to_moves_to_the_new_network_and_back_and_goes_on_learning(
    make_task: MakeTask, digits: Path, tmp_path: Path
) -> None:
    weights = random_conv4(tmp_path / "untrained.safetensors")  # anything that it learns is better
    settings = {
        "watch__quiet_seconds": "0.3",
        "routing__budget_seconds": "1",
        "consolidate__epsilon": "1",
        "consolidate__flips": "1",
    }
    images = sorted((digits / "held-out").rglob("*.png"))[:4]
    with LiveDaemon(tmp_path / "home", f"conv4@{weights}", **settings) as live:
        live.start_warm(timeout=PATIENCE)

        def told() -> Any:
            return live.json("predict", *images, timeout=PATIENCE)["predictions"]

        def learn(name: str, first: int) -> None:
            subprocess.run(["mv", make_task(name, first=first, shots=8), live.tasks], check=True)
            live.wait_learned([name], timeout=PATIENCE)

        learn("a", 0)
        before = told()
        slept = live.json("consolidate", "--steps", "50", timeout=PATIENCE)
        assert slept["outcome"] == "accepted", slept
        after = told()
        assert after != before
        assert live.json("show", "a")["revisions"][-1]["report"]["derived_from"] == 1
        learn("b", 4)  # by a worker that holds the new network
        assert [one["version"] for one in live.json("versions")["versions"]] == [3, 2, 1]
        assert live.json("rollback", "1")["undone"] == ["a", "b"]
        assert told() == before
        assert live.json("rollback", "2")["version"] == 5
        assert told() == after
