"""A convolution by way of products says what torch's does, and every way back is the transpose of the way there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.written_passes.convolutions import (
    MIN_TILES,
    SIDES,
    Grid,
    Taps,
    ThreeByThree,
    Tiles,
    alone,
    convolution,
    laid,
    summed,
    tapped,
    tiled,
)

TASKS, COUNT, INPUTS, OUTPUTS = 2, 3, 5, 4


def plain(height: int, width: int, count: int = COUNT) -> Grid:
    pixels = torch.arange(count * height * width)
    return Grid(pixels.view(count, height, width), len(pixels))


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def rows_of(maps: Tensor) -> Tensor:
    """(K, N, C, H, W) -> (K, N H W + 1, C)."""
    return F.pad(maps.permute(0, 1, 3, 4, 2).flatten(1, 3), (0, 0, 0, 1))


def convolved(maps: Tensor, kernels: Tensor, pooled: bool) -> Tensor:
    """By torch, in float64; (K, N, O, H', W')."""
    each = [F.conv2d(some, own, padding=1) for some, own in zip(maps.double(), kernels.double(), strict=True)]
    return torch.stack([F.max_pool2d(some, 2) if pooled else some for some in each])


def ways(grid: Grid, pooled: bool) -> list[tuple[ThreeByThree, Grid]]:
    by_itself = [alone(grid)] if not pooled and grid.order.shape[1:] == (3, 3) else []
    return [tapped(grid, pooled), *(tiled(grid, pooled, side) for side in SIDES), *by_itself]


@pytest.mark.parametrize(("height", "width"), [(14, 14), (7, 7), (5, 9), (4, 4), (3, 3), (2, 3)])
@pytest.mark.parametrize("pooled", [True, False])
def test_it_says_what_torchs_convolution_says(height: int, width: int, pooled: bool) -> None:
    maps, kernels = drawn(TASKS, COUNT, INPUTS, height, width), drawn(TASKS, OUTPUTS, INPUTS, 3, 3)
    expected = convolved(maps, kernels, pooled)
    for way, outputs in ways(plain(height, width), pooled):
        y = way.of_products(torch.bmm(way.of_maps(rows_of(maps)), way.of_kernels(kernels)))
        if pooled:
            y = y.view(TASKS, 4, -1, OUTPUTS).amax(1)
        assert y.shape[1] == outputs.rows
        found = y[:, outputs.order].movedim(4, 2)  # (K, N, O, H', W')
        away = found.double() - expected
        assert float(away.norm()) <= 2e-6 * float(expected.norm())
        assert float(away.abs().max()) <= 3e-6 * float(expected.abs().max())


@pytest.mark.parametrize(("height", "width"), [(7, 6), (3, 3)])
@pytest.mark.parametrize("pooled", [True, False])
def test_each_way_back_is_the_transpose_of_the_way_there(height: int, width: int, pooled: bool) -> None:
    for way, _ in ways(plain(height, width), pooled):
        x, kernels = rows_of(drawn(TASKS, COUNT, INPUTS, height, width)), drawn(TASKS, OUTPUTS, INPUTS, 3, 3)
        products = torch.bmm(way.of_maps(x), way.of_kernels(kernels))
        steps = [
            (way.of_maps, way.to_maps, x),
            (way.of_kernels, way.to_kernels, kernels),
            (way.of_products, way.to_products, products),
        ]
        for there, back, value in steps:
            carried = there(value)
            gradient = drawn(*carried.shape)
            _, expected = torch.autograd.functional.vjp(there, value, gradient)
            torch.testing.assert_close(back(gradient), expected, rtol=1e-4, atol=1e-4)


def test_tiles_are_taken_where_they_are_enough_to_be_worth_it() -> None:
    small, large = plain(4, 4, MIN_TILES - 1), plain(4, 4, MIN_TILES)
    for pooled in (True, False):
        assert isinstance(convolution(small, pooled)[0], Taps)
        assert isinstance(convolution(large, pooled)[0], Tiles)
    assert isinstance(convolution(plain(3, 3, MIN_TILES - 1), pooled=False)[0], Taps)
    assert isinstance(convolution(plain(3, 3, MIN_TILES), pooled=False)[0], Tiles)


@pytest.mark.parametrize(
    ("side", "pooled", "products"),
    [(14, True, 16 * 36), (7, True, 4 * 25), (7, False, 4 * 36), (3, True, 25), (3, False, 16)],
)
def test_tiles_are_as_large_as_takes_the_fewest_products(side: int, pooled: bool, products: int) -> None:
    way, _ = convolution(plain(side, side, MIN_TILES), pooled)
    assert way.of_maps(torch.zeros(1, MIN_TILES * side * side + 1, 1)).numel() == MIN_TILES * products


def test_kernels_are_summed_over_tasks_and_lie_as_before() -> None:
    kernels = laid(drawn(TASKS, OUTPUTS, INPUTS, 3, 3))
    torch.testing.assert_close(summed(kernels), kernels.sum(0, keepdim=True))
    assert summed(kernels).stride()[1:] == kernels.stride()[1:]
    assert summed(kernels[:, :, 0, 0, 0]).shape == (1, OUTPUTS)


def test_kernels_that_are_laid_are_the_same_and_multiply_without_a_copy() -> None:
    kernels = drawn(TASKS, OUTPUTS, INPUTS, 3, 3)
    lying = laid(kernels)
    assert torch.equal(lying, kernels)
    way, _ = tapped(plain(4, 4), pooled=False)
    assert way.of_kernels(lying).data_ptr() == lying.data_ptr()
    assert way.to_kernels(way.of_kernels(lying)).stride() == lying.stride()
