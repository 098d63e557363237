"""Nearest class mean against the formula, worked out by hand and with numpy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from learnd_plugins.protonet import SCALES, UNMEASURED, ProtoNet
from tests.tiny import context

X = torch.tensor([[0.0, 1.0], [0.0, 3.0], [4.0, 0.0], [8.0, 0.0], [6.0, 0.0]])
LABELS = torch.tensor([0, 0, 1, 1, 1])


def test_prototypes_are_the_class_means() -> None:
    state = ProtoNet("euclidean").fit(X, LABELS, 2, context())
    assert state["prototypes"].tolist() == [[0.0, 2.0], [6.0, 0.0]]


def test_euclidean_logits_are_minus_the_squared_distance_scaled() -> None:
    state = ProtoNet("euclidean").fit(X, LABELS, 2, context())
    logits = ProtoNet("euclidean").score(state, torch.tensor([[3.0, 2.0], [6.0, 1.0]]))
    by_hand = -torch.tensor([[9.0, 13.0], [37.0, 1.0]])
    assert torch.allclose(logits, by_hand * state["scale"])


def test_cosine_logits_ignore_the_length_of_a_feature() -> None:
    state = ProtoNet("cosine").fit(X, LABELS, 2, context())
    logits = ProtoNet("cosine").score(state, torch.tensor([[1.0, 1.0], [50.0, 50.0]]))
    assert torch.allclose(logits, torch.full((2, 2), 0.5**0.5) * state["scale"])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_scale_minimises_the_held_out_loss(metric: Literal["euclidean", "cosine"]) -> None:
    """Each image compared with the mean of its class without it: brute force finds the same scale."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(3).repeat_interleave(4)
    x = torch.randn(12, 5, generator=generator) + 2 * torch.eye(3, 5)[labels]
    algorithm = ProtoNet(metric)
    state = algorithm.fit(x, labels, 3, context())
    held_out = []
    for row in range(12):
        rest = torch.arange(12) != row
        left = algorithm.fit(x[rest], labels[rest], 3, context())
        held_out.append(algorithm.score(left, x[row : row + 1])[0] / left["scale"])
    scores = torch.stack(held_out).double().numpy()  # (12, 3)
    own = algorithm.score(state, x) / state["scale"]
    losses = []
    for scale in (SCALES / own.std(1).mean()).double().numpy():
        logits = scale * scores
        logs = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        logs = logs - logits.max(1, keepdims=True)
        target = np.full((12, 3), 1 / 13 / 3) + np.eye(3)[labels.numpy()] * 12 / 13
        losses.append(-(target * logs).sum(1).mean())
    assert float(state["scale"]) == pytest.approx(float(SCALES[int(np.argmin(losses))] / own.std(1).mean()), rel=1e-4)


def test_one_shot_has_a_fixed_scale_relative_to_the_spread() -> None:
    state = ProtoNet("euclidean").fit(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), 2, context())
    spread = float(torch.tensor([0.0, 4.0]).std())
    assert float(state["scale"]) == pytest.approx(UNMEASURED / spread)
