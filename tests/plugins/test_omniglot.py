"""The built-in algorithms on real drawings with the shipped conv4."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from learnd.learning.contract.algorithm import Support
from learnd.learning.jobs.algorithm_choice import Contest, route
from learnd.learning.networks.backbone import load_backbone
from learnd.learning.networks.images import load_batch
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec
from learnd.messages.task import Task, TaskOptions
from tests.data import omniglot_task, requires_data
from tests.tiny import context, routing


@pytest.mark.slow
@requires_data("omniglot")
def test_five_characters_are_learnt_from_five_drawings_each(tmp_path: Path) -> None:
    backbone = load_backbone(BackboneSpec("conv4"))
    held_out = omniglot_task(tmp_path, "Tengwar", ways=5, shots=5)
    names = sorted(path.name for path in tmp_path.iterdir())

    def read(paths: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
        images, _ = load_batch([(str(path), path.read_bytes()) for path in paths], backbone.preprocess)
        return images, torch.tensor([names.index(path.parent.name) for path in paths])

    images, labels = read(sorted(tmp_path.rglob("*.png")))
    support = Support(images, backbone.embed(images), labels, 5)
    numbers = (backbone.name, backbone.features, backbone.macs, "cpu")
    task = Task("tengwar", "tengwar", 1, tuple(names), (5,) * 5, 0, TaskOptions(), *numbers)
    algorithms = load_catalogue(None, {}).algorithms
    everyone = routing(budget_seconds=1000.0, good_enough=2.0, shortlist=100)
    chosen = route(task, backbone, support, Contest(algorithms, everyone, lambda *_: None), context())
    assert chosen.measured is not None
    assert chosen.measured.accuracy >= 0.9
    assert {c.outcome for c in chosen.candidates} == {"chosen", "measured"}
    queries, truth = read(held_out)
    for name, algorithm in algorithms.items():
        state = algorithm.adapt(backbone.private(), support, context().child(name))
        right = algorithm.predict(backbone, state, queries).argmax(1) == truth
        assert right.float().mean() >= 0.9, name
