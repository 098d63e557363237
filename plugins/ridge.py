"""A closed-form head: ridge regression on one-hot targets, on features that may be meta-trained for it.

Bertinetto et al. 2019, "Meta-learning with differentiable closed-form solvers" (R2-D2, arXiv:1805.08136).  Its outer
loop learns the strength and the scale with the network; the paper's bias, one number for all classes, is left out, as
a softmax does not see it.
The leave-one-out predictions of ridge regression cost nothing extra (Golub, Heath and Wahba 1979): they choose
the strength of the regularisation and the scale of the logits.
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
    HeadLearner,
    State,
    Task,
    Tensors,
    held_out_losses,
    hookimpl,
    principal,
    seconds_for,
)

RIDGE_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
RIDGE_DEFAULTS = (0.3, 12.0)  # strength and scale where every class has one image
LOG_STRENGTH, LOG_SCALE = "log_lambda", "log_scale"
RIDGE_SCALES = torch.logspace(0, 2, 21, dtype=torch.float64)


@dataclass(frozen=True)
class RidgeSolution:
    """Ridge regression at several strengths at once.

    weights: (L, D, K) and bias: (L, K), for features as they are.  held_out: (L, N, K), what each image would
    have been given had it not been among those fitted (penalty and class weights left as they are).
    """

    weights: Tensor
    bias: Tensor
    held_out: Tensor


def solve(x: Tensor, labels: Tensor, ways: int, strengths: Tensor) -> RidgeSolution:
    """Minimise sum_i w_i |x_i W + b - y_i|^2 + strength * s * |W|^2 with one-hot y, for each strength.

    x: float64 (N, D); labels: int64 (N,); strengths: (L,), positive.  w gives every class the same weight; s is
    the mean squared distance of a feature from the mean, so that a strength means the same on any backbone.
    """
    targets = F.one_hot(labels, ways).to(x.dtype)  # (N, K)
    counts = targets.sum(0)
    w = (len(x) / (counts.numel() * counts))[labels]  # (N,), mean 1
    centre = (w[:, None] * x).mean(0)  # (D,)
    prior = (w[:, None] * targets).mean(0)  # (K,)
    a = w.sqrt()[:, None] * (x - centre)  # (N, D)
    y = w.sqrt()[:, None] * (targets - prior)  # (N, K)
    penalty = strengths * a.square().sum(1).mean().clamp_min(1e-12)  # (L,)
    basis, power = principal(a)  # (D, R), (R,): the columns span the features
    projected = a @ basis  # (N, R)
    shrink = 1 / (power + penalty[:, None])  # (L, R)
    inner = shrink[:, :, None] * (projected.T @ y)  # (L, R, K)
    weights = basis @ inner  # (L, D, K)
    fitted = (projected @ inner) / w.sqrt()[:, None] + prior  # (L, N, K)
    leverage = w / len(x) + shrink @ projected.square().T  # (L, N)
    rest = (1 - leverage).clamp_min(1e-9)[:, :, None]
    held_out = (fitted - leverage[:, :, None] * targets) / rest
    return RidgeSolution(weights, prior - centre @ weights, held_out)


@dataclass(frozen=True)
class Ridge(HeadLearner):
    """A linear classifier fitted by ridge regression.

    strength: of the regularisation, relative to the spread of the features; null: chosen by leave-one-out.
    normalise: scale every feature vector to length one first.
    """

    name: ClassVar[str] = "ridge"
    summary: ClassVar[str] = "closed-form linear head on features that may be meta-trained for it"
    paper: ClassVar[str] = "Bertinetto et al. 2019, arXiv:1805.08136"

    strength: float | None = None
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 < self.strength < float("inf"):
            raise ValueError("strength must be positive")

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row ridge.
        shots = task.images / task.ways
        score = 0.7 if shots < 5 else 0.8
        if self.name in task.meta_learnt:
            score += 0.05
        small = min(task.images, task.features)
        macs = task.images * task.features * small + 20 * small**3 + 6 * task.images * small * task.ways
        reason = f"a linear head weighs the features, with {shots:.1f} images per class to fit it"
        return Bid(score, reason, 4e-3 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        x = self._embed(features).double()  # (N, D)
        default, scale = (
            (float(ctx.meta[key].exp()) for key in (LOG_STRENGTH, LOG_SCALE)) if ctx.meta else RIDGE_DEFAULTS
        )
        many = torch.bincount(labels, minlength=ways)[labels] > 1  # (N,)
        measurable = bool(many.any())
        grid = (self.strength,) if self.strength else RIDGE_STRENGTHS if measurable else (default,)
        solution = solve(x, labels, ways, torch.tensor(grid, dtype=x.dtype, device=x.device))
        best = 0
        if measurable:
            scales = RIDGE_SCALES.to(x.device)
            losses = torch.stack([held_out_losses(s[many], labels[many], scales) for s in solution.held_out])
            best, which = divmod(int(losses.argmin()), len(scales))  # losses: (L, S)
            scale = float(scales[which])
        weights, bias = solution.weights[best] * scale, solution.bias[best] * scale
        return {"weights": weights.float(), "bias": bias.float()}

    def score(self, state: State, features: Tensor) -> Tensor:
        return self._embed(features) @ state["weights"] + state["bias"]  # (N, K)

    def head_parameters(self, width: int) -> dict[str, Tensor]:
        return dict(zip((LOG_STRENGTH, LOG_SCALE), torch.tensor(RIDGE_DEFAULTS).log(), strict=True))

    def episode_logits(self, support: Tensor, labels: Tensor, query: Tensor, ways: int, meta: Tensors) -> Tensor:
        """What `solve` says where all classes have as many images, by the Woodbury identity: N x N is small."""
        x = self._embed(support)
        a = x - x.mean(0)  # (N, D)
        targets = F.one_hot(labels, ways).to(x.dtype)  # (N, K)
        penalty = meta[LOG_STRENGTH].exp() * a.square().sum(1).mean().clamp_min(1e-12)
        gram = a @ a.T + penalty * torch.eye(len(a), device=a.device)  # (N, N)
        solved, _ = torch.linalg.solve_ex(gram, targets - targets.mean(0))  # the penalty sees to it that it can be
        weights = a.T @ solved  # (D, K)
        logits: Tensor = (self._embed(query) - x.mean(0)) @ weights * meta[LOG_SCALE].exp()  # (M, K)
        return logits

    def _embed(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1) if self.normalise else features


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Ridge]
