"""The diagonal Gaussian against torch.distributions, its prior against drawn variances."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Chi2, InverseGamma, Normal

from learnd_plugins.gaussian import (
    STRONGEST,
    Gaussian,
    _alone,
    _density,
    _inverse_trigamma,
    _log_density,
    estimate,
    prior_of,
)
from tests.tiny import context


def problem(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * 4 + [1] * 6 + [2] * 2)
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64) * torch.tensor([0.8, 1, 1, 2, 2.5])
    return x + 2 * torch.eye(3, 5)[labels], labels


def test_logits_are_log_densities_of_the_posterior_variances_times_a_scale() -> None:
    """The variances worked out by hand from the prior; the densities by torch."""
    x, labels = problem()
    gaussian = Gaussian(strength=7.0, normalise=False)
    state = gaussian.fit(x.float(), labels, 3, context())
    prior = estimate(x.float().double(), labels, 3).prior
    densities = []
    for k in range(3):
        own = x[labels == k]
        squares = sum(((image - own.mean(0)) ** 2 for image in own), torch.zeros(5, dtype=torch.float64))
        variance = (7.0 * prior + squares) / (7.0 + len(own) - 1)
        densities.append(Normal(own.mean(0), variance.sqrt()).log_prob(x).sum(1))
    expected = torch.stack(densities, 1)
    logits = gaussian.score(state, x.float()).double()
    assert torch.allclose(logits - logits[:, :1], (expected - expected[:, :1]) * _scale(logits, expected), atol=1e-3)


def _scale(logits: Tensor, expected: Tensor) -> float:
    """The one factor between two sets of logits, from their first two columns."""
    return float((logits[0, 1] - logits[0, 0]) / (expected[0, 1] - expected[0, 0]))


def test_the_pooled_variances_are_shrunk_towards_their_prior() -> None:
    x, labels = problem()
    classes = estimate(x, labels, 3)
    pooled = sum((x[labels == k].var(0) * (int((labels == k).sum()) - 1) for k in range(3)), torch.zeros(5)) / 9
    strength, location = prior_of(pooled, torch.full_like(pooled, 9))
    assert 0 < strength < STRONGEST
    assert torch.allclose(classes.prior, (strength * location + 9 * pooled) / (strength + 9))


def test_the_prior_of_variances_that_were_drawn_from_one_is_found() -> None:
    torch.manual_seed(0)
    degrees, location, freedom = 8.0, 3.0, 5.0
    true = InverseGamma(torch.tensor(degrees / 2), torch.tensor(degrees * location / 2)).sample((20_000,)).double()
    seen = true * Chi2(torch.tensor(freedom)).sample((20_000,)).double() / freedom
    found, where = prior_of(seen, torch.full_like(seen, freedom))
    assert found == pytest.approx(degrees, rel=0.1)
    assert where == pytest.approx(location, rel=0.05)


def test_variances_that_differ_by_chance_alone_have_the_strongest_prior() -> None:
    same = torch.full((50,), 2.0, dtype=torch.float64)
    assert prior_of(same, torch.full_like(same, 4))[0] == STRONGEST


@pytest.mark.parametrize("y", [0.05, 0.5, 3.0, 400.0])
def test_the_trigamma_function_is_inverted(y: float) -> None:
    assert _inverse_trigamma(float(torch.polygamma(1, torch.tensor(y, dtype=torch.float64)))) == pytest.approx(y)


def test_held_out_densities_are_those_of_leaving_one_out() -> None:
    """The prior is left as it is, and so are the other classes."""
    x, labels = problem()
    classes = estimate(x, labels, 3)
    own = _alone(classes, 7.0, x, labels)
    found = _log_density(_density(classes, 7.0), x).scatter(1, labels[:, None], own[:, None])
    for row, k in enumerate(labels.tolist()):
        rest = x[(labels == k) & (torch.arange(12) != row)]
        squares = (rest - rest.mean(0)).square().sum(0)
        variance = (7.0 * classes.prior + squares) / (7.0 + len(rest) - 1)
        alone = Normal(rest.mean(0), variance.sqrt()).log_prob(x[row]).sum()
        other = (k + 1) % 3
        wide = Normal(classes.means[other], classes.variances(7.0)[other].sqrt()).log_prob(x[row]).sum()
        assert float(found[row, k] - found[row, other]) == pytest.approx(float(alone - wide), rel=1e-6)


def test_it_tells_classes_that_differ_in_their_spread_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2).repeat_interleave(40)
    spread = torch.tensor([1.0, 4.0])
    x, new = (torch.randn(80, 6, generator=generator) * spread[labels][:, None] for _ in range(2))

    def accuracy(gaussian: Gaussian) -> float:
        logits = gaussian.score(gaussian.fit(x, labels, 2, context()), new)
        return float((logits.argmax(1) == labels).float().mean())

    assert accuracy(Gaussian(strength=5.0, normalise=False)) > 0.9
    assert accuracy(Gaussian(strength=1e6, normalise=False)) < 0.75


def test_one_image_a_class_is_nearest_mean() -> None:
    x, query = (torch.randn(count, 6, generator=torch.Generator().manual_seed(count)) for count in (4, 40))
    gaussian = Gaussian(normalise=False)
    logits = gaussian.score(gaussian.fit(x, torch.arange(4), 4, context()), query)
    assert torch.equal(logits.argmax(1), torch.cdist(query, x).argmin(1))


def test_features_that_are_always_zero_are_no_trouble() -> None:
    x, labels = problem()
    x[:, 1:3] = 0
    logits = Gaussian().score(Gaussian().fit(x.float(), labels, 3, context()), x.float())
    assert logits.isfinite().all()
    assert logits.abs().max() < 1e4
