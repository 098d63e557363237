"""Nearest class mean by angle against loops and numpy."""

from __future__ import annotations

import numpy as np
import torch

from learnd_plugins.cosine import Cosine
from tests.tiny import context


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def test_logits_are_cosines_from_the_centre_of_the_classes_scaled() -> None:
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) + 3
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 2])
    query = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)) + 3
    state = Cosine().fit(x, labels, 3, context())
    units = [unit(row) for row in x.double().numpy()]
    groups = [[u for u, k in zip(units, labels, strict=True) if k == way] for way in range(3)]
    centre = np.mean([np.mean(group, 0) for group in groups], 0)
    means = [unit(np.mean([unit(u - centre) for u in group], 0)) for group in groups]
    by_hand = [[float(unit(unit(q) - centre) @ mean) for mean in means] for q in query.double().numpy()]
    assert torch.allclose(Cosine().score(state, query), torch.tensor(by_hand) * state["scale"], atol=1e-4)


def test_the_length_of_a_feature_does_not_matter() -> None:
    x, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(3).repeat(2)
    state = Cosine().fit(x, labels, 3, context())
    assert torch.allclose(Cosine().score(state, x), Cosine().score(state, 50 * x), atol=1e-4)


def test_from_the_centre_a_narrow_cone_is_wide() -> None:
    """Far from the origin all directions are alike; from the centre of the support they are not."""
    labels = torch.arange(3).repeat_interleave(5)
    noise = torch.randn(15, 6, generator=torch.Generator().manual_seed(0))
    x = 100 * torch.ones(6) + 4 * torch.eye(3, 6)[labels] + noise
    heads = Cosine(), Cosine(centre=False)
    apart = [head.score(head.fit(x, labels, 3, context()), x) for head in heads]
    cosines = [logits.std(1).mean() / logits.abs().amax() for logits in apart]
    assert cosines[0] > 10 * cosines[1]
