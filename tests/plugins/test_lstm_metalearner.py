"""The LSTM meta-learner: gradient descent where its gates are held, and its own rule where they are learnt."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from learnd.learning.methods.inner_loop import inner_loop
from learnd.learning.networks.named_tensors import Tensors
from learnd_plugins.lstm_metalearner import LstmMetalearner, LstmRule, preprocess
from learnd_plugins.maml import Maml
from tests.learning.episodes import episodes, meta_gradient
from tests.tiny import context, tiny_backbone, tiny_support

BACKBONE = tiny_backbone()


def held(rate: float) -> dict[str, torch.Tensor]:
    """Gates that see nothing: all of a parameter stays, and it goes `rate` down its gradient."""
    start = LstmMetalearner().meta_parameters(BACKBONE)
    still = {name: torch.zeros_like(value) for name, value in start.items() if name.startswith(("lstm.", "gate."))}
    return {**still, "gate.f.bias": torch.tensor(100.0), "gate.i.bias": torch.logit(torch.tensor(rate))}


def test_with_its_gates_held_it_is_gradient_descent() -> None:
    learnt = replace(BACKBONE, meta={"lstm_metalearner": held(0.2)})
    support = tiny_support(BACKBONE)
    mine = LstmMetalearner(steps=4, blocks=2).adapt(learnt, support, context())
    plain = Maml(steps=4, blocks=2, rate=0.2).adapt(BACKBONE, support, context())
    assert mine.keys() == plain.keys()
    assert all(torch.allclose(mine[name], plain[name], atol=1e-5) for name in plain)


def test_it_starts_close_to_gradient_descent() -> None:
    support = tiny_support(BACKBONE)
    mine = LstmMetalearner(steps=1, rate=0.05).adapt(BACKBONE, support, context())
    plain = Maml(steps=1, rate=0.05, blocks=1).adapt(BACKBONE, support, context())
    assert torch.allclose(mine["head.weight"], plain["head.weight"], rtol=0.05, atol=0.01)


def test_every_step_is_the_papers_equation() -> None:
    """Two steps of the rule on two coordinates, against torch's own LSTM cell and the gates written out."""
    units = 3
    draw = torch.Generator().manual_seed(1)
    shapes = {"lstm.input": (4, 12), "lstm.hidden": (3, 12), "lstm.bias": (12,)}
    gates = {f"gate.{gate}.{part}": shape for gate in "fi" for part, shape in (("weight", (5,)), ("bias", ()))}
    meta = {name: torch.randn(shape, generator=draw) for name, shape in {**shapes, **gates}.items()}

    def support(params: Tensors) -> tuple[Tensors, torch.Tensor]:
        return {"x": 2 * params["x"]}, params["x"].square().sum()

    start = torch.tensor([[0.5], [-0.02]])
    found = inner_loop({"x": start}, meta, support, 2, LstmRule())["x"]
    cell = torch.nn.LSTMCell(4, units)
    enter, keep, show, new = (torch.arange(units) + units * k for k in range(4))
    order = torch.cat([enter, keep, new, show])  # torch's own order of the gates
    with torch.no_grad():
        cell.weight_ih.copy_(meta["lstm.input"].T[order])
        cell.weight_hh.copy_(meta["lstm.hidden"].T[order])
        cell.bias_ih.copy_(meta["lstm.bias"][order])
        cell.bias_hh.zero_()
        theta, f, i = start.flatten(), torch.zeros(2), torch.zeros(2)
        hidden = (torch.zeros(2, units), torch.zeros(2, units))
        for _ in range(2):
            slope, loss = 2 * theta, theta.square().sum()
            hidden = cell(torch.cat([preprocess(slope), preprocess(loss.expand(2))], 1), hidden)
            f, i = (
                torch.sigmoid(
                    torch.cat([hidden[0], theta[:, None], before[:, None]], 1) @ meta[f"gate.{gate}.weight"]
                    + meta[f"gate.{gate}.bias"]
                )
                for gate, before in (("f", f), ("i", i))
            )
            theta = f * theta - i * slope
    assert torch.allclose(found.flatten(), theta, atol=1e-6)


def test_numbers_of_any_magnitude_are_preprocessed_as_in_the_paper() -> None:
    edge = math.exp(-10)
    seen = preprocess(torch.tensor([1.0, -math.e, edge / 2, -edge / 4, 0.0]))
    expected = [[0.0, 1.0], [0.1, -1.0], [-1.0, 0.5], [-1.0, -0.25], [-1.0, 0.0]]
    assert torch.allclose(seen, torch.tensor(expected), atol=1e-6)


def test_gradients_count_as_constants() -> None:
    """Were they differentiated, the meta-gradient would change with first_order."""
    batch = episodes()
    first, second = (meta_gradient(LstmMetalearner(first_order=order), BACKBONE, batch) for order in (True, False))
    assert not torch.allclose(first["backbone.5.weight"], second["backbone.5.weight"], rtol=1e-3)
    assert {name for name in first if name.startswith("backbone.")} == {"backbone.5.weight", "backbone.5.bias"}


@pytest.mark.slow
def test_training_it_lowers_the_loss_of_tasks_beyond_where_descent_starts() -> None:
    learner = LstmMetalearner(steps=3)
    batch = episodes(tasks=6)
    meta = {name: value.requires_grad_() for name, value in learner.meta_parameters(BACKBONE).items()}
    optimiser = torch.optim.Adam(meta.values(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = learner.meta_loss(BACKBONE, meta, batch, context())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("wrong", [{"rate": 1.0}, {"keep": 0.0}, {"hidden": 0}])
def test_an_impossible_option_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        LstmMetalearner(**wrong)
