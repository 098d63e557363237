"""3x3 convolutions, padded by 1, as matrix products: plainly (`Taps`), or with fewer multiplications (`Tiles`).

Whatever carries maps and kernels to where they multiply is linear, and so is the way back: changes take the same way,
and gradients the transposed one.  It is gone once, however many convolutions have the maps in common; a product that
is differentiated twice is nine of them.

For K tasks at once, each with kernels of its own, maps are float32 rows (K, R + 1, C): one for each pixel and a last
one of zeros, which is the border.  Which row is whose pixel a `Grid` says, so that nothing is moved for its own sake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

SIDES = (4, 3)  # outputs on a side of a tile; of a larger one the rounding is no longer negligible
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity: where polynomials are evaluated; of these the rounding is small
MIN_TILES = 10  # tiles that are worth carrying the kernels there for; measured on conv4


@dataclass(frozen=True)
class Grid:
    """The rows of N maps.  order: int64 (N, H, W), each pixel's row; rows: R, of which some may be no pixel's."""

    order: Tensor
    rows: int


class ThreeByThree(Protocol):
    """K tasks' maps with R rows -> maps with R' rows, by way of S products (T, C) @ (C', O) for each task."""

    def of_maps(self, x: Tensor) -> Tensor:
        """(K, R + 1, C) -> (K S, T, C')."""
        ...

    def to_maps(self, gradient: Tensor) -> Tensor:
        """A loss's gradient: (K S, T, C') -> (K, R + 1, C)."""
        ...

    def of_kernels(self, kernels: Tensor) -> Tensor:
        """(K, O, C, 3, 3) -> (K S, C', O)."""
        ...

    def to_kernels(self, gradient: Tensor) -> Tensor:
        """A loss's gradient: (K S, C', O) -> (K, O, C, 3, 3), lying as `laid` says."""
        ...

    def of_products(self, products: Tensor) -> Tensor:
        """(K S, T, O) -> (K, R', O)."""
        ...

    def to_products(self, gradient: Tensor) -> Tensor:
        """A loss's gradient: (K, R', O) -> (K S, T, O)."""
        ...


def convolution(grid: Grid, pooled: bool) -> tuple[ThreeByThree, Grid]:
    """The one that is soonest done for maps of this grid, and the grid of its outputs.

    pooled: the outputs come in four equal parts, of each 2x2 one in each, and the grid is that of one part: of what a
    pooling leaves.
    """
    count, height, width = _asked(grid, pooled)
    if not pooled and height == width == 3:
        return alone(grid) if count >= MIN_TILES else tapped(grid, pooled)
    tiles = {side: count * -(-height // side) * -(-width // side) for side in SIDES}
    side = min(SIDES, key=lambda side: tiles[side] * (side + 2) ** 2)
    return tiled(grid, pooled, side) if tiles[side] >= MIN_TILES else tapped(grid, pooled)


@dataclass(frozen=True)
class Taps:
    """The plain one: S = 1, T = R', C' = 9 C.

    places: int64 (9 R',), for each output the rows that its kernel sees.  rows: of the maps, the zero one too.
    """

    places: Tensor
    rows: int

    def of_maps(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.places).view(len(x), -1, 9 * x.shape[2])

    def to_maps(self, gradient: Tensor) -> Tensor:
        return _added(gradient.view(len(gradient), len(self.places), -1), self.places, self.rows)

    def of_kernels(self, kernels: Tensor) -> Tensor:
        return _flat(kernels).flatten(1, 2)

    def to_kernels(self, gradient: Tensor) -> Tensor:
        return _kernels(gradient.view(len(gradient), 9, -1, gradient.shape[2]))

    def of_products(self, products: Tensor) -> Tensor:
        return products

    def to_products(self, gradient: Tensor) -> Tensor:
        return gradient


def tapped(grid: Grid, pooled: bool) -> tuple[Taps, Grid]:
    """As `convolution`."""
    count, height, width = grid.order.shape
    seen = F.pad(grid.order, (1, 1, 1, 1), value=grid.rows)
    one, down, across = seen.stride()
    if pooled:
        height, width = height // 2, width // 2
        strides = (down, across, one, 2 * down, 2 * across, down, across)
        places = seen.as_strided((2, 2, count, height, width, 3, 3), strides)
    else:
        places = seen.as_strided((count, height, width, 3, 3), (one, down, across, down, across))
    return Taps(places.flatten(), grid.rows + 1), _grid(1, count, height, width)


@dataclass(frozen=True)
class Tiles:
    """Winograd's minimal filtering: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks".

    Each tile of 4x4 outputs sees 6x6 inputs, and 36 products do for it in place of 144: S = 36, T tiles, C' = C.  For
    3x3 outputs it is 25 in place of 81.  The difference to the plain convolution is rounding, of about 2e-6.

    places: int64 (P T,), the row of each of the P pixels that a tile sees.  rows: of the maps, the zero one too.  maps,
    kernels, products: the matrices (S, P), (S, 9), (outputs of a tile, S) that carry maps and kernels there, and
    products back.
    """

    places: Tensor
    rows: int
    maps: Tensor
    kernels: Tensor
    products: Tensor

    @property
    def count(self) -> int:
        """T."""
        return len(self.places) // self.maps.shape[1]

    def of_maps(self, x: Tensor) -> Tensor:
        tiles = x.index_select(1, self.places).view(len(x), self.maps.shape[1], -1)  # (K, P, T C)
        return torch.matmul(self.maps, tiles).view(-1, self.count, x.shape[2])

    def to_maps(self, gradient: Tensor) -> Tensor:
        width = gradient.shape[2]
        tiles = torch.matmul(self.maps.t(), gradient.view(-1, len(self.maps), self.count * width))  # (K, P, T C)
        return _added(tiles.view(len(tiles), -1, width), self.places, self.rows)

    def of_kernels(self, kernels: Tensor) -> Tensor:
        _, outputs, inputs, _, _ = kernels.shape
        return torch.matmul(self.kernels, _flat(kernels).flatten(2)).view(-1, inputs, outputs)

    def to_kernels(self, gradient: Tensor) -> Tensor:
        _, inputs, outputs = gradient.shape
        flat = torch.matmul(self.kernels.t(), gradient.view(-1, len(self.maps), inputs * outputs))  # (K, 9, C O)
        return _kernels(flat.view(-1, 9, inputs, outputs))

    def of_products(self, products: Tensor) -> Tensor:
        width = products.shape[2]
        found = torch.matmul(self.products, products.view(-1, len(self.maps), self.count * width))  # (K, outputs, T O)
        return found.view(len(found), -1, width)

    def to_products(self, gradient: Tensor) -> Tensor:
        width = gradient.shape[2]
        found = torch.matmul(self.products.t(), gradient.view(len(gradient), -1, self.count * width))  # (K, S, T O)
        return found.view(-1, self.count, width)


@dataclass(frozen=True)
class Across(Tiles):
    """The same for outputs that are pooled, where the four of a 2x2 lie in several tiles.

    order: int64 (R',), which outputs of the tiles are asked for.
    """

    order: Tensor

    def of_products(self, products: Tensor) -> Tensor:
        return super().of_products(products).index_select(1, self.order)

    def to_products(self, gradient: Tensor) -> Tensor:
        tasks, _, width = gradient.shape
        every = gradient.new_zeros(tasks, len(self.products) * self.count, width)
        return super().to_products(every.index_copy_(1, self.order, gradient))


def tiled(grid: Grid, pooled: bool, side: int) -> tuple[Tiles, Grid]:
    """As `convolution`, by tiles of side x side outputs."""
    count, height, width = _asked(grid, pooled)
    rows, columns = -(-height // side), -(-width // side)
    seen = F.pad(grid.order, (1, side + 1, 1, side + 1), value=grid.rows)
    one, down, across = seen.stride()
    shape = (side + 2, side + 2, count, rows, columns)
    places = seen.as_strided(shape, (down, across, one, down * side, across * side)).flatten()
    tiles = Tiles(places, grid.rows + 1, *(torch.kron(once, once).float() for once in filtering(side)))
    outputs = _grid(side, count, rows, columns)
    order = outputs.order[:, :height, :width]
    if not pooled:
        return tiles, Grid(order, outputs.rows)
    if side % 2:
        parts = torch.cat([order[:, down::2, across::2].flatten() for down in (0, 1) for across in (0, 1)])
        return Across(**vars(tiles), order=parts), _grid(1, count, height // 2, width // 2)
    half = side // 2
    parts = torch.arange(side * side).view(half, 2, half, 2).permute(1, 3, 0, 2).flatten()
    outputs = _grid(half, count, rows, columns)
    order = outputs.order[:, : height // 2, : width // 2]
    return replace(tiles, products=tiles.products[parts].contiguous()), Grid(order, outputs.rows)


def alone(grid: Grid) -> tuple[Tiles, Grid]:
    """As `convolution` for maps of 3x3: each is a tile around which all is zero, and 16 products do.

    In one dimension 4 do in place of 5.  The outputs are y0 = x0 k1 + x1 k2, y1 = x0 k0 + x1 k1 + x2 k2 and
    y2 = x1 k0 + x2 k1.  Where a*a - b*b = 2, the differences of the two (x0 + x2 +- a x1) (k0 + k2 +- a k1) and of the
    two (x2 - x0 +- b x1) (k0 - k2 +- b k1) are 2 a (y0 + y2) and 2 b (y2 - y0), and their sums are 4 y1 apart.
    """
    maps = torch.tensor([[1, 1.5, 1], [1, -1.5, 1], [-1, 0.5, 1], [-1, -0.5, 1]])
    products = torch.tensor([[2, -2, -6, 6], [3, 3, -3, -3], [2, -2, 6, -6]]) / 12
    carried = (torch.kron(once, once) for once in (maps, maps.flip(1), products))
    return Tiles(grid.order.permute(1, 2, 0).flatten(), grid.rows + 1, *carried), _grid(3, len(grid.order), 1, 1)


@cache
def filtering(outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """For one dimension, float64: what carries a tile's inputs (S, S), a kernel (S, 3), and the products (outputs, S).

    Polynomials multiply where they are evaluated (Toom 1963, Cook 1966); filtering is the transpose of that.
    """
    size = outputs + 2
    inputs = torch.linalg.inv(_powers(size, size)).t()
    largest = inputs.abs().amax(1, keepdim=True)  # it goes to the kernels, so that float32 rounds less
    return inputs / largest, _powers(size, 3) * largest, _powers(size, outputs).t()


def _asked(grid: Grid, pooled: bool) -> tuple[int, int, int]:
    """How many outputs (N, H, W) are asked for: a pooling does not see the last of an odd number."""
    count, height, width = grid.order.shape
    return (count, height // 2 * 2, width // 2 * 2) if pooled else (count, height, width)


def _powers(size: int, terms: int) -> Tensor:
    """(size, terms): of each point; of infinity, the highest alone."""
    finite = torch.tensor(POINTS[: size - 1], dtype=torch.float64)[:, None] ** torch.arange(terms)
    return torch.cat((finite, torch.eye(terms, dtype=torch.float64)[-1:]))


def laid(kernels: Tensor) -> Tensor:
    """The same (..., O, C, 3, 3), lying in memory as they multiply: what is made of them lies so too."""
    return kernels.movedim((-2, -1, -3, -4), (-4, -3, -2, -1)).contiguous().movedim((-4, -3, -2, -1), (-2, -1, -3, -4))


def summed(values: Tensor) -> Tensor:
    """The sum over tasks (1, ...) of (K, ...): of kernels as `laid`, which torch would take fifty times as long for."""
    return _kernels(_flat(values).sum(0, keepdim=True)) if values.dim() == 5 else values.sum(0, keepdim=True)


def _flat(kernels: Tensor) -> Tensor:
    """(K, O, C, 3, 3) -> (K, 9, C, O): without a copy, where they are `laid`."""
    return kernels.permute(0, 3, 4, 2, 1).flatten(1, 2)


def _kernels(flat: Tensor) -> Tensor:
    """The way back from `_flat`."""
    return flat.view(len(flat), 3, 3, *flat.shape[2:]).permute(0, 4, 3, 1, 2)


def _grid(inner: int, count: int, rows: int, columns: int) -> Grid:
    """Of maps in tiles of inner x inner, whose rows lie as (down and across a tile; maps; tiles down and across)."""
    order = torch.arange(inner * inner * count * rows * columns).view(inner, inner, count, rows, columns)
    return Grid(order.permute(2, 3, 0, 4, 1).reshape(count, rows * inner, columns * inner), order.numel())


def _added(values: Tensor, places: Tensor, rows: int) -> Tensor:
    """(K, P, C) -> (K, rows, C): each added to the row of its place."""
    count, _, width = values.shape
    every = (torch.arange(0, count * rows, rows)[:, None] + places).flatten()  # in one dimension torch does it soonest
    return values.new_zeros(count * rows, width).index_add_(0, every, values.flatten(0, 1)).view(count, rows, width)
