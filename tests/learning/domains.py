"""Small domains in memory, of gratings that the tiny backbone can tell apart."""

from __future__ import annotations

import torch

from learnd.learning.corpus import Classes, Domain
from tests.tiny import striped


def stripes(ways: int = 8, images: int = 8, groups: int = 4, seed: int = 0) -> Classes:
    """Classes of as many images each, in groups of neighbours."""
    pixels, labels = striped(ways, images, seed)
    rows = tuple((labels == k).nonzero()[:, 0] for k in range(ways))
    of_group = torch.arange(ways) * groups // ways
    return Classes(pixels, rows, of_group, tuple(f"g{int(g)}/c{k}" for k, g in enumerate(of_group)))


def tiny_domains() -> tuple[tuple[Domain, ...], tuple[Domain, ...]]:
    """Those to train on, and those to validate on."""
    return (Domain("a", stripes()), Domain("b", stripes(seed=1))), (Domain("c", stripes(ways=4, seed=2)),)
