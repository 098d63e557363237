"""Logistic regression: where it stops, the gradient is nought; held-out images choose the strength."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Context, Overdue
from learnd_plugins.linear_probe import FOLDS, LinearProbe, _folds
from tests.tiny import context


def problem(shots: tuple[int, ...], width: int, noise: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    x = torch.randn(len(labels), width, generator=generator) * noise
    return x + 2 * torch.eye(len(shots), width)[labels] + 3, labels


@pytest.mark.parametrize(("shots", "width"), [((4, 4, 4), 20), ((3, 9, 20), 5)])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_the_objective_has_no_slope_where_it_stops(shots: tuple[int, ...], width: int, strength: float) -> None:
    """Cross-entropy in which every class has the same weight, and a penalty on the weights but not on the bias."""
    x, labels = problem(shots, width)
    probe = LinearProbe(strength=strength, steps=400, normalise=False)
    state = {name: value.double().requires_grad_() for name, value in probe.fit(x, labels, 3, context()).items()}
    each = len(x) / 3 / torch.tensor(shots, dtype=torch.float64)
    centre = torch.stack([x[labels == k].double().mean(0) for k in range(3)]).mean(0)
    spread = torch.stack([(x[labels == k].double() - centre).square().sum(1).mean() for k in range(3)]).mean()
    logits = x.double() @ state["weights"] + state["bias"]
    loss = (each[labels] * F.cross_entropy(logits, labels, reduction="none")).sum()
    objective = loss + strength * spread * state["weights"].square().sum() / 2
    for slope in torch.autograd.grad(objective, list(state.values())):
        assert slope.abs().max() < 2e-3 * float(spread) ** 0.5


def test_noise_asks_for_a_stronger_penalty_than_clean_features() -> None:
    norms = []
    for noise in (0.1, 3.0):
        x, labels = problem((6, 6, 6), 10, noise)
        auto = LinearProbe(normalise=False).fit(x, labels, 3, context())["weights"].norm()
        weak = LinearProbe(strength=0.001, normalise=False).fit(x, labels, 3, context())["weights"].norm()
        norms.append(float(auto / weak))
    assert norms[1] < 0.7 * norms[0]


def test_every_image_that_its_class_can_spare_is_held_out_once() -> None:
    x, labels = problem((1, 3, 12), 4)
    folds = _folds(x, labels, 3)
    assert folds.sum(0).tolist() == [0] + [1] * 15
    assert len(folds) == FOLDS
    for held in folds:
        assert torch.bincount(labels[~held], minlength=3).min() >= 1
    one_shot = torch.eye(3)
    assert len(_folds(one_shot, torch.arange(3), 3)) == 0


def test_it_stops_when_the_time_is_up() -> None:
    x, labels = problem((4, 4, 4), 5)
    with pytest.raises(Overdue):
        LinearProbe().fit(x, labels, 3, Context(torch.Generator(), deadline=0.0))


@pytest.mark.parametrize("wrong", [{"strength": 0.0}, {"steps": 0}])
def test_an_impossible_option_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LinearProbe(**wrong)  # type: ignore[arg-type]
