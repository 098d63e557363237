"""Asked about images: the right class, its probability, and a word on every file that cannot be read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from torch import nn

from learnd.learning.jobs import predict as predictor
from learnd.learning.jobs.learn import learn
from learnd.learning.jobs.predict import predict
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.networks.backbone import Backbone
from learnd.messages.jobs import PredictSpec
from learnd.messages.outcomes import Outcome
from learnd.messages.state_files import ADAPTED_FILE, STATISTICS_FILE
from tests.learning.drawn import draw_stripes, random_conv4, stripes_task
from tests.learning.specs import learn_spec, member_of, predict_spec
from tests.learning.worker_contexts import NearestMean, adaptable_worker, worker_context


def silent(stage: str, done: int, total: int, algorithm: str = "", /) -> None: ...


@pytest.fixture
def known(tmp_path: Path) -> tuple[WorkerContext, PredictSpec]:
    """Two tasks that are known, "wide" and "fine", with the same class names; and new images of "wide"."""
    worker = worker_context(tmp_path)
    members = []
    for number, name in enumerate(("wide", "fine")):
        folder = stripes_task(tmp_path / name, shots=8, first_seed=1000 * number)
        spec = learn_spec(folder, tmp_path / f"out-{name}", name=name)
        assert learn(spec, worker, silent).status == "done"
        members.append(member_of(spec))
    new = stripes_task(tmp_path / "new", shots=4, first_seed=50)
    return worker, predict_spec(sorted(new.rglob("*.png")), members, tmp_path / "answer")


def right(outcome: Outcome) -> float:
    """The share of images whose best guess bears the name of their folder."""
    hits = [Path(p.image).parent.name == p.top[0].class_name for p in outcome.predictions]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("task", [None, "wide", "wide-0"])
def test_the_right_class_is_told(task: str | None, known: tuple[WorkerContext, PredictSpec]) -> None:
    worker, spec = known
    outcome = predict(dataclasses.replace(spec, task=task), worker, silent)
    assert outcome.status == "done"
    assert [prediction.image for prediction in outcome.predictions] == list(spec.images)
    assert right(outcome) > 0.6


@pytest.mark.parametrize("task", [None, "letters"])
def test_a_task_under_an_adapter_is_asked_under_it(task: str | None, tmp_path: Path) -> None:
    worker = adaptable_worker(tmp_path, radius=2.0)
    spec = learn_spec(stripes_task(tmp_path / "task", shots=6), tmp_path / "out")
    report = learn(spec, worker, silent).report
    assert report is not None
    assert report.adapter == "drawn"
    new = sorted(stripes_task(tmp_path / "new", shots=3, first_seed=50).rglob("*.png"))
    asked = predict_spec(new, [member_of(spec)], tmp_path / "answer", task=task)
    outcome = predict(asked, worker, silent)
    assert outcome.status == "done", outcome.reason
    drawn = worker.backbone.adapted("drawn")
    spoilt = dataclasses.replace(drawn, module=random_adapted(drawn))
    worker = dataclasses.replace(worker, backbone=dataclasses.replace(worker.backbone, adapters={"drawn": spoilt}))
    assert predict(asked, worker, silent).predictions != outcome.predictions


def random_adapted(backbone: Backbone) -> nn.Module:
    """The network with its last layer turned over."""
    module = backbone.private().module
    module.get_submodule("norm").weight.data.neg_()  # type: ignore[union-attr, operator]
    return module


def test_guesses_are_sorted_and_probable(known: tuple[WorkerContext, PredictSpec]) -> None:
    worker, spec = known
    for prediction in predict(dataclasses.replace(spec, top=6), worker, silent).predictions:
        values = [guess.probability for guess in prediction.top]
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1, abs=1e-5)
        assert {guess.task for guess in prediction.top} == {"wide", "fine"}


def test_top_is_no_longer_than_there_are_classes(known: tuple[WorkerContext, PredictSpec]) -> None:
    worker, spec = known
    scoped = predict(dataclasses.replace(spec, top=99, task="fine"), worker, silent)
    assert {len(prediction.top) for prediction in scoped.predictions} == {3}
    assert {guess.task for prediction in scoped.predictions for guess in prediction.top} == {"fine"}


def test_an_image_that_cannot_be_read_does_not_stop_the_others(
    known: tuple[WorkerContext, PredictSpec], tmp_path: Path
) -> None:
    worker, spec = known
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = (str(tmp_path / "none.png"), spec.images[0], str(tmp_path / "bad.png"), spec.images[0])
    outcome = predict(dataclasses.replace(spec, images=images), worker, silent)
    assert [bool(prediction.error) for prediction in outcome.predictions] == [True, False, True, False]
    assert [bool(prediction.top) for prediction in outcome.predictions] == [False, True, False, True]
    assert "No such file" in (outcome.predictions[0].error or "")


def test_all_images_unreadable(known: tuple[WorkerContext, PredictSpec]) -> None:
    worker, spec = known
    outcome = predict(dataclasses.replace(spec, images=("/none/a.png",)), worker, silent)
    assert outcome.status == "done"
    assert outcome.predictions[0].error


def test_many_images_are_answered_in_pieces(
    known: tuple[WorkerContext, PredictSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, spec = known
    stages: list[tuple[int, int]] = []
    monkeypatch.setattr(predictor, "IMAGES_PER_PASS", 5)
    outcome = predict(spec, worker, lambda stage, done, total: stages.append((done, total)))
    assert stages == [(0, 12), (5, 12), (10, 12)]
    assert [prediction.image for prediction in outcome.predictions] == list(spec.images)


def test_the_answer_does_not_depend_on_the_order_of_the_tasks(known: tuple[WorkerContext, PredictSpec]) -> None:
    worker, spec = known
    turned = dataclasses.replace(spec, members=spec.members[::-1])
    assert predict(turned, worker, silent) == predict(spec, worker, silent)


def test_a_stranger_is_unknown(known: tuple[WorkerContext, PredictSpec], tmp_path: Path) -> None:
    worker, spec = known
    from PIL import Image

    Image.new("L", (28, 28), 0).save(tmp_path / "black.png")
    outcome = predict(dataclasses.replace(spec, images=(str(tmp_path / "black.png"),)), worker, silent)
    assert outcome.predictions[0].unknown
    assert not all(prediction.unknown for prediction in predict(spec, worker, silent).predictions)


def test_a_task_uses_the_options_that_it_was_learnt_with(
    known: tuple[WorkerContext, PredictSpec], tmp_path: Path
) -> None:
    worker, spec = known
    scoped = dataclasses.replace(spec, task="wide")
    changed = worker_context(tmp_path, NearestMean(sharpness=100.0))
    assert predict(scoped, changed, silent) == predict(scoped, worker, silent)


def test_a_plugin_that_is_gone_is_named_and_the_unified_answer_needs_none(
    known: tuple[WorkerContext, PredictSpec],
) -> None:
    worker, spec = known
    bare = dataclasses.replace(worker, catalogue=dataclasses.replace(worker.catalogue, algorithms={}))
    outcome = predict(dataclasses.replace(spec, task="wide"), bare, silent)
    assert outcome.status == "failed"
    assert "nearest_mean" in outcome.reason
    assert predict(spec, bare, silent).status == "done"


def test_another_backbone_is_refused_with_both_hashes(known: tuple[WorkerContext, PredictSpec], tmp_path: Path) -> None:
    worker, spec = known
    (tmp_path / "other").mkdir()
    random_conv4(tmp_path / "other" / "conv4.safetensors", seed=1)
    other = worker_context(tmp_path / "other")
    for task in (None, "wide"):
        outcome = predict(dataclasses.replace(spec, task=task), other, silent)
        assert outcome.status == "damaged"
        assert worker.backbone.hash in outcome.reason
        assert other.backbone.hash in outcome.reason


@pytest.mark.parametrize("name", [STATISTICS_FILE, ADAPTED_FILE])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_state_is_named_and_never_answered_from(
    damage: str, name: str, known: tuple[WorkerContext, PredictSpec]
) -> None:
    worker, spec = known
    path = Path(spec.members[0].folder, name)
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:100] if damage == "truncated" else data[:-1] + bytes([data[-1] ^ 1]))
    outcome = predict(dataclasses.replace(spec, task="wide"), worker, silent)
    assert outcome.status == "damaged"
    assert outcome.predictions == ()
    assert str(path) in outcome.reason


def test_a_task_that_was_never_learnt(known: tuple[WorkerContext, PredictSpec]) -> None:
    worker, spec = known
    assert "no task 'narrow'" in predict(dataclasses.replace(spec, task="narrow"), worker, silent).reason


def test_before_anything_was_learnt(tmp_path: Path) -> None:
    draw_stripes(tmp_path / "a.png", 0, 0)
    outcome = predict(predict_spec([tmp_path / "a.png"], [], tmp_path), worker_context(tmp_path), silent)
    assert outcome.status == "failed"
    assert "nothing has been learnt yet" in outcome.reason
