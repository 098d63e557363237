"""What the gradient methods have in common: one inner loop for training and for a task, tasks side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Overdue, Support
from learnd.learning.contract.meta_learner import BACKBONE, MetaLearner, for_backbone
from learnd.learning.methods import gradient_learner
from learnd.learning.methods.gradient_learner import GradientLearner
from learnd.learning.methods.heads import linear
from learnd_plugins.anil import Anil
from learnd_plugins.fomaml import Fomaml
from learnd_plugins.lstm_metalearner import LstmMetalearner
from learnd_plugins.maml import Maml
from learnd_plugins.metasgd import MetaSgd
from learnd_plugins.reptile import Reptile
from tests.learning.episodes import episodes, leaves, meta_gradient
from tests.tiny import context, striped, tiny_backbone, tiny_support, tiny_task

NETWORK = tiny_backbone()
LEARNERS: tuple[GradientLearner, ...] = (
    Maml(steps=2, rate=0.1),
    Maml(steps=2, rate=0.1, multi_step=True, blocks=1),
    Maml(steps=2, head="zero"),
    Maml(steps=2, rate=0.1, head="angle"),
    Fomaml(steps=2, rate=0.1),
    Anil(steps=2),
    Reptile(steps=2, rate=0.1),
    MetaSgd(steps=2),
    LstmMetalearner(steps=2),
)

every = pytest.mark.parametrize("learner", LEARNERS, ids=str)


@every
def test_tasks_side_by_side_give_the_gradient_of_one_after_the_other(learner: MetaLearner) -> None:
    batch = episodes(tasks=3)
    together = meta_gradient(learner, NETWORK, batch)
    alone = [meta_gradient(learner, NETWORK, part) for part in batch.split(1)]
    for name, value in together.items():
        mean = torch.stack([gradients[name] for gradients in alone]).mean(0)
        assert torch.allclose(value, mean, rtol=1e-3, atol=1e-6), name


@every
def test_every_meta_parameter_has_a_say(learner: MetaLearner) -> None:
    gradients = meta_gradient(learner, NETWORK, episodes())
    silent = {name for name, value in gradients.items() if not bool(value.any())}
    assert not silent


@pytest.mark.parametrize("learner", [each for each in LEARNERS if not isinstance(each, Reptile)], ids=str)
def test_a_task_is_adapted_by_the_inner_loop_that_was_trained(learner: GradientLearner) -> None:
    """The meta-loss of an episode is the loss of what adapt returns, on the episode's queries.

    Reptile's is a distance: tests/plugins/test_reptile.py.
    """
    learner = replace(learner, multi_step=False)
    batch = episodes(tasks=1)
    support = Support(batch.support[0], NETWORK.embed(batch.support[0]), batch.support_labels[0], 3)
    state = learner.adapt(NETWORK.private(), support, context())
    logits = learner.predict(NETWORK, state, batch.query[0])
    loss = learner.meta_loss(NETWORK, leaves(learner, NETWORK), batch, context())
    assert torch.allclose(F.cross_entropy(logits, batch.query_labels[0]), loss, atol=1e-5)


def test_more_images_than_fit_a_graph_are_learnt_as_if_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    support = tiny_support(NETWORK, 3, 6)
    whole = Maml().adapt(NETWORK, support, context())
    monkeypatch.setattr(gradient_learner, "IMAGES_PER_PASS", 5)
    parts = Maml().adapt(NETWORK, support, context())
    assert whole.keys() == parts.keys()
    assert all(torch.allclose(whole[name], parts[name], atol=1e-5) for name in whole)


def test_the_state_is_the_head_and_how_the_network_differs_from_the_shared_one() -> None:
    moved = {BACKBONE + "0.bias": NETWORK.module.get_parameter("0.bias") + 1.0}
    learnt = replace(NETWORK, meta={"maml": moved})
    support = tiny_support(NETWORK)
    maml = Maml(blocks=1)
    state = maml.adapt(learnt.private(), support, context())
    assert state.keys() == {"head.weight", "head.bias", *(BACKBONE + n for n in ("5.weight", "5.bias", "0.bias"))}
    assert torch.allclose(state[BACKBONE + "0.bias"], torch.ones(6), atol=1e-6)
    own = dict(NETWORK.module.named_parameters())
    absolute = {name: own[name] + change for name, change in for_backbone(state).items()}
    images = striped(3, 2, seed=8)[0]
    expected = linear(NETWORK.features_of(images, absolute), state)
    assert torch.allclose(maml.predict(NETWORK, state, images), expected, atol=1e-5)


def test_steps_lower_the_loss_on_the_support() -> None:
    support = tiny_support(NETWORK, 4, 6, noise=120.0)

    def loss(steps: int) -> float:
        learner = Maml(steps=steps, rate=0.05)
        state = learner.adapt(NETWORK, support, context())
        return F.cross_entropy(learner.predict(NETWORK, state, support.images), support.labels).item()

    assert loss(20) < 0.8 * loss(0)


def test_annealing_begins_in_first_order_and_goes_on_in_second() -> None:
    learner = Maml(steps=2, rate=0.1, anneal=0.5)
    for progress, same_as in ((0.4, Fomaml(steps=2, rate=0.1)), (0.5, Maml(steps=2, rate=0.1))):
        found = meta_gradient(learner, NETWORK, episodes(progress=progress))
        wanted = meta_gradient(same_as, NETWORK, episodes())
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_multi_step_counts_every_step() -> None:
    batch = episodes(tasks=1)
    meta = leaves(Maml(), NETWORK)
    each = [Maml(steps=steps).meta_loss(NETWORK, meta, batch, context()) for steps in (1, 2, 3)]
    all_of_them = Maml(steps=3, multi_step=True).meta_loss(NETWORK, meta, batch, context())
    assert torch.allclose(all_of_them, torch.stack(each).mean(), atol=1e-6)


@pytest.mark.parametrize(
    ("limit", "blocks"), [(1, {"5."}), (1050, {"5.", "2.", "3."}), (10**6, {"5.", "2.", "3.", "0."})]
)
def test_without_a_number_of_blocks_a_large_network_adapts_its_last_ones(
    monkeypatch: pytest.MonkeyPatch, limit: int, blocks: set[str]
) -> None:
    monkeypatch.setattr(gradient_learner, "MAX_ADAPTED_PARAMETERS", limit)
    names = Maml().adapted(NETWORK, {})
    assert {name.removeprefix(BACKBONE)[:2] for name in names} == blocks


def test_the_prototype_head_starts_at_the_scale_that_protonet_has_learnt() -> None:
    learnt = replace(NETWORK, meta={"protonet": {"log_scale": torch.tensor(2.0)}})
    assert float(Maml().meta_parameters(learnt)["log_scale"]) == 2.0
    assert float(Maml().meta_parameters(NETWORK)["log_scale"]) == 0.0
    support = tiny_support(NETWORK)
    plain, sharp = (Maml(steps=0).adapt(backbone, support, context()) for backbone in (NETWORK, learnt))
    assert torch.allclose(sharp["head.weight"], plain["head.weight"] * torch.tensor(2.0).exp())


def test_it_stops_when_its_time_is_up() -> None:
    with pytest.raises(Overdue):
        Maml().adapt(NETWORK, tiny_support(NETWORK), replace(context(), deadline=0.0))


@dataclass(frozen=True)
class Named(GradientLearner):
    name: ClassVar[str] = "named"
    summary: ClassVar[str] = "for this test"


def test_it_bids_low_where_nothing_was_meta_learnt_and_says_so() -> None:
    task = tiny_task(tiny_support(NETWORK))
    without, with_it = Named().bid(task), Named().bid(replace(task, meta_learnt=("named",)))
    assert without.score < 0.3 < with_it.score
    assert "nothing was meta-learnt" in without.reason
    assert Named(steps=1).bid(task).seconds < without.seconds


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"blocks": -1}, {"rate": 0.0}, {"rate": 200.0}, {"anneal": 1.5}])
def test_an_impossible_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Named(**wrong)
