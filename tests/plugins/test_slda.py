"""The shrunk discriminant against densities by torch.distributions, and its leave-one-out against leaving out one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from learnd_plugins.slda import SLDA, solve
from tests.tiny import context

SHRINKAGES = torch.tensor([0.1, 0.7, 1.0], dtype=torch.float64)


def problem(count: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    mix = torch.randn(width, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, width, generator=generator, dtype=torch.float64) @ mix
    return noise + torch.eye(3, width)[labels] * 4 + 5, labels


def covariance(x: Tensor, labels: Tensor, shrinkage: float, freedom: int, trace: float | None = None) -> Tensor:
    """Within classes, summed image by image, shrunk towards the identity."""
    scatter = torch.zeros(x.shape[1], x.shape[1], dtype=x.dtype)
    for row, label in zip(x, labels, strict=True):
        off = row - x[labels == label].mean(0)
        scatter += torch.outer(off, off)
    scatter /= freedom
    trace = float(scatter.trace()) if trace is None else trace
    return (1 - shrinkage) * scatter + shrinkage * trace / x.shape[1] * torch.eye(x.shape[1], dtype=x.dtype)


@pytest.mark.parametrize(("count", "width"), [(9, 20), (60, 5)])
def test_the_scores_are_gaussian_log_densities_with_the_shrunk_covariance(count: int, width: int) -> None:
    x, labels = problem(count, width)
    query, _ = problem(8, width, seed=1)
    solution = solve(x, labels, 3, SHRINKAGES)
    for index, shrinkage in enumerate(SHRINKAGES.tolist()):
        c = covariance(x, labels, shrinkage, count - 3)
        normals = [MultivariateNormal(x[labels == k].mean(0), c) for k in range(3)]
        expected = torch.stack([normal.log_prob(query) for normal in normals], 1).log_softmax(1)
        scores = query @ solution.weights[index] + solution.bias[index]
        assert torch.allclose(scores.log_softmax(1), expected, atol=1e-6)


@pytest.mark.parametrize(("count", "width"), [(9, 20), (31, 5)])
def test_held_out_scores_are_those_of_leaving_one_out(count: int, width: int) -> None:
    x, labels = problem(count, width)
    solution = solve(x, labels, 3, SHRINKAGES)
    trace = float(covariance(x, labels, 0.0, count - 3).trace())
    for index, shrinkage in enumerate(SHRINKAGES.tolist()):
        for row in range(count):
            rest = torch.arange(count) != row
            c = covariance(x[rest], labels[rest], shrinkage, count - 3, trace)
            offs = [x[row] - x[rest][labels[rest] == k].mean(0) for k in range(3)]
            expected = torch.stack([-off @ torch.linalg.solve(c, off) / 2 for off in offs])
            found = solution.held_out[index, row]
            np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-6, atol=1e-6)


def test_one_image_a_class_is_nearest_mean() -> None:
    x, query = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)), torch.randn(40, 6)
    slda = SLDA(normalise=False)
    logits = slda.score(slda.fit(x, torch.arange(4), 4, context()), query)
    assert torch.equal(logits.argmax(1), torch.cdist(query, x).argmin(1))


def test_equal_images_are_no_trouble() -> None:
    state = SLDA().fit(torch.ones(6, 4), torch.arange(3).repeat(2), 3, context())
    assert torch.allclose(SLDA().score(state, torch.ones(1, 4)).softmax(1), torch.full((1, 3), 1 / 3), atol=1e-4)


def test_it_beats_nearest_mean_where_images_of_a_class_vary_along_one_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(30)
    x = torch.randn(60, 5, generator=generator) * torch.tensor([20.0, 1, 1, 1, 1])
    x[:, 1] += 4.0 * labels
    new = torch.randn(200, 5, generator=generator) * torch.tensor([20.0, 1, 1, 1, 1])
    truth = torch.arange(2).repeat_interleave(100)
    new[:, 1] += 4.0 * truth

    def accuracy(slda: SLDA) -> float:
        return float((slda.score(slda.fit(x, labels, 2, context()), new).argmax(1) == truth).float().mean())

    assert accuracy(SLDA(normalise=False)) > 0.95 > 0.7 > accuracy(SLDA(shrinkage=1.0, normalise=False))


@pytest.mark.parametrize("shrinkage", [0.0, 1.5])
def test_an_impossible_shrinkage_is_refused(shrinkage: float) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        SLDA(shrinkage=shrinkage)
