"""Tasks told in different spaces have comparable scores: real glyphs and thumbnails under adapters, real land without.

One head over all of them says which task an image is from, and how sure it is, as truly of every kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from learnd.learning.jobs.learn import learn
from learnd.learning.jobs.predict import predict
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.networks.backbone import load_backbone
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec, Member
from learnd.messages.outcomes import Prediction
from tests.data import class_task, omniglot_task, requires_data
from tests.learning.specs import learn_spec, member_of, predict_spec

ASKED = 8  # images of each class


def silent(*_: object) -> None: ...


@requires_data("omniglot", "cifar-fs", "eurosat")
@pytest.mark.slow
def test_tasks_under_two_adapters_and_under_none_are_told_apart_and_as_surely_as_they_should(
    tmp_path: Path,
) -> None:
    worker = WorkerContext(load_backbone(BackboneSpec("lite0-meta")), load_catalogue(None, {}))
    questions: dict[str, list[Path]] = {
        "tibetan": omniglot_task(tmp_path / "tibetan", "Tibetan", ways=5, shots=8),
        "angelic": omniglot_task(tmp_path / "angelic", "Angelic", ways=5, shots=8),
        "things": class_task(tmp_path / "things", "cifar-fs", ways=5, shots=8),
        "land": class_task(tmp_path / "land", "eurosat", ways=5, shots=8),
    }
    members: list[Member] = []
    adapters: dict[str, str] = {}
    for name in questions:
        spec = learn_spec(tmp_path / name, tmp_path / "out" / name, name=name)
        outcome = learn(spec, worker, silent)
        assert outcome.report is not None, outcome.reason
        adapters[name] = outcome.report.adapter
        members.append(member_of(spec))
    assert adapters == {"tibetan": "glyphs", "angelic": "glyphs", "things": "thumbnails", "land": "identity"}
    for name, paths in questions.items():
        told = predict(predict_spec(_some(paths), members, tmp_path), worker, silent).predictions
        from_here = sum(one.top[0].task == name for one in told) / len(told)
        right = sum(_right(name, one) for one in told) / len(told)
        sure = sum(one.top[0].probability for one in told) / len(told)
        assert from_here >= 0.9, (name, from_here)
        assert abs(sure - right) <= 0.2, (name, sure, right)


def _some(paths: list[Path]) -> list[Path]:
    """ASKED images of each class."""
    classes: dict[str, list[Path]] = {}
    for path in paths:
        classes.setdefault(path.parent.name, []).append(path)
    return [path for own in classes.values() for path in own[:ASKED]]


def _right(task: str, one: Prediction) -> bool:
    return (one.top[0].task, one.top[0].class_name) == (task, Path(one.image).parent.name)
