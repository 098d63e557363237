"""Heads with an outer loop: a differentiable loss whose statistics move, and what was meta-learnt is what is used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from learnd.learning.contract.algorithm import HeadAlgorithm
from learnd.learning.contract.meta_learner import BACKBONE, Episodes, for_backbone
from learnd.learning.jobs.cross_validation import cross_validate, make_folds
from learnd.learning.methods.head_learner import HeadLearner
from learnd.learning.networks.backbone import Backbone
from learnd_plugins.matching import Matching
from learnd_plugins.protonet import ProtoNet
from learnd_plugins.ridge import Ridge
from tests.tiny import context, striped, tiny_backbone, tiny_support

LEARNERS = [ProtoNet(), Ridge(), Matching(), Matching(context=True, reads=2)]

every = pytest.mark.parametrize("learner", LEARNERS, ids=str)


def episodes(tasks: int, ways: int = 3, shots: int = 2, queries: int = 3) -> Episodes:
    drawn = [striped(ways, shots + queries, seed=seed, noise=80.0)[0] for seed in range(tasks)]
    images = torch.stack(drawn).unflatten(1, (ways, -1))  # (B, W, S + Q, 1, 12, 12)
    support, query = images.split([shots, queries], 2)
    labels = [torch.arange(ways).repeat_interleave(count).expand(tasks, -1) for count in (shots, queries)]
    return Episodes(support.flatten(1, 2), labels[0], query.flatten(1, 2), labels[1], ways)


def started(learner: HeadLearner, backbone: Backbone) -> dict[str, Tensor]:
    return {name: value.requires_grad_() for name, value in learner.meta_parameters(backbone).items()}


@every
def test_the_loss_of_many_tasks_is_the_mean_of_each_alone_and_so_is_its_gradient(learner: HeadLearner) -> None:
    backbone, tasks = tiny_backbone(), episodes(3)
    meta = started(learner, backbone)
    together = learner.meta_loss(backbone, meta, tasks, context())
    alone = torch.stack([learner.meta_loss(backbone, meta, task, context()) for task in tasks.split(1)]).mean()
    assert torch.allclose(together, alone, atol=1e-5)
    gradients = [torch.autograd.grad(loss, list(meta.values())) for loss in (together, alone)]
    for first, second in zip(*gradients, strict=True):
        assert torch.allclose(first, second, atol=1e-4)


@every
def test_every_meta_parameter_is_learnt_and_the_loss_falls(learner: HeadLearner) -> None:
    backbone, tasks = tiny_backbone(), episodes(4)
    meta = started(learner, backbone)
    before = {name: value.detach().clone() for name, value in meta.items()}
    optimiser = torch.optim.Adam(meta.values(), lr=0.003)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = learner.meta_loss(backbone, meta, tasks, context())
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    still = {name for name, value in meta.items() if torch.equal(value, before[name])}
    assert not still


@every
def test_the_statistics_of_batch_norm_move_where_the_network_is_trained(learner: HeadLearner) -> None:
    backbone = tiny_backbone()
    backbone.module.train()
    before = {name: value.clone() for name, value in backbone.module.named_buffers()}
    learner.meta_loss(backbone, started(learner, backbone), episodes(2), context())
    after = dict(backbone.module.named_buffers())
    assert learner.batch_statistics
    assert not torch.equal(before["3.running_mean"], after["3.running_mean"])


@every
def test_weights_that_were_meta_learnt_are_used_and_stay_in_the_state(learner: HeadLearner) -> None:
    """What is learnt with other weights is what the network with those weights would learn, and needs no meta."""
    plain, support = tiny_backbone(), tiny_support(tiny_backbone())
    meta = {name: value * 1.3 for name, value in learner.meta_parameters(plain).items()}
    carrying = replace(plain, meta={learner.name: meta})
    state = learner.adapt(carrying, support, context())
    other = tiny_backbone()
    other.module.load_state_dict(for_backbone(meta), strict=False)
    head = {name: value for name, value in meta.items() if not name.startswith(BACKBONE)}
    other = replace(other, meta={learner.name: head})
    same = learner.adapt(other, tiny_support(other), context())
    images = striped(3, 4, seed=7)[0]
    expected = learner.predict(other, same, images)
    assert torch.allclose(learner.predict(plain, state, images), expected, atol=1e-3, rtol=1e-3)
    assert not learner.reads_features(carrying)
    assert learner.reads_features(other)


@every
def test_cross_validation_needs_no_pixels_unless_the_weights_are_its_own(learner: HeadLearner) -> None:
    backbone = tiny_backbone()
    support = tiny_support(backbone, noise=20)
    folds = make_folds(support, 5, context())
    blind = replace(support, images=torch.zeros_like(support.images))
    seen, unseen = (
        cross_validate(learner.name, learner, backbone, each, folds, context()) for each in (support, blind)
    )
    assert seen.hits == unseen.hits
    own = replace(backbone, meta={learner.name: learner.meta_parameters(backbone)})
    assert cross_validate(learner.name, learner, own, blind, folds, context()).accuracy <= 0.5
    assert cross_validate(learner.name, learner, own, support, folds, context()).accuracy > 0.8


def test_they_are_heads_to_the_host() -> None:
    assert all(isinstance(learner, HeadAlgorithm) for learner in LEARNERS)
