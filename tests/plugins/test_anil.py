"""ANIL: a task changes the head, never the network, and its images are looked at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from learnd.learning.networks.backbone import Backbone
from learnd_plugins.anil import Anil
from tests.learning.episodes import episodes, meta_gradient
from tests.tiny import context, tiny_backbone, tiny_support

BACKBONE = tiny_backbone()


def test_a_task_adapts_the_head_alone() -> None:
    assert Anil().adapted(BACKBONE, {}) == {}
    support = tiny_support(BACKBONE)
    start, end = (Anil(steps=steps).adapt(BACKBONE, support, context()) for steps in (0, 10))
    assert start.keys() == end.keys() == {"head.weight", "head.bias"}
    assert not torch.allclose(start["head.weight"], end["head.weight"], atol=1e-4)


def test_the_outer_loop_learns_the_network() -> None:
    gradients = meta_gradient(Anil(steps=3), BACKBONE, episodes())
    assert all(bool(value.any()) for value in gradients.values())
    assert "backbone.0.weight" in gradients


def test_the_network_of_a_task_is_the_meta_learnt_one() -> None:
    learnt = replace(BACKBONE, meta={"anil": {"backbone.5.bias": torch.full((8,), 2.0)}})
    state = Anil(steps=1).adapt(learnt, tiny_support(BACKBONE), context())
    assert torch.allclose(state["backbone.5.bias"], 2.0 - BACKBONE.module.get_parameter("5.bias"))


def test_the_features_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    honest = Backbone.features_of

    def counted(self: Backbone, images: torch.Tensor, *rest: Any) -> torch.Tensor:
        looks.append(len(images))
        return honest(self, images, *rest)

    support = tiny_support(BACKBONE)
    monkeypatch.setattr(Backbone, "features_of", counted)
    Anil(steps=7).adapt(BACKBONE, support, context())
    assert looks == [15]
