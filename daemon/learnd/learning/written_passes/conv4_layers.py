"""conv4's layers as the written passes take them."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learnd.learning.networks.conv4 import Block, Conv4
from learnd.learning.written_passes.convolutions import Grid, Taps, convolution, tapped
from learnd.learning.written_passes.passes import LastPasses, Layer, Passes, PlainPasses, PooledPasses


def layers_of(network: Conv4, images: Tensor) -> tuple[Tensor, tuple[Layer, ...]]:
    """float32 (N, channels, side, side) as the written passes take them, and the network's layers, out of training."""
    blocks = [cast(Block, block) for block in network.blocks]
    first, passes = written(len(images), *images.shape[2:], tuple(block.pool for block in blocks))
    names = [(f"blocks.{level}.0", f"blocks.{level}.1") for level in range(len(blocks))]
    norms = [*(block[1] for block in blocks), network.norm]
    layers = [layer(*of) for of in zip(passes, [*names, ("pool", "norm")], norms, strict=True)]
    rows = F.pad(images.permute(0, 2, 3, 1).flatten(0, 2), (0, 0, 0, 1))  # (N side side + 1, channels)
    return first.of_maps(rows[None])[0], tuple(layers)


@lru_cache(maxsize=16)
def written(count: int, height: int, width: int, pools: tuple[bool, ...]) -> tuple[Taps, tuple[Passes, ...]]:
    """How so many images of a size are taken, and the passes: of each block, and of the last pooling."""
    pixels = torch.arange(count * height * width).view(count, height, width)
    first, grid = tapped(Grid(pixels, pixels.numel()), pooled=True)
    passes: list[Passes] = [PooledPasses(first, image=True)]
    for pool in pools[1:]:
        next_one, grid = convolution(grid, pool)
        passes.append(PooledPasses(next_one, image=False) if pool else PlainPasses(next_one))
    return first, (*passes, LastPasses(grid))


def layer(passes: Passes, names: tuple[str, str], norm: nn.Module) -> Layer:
    """names: of what has its kernels, and of its batch norm."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    kernels, own = names
    parameters = (f"{kernels}.weight", f"{own}.weight", f"{own}.bias")
    return Layer(passes, parameters, norm.running_mean, (norm.running_var + norm.eps).rsqrt())
