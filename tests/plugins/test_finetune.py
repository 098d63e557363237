"""Fine-tuning: it lowers the loss, changes the last blocks only, and can be stopped."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Overdue
from learnd_plugins.finetune import Finetune, _shifted, descend
from tests.tiny import context, striped, tiny_backbone, tiny_support

BACKBONE = tiny_backbone()


def test_it_lowers_the_loss_on_the_support_beyond_what_the_head_can() -> None:
    support = tiny_support(BACKBONE, ways=4, shots=8, noise=120.0)

    def loss(algorithm: Finetune) -> float:
        state = algorithm.adapt(BACKBONE.private(), support, context())
        return F.cross_entropy(algorithm.predict(BACKBONE, state, support.images), support.labels).item()

    start = loss(Finetune(head_steps=0, steps=0))
    head = loss(Finetune(steps=0))
    blocks = loss(Finetune(blocks=3, steps=60, rate=0.01, shift=0.0))
    assert blocks < 0.5 * head < 0.5 * start


def test_it_changes_the_last_blocks_and_nothing_else() -> None:
    state = Finetune(blocks=2, steps=3).adapt(BACKBONE.private(), tiny_support(BACKBONE), context())
    changed = {name for name in state if name.startswith("block.")}
    assert changed == {f"block.{n}.{part}" for n in (2, 3, 5) for part in ("weight", "bias")}
    assert all(bool((state[name] != 0).any()) for name in changed)


def test_no_blocks_is_a_head_alone() -> None:
    state = Finetune(blocks=0, steps=3).adapt(BACKBONE.private(), tiny_support(BACKBONE), context())
    assert set(state) == {"centre", "spread", "weight", "bias"}


def test_batches_smaller_than_the_support_learn_too() -> None:
    support = tiny_support(BACKBONE, ways=3, shots=20, noise=20.0)
    algorithm = Finetune(batch=16, steps=10)
    state = algorithm.adapt(BACKBONE.private(), support, context())
    images, labels = striped(3, 10, seed=8, noise=20.0)
    assert (algorithm.predict(BACKBONE, state, images).argmax(1) == labels).float().mean() > 0.8


def test_it_stops_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count()
    monkeypatch.setattr("learnd.learning.contract.algorithm.time.monotonic", lambda: next(now))
    with pytest.raises(Overdue):
        Finetune().adapt(BACKBONE.private(), tiny_support(BACKBONE), replace(context(), deadline=4.5))
    assert next(now) == 6


def test_descend_is_adam_with_a_cosine() -> None:
    """The first step of Adam is the rate times the sign; torch's own Adam goes the same way."""
    start = torch.tensor([3.0, -2.0, 0.5])

    def loss_of(value: torch.Tensor) -> torch.Tensor:
        return (value * torch.tensor([1.0, 4.0, 9.0])).square().sum()

    mine = descend({"x": start}, lambda values, step: loss_of(values["x"]), 10, 0.1, context())["x"]
    theirs = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10)
    for _ in range(10):
        theirs.grad = torch.autograd.grad(loss_of(theirs), theirs)[0]
        optimiser.step()
        schedule.step()
    assert torch.allclose(mine, theirs.detach(), atol=1e-5)
    assert start.tolist() == [3.0, -2.0, 0.5]


def test_a_shift_moves_the_picture_and_repeats_its_border() -> None:
    picture = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6).expand(200, 1, 6, 6)
    moved = _shifted(picture, 0.34, torch.Generator().manual_seed(0))
    assert moved.shape == picture.shape
    assert moved.dtype == torch.uint8
    corners = {(int(m[0, 0, 0]) // 6, int(m[0, 0, 0]) % 6) for m in moved}
    assert corners == {(down, across) for down in range(3) for across in range(3)}
    steps = moved[:, 0, 1:].int() - moved[:, 0, :-1].int()
    assert set(steps.flatten().tolist()) <= {0, 6}
    assert torch.equal(_shifted(picture, 0.0, torch.Generator()), picture)


@pytest.mark.parametrize("wrong", [{"blocks": -1}, {"batch": 0}, {"rate": 0.0}, {"shift": 0.9}])
def test_an_impossible_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Finetune(**wrong)
