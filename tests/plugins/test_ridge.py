"""Ridge regression against the normal equations, and its leave-one-out against leaving out one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from learnd_plugins.ridge import Ridge, solve
from tests.tiny import context

STRENGTHS = torch.tensor([0.1, 2.0], dtype=torch.float64)


def problem(count: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    x = torch.randn(count, width, generator=generator, dtype=torch.float64) + torch.eye(3, width)[labels] * 2 + 5
    return x, labels


def normal_equations(x: np.ndarray, y: np.ndarray, w: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Minimise sum w |xW + b - y|^2 + penalty |W|^2 over W and b, b unpenalised, as one linear system."""
    full = np.hstack([x, np.ones((len(x), 1))])
    eye = np.eye(full.shape[1]) * penalty
    eye[-1, -1] = 0
    solution = np.linalg.solve(full.T @ (w[:, None] * full) + eye, full.T @ (w[:, None] * y))
    return solution[:-1], solution[-1]


def spread_of(x: np.ndarray, w: np.ndarray) -> float:
    centre = (w[:, None] * x).mean(0)
    return float((w * ((x - centre) ** 2).sum(1)).mean())


@pytest.mark.parametrize(("count", "width"), [(9, 20), (30, 4), (31, 4)])
def test_the_solution_is_that_of_the_normal_equations(count: int, width: int) -> None:
    x, labels = problem(count, width)
    solution = solve(x, labels, 3, STRENGTHS)
    y = np.eye(3)[labels.numpy()]
    w = (count / 3 / y.sum(0))[labels.numpy()]
    for index, strength in enumerate(STRENGTHS.tolist()):
        weights, bias = normal_equations(x.numpy(), y, w, strength * spread_of(x.numpy(), w))
        np.testing.assert_allclose(solution.weights[index].numpy(), weights, atol=1e-9)
        np.testing.assert_allclose(solution.bias[index].numpy(), bias, atol=1e-9)


@pytest.mark.parametrize(("count", "width"), [(9, 20), (31, 4)])
def test_held_out_predictions_are_those_of_leaving_one_out(count: int, width: int) -> None:
    x, labels = problem(count, width)
    solution = solve(x, labels, 3, STRENGTHS)
    y = np.eye(3)[labels.numpy()]
    w = (count / 3 / y.sum(0))[labels.numpy()]
    for index, strength in enumerate(STRENGTHS.tolist()):
        penalty = strength * spread_of(x.numpy(), w)
        for row in range(count):
            rest = np.arange(count) != row
            weights, bias = normal_equations(x.numpy()[rest], y[rest], w[rest], penalty)
            expected = x.numpy()[row] @ weights + bias
            np.testing.assert_allclose(solution.held_out[index, row].numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("count", [6, 30])
def test_what_the_outer_loop_trains_is_the_same_regression(count: int) -> None:
    """By the Woodbury identity instead of on the principal axes, with the meta-learnt strength and scale."""
    x, labels = problem(count, 12)
    query, _ = problem(8, 12, seed=1)
    meta = {"log_lambda": torch.tensor(-1.0), "log_scale": torch.tensor(2.0)}
    solution = solve(x, labels, 3, torch.tensor([-1.0], dtype=torch.float64).exp())
    expected = (query @ solution.weights[0] + solution.bias[0]) * torch.tensor(2.0).exp()
    logits = Ridge(normalise=False).episode_logits(x.float(), labels, query.float(), 3, meta)
    assert torch.allclose(logits.softmax(1).double(), expected.softmax(1), atol=1e-4)


def test_one_shot_takes_the_meta_learnt_strength_and_scale() -> None:
    x, query = torch.eye(4), torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    meta = {"log_lambda": torch.tensor(1.0), "log_scale": torch.tensor(0.5)}
    ridge = Ridge()
    state = ridge.fit(x, torch.arange(4), 4, replace(context(), meta=meta))
    trained = ridge.episode_logits(x, torch.arange(4), query, 4, meta)
    assert torch.allclose(ridge.score(state, query).softmax(1), trained.softmax(1), atol=1e-5)


def test_noise_asks_for_a_stronger_regularisation_than_clean_features() -> None:
    """Auto must do at least as well on new images as the worst fixed strength, and its softmax must be honest."""
    x, labels = problem(30, 40)
    new, truth = problem(300, 40, seed=1)
    auto = Ridge(normalise=False)
    accuracy = {}
    for algorithm in (auto, *(Ridge(strength=s, normalise=False) for s in (1e-6, 1.0, 100.0))):
        state = algorithm.fit(x.float(), labels, 3, context())
        logits = algorithm.score(state, new.float())
        accuracy[algorithm.strength] = float((logits.argmax(1) == truth).float().mean())
        if algorithm is auto:
            confidence = float(logits.softmax(1).amax(1).mean())
    assert accuracy[None] >= max(accuracy.values()) - 0.05
    assert confidence == pytest.approx(accuracy[None], abs=0.12)


def test_one_shot_and_identical_features_are_no_trouble() -> None:
    one_shot = Ridge().fit(torch.eye(4), torch.arange(4), 4, context())
    assert Ridge().score(one_shot, torch.eye(4)).argmax(1).tolist() == [0, 1, 2, 3]
    same = Ridge().fit(torch.ones(6, 4), torch.arange(3).repeat(2), 3, context())
    assert torch.allclose(Ridge().score(same, torch.ones(1, 4)).softmax(1), torch.full((1, 3), 1 / 3), atol=1e-4)


def test_a_strength_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Ridge(strength=0.0)
