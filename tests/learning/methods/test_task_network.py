"""What the written passes give an outer loop is what torch's graph gives it; and when they are used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.meta_learner import BACKBONE, Episodes
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd.learning.methods import task_network as task_network_module
from learnd.learning.methods.gradient_learner import GradientLearner
from learnd.learning.methods.task_network import task_network
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.written_passes.network import WrittenNetwork, written_network
from learnd.messages.jobs import BackboneSpec
from learnd_plugins.anil import Anil
from learnd_plugins.fomaml import Fomaml
from learnd_plugins.lstm_metalearner import LstmMetalearner
from learnd_plugins.maml import Maml
from learnd_plugins.metasgd import MetaSgd
from tests.learning.episodes import episodes, leaves
from tests.tiny import context, tiny_backbone

NETWORK = load_backbone(BackboneSpec("conv4"), "cpu")
WHOLE = [BACKBONE + name for name, _ in NETWORK.module.named_parameters()]
LEARNERS = [
    Maml(steps=2, rate=0.05, head="zero"),
    Maml(steps=2, head="prototype"),
    Maml(steps=2, multi_step=True),
    Maml(steps=2, anneal=1.0),
    Fomaml(steps=2),
    MetaSgd(steps=2),
    LstmMetalearner(steps=2, blocks=5),
]


def meta_gradient(learner: GradientLearner, batch: Episodes, batching: str) -> dict[str, Tensor]:
    params = leaves(learner, NETWORK)
    loss, found = MetaGradient(learner, NETWORK, batching).of(params, batch, context())
    return {"loss": loss, **found}


def as_large_as_glyphs(batch: Episodes) -> Episodes:
    def grown(images: Tensor) -> Tensor:
        flat = F.interpolate(images.flatten(0, 1).float(), (28, 28), mode="bilinear")[:, :1]
        return flat.round().to(torch.uint8).unflatten(0, images.shape[:2])

    return replace(batch, support=grown(batch.support), query=grown(batch.query))


def without_written_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package written_passes had been deleted, as its README says."""
    monkeypatch.setattr(task_network_module, "written_network", lambda backbone, adapted: None)


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: f"{learner.name}-{learner.head}")
@pytest.mark.parametrize("batching", ["loop", "vmap:2"])
def test_the_meta_gradient_is_that_of_torchs_graph(
    learner: GradientLearner, batching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = as_large_as_glyphs(episodes(tasks=3))
    assert learner.at_once(NETWORK, batch) is not None
    found = meta_gradient(learner, batch, batching)
    without_written_passes(monkeypatch)
    away = 1e-3 if isinstance(learner, LstmMetalearner) else 1e-4  # that one sees logarithms of gradients
    for name, expected in meta_gradient(learner, batch, batching).items():
        assert float((found[name] - expected).norm()) <= away * float(expected.norm()), name


def test_they_are_used_if_an_outer_loop_adapts_all_of_conv4_on_a_cpu() -> None:
    assert written_network(NETWORK, WHOLE)
    assert not written_network(NETWORK, WHOLE[3:])
    assert not written_network(
        tiny_backbone(), [BACKBONE + name for name, _ in tiny_backbone().module.named_parameters()]
    )
    assert not written_network(load_backbone(BackboneSpec("conv4-views"), "cpu"), WHOLE)
    assert Anil().at_once(NETWORK, episodes()) is None
    assert not written_network(training(NETWORK), WHOLE)
    double = NETWORK.private()
    double.module.double()
    assert not written_network(double, WHOLE)
    with torch.autocast("cpu", torch.bfloat16):
        assert not written_network(NETWORK, WHOLE)
    with torch.no_grad():
        adapted = dict.fromkeys(WHOLE, torch.zeros(()))
        assert not isinstance(task_network(NETWORK, adapted, {}), WrittenNetwork)


def training(backbone: Backbone) -> Backbone:
    private = replace(backbone.private())
    private.module.train()
    return private


def test_a_forward_pass_has_one_backward_pass() -> None:
    params = {name: value.detach() for name, value in zip(WHOLE, NETWORK.module.parameters(), strict=True)}
    view = task_network(NETWORK, params, {}).view(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    features, back = view.with_gradient(params)
    assert set(back(torch.ones_like(features))) == set(WHOLE)
    with pytest.raises(AssertionError, match="one backward pass"):
        back(torch.ones_like(features))


def test_a_pass_takes_as_many_tasks_as_have_eighty_images() -> None:
    network = WrittenNetwork(NETWORK)
    assert [network.tasks_per_pass(images) for images in (5, 20, 25, 100)] == [16, 4, 3, 1]


def test_without_them_every_learner_takes_torchs_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    without_written_passes(monkeypatch)
    batch = as_large_as_glyphs(episodes(tasks=2))
    for learner in LEARNERS:
        assert learner.at_once(NETWORK, batch) is None
        assert bool(meta_gradient(learner, batch, "loop")["loss"].isfinite())
