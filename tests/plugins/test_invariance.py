"""What every built-in head keeps: the support has no order, and classes have no numbers."""

from __future__ import annotations

import pytest
import torch

from learnd.learning.contract.algorithm import HeadAlgorithm
from learnd.learning.plugin_host.catalogue import load_catalogue
from tests.tiny import context

HEADS = [a for a in load_catalogue(None, {}).algorithms.values() if isinstance(a, HeadAlgorithm)]
SHOTS = [(1, 1, 1), (4, 4, 4), (1, 3, 6)]

every = pytest.mark.parametrize("head", HEADS, ids=[head.name for head in HEADS])


def problem(shots: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(len(shots)).repeat_interleave(torch.tensor(shots))
    x = torch.randn(len(labels), 7, generator=generator) + 2 * torch.eye(3, 7)[labels]
    return x, labels, torch.randn(5, 7, generator=generator)


@every
@pytest.mark.parametrize("shots", SHOTS, ids=str)
def test_the_order_of_the_support_does_not_matter(head: HeadAlgorithm, shots: tuple[int, ...]) -> None:
    x, labels, query = problem(shots)
    logits = head.score(head.fit(x, labels, 3, context()), query)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    again = head.score(head.fit(x[order], labels[order], 3, context()), query)
    assert torch.allclose(logits.log_softmax(1), again.log_softmax(1), atol=1e-3)


@every
@pytest.mark.parametrize("shots", SHOTS, ids=str)
def test_classes_under_other_numbers_get_the_same_probabilities(head: HeadAlgorithm, shots: tuple[int, ...]) -> None:
    x, labels, query = problem(shots)
    logits = head.score(head.fit(x, labels, 3, context()), query)
    new = torch.tensor([2, 0, 1])
    again = head.score(head.fit(x, new[labels], 3, context()), query)
    assert torch.allclose(logits.log_softmax(1), again.log_softmax(1)[:, new], atol=1e-3)


def test_there_are_heads() -> None:
    assert {head.name for head in HEADS} >= {"protonet", "matching", "ridge", "slda", "gaussian", "linear_probe"}
