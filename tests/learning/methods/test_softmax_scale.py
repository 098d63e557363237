"""The scale of a head's logits, by brute force: leave each image out, and try every scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from learnd.learning.contract.algorithm import HeadAlgorithm
from learnd.learning.methods.softmax_scale import DEFAULT_SCALE, SCORE_SCALES, scale_without_each
from learnd_plugins.cosine import Cosine
from learnd_plugins.protonet import ProtoNet
from tests.tiny import context


@pytest.mark.parametrize("head", [ProtoNet(), Cosine(centre=False)], ids=["protonet", "cosine"])
def test_the_scale_minimises_the_loss_of_images_left_out(head: HeadAlgorithm) -> None:
    """Each image compared with the mean of its class without it: fitted again, the same scale is the best."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(3).repeat_interleave(4)
    x = torch.randn(12, 5, generator=generator) + 2 * torch.eye(3, 5)[labels]
    state = head.fit(x, labels, 3, context())
    held_out = []
    for row in range(12):
        rest = torch.arange(12) != row
        left = head.fit(x[rest], labels[rest], 3, context())
        held_out.append(head.score(left, x[row : row + 1])[0] / left["scale"])
    scores = torch.stack(held_out).double().numpy()  # (12, 3)
    own = head.score(state, x) / state["scale"]
    losses = []
    for scale in (SCORE_SCALES / own.std(1).mean()).double().numpy():
        logits = scale * scores
        logs = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        logs = logs - logits.max(1, keepdims=True)
        target = np.full((12, 3), 1 / 13 / 3) + np.eye(3)[labels.numpy()] * 12 / 13
        losses.append(-(target * logs).sum(1).mean())
    assert float(state["scale"]) == pytest.approx(
        float(SCORE_SCALES[int(np.argmin(losses))] / own.std(1).mean()), rel=1e-4
    )


def test_one_image_a_class_has_a_fixed_scale_relative_to_the_spread() -> None:
    scores = torch.tensor([[0.0, -4.0], [-4.0, 0.0]])
    scale = scale_without_each(scores, torch.zeros(2), torch.arange(2))
    assert float(scale) == pytest.approx(DEFAULT_SCALE / float(scores.std(1).mean()))
