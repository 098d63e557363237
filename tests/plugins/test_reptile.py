"""Reptile: its gradient is the way from the end of the inner loop back to the start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Support
from learnd.learning.contract.meta_learner import BACKBONE as PREFIX
from learnd.learning.contract.meta_learner import for_backbone
from learnd.learning.methods.heads import linear, prototype_head
from learnd_plugins.reptile import Reptile
from tests.learning.episodes import episodes, leaves, meta_gradient
from tests.tiny import context, tiny_backbone

BACKBONE = tiny_backbone()
RATE = 0.05


def test_one_step_is_joint_training() -> None:
    """With one step, Reptile descends the mean loss of all tasks' images: nothing more (section 5.1)."""
    batch = episodes(tasks=3)
    learner = Reptile(steps=1, rate=RATE)
    meta = leaves(learner, BACKBONE)
    losses = []
    for support, labels, query, query_labels in zip(*batch.tensors, strict=True):
        images, truth = torch.cat([support, query]), torch.cat([labels, query_labels])
        features = BACKBONE.features_of(images, for_backbone(meta))
        head = prototype_head(features.detach(), truth, 3, 1.0)
        losses.append(F.cross_entropy(linear(features, head), truth))
    joint = torch.autograd.grad(torch.stack(losses).mean(), list(meta.values()))
    found = meta_gradient(learner, BACKBONE, batch)
    for (name, gradient), of_joint in zip(found.items(), joint, strict=True):
        assert torch.allclose(gradient, RATE * of_joint, rtol=1e-3, atol=1e-6), name


def test_with_more_steps_it_points_from_where_a_task_ends_to_the_start() -> None:
    batch = episodes(tasks=1)
    learner = Reptile(steps=4, rate=RATE)
    images = torch.cat([batch.support[0], batch.query[0]])
    labels = torch.cat([batch.support_labels[0], batch.query_labels[0]])
    state = learner.adapt(BACKBONE, Support(images, BACKBONE.embed(images), labels, 3), context())
    found = meta_gradient(learner, BACKBONE, batch)
    assert found.keys() == {name for name in state if name.startswith(PREFIX)}
    assert all(torch.allclose(found[name], -state[name], atol=1e-5) for name in found)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"blocks": 0}, {"first_order": False}, {"anneal": 0.5}, {"multi_step": True}]
)
def test_what_has_no_meaning_for_it_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Reptile(**wrong)
