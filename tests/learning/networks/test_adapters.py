"""An adapter makes a domain's own network of a trunk, which it leaves as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.errors import LearndError
from learnd.learning.networks.adapters import (
    DOWN,
    UP,
    AdaptedTrunk,
    Adapter,
    Region,
    WholeTrunk,
    adapt_trunk,
    merged,
    pack,
    unpack,
)
from tests.learning.drawn import random_adapter, random_lite0, random_whole_adapter


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


def test_one_of_the_whole_trunk_is_that_trunk_of_a_smaller_image_before_it_is_trained(trunk: nn.Module) -> None:
    network = WholeTrunk(trunk, side=128, size=96).eval()
    small = F.interpolate(pictures(), size=(96, 96), mode="bilinear", antialias=True)
    torch.testing.assert_close(network(pictures()), trunk(small), rtol=1e-3, atol=1e-5)


def test_one_of_the_whole_trunk_sees_colours_and_each_of_its_tensors_matters(trunk: nn.Module) -> None:
    adapter, images = random_whole_adapter(trunk), pictures()
    before = adapt_trunk(trunk, 128, adapter).eval()(images)
    assert before.shape == (2, 1280)
    assert not torch.allclose(adapt_trunk(trunk, 128, adapter).eval()(images.flip(1)), before)
    for name in ("blocks.1.0.conv_dw.weight", "bn2.running_mean", "conv_head.weight.up"):
        changed = {**adapter.tensors, name: adapter.tensors[name] * 1.5}
        assert not torch.allclose(adapt_trunk(trunk, 128, replace(adapter, tensors=changed)).eval()(images), before)


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
    with pytest.raises(LearndError, match="without a pooling of its own it runs all 7 stages, not 3"):
        adapt_trunk(trunk, 128, replace(adapter, tensors=rest))


def test_what_is_packed_comes_back_to_the_bit_and_leaves_the_rest(adapter: Adapter) -> None:
    here, there = (Region(torch.rand(1280), radius) for radius in (0.25, 0.5))
    other = replace(adapter, name="other", size=64, stages=2, regions=(here, there))
    tensors, note = pack([adapter, other])
    rest, (first, second) = unpack({**tensors, "head.weight": torch.ones(2)}, note, "a file")
    assert list(rest) == ["head.weight"]
    assert (second.name, second.size, second.stages) == ("other", 64, 2)
    assert [region.radius for region in second.regions] == [0.25, 0.5]
    assert torch.equal(second.regions[1].centre, there.centre)
    assert first.tensors.keys() == adapter.tensors.keys()
    assert all(torch.equal(value, adapter.tensors[name]) for name, value in first.tensors.items())
    assert torch.equal(first.regions[0].centre, adapter.regions[0].centre)


def test_a_single_region_is_written_as_before_there_were_more(adapter: Adapter) -> None:
    tensors, note = pack([adapter])
    assert json.loads(note["adapters"])["drawn"]["radius"] == 0.5
    assert tensors["adapters/drawn/domain.centre"].shape == (1280,)


def test_a_file_without_adapters_has_none() -> None:
    assert pack([]) == ({}, {})
    assert unpack({"a": torch.ones(1)}, {}, "a file") == ({"a": torch.ones(1)}, ())


@pytest.mark.parametrize("note", ["{", "[]", '{"drawn": {"size": 32}}', '{"absent": {"size": 32, "stages": 3}}'])
def test_damaged_facts_are_an_error_that_names_the_file(adapter: Adapter, note: str) -> None:
    tensors, _ = pack([adapter])
    with pytest.raises(LearndError, match="adapters is damaged") as caught:
        unpack(tensors, {"adapters": note}, "a file")
    assert caught.value.where == "a file"


def test_near_is_what_lies_within_the_radius_of_a_centre() -> None:
    right, up = Region(torch.tensor([1.0, 0.0]), 0.5), Region(torch.tensor([0.0, 1.0]), 0.1)
    features = torch.tensor([[7.0, 0.0], [7.0, 3.0], [7.0, 7.0], [-1.0, 0.0], [0.0, 2.0]])
    assert Adapter("flat", 32, 3, {}, (right,)).near(features).tolist() == [True, True, False, False, False]
    assert Adapter("both", 32, 3, {}, (right, up)).near(features).tolist() == [True, True, False, False, True]
