"""Feature extraction: multinomial logistic regression on frozen features.

The standard probe (Alain and Bengio 2017, arXiv:1610.01644; Kornblith et al. 2019, arXiv:1805.08974).  It is fitted
by Boehning's quadratic bound (1992, "Multinomial logistic regression algorithm", AISM 44): no Hessian is above half
the features' second moment, which is diagonal on the principal axes of the support, so a step divides by numbers.
All strengths and all folds that choose among them are fitted at once.
"""

from __future__ import annotations

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
    held_out_losses,
    hookimpl,
    principal,
    seconds_for,
)

PROBE_STRENGTHS = (0.001, 0.01, 0.1)
DEFAULT_STRENGTH = 0.001  # the strength where nothing can be held out, or that costs too much
FOLDS = 5
AFFORDABLE = 5e9  # multiply-adds that the choice of a strength may cost


@dataclass(frozen=True)
class LogisticRegression:
    """Weighted multinomial regression on the principal axes of a support.

    z: (N, R + 1), the coordinates and a 1; target: one-hot (N, K); weight: (N,), mean 1, the same in all for every
    class.  curvature: (R + 1,), the diagonal of z' diag(weight) z.  penalty: (R + 1,) of a strength of 1.
    """

    z: Tensor
    target: Tensor
    weight: Tensor
    curvature: Tensor
    penalty: Tensor


def pose(x: Tensor, labels: Tensor, ways: int) -> tuple[LogisticRegression, Tensor, Tensor]:
    """The problem of features float64 (N, D), the axes (D, R) and the centre (D,) of its coordinates.

    A strength counts in mean squared distances of a feature from the centre; the bias is not penalised.
    """
    target = F.one_hot(labels, ways).to(x.dtype)
    count = target.sum(0)
    weight = (len(x) / (ways * count))[labels]  # (N,)
    centre = (weight[:, None] * x).mean(0)
    a = weight.sqrt()[:, None] * (x - centre)
    axes, power = principal(a)
    one = x.new_ones(len(x), 1)
    spread = a.square().sum(1).mean().clamp_min(1e-12)
    z = torch.cat([(x - centre) @ axes, one], 1)
    curvature = torch.cat([power, one[0] * len(x)])
    penalty = torch.cat([spread.expand(len(power)), one.new_zeros(1)])
    return LogisticRegression(z, target, weight, curvature, penalty), axes, centre


def minimise(problem: LogisticRegression, strengths: Tensor, keep: Tensor, steps: int, ctx: Context) -> Tensor:
    """Weights (P, R + 1, K) that minimise, for each strength (P,), cross-entropy plus strength * penalty * |W|^2 / 2.

    keep: (P, N), 1 for the images that count and 0 for those held out.  Accelerated steps, restarted where momentum
    leads uphill (O'Donoghue and Candes 2015, arXiv:1204.3982).
    """
    penalty = strengths[:, None, None] * problem.penalty[:, None]  # (P, R + 1, 1)
    bound = problem.curvature[:, None] / 2 + penalty  # (P, R + 1, 1)
    weight = (keep * problem.weight)[:, :, None]  # (P, N, 1)
    now = ahead = problem.z.new_zeros(len(strengths), problem.z.shape[1], problem.target.shape[1])
    age = now.new_ones(len(strengths), 1, 1)
    for _ in range(steps):
        ctx.check()
        wrong = (problem.z @ ahead).softmax(2) - problem.target  # (P, N, K)
        gradient = problem.z.T @ (weight * wrong) + penalty * ahead  # (P, R + 1, K)
        after = ahead - gradient / bound
        uphill = (gradient * (after - now)).sum((1, 2), keepdim=True) > 0
        older = torch.where(uphill, 1.0, (1 + (1 + 4 * age.square()).sqrt()) / 2)
        ahead = after + torch.where(uphill, 0.0, (age - 1) / older) * (after - now)
        now, age = after, older
    return now


