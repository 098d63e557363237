"""A survey says of every task what `predict` would say, embeds nothing, and makes way at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from learnd.identity import sha256_of
from learnd.learning.jobs.learn import learn
from learnd.learning.jobs.predict import predict
from learnd.learning.jobs.survey import QUESTIONS, ask_held_out, leave_one_out, survey
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.knowledge import class_statistics, held_out
from learnd.learning.knowledge.class_statistics import statistics
from learnd.learning.knowledge.classifier_cache import HeadKeeper
from learnd.learning.knowledge.classifier_file import load_head
from learnd.learning.knowledge.grouped_classifier import GroupedHead, grouped_head
from learnd.learning.knowledge.held_out import HeldOut
from learnd.messages.jobs import HeadFile, LearnSpec, Member, SurveySpec, TaskToSurvey
from learnd.messages.outcomes import Outcome
from learnd.messages.state_files import CLASSIFIER_FILE, HELD_OUT_FEATURES_FILE, STATISTICS_FILE
from learnd.messages.task import Join
from tests.learning.drawn import draw_stripes
from tests.learning.knowledge.test_grouped_classifier import World
from tests.learning.specs import learn_spec, member_of, predict_spec
from tests.learning.worker_contexts import adaptable_worker, worker_context

SHOTS, ASKED = 4, 3
ANGLES = {"left": (0, 20, 40), "right": (10, 30, 50)}  # so alike that not all are told


def silent(stage: str, done: int, total: int, algorithm: str = "", /) -> None: ...


class School:
    """Two tasks of three classes, learnt: "left" has held-out images, "right" has none."""

    def __init__(self, folder: Path) -> None:
        self.worker: WorkerContext = worker_context(folder)
        self.out = folder / "survey"
        self.out.mkdir()
        self.questions: list[Path] = []
        self.specs: dict[str, LearnSpec] = {}
        for name, angles in ANGLES.items():
            for kind, angle in zip("abc", angles, strict=True):
                for seed in range(SHOTS):
                    draw_stripes(folder / name / "support" / kind / f"{seed}.png", angle, seed + 100 * angle)
                for seed in range(ASKED) if name == "left" else ():
                    path = folder / name / "query" / kind / f"{seed}.png"
                    draw_stripes(path, angle, 50 + seed + 100 * angle)
                    self.questions.append(path)
            self.specs[name] = learn_spec(folder / name, folder / f"{name}-out", name=name)
            assert learn(self.specs[name], self.worker, silent).status == "done"

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(member_of(spec) for spec in self.specs.values())

    def spec(self) -> SurveySpec:
        left, right = self.members
        held = sha256_of(Path(left.folder) / HELD_OUT_FEATURES_FILE)
        return SurveySpec(2, self.members, (TaskToSurvey(left.id, held), TaskToSurvey(right.id, None)), str(self.out))

    def survey(self, spec: SurveySpec) -> Outcome:
        return survey(spec, self.worker, silent, lambda: False)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    return School(tmp_path_factory.mktemp("school"))


def test_held_out_images_are_told_as_predict_tells_them(school: School) -> None:
    left, right = school.survey(school.spec()).surveyed
    questions = sorted(school.questions)
    told = predict(predict_spec(questions, list(school.members), Path()), school.worker, silent).predictions
    right_ones = [(one.top[0].task, one.top[0].class_name) == ("left", Path(one.image).parent.name) for one in told]
    assert left.correct == "".join("01"[one] for one in right_ones)
    assert (left.measured_on, right.measured_on) == ("query", "leave-one-out")
    assert len(right.correct) == 3 * SHOTS


def test_the_head_is_left_ready_made_and_answers_the_same_to_the_bit(school: School) -> None:
    outcome = school.survey(school.spec())
    file = HeadFile(str(school.out / CLASSIFIER_FILE), outcome.files[CLASSIFIER_FILE])
    assert load_head(file, school.members, school.worker.backbone.hash) is not None
    questions = predict_spec(sorted(school.questions), list(school.members), Path())
    answers = [predict(spec, school.worker, silent).predictions for spec in (questions, replace(questions, head=file))]
    assert answers[0] == answers[1]


def test_a_task_answers_by_itself_the_same_whatever_is_learnt_beside_it(school: School) -> None:
    """So the task-scoped column of the matrix need not be measured again while the revision is the same."""
    alone = predict_spec(school.questions, list(school.members[:1]), Path(), task="left")
    among = predict_spec(school.questions, list(school.members), Path(), task="left")
    answers = [predict(spec, school.worker, silent).predictions for spec in (alone, among)]
    assert answers[0] == answers[1]


def test_the_features_that_are_kept_are_those_that_the_backbone_gives(school: School) -> None:
    left = school.members[0]
    path = Path(left.folder) / HELD_OUT_FEATURES_FILE
    held = held_out.load(path, school.worker.backbone.hash, sha256_of(path))
    assert held.classes == ("a", "b", "c")
    assert held.labels.tolist() == [0] * ASKED + [1] * ASKED + [2] * ASKED
    assert {name: value.dtype for name, value in held.features.items()} == {"identity": torch.float32}
    assert not (Path(school.members[1].folder) / HELD_OUT_FEATURES_FILE).exists()


@pytest.mark.slow
def test_under_an_adapter_both_kinds_of_features_are_kept_and_told_as_predict_tells_them(
    school: School, tmp_path: Path
) -> None:
    lite = adaptable_worker(tmp_path, radius=2.0)  # every image looks like the adapter's domain
    spec = replace(school.specs["left"], out=str(tmp_path / "out"))
    Path(spec.out).mkdir()
    assert learn(spec, lite, silent).status == "done"
    member = member_of(spec)
    path = Path(spec.out) / HELD_OUT_FEATURES_FILE
    held = held_out.load(path, lite.backbone.hash, sha256_of(path))
    assert set(held.features) == {"identity", "drawn"}
    asked = SurveySpec(1, (member,), (TaskToSurvey(member.id, sha256_of(path)),), str(tmp_path))
    (found,) = survey(asked, lite, silent, lambda: False).surveyed
    told = predict(predict_spec(sorted(school.questions), [member], Path()), lite, silent).predictions
    assert found.correct == "".join("01"[one.top[0].class_name == Path(one.image).parent.name] for one in told)


def test_it_makes_way_before_every_step(school: School) -> None:
    asked = iter([False, False, False, False, True])  # at first, two members, the head, the first question
    outcome = survey(school.spec(), school.worker, silent, lambda: next(asked))
    assert (outcome.status, outcome.surveyed) == ("dropped", ())


def test_a_damaged_file_is_named_and_nothing_is_said_of_the_others(school: School) -> None:
    left, right = school.spec().asked
    outcome = school.survey(replace(school.spec(), asked=(replace(left, heldout="0" * 64), right)))
    assert outcome.status == "damaged"
    assert HELD_OUT_FEATURES_FILE in outcome.reason


def test_a_task_under_an_adapter_is_left_out_in_the_adapters_features() -> None:
    world = World()
    known = [world.learn("photographs"), world.learn("glyphs")]
    head = grouped_head(known)
    told = leave_one_out(head, "glyphs", known[1][1])
    assert told.dtype == torch.bool
    assert len(told) == 32
    assert told.double().mean() > 0.9
    unadapted = replace(known[1][1], adapted=None)
    assert leave_one_out(grouped_head([known[0], (known[1][0], unadapted)]), "glyphs", unadapted).double().mean() < 0.6


def test_where_the_wider_features_remember_more_images_the_same_are_left_out_of_both() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(12)
    centres = {width: 3 * torch.randn(4, width, generator=draw) for width in (64, 8)}
    wide, narrow = (
        statistics(centre[labels] + torch.randn(48, width, generator=draw) * 0.3, labels, list("abcd"))
        for width, centre in centres.items()
    )
    assert (len(wide.owners), len(narrow.owners)) == (48, 4 * class_statistics.WITNESSES)
    known = replace(wide, adapted=replace(narrow, adapter="glyphs"))
    member = Member("glyphs-0", "glyphs", 1, "", "", "")
    told = leave_one_out(grouped_head([(member, known)]), "glyphs", known)
    assert told.tolist() == [True] * 4 * class_statistics.WITNESSES


def test_of_a_task_with_adapted_features_both_kinds_are_asked() -> None:
    world = World()
    head = grouped_head([world.learn("photographs"), world.learn("glyphs")])
    labels = torch.arange(4).repeat_interleave(25)
    for kind in ("photographs", "glyphs"):
        features = world.features(kind, labels)
        told = ask_held_out(head, kind, HeldOut(tuple("abcd"), labels, features))
        expected = head.log_posterior(features).argmax(1) == labels + [c[0] for c in head.classes].index(kind)
        assert told.tolist() == expected.tolist()


def test_of_very_many_images_an_even_part_is_asked() -> None:
    world = World()
    known = [world.learn("photographs", shots=100), world.learn("glyphs")]
    head: GroupedHead = grouped_head(known)
    labels = torch.arange(4).repeat(200)
    held = HeldOut(tuple("abcd"), labels, world.features("photographs", labels))
    assert len(ask_held_out(head, "photographs", held)) == QUESTIONS
    assert len(leave_one_out(head, "photographs", known[0][1])) <= 4 * class_statistics.WITNESSES


def test_a_class_of_one_image_cannot_be_left_out(school: School) -> None:
    head = HeadKeeper().head_of(school.members, school.worker.backbone)
    member = school.members[1]
    own = class_statistics.load(Path(member.folder) / STATISTICS_FILE, school.worker.backbone.hash, member.statistics)
    lonely = replace(own, count=own.count.clone().fill_(1))
    assert len(leave_one_out(head, "right", lonely)) == 0


def test_an_image_of_a_joined_class_is_told_right_where_the_answer_is_the_class_it_is_joined_to() -> None:
    draw = torch.Generator().manual_seed(0)
    centres, labels = 3 * torch.randn(4, 16, generator=draw), torch.arange(4).repeat_interleave(12)

    def seen() -> Tensor:
        return centres[labels] + 0.3 * torch.randn(48, 16, generator=draw)

    twins = [(Member(f"{n}-0", n, 1, "", "", ""), statistics(seen(), labels, list("abcd"))) for n in ("one", "two")]
    held = HeldOut(tuple("abcd"), labels, {"identity": seen().float()})
    apart = grouped_head(twins)
    assert ask_held_out(apart, "two", held).double().mean() < 0.9  # half go to the twin
    joins = tuple(Join(name, "one", name) for name in "abcd")
    together = grouped_head([twins[0], (replace(twins[1][0], joins=joins), twins[1][1])])
    for task, known in (("one", twins[0][1]), ("two", twins[1][1])):
        assert ask_held_out(together, task, held).all()
        assert leave_one_out(together, task, known).all()
