"""Meta-SGD: MAML, but for the rates, which are learnt."""

from __future__ import annotations

from dataclasses import replace

import torch

from learnd_plugins.maml import Maml
from learnd_plugins.metasgd import MetaSgd
from tests.learning.episodes import episodes, meta_gradient
from tests.tiny import context, tiny_backbone, tiny_support

BACKBONE = tiny_backbone()


def test_with_equal_rates_it_is_maml() -> None:
    batch = episodes()
    learnt, plain = (meta_gradient(kind(steps=2, rate=0.1), BACKBONE, batch) for kind in (MetaSgd, Maml))
    assert all(torch.allclose(learnt[name], plain[name], rtol=1e-3, atol=1e-6) for name in plain)
    support = tiny_support(BACKBONE)
    states = [kind(steps=2, rate=0.1).adapt(BACKBONE, support, context()) for kind in (MetaSgd, Maml)]
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[1])


def test_every_parameter_has_a_rate_and_every_rate_learns() -> None:
    gradients = meta_gradient(MetaSgd(), BACKBONE, episodes())
    rates = {name.removeprefix("rate."): value for name, value in gradients.items() if name.startswith("rate.")}
    own = {f"backbone.{name}": value.shape for name, value in BACKBONE.module.named_parameters()}
    assert {name: value.shape for name, value in rates.items()} == {**own, "head.weight": (8, 1), "head.bias": (1,)}
    assert all(bool(value.any()) for value in rates.values())


def test_a_rate_of_nought_holds_a_parameter_still_for_any_number_of_ways() -> None:
    still = {"rate.backbone.0.weight": torch.zeros(6, 1, 3, 3), "rate.head.bias": torch.zeros(1)}
    learnt = replace(BACKBONE, meta={"metasgd": still})
    for ways in (2, 7):
        support = tiny_support(BACKBONE, ways)
        state = MetaSgd().adapt(learnt, support, context())
        before = MetaSgd(steps=0).adapt(learnt, support, context())
        assert "backbone.0.weight" not in state
        assert "backbone.0.bias" in state
        assert torch.equal(state["head.bias"], before["head.bias"])
        assert not torch.equal(state["head.weight"], before["head.weight"])
