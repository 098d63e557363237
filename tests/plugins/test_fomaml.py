"""First-order MAML: the gradient at the end of the inner loop, taken for that at its start."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Support
from learnd.learning.contract.meta_learner import for_backbone
from learnd.learning.methods.heads import linear
from learnd_plugins.fomaml import Fomaml
from learnd_plugins.maml import Maml
from tests.learning.episodes import episodes, meta_gradient
from tests.tiny import context, tiny_backbone

BACKBONE = tiny_backbone()


def test_its_meta_gradient_is_that_of_the_queries_at_the_adapted_parameters() -> None:
    learner = Fomaml(steps=3, rate=0.1, head="zero")  # with class means the start of the head has a gradient too
    batch = episodes(tasks=1)
    support = Support(batch.support[0], BACKBONE.embed(batch.support[0]), batch.support_labels[0], 3)
    state = learner.adapt(BACKBONE, support, context())
    own = dict(BACKBONE.module.named_parameters())
    adapted = {name: (own[name] + change).requires_grad_() for name, change in for_backbone(state).items()}
    loss = F.cross_entropy(linear(BACKBONE.features_of(batch.query[0], adapted), state), batch.query_labels[0])
    gradients = torch.autograd.grad(loss, list(adapted.values()))
    found = meta_gradient(learner, BACKBONE, batch)
    for name, gradient in zip(adapted, gradients, strict=True):
        assert torch.allclose(found[f"backbone.{name}"], gradient, rtol=1e-3, atol=1e-6), name


def test_it_is_maml_without_second_derivatives() -> None:
    batch = episodes()
    first, second = (meta_gradient(kind(steps=3, rate=0.1), BACKBONE, batch) for kind in (Fomaml, Maml))
    same = meta_gradient(Maml(steps=3, rate=0.1, first_order=True), BACKBONE, batch)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.allclose(first[name], second[name], rtol=1e-2) for name in first)
