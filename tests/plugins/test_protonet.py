"""Nearest class mean by hand, and its loss against the one that trained the shipped weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from learnd.learning.contract.meta_learner import Episodes
from learnd.learning.methods.softmax_scale import DEFAULT_SCALE
from learnd_plugins.protonet import LOG_SCALE, ProtoNet
from tests.tiny import FEATURES, context, striped, tiny_backbone

X = torch.tensor([[0.0, 1.0], [0.0, 3.0], [4.0, 0.0], [8.0, 0.0], [6.0, 0.0]])
LABELS = torch.tensor([0, 0, 1, 1, 1])


def test_prototypes_are_the_class_means() -> None:
    state = ProtoNet().fit(X, LABELS, 2, context())
    assert state["prototypes"].tolist() == [[0.0, 2.0], [6.0, 0.0]]


def test_logits_are_minus_the_squared_distance_scaled() -> None:
    state = ProtoNet().fit(X, LABELS, 2, context())
    logits = ProtoNet().score(state, torch.tensor([[3.0, 2.0], [6.0, 1.0]]))
    by_hand = -torch.tensor([[9.0, 13.0], [37.0, 1.0]])
    assert torch.allclose(logits, by_hand * state["scale"])


def test_one_shot_has_a_fixed_scale_relative_to_the_spread() -> None:
    state = ProtoNet().fit(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), 2, context())
    spread = float(torch.tensor([0.0, 4.0]).std())
    assert float(state["scale"]) == pytest.approx(DEFAULT_SCALE / spread)


def test_the_loss_of_an_episode_is_that_of_the_paper_with_a_learned_scale() -> None:
    """What the shipped weights were trained with says the same, of support and query in one pass of the network."""
    backbone = tiny_backbone()
    drawn = torch.stack([striped(3, 5, seed=seed)[0] for seed in range(2)]).unflatten(1, (3, 5))
    support, query = (part.flatten(1, 2) for part in drawn.split([2, 3], 2))  # (B, W * S, 1, 12, 12)
    labels = [torch.arange(3).repeat_interleave(count).expand(2, -1) for count in (2, 3)]
    episodes = Episodes(support, labels[0], query, labels[1], 3)
    protonet = ProtoNet()
    meta = {**protonet.meta_parameters(backbone), LOG_SCALE: torch.tensor(0.4)}

    def by_hand(embedded: torch.Tensor) -> torch.Tensor:  # (W, S + Q, D)
        prototypes, queries = embedded[:, :2].mean(1), embedded[:, 2:].flatten(0, 1)  # (W, D), (W * Q, D)
        logits = -torch.cdist(queries, prototypes).square() / FEATURES * torch.tensor(0.4).exp()
        return torch.nn.functional.cross_entropy(logits, torch.arange(3).repeat_interleave(3))

    expected = [by_hand(backbone.features_of(each.flatten(0, 1)).unflatten(0, (3, 5))) for each in drawn]
    assert torch.allclose(protonet.meta_loss(backbone, meta, episodes, context()), torch.stack(expected).mean())


def test_one_shot_with_a_meta_learnt_scale_says_what_the_outer_loop_trained() -> None:
    protonet, query = ProtoNet(), X + 0.5
    meta = {LOG_SCALE: torch.tensor(1.5)}
    state = protonet.fit(X[:2], torch.arange(2), 2, replace(context(), meta=meta))
    trained = protonet.episode_logits(X[:2], torch.arange(2), query, 2, meta)
    assert torch.allclose(protonet.score(state, query).softmax(1), trained.softmax(1), atol=1e-5)