@dataclass(frozen=True)
class LinearProbe(HeadAlgorithm):
    """Logistic regression, with a penalty on the squared weights.

    strength: of the penalty, relative to the spread of the features; null: chosen on held-out images.
    steps: of the minimisation.  normalise: scale every feature vector to length one first.
    """

    name: ClassVar[str] = "linear_probe"
    summary: ClassVar[str] = "logistic regression on frozen features (feature extraction)"
    paper: ClassVar[str] = "Kornblith et al. 2019, arXiv:1805.08974"

    strength: float | None = None
    steps: int = 100
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 < self.strength < float("inf"):
            raise ValueError("strength must be positive")
        if self.steps < 1:
            raise ValueError("steps must be at least 1")

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row linear_probe.
        shots = task.images / task.ways
        score = 0.6 if shots < 5 else 0.7 if shots < 10 else 0.75
        small = min(task.images, task.features)
        macs = task.images * task.features * small + 20 * small**3 + self._cost(task.images, small, task.ways, 1)
        held_out = self._held_out_cost(task.images, small, task.ways)
        overhead = (2 if held_out else 1) * 6e-4 * self.steps
        reason = f"a linear head fitted to what is hard to tell, of {shots:.1f} images per class"
        return Bid(score, reason, overhead + seconds_for(macs + held_out, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        x = self._embed(features).double()  # (N, D)
        problem, axes, centre = pose(x, labels, ways)
        strength = x.new_tensor([self._strength(problem, labels, _folds(x, labels, ways), ctx)])
        whole = minimise(problem, strength, problem.weight.new_ones(1, len(labels)), self.steps, ctx)[0]  # (R + 1, K)
        weights = axes @ whole[:-1]  # (D, K)
        return {"weights": weights.float(), "bias": (whole[-1] - centre @ weights).float()}

    def score(self, state: State, features: Tensor) -> Tensor:
        return self._embed(features) @ state["weights"] + state["bias"]  # (N, K)

    def _strength(self, problem: LogisticRegression, labels: Tensor, folds: Tensor, ctx: Context) -> float:
        if self.strength is not None:
            return self.strength
        count, small = problem.z.shape
        ways = problem.target.shape[1]
        if not len(folds) or not self._held_out_cost(count, small, ways):
            return DEFAULT_STRENGTH
        strengths = torch.tensor(PROBE_STRENGTHS, dtype=problem.z.dtype, device=labels.device)
        keep = 1 - folds.repeat(len(strengths), 1).to(problem.z.dtype)  # (L * F, N)
        weights = minimise(problem, strengths.repeat_interleave(len(folds)), keep, self.steps, ctx)
        logits = (problem.z @ weights).unflatten(0, (len(strengths), -1))  # (L, F, N, K)
        fold, row = folds.nonzero(as_tuple=True)  # (M,) each: a fold, and an image that it holds out
        one = strengths.new_ones(1)
        losses = [held_out_losses(each[fold, row], labels[row], one)[0] for each in logits]
        return PROBE_STRENGTHS[int(torch.stack(losses).argmin())]

    def _cost(self, images: int, small: int, ways: int, problems: int) -> float:
        return 2.0 * self.steps * problems * images * small * ways

    def _held_out_cost(self, images: int, small: int, ways: int) -> float:
        """Multiply-adds of choosing the strength; 0 where it is not chosen as that would cost too much."""
        cost = self._cost(images, small, ways, FOLDS * len(PROBE_STRENGTHS))
        return cost if self.strength is None and cost <= AFFORDABLE else 0.0

    def _embed(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1) if self.normalise else features


def _folds(x: Tensor, labels: Tensor, ways: int) -> Tensor:
    """bool (F, N): who is held out together; every class keeps an image, and F is 0 where none can be held out.

    The images of a class are dealt out by the sums of their features: whatever order they came in.
    """
    order = x.sum(1).argsort()
    member = F.one_hot(labels[order], ways)  # (N, K)
    rank = torch.empty_like(labels)
    rank[order] = (member.cumsum(0) * member).sum(1) - 1  # (N,): the how manyth of its class
    many = (member.sum(0) > 1)[labels]
    folds = (rank % FOLDS == torch.arange(FOLDS, device=labels.device)[:, None]) & many  # (F, N)
    return folds[folds.any(1)]


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [LinearProbe]
