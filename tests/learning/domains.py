"""Small domains in memory, of gratings that the tiny backbone can distinguish."""

from __future__ import annotations

import torch

from learnd.learning.metatraining.corpus import ImageClasses, ImageDomain
from tests.tiny import striped


def stripes(ways: int = 8, images: int = 8, groups: int = 4, seed: int = 0) -> ImageClasses:
    """Classes of as many images each, in groups of neighbours."""
    pixels, labels = striped(ways, images, seed)
    rows = tuple((labels == k).nonzero()[:, 0] for k in range(ways))
    of_group = torch.arange(ways) * groups // ways
    return ImageClasses(pixels, rows, of_group, tuple(f"g{int(g)}/c{k}" for k, g in enumerate(of_group)))


def tiny_domains() -> tuple[tuple[ImageDomain, ...], tuple[ImageDomain, ...]]:
    """Those to train on, and those to validate on."""
    return (ImageDomain("a", stripes()), ImageDomain("b", stripes(seed=1))), (
        ImageDomain("c", stripes(ways=4, seed=2)),
    )
