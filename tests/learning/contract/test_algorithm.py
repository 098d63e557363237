"""The contract: options that are read with care, states and logits that are checked, contexts that are repeatable."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from learnd.errors import PluginError
from learnd.learning.contract.algorithm import (
    Bid,
    Context,
    HeadAlgorithm,
    Overdue,
    State,
    check_logits,
    check_state,
    seconds_for,
)
from learnd.learning.contract.options import build, options_of
from learnd.messages.task import Task
from tests.tiny import context, tiny_backbone, tiny_support


@dataclass(frozen=True)
class Sample(HeadAlgorithm):
    name: ClassVar[str] = "sample"
    summary: ClassVar[str] = "for this test"

    rate: float = 0.5
    steps: int = 3
    metric: Literal["near", "far"] = "near"
    limit: float | None = None
    sizes: tuple[int, ...] = (1, 2)
    loud: bool = False

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError("rate must be positive")

    def bid(self, task: Task) -> Bid:
        return Bid(0.5, "", 0.0)

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        return {"mean": torch.stack([features[labels == k].mean(0) for k in range(ways)])}

    def score(self, state: State, features: Tensor) -> Tensor:
        return -torch.cdist(features, state["mean"])


def test_options_survive_json() -> None:
    made = build(Sample, {"rate": 2, "metric": "far", "limit": 1.5, "sizes": [4, 5], "loud": True})
    assert made == Sample(rate=2.0, metric="far", limit=1.5, sizes=(4, 5), loud=True)
    assert options_of(made)["sizes"] == [4, 5]
    assert build(Sample, options_of(made)) == made


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rat": 1.0}, "did you mean 'rate'"),
        ({"zebra": 1.0}, "choose from: limit, loud"),
        ({"steps": 1.5}, "must be a whole number, not 1.5"),
        ({"steps": True}, "must be a whole number, not True"),
        ({"loud": 1}, "must be true or false"),
        ({"metric": "nere"}, "must be 'near' or 'far'"),
        ({"limit": "high"}, "must be a number or null"),
        ({"sizes": [1, "two"]}, "[1] must be a whole number, not 'two'"),
        ({"rate": -1.0}, "rate must be positive"),
    ],
)
def test_a_wrong_option_is_named_with_its_remedy(options: dict[str, Any], says: str) -> None:
    with pytest.raises(PluginError, match=r"plugins\.sample") as caught:
        build(Sample, options)
    assert says in str(caught.value)


def test_a_head_adapts_and_predicts_through_the_backbone() -> None:
    backbone = tiny_backbone()
    support = tiny_support(backbone)
    state = Sample().adapt(backbone, support, context())
    expected = Sample().score(state, support.features)
    assert torch.equal(Sample().predict(backbone, state, support.images), expected)


def test_a_child_context_depends_on_seed_and_names_alone() -> None:
    used = context(1)
    torch.rand(5, generator=used.generator)
    draw = [torch.rand(3, generator=c.child("ridge", 2).generator) for c in (context(1), used)]
    assert torch.equal(*draw)
    assert not torch.equal(draw[0], torch.rand(3, generator=context(1).child("ridge", 3).generator))
    assert not torch.equal(draw[0], torch.rand(3, generator=context(2).child("ridge", 2).generator))


def test_check_says_that_the_time_is_up() -> None:
    context().check()
    with pytest.raises(Overdue, match="ran out of time"):
        replace(context(), deadline=time.monotonic() - 1).check()


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ([torch.ones(1)], "returned list"),
        ({"a": 1.0}, "'a'] is float"),
        ({"a": torch.tensor([1.0, float("nan")])}, "not finite"),
    ],
)
def test_a_state_must_be_named_finite_tensors(state: Any, says: str) -> None:
    with pytest.raises(PluginError, match="sample") as caught:
        check_state(state, "sample")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("logits", "says"),
    [
        ("yes", "returned str"),
        (torch.zeros(3, 2), r"(3, 2)"),
        (torch.zeros(2, 3, dtype=torch.int64), "int64"),
        (torch.full((2, 3), float("inf")), "not finite"),
    ],
)
def test_logits_must_be_finite_numbers_of_the_right_shape(logits: Any, says: str) -> None:
    with pytest.raises(PluginError, match="sample") as caught:
        check_logits(logits, 2, 3, "sample")
    assert says in str(caught.value)


def test_expected_seconds_are_a_fixed_function_of_work_and_device() -> None:
    assert seconds_for(1e9, "cpu") == seconds_for(1e9, "cpu:1") == seconds_for(1e9, "abacus")
    assert seconds_for(1e9, "cuda:0") < seconds_for(1e9, "cpu")
