"""MAML is truly second order: its meta-gradient is the slope that finite differences find."""

from __future__ import annotations

import torch
from torch import Tensor

from learnd.learning.methods.gradient_learner import GradientLearner
from learnd_plugins.maml import Maml
from tests.learning.episodes import double_backbone, episodes, meta_gradient
from tests.tiny import context

BACKBONE = double_backbone()
BATCH = episodes(tasks=2, ways=3, shots=2)
EPSILON = 1e-5


def slopes(learner: GradientLearner, seed: int) -> tuple[Tensor, Tensor]:
    """Along a random direction: what the meta-gradient says, and what a central difference finds."""
    generator = torch.Generator().manual_seed(seed)
    meta = {name: value.double() for name, value in learner.meta_parameters(BACKBONE).items()}
    way = {name: torch.randn(value.shape, generator=generator, dtype=torch.float64) for name, value in meta.items()}
    gradients = meta_gradient(learner, BACKBONE, BATCH, meta)
    said = torch.stack([(gradients[name] * way[name]).sum() for name in meta]).sum()

    def at(step: float) -> Tensor:
        moved = {name: value + step * way[name] for name, value in meta.items()}
        return learner.meta_loss(BACKBONE, moved, BATCH, context())

    return said, (at(EPSILON) - at(-EPSILON)) / (2 * EPSILON)


def test_the_meta_gradient_is_the_slope_of_the_meta_loss() -> None:
    for seed in range(3):
        said, found = slopes(Maml(steps=3, rate=0.1), seed)
        assert torch.allclose(said, found, rtol=1e-5), (seed, said, found)


def test_so_it_is_with_every_steps_loss_and_with_a_zero_head() -> None:
    for learner in (Maml(steps=3, rate=0.1, multi_step=True), Maml(steps=3, rate=0.1, head="zero"), Maml(blocks=1)):
        said, found = slopes(learner, 0)
        assert torch.allclose(said, found, rtol=1e-5), (learner, said, found)


def test_first_order_is_not_the_slope() -> None:
    said, found = slopes(Maml(steps=3, rate=0.1, first_order=True), 0)
    assert not torch.allclose(said, found, rtol=1e-2)
