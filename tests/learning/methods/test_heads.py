"""Linear heads: where they start."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from learnd.learning.methods.heads import angle_head, class_means, linear, prototype_head, zero_head

DRAW = torch.Generator().manual_seed(0)
FEATURES = torch.randn(7, 4, generator=DRAW)
LABELS = torch.tensor([0, 2, 1, 0, 2, 2, 1])


def test_class_means_are_means_whatever_the_order_and_the_balance() -> None:
    expected = torch.stack([FEATURES[k == LABELS].mean(0) for k in range(3)])
    assert torch.allclose(class_means(FEATURES, LABELS, 3), expected)


def test_a_prototype_head_says_what_the_distances_to_the_class_means_say() -> None:
    queries = torch.randn(5, 4, generator=DRAW)
    head = prototype_head(FEATURES, LABELS, 3, scale=3.0)
    distances = torch.cdist(queries, class_means(FEATURES, LABELS, 3)).square()  # (5, 3)
    assert torch.allclose(linear(queries, head).softmax(1), (-3.0 * distances / 4).softmax(1), atol=1e-5)


def test_an_angle_head_says_it_of_directions_from_the_mean_of_the_support() -> None:
    queries = torch.randn(5, 4, generator=DRAW)
    seen, asked = (F.normalize(some - FEATURES.mean(0), dim=1) for some in (FEATURES, queries))
    distances = torch.cdist(asked, class_means(seen, LABELS, 3)).square()  # (5, 3)
    head = angle_head(FEATURES, LABELS, 3, scale=3.0)
    assert torch.allclose(linear(queries, head).softmax(1), (-3.0 * distances).softmax(1), atol=1e-5)
    far = FEATURES.mean(0) + 7 * (queries - FEATURES.mean(0))  # in the same directions
    assert torch.allclose(linear(far, head), linear(queries, head), atol=1e-5)


def test_a_zero_head_finds_every_class_as_likely() -> None:
    assert torch.equal(linear(FEATURES, zero_head(FEATURES, 6)), torch.zeros(7, 6))
