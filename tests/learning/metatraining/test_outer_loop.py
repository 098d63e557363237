"""The outer loop: its schedule, its clipping, its optimisers, when it stops, and which weights come out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from learnd.errors import LearndError
from learnd.learning.metatraining.outer_loop import Figures, Objective, Run, rate_at, train
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.settings.meta_training_recipe import Recipe
from tests.tiny import tiny_backbone

RECIPE = Recipe(steps=10, warmup=0.2, rate=0.5, optimiser="sgd", clip=0, validate_every=2)


@dataclass
class Straight(Objective):
    """A loss whose slope is the same everywhere; the validation says what it was asked to."""

    slope: float = 1.0
    scores: list[float] = field(default_factory=list)
    backbone: Backbone = field(default_factory=tiny_backbone)

    @property
    def trains_network(self) -> bool:
        return False

    def start(self) -> dict[str, Tensor]:
        return {"w": torch.zeros(())}

    def gradients(
        self, params: Tensors, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return params["w"] * self.slope, {"w": torch.tensor(self.slope)}

    def validate(self, params: Tensors, step: int) -> ValidationScore | None:
        return ValidationScore(step, self.scores.pop(0), 0.0, 1) if self.scores else None


def test_the_rate_rises_then_falls_as_a_cosine_to_nearly_nothing() -> None:
    rates = [rate_at(step, RECIPE) for step in range(10)]
    assert rates[:3] == pytest.approx([0.5 / 3, 1.0 / 3, 0.5])
    assert rates[6] == pytest.approx(0.25)  # half of the way down
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 0 < rates[-1] < 0.03
    assert rate_at(0, Recipe(warmup=0.0, rate=0.5)) == 0.5


def test_plain_descent_steps_by_the_rate_and_a_long_gradient_is_clipped() -> None:
    total = sum(rate_at(step, RECIPE) for step in range(10))
    assert float(train(Straight(), RECIPE, Run()).weights.params["w"]) == pytest.approx(-total)
    assert float(train(Straight(slope=8.0), RECIPE, Run()).weights.params["w"]) == pytest.approx(-8 * total)
    clipped = Recipe(**{**vars(RECIPE), "clip": 2.0})
    assert float(train(Straight(slope=8.0), clipped, Run()).weights.params["w"]) == pytest.approx(-2 * total, rel=1e-4)


def test_the_weights_of_the_best_validation_come_out() -> None:
    trained = train(Straight(scores=[0.2, 0.9, 0.9, 0.1, 0.3]), RECIPE, Run())
    assert [score.step for score in trained.curve] == [2, 4, 6, 8, 10]
    assert trained.best is not None
    assert trained.best.step == 4
    assert float(trained.weights.params["w"]) == pytest.approx(-sum(rate_at(step, RECIPE) for step in range(4)))


def test_time_that_is_up_ends_it_with_what_there_is_and_it_can_go_on(tmp_path: Path) -> None:
    state = tmp_path / "a.safetensors"
    trained = train(Straight(scores=[0.5]), RECIPE, Run(state, seconds=0.0))
    assert (trained.step, trained.finished, trained.stopped) == (0, False, False)
    assert trained.best is not None  # whatever comes out has been validated
    assert train(Straight(), RECIPE, Run(state)).finished


def test_a_loss_that_is_not_finite_ends_it_and_the_snapshot_stays_good(tmp_path: Path) -> None:
    state = tmp_path / "a.safetensors"
    asked = iter([False] * 3 + [True])
    train(Straight(), RECIPE, Run(state, stop=lambda: next(asked)))
    before = state.read_bytes()
    with pytest.raises(LearndError, match="the loss is nan") as caught:
        train(Straight(slope=math.nan), RECIPE, Run(state))
    assert "--rate" in (caught.value.remedy or "")
    assert state.read_bytes() == before


def test_figures_say_how_far_it_is() -> None:
    seen: list[Figures | ValidationScore] = []
    train(Straight(scores=[0.5] * 5), RECIPE, Run(watch=seen.append))
    figures = [event for event in seen if isinstance(event, Figures)]
    assert (figures[-1].step, figures[-1].steps) == (10, 10)
    assert figures[-1].rate == rate_at(9, RECIPE)
    assert sum(isinstance(event, ValidationScore) for event in seen) == 5
