"""A Gaussian for each class, diagonal, on frozen features, whose variances are estimated by empirical Bayes.

Smyth 2004, "Linear Models and Empirical Bayes Methods" (SAGMB 3): a variance has an inverse-gamma prior whose
parameters are read off all the variances together.  So the variance of a dimension, pooled over the classes, is shrunk
towards that of all dimensions.  That of a dimension within one class is shrunk towards the pooled one in the same
way, but by a fixed strength: features of a network are so far from Gaussian that variances alone say to trust
a class's own far too much (CIFAR-FS validation, 5-way 5-shot: 0.74 instead of 0.81).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.plugin import (
    Algorithm,
    Bid,
    Context,
    HeadAlgorithm,
    State,
    Task,
    class_means,
    hookimpl,
    scale_without_each,
    seconds_for,
)

FLOOR = 0.1  # a variance is at least this share of the mean one: some features are nearly always 0
STRONGEST = 1e6  # a prior that counts for so many images leaves nothing to the data


def prior_of(variances: Tensor, freedom: Tensor) -> tuple[float, float]:
    """The degrees of freedom and the location of the inverse-gamma prior that many variances share.

    variances: positive, (...); freedom: positive, of the same shape, the degrees of freedom of each.  By the moments
    of their logarithms (Smyth 2004, section 6.2).
    """
    half = freedom / 2
    logs = variances.log() - torch.digamma(half) + half.log()
    middle = float(logs.mean())
    excess = float(((logs - middle).square() - torch.polygamma(1, half)).mean())
    degrees = min(2 * _inverse_trigamma(excess), STRONGEST) if excess > 0 else STRONGEST
    half_degrees = torch.tensor(degrees / 2, dtype=torch.float64)
    return degrees, math.exp(middle + float(torch.digamma(half_degrees)) - math.log(degrees / 2))


def _inverse_trigamma(value: float) -> float:
    """y with trigamma(y) = value > 0, by Newton's method from below (Smyth 2004, appendix)."""
    y = torch.tensor(0.5 + 1 / value, dtype=torch.float64)
    for _ in range(20):
        now = torch.polygamma(1, y)
        y = y + now * (1 - now / value) / torch.polygamma(2, y)
    return float(y)


@dataclass(frozen=True)
class GaussianClasses:
    """What is known of the classes before their own variances are.

    means: (K, D).  squares: (K, D), the squared residuals of a class's images, summed.  count: (K, 1) of them.
    prior: (D,), the pooled variances after their own shrinkage.
    """

    means: Tensor
    squares: Tensor
    count: Tensor
    prior: Tensor

    def variances(self, strength: float) -> Tensor:
        """The posterior (K, D) where the prior counts for so many degrees of freedom."""
        return (strength * self.prior + self.squares) / (strength + self.count - 1)


def estimate(x: Tensor, labels: Tensor, ways: int) -> GaussianClasses:
    """x: float64 (N, D); labels: int64 (N,).  If no class has two images, one variance serves all dimensions."""
    means = class_means(x, labels, ways)
    count = torch.bincount(labels, minlength=ways).to(x.dtype)[:, None]
    squares = class_means((x - means[labels]).square(), labels, ways) * count
    freedom = max(len(x) - ways, 1)
    pooled = squares.sum(0) / freedom  # (D,)
    if not bool((pooled > 0).any()):
        variance = float((means - means.mean(0)).square().mean()) or 1.0
        return GaussianClasses(means, squares, count, torch.full_like(pooled, variance))
    pooled = pooled.clamp_min(FLOOR * float(pooled.mean()))
    strength, location = prior_of(pooled, torch.full_like(pooled, freedom))
    return GaussianClasses(means, squares, count, (strength * location + freedom * pooled) / (strength + freedom))


@dataclass(frozen=True)
class Gaussian(HeadAlgorithm):
    """Each class is a Gaussian with independent dimensions.

    strength: how many images the pooled variances count for against a class's own.
    normalise: scale every feature vector to length one first.
    """

    name: ClassVar[str] = "gaussian"
    summary: ClassVar[str] = "a diagonal Gaussian for each class, its variances by empirical Bayes"
    paper: ClassVar[str] = "Smyth 2004, SAGMB 3(1)"

    strength: float = 100.0
    normalise: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.strength < math.inf:
            raise ValueError("strength must be positive")

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row gaussian.
        shots = task.images / task.ways
        score = 0.4 if shots < 2 else 0.55 if shots < 10 else 0.65
        macs = 20 * task.images * task.features * task.ways
        reason = f"means and variances need {shots:.1f} images per class and no more"
        return Bid(score, reason, 5e-3 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        x = self._embed(features).double()  # (N, D)
        classes = estimate(x, labels, ways)
        density = _density(classes, self.strength)
        alone = _alone(classes, self.strength, x, labels)
        # Independence makes the densities too sure: a scale puts it right.
        scale = scale_without_each(_log_density(density, x), alone, labels)
        return {name: (value if name == "centre" else value * scale).float() for name, value in density.items()}

    def score(self, state: State, features: Tensor) -> Tensor:
        return _log_density(state, self._embed(features))  # (N, K)

    def _embed(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1) if self.normalise else features


def _density(classes: GaussianClasses, strength: float) -> State:
    """The log-density of each class as a polynomial in the offset from a centre, where float32 is enough."""
    variances = classes.variances(strength)
    centre = classes.means.mean(0)  # (D,)
    offset = classes.means - centre
    constant = -(offset.square() / variances + variances.log()).sum(1) / 2  # (K,)
    return {"centre": centre, "square": -0.5 / variances.T, "linear": (offset / variances).T, "constant": constant}


def _log_density(density: State, x: Tensor) -> Tensor:
    """Up to a constant: x (N, D) -> (N, K)."""
    offset = x - density["centre"]
    return offset.square() @ density["square"] + offset @ density["linear"] + density["constant"]


def _alone(classes: GaussianClasses, strength: float, x: Tensor, labels: Tensor) -> Tensor:
    """(N,): log-densities of images in their own class, had they not been in it, up to the same constant."""
    count = classes.count[labels].clamp_min(2)  # (N, 1)
    residual = x - classes.means[labels]  # (N, D) from the mean with the image; count / (count - 1) of it without
    squares = (classes.squares[labels] - count / (count - 1) * residual.square()).clamp_min(0)
    variances = (strength * classes.prior + squares) / (strength + count - 2)
    return -((count / (count - 1) * residual).square() / variances + variances.log()).sum(1) / 2


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Gaussian]
