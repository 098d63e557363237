"""An adapter makes a domain's own network of a trunk, which it leaves as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.errors import LearndError
from learnd.learning.adapters import DOWN, UP, AdaptedTrunk, Adapter, adapt_trunk, merged, pack, unpack
from tests.learning.drawn import random_adapter, random_lite0


@pytest.fixture(scope="module")
def trunk() -> nn.Module:
    return random_lite0()


@pytest.fixture(scope="module")
def adapter(trunk: nn.Module) -> Adapter:
    return random_adapter(trunk)


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1


def stage(trunk: nn.Module, small: Tensor, stages: int) -> Tensor:
    """The trunk's own maps after some of its stages."""
    stem, norm = trunk.get_submodule("conv_stem"), trunk.get_submodule("bn1")
    maps: Tensor = cast(nn.Sequential, trunk.get_submodule("blocks"))[:stages](norm(stem(small)))
    return maps


def test_before_it_is_trained_it_is_the_mean_over_a_stage_of_the_trunk(trunk: nn.Module) -> None:
    network = AdaptedTrunk(trunk, side=128, size=48, stages=5, features=112).eval()
    grey = pictures().mean(1, keepdim=True).expand(-1, 3, -1, -1)
    small = F.interpolate(grey, size=(48, 48), mode="bilinear", antialias=True)
    expected = stage(trunk, small, 5).mean((2, 3))  # (N, 112)
    torch.testing.assert_close(network(grey), expected, rtol=1e-3, atol=1e-5)


def test_colours_count_as_their_grey(trunk: nn.Module, adapter: Adapter) -> None:
    network = adapt_trunk(trunk, 128, adapter).eval()
    red = torch.zeros(1, 3, 128, 128)
    red[:, 0] = 1.0
    torch.testing.assert_close(network(red), network(torch.full((1, 3, 128, 128), 0.299)))


def test_every_tensor_of_it_matters(trunk: nn.Module, adapter: Adapter) -> None:
    images = pictures()
    before = adapt_trunk(trunk, 128, adapter).eval()(images)
    for name in ("blocks.1.0.conv_dw.weight", "blocks.2.0.bn1.running_mean", "blocks.0.0.conv_pw.weight.up"):
        changed = {**adapter.tensors, name: adapter.tensors[name] * 1.5}
        assert not torch.allclose(adapt_trunk(trunk, 128, replace(adapter, tensors=changed)).eval()(images), before)


def test_the_trunk_stays_as_it_was(trunk: nn.Module, adapter: Adapter) -> None:
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    network = adapt_trunk(trunk, 128, adapter)
    for parameter in network.parameters():
        parameter.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_two_factors_make_a_residual_and_gradients_reach_both() -> None:
    own = {"conv.weight": torch.ones(3, 2, 1, 1)}
    down, up = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0], [1.0], [10.0]])
    factors = {f"conv.weight{DOWN}": down.requires_grad_(), f"conv.weight{UP}": up.requires_grad_()}
    kernel = merged(own, factors)["conv.weight"]
    assert kernel[:, :, 0, 0].tolist() == [[1, 1], [2, 3], [11, 21]]
    kernel.sum().backward()
    assert down.grad is not None
    assert up.grad is not None


@pytest.mark.parametrize("wrong", ["blocks.9.0.conv_pw.weight.down", "blocks.0.0.conv_dw.weight", "classifier.weight"])
def test_one_that_does_not_fit_the_trunk_is_named(trunk: nn.Module, adapter: Adapter, wrong: str) -> None:
    misfit = replace(adapter, tensors={**adapter.tensors, wrong: torch.zeros(5, 5), wrong + ".up": torch.zeros(5, 5)})
    with pytest.raises(LearndError, match="does not fit the trunk") as caught:
        adapt_trunk(trunk, 128, misfit)
    assert caught.value.where == "adapter drawn"


def test_one_without_a_pooling_does_not_fit_either(trunk: nn.Module, adapter: Adapter) -> None:
    rest = {name: value for name, value in adapter.tensors.items() if name != "pool.weight"}
    with pytest.raises(LearndError, match=r"pool\.weight"):
        adapt_trunk(trunk, 128, replace(adapter, tensors=rest))


def test_what_is_packed_comes_back_to_the_bit_and_leaves_the_rest(adapter: Adapter) -> None:
    other = replace(adapter, name="other", size=64, stages=2, radius=0.25)
    tensors, note = pack([adapter, other])
    rest, (first, second) = unpack({**tensors, "head.weight": torch.ones(2)}, note, "a file")
    assert list(rest) == ["head.weight"]
    assert (second.name, second.size, second.stages, second.radius) == ("other", 64, 2, 0.25)
    assert first.tensors.keys() == adapter.tensors.keys()
    assert all(torch.equal(value, adapter.tensors[name]) for name, value in first.tensors.items())
    assert torch.equal(first.centre, adapter.centre)


def test_a_file_without_adapters_has_none() -> None:
    assert pack([]) == ({}, {})
    assert unpack({"a": torch.ones(1)}, {}, "a file") == ({"a": torch.ones(1)}, ())


@pytest.mark.parametrize("note", ["{", "[]", '{"drawn": {"size": 32}}', '{"absent": {"size": 32, "stages": 3}}'])
def test_damaged_facts_are_an_error_that_names_the_file(adapter: Adapter, note: str) -> None:
    tensors, _ = pack([adapter])
    with pytest.raises(LearndError, match="adapters is damaged") as caught:
        unpack(tensors, {"adapters": note}, "a file")
    assert caught.value.where == "a file"


def test_near_is_what_lies_within_the_radius_of_the_centre() -> None:
    lying = Adapter("flat", 32, 3, {}, centre=torch.tensor([1.0, 0.0]), radius=0.5)
    features = torch.tensor([[7.0, 0.0], [7.0, 3.0], [7.0, 7.0], [-1.0, 0.0]])
    assert lying.near(features).tolist() == [True, True, False, False]
