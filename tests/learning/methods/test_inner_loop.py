"""The inner loop, on functions whose answer is known."""

from __future__ import annotations

import torch
from torch import Tensor

from learnd.learning.methods.inner_loop import Descent, Rule, inner_loop, inner_steps
from learnd.learning.networks.named_tensors import Tensors


def bowl(params: Tensors) -> tuple[Tensors, Tensor]:
    """The loss x^2 / 2 + y^2 and its gradients."""
    x, y = params["x"], params["y"]
    return {"x": x, "y": 2 * y}, (x.square() / 2 + y.square()).sum()


START = {"x": torch.tensor([1.0, -2.0]), "y": torch.tensor(3.0)}


def test_descent_goes_down_the_gradient() -> None:
    path = list(inner_steps(START, {}, bowl, 3, Descent(0.1)))
    assert len(path) == 3
    for number, params in enumerate(path, start=1):
        assert torch.allclose(params["x"], START["x"] * 0.9**number)
        assert torch.allclose(params["y"], START["y"] * 0.8**number)
    assert torch.equal(inner_loop(START, {}, bowl, 3, Descent(0.1))["x"], path[-1]["x"])


def test_no_steps_change_nothing() -> None:
    assert inner_loop(START, {}, bowl, 0, Descent(0.1)) is START


def test_a_parameter_may_have_a_rate_of_its_own() -> None:
    meta = {"rate.x": torch.tensor([0.5, 0.0]), "rate.z": torch.tensor(9.0)}
    end = inner_loop(START, meta, bowl, 1, Descent(0.1))
    assert end["x"].tolist() == [0.5, -2.0]
    assert torch.allclose(end["y"], START["y"] * 0.8)


def test_it_can_be_differentiated_in_the_start_and_in_the_rates() -> None:
    start = {name: value.clone().requires_grad_() for name, value in START.items()}
    rate = torch.tensor(0.1, requires_grad=True)
    end = inner_loop(start, {"rate.y": rate}, bowl, 2, Descent(0.1))["y"]  # y (1 - 2 rate)^2
    by_start, by_rate = torch.autograd.grad(end, [start["y"], rate])
    assert torch.allclose(by_start, torch.tensor(0.8**2))
    assert torch.allclose(by_rate, torch.tensor(3 * 2 * 0.8 * -2))


class Momentum(Rule):
    """A rule that carries something from step to step."""

    def begin(self, params: Tensors, meta: Tensors) -> Tensors:
        return {name: torch.zeros_like(value) for name, value in params.items()}

    def update(
        self, params: Tensors, gradients: Tensors, loss: Tensor, meta: Tensors, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        speed = {name: 0.5 * carried[name] + gradients[name] for name in params}
        return {name: value - 0.1 * speed[name] for name, value in params.items()}, speed


def test_a_rule_carries_from_step_to_step() -> None:
    value = START["y"].clone().requires_grad_()
    optimiser = torch.optim.SGD([value], lr=0.1, momentum=0.5)
    for _ in range(4):
        value.grad = 2 * value.detach()
        optimiser.step()
    assert torch.allclose(inner_loop(START, {}, bowl, 4, Momentum())["y"], value.detach())
