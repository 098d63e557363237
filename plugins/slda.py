"""Shrunk linear discriminant analysis on frozen features: class means, and one covariance for all classes.

Hayes and Kanan 2020, "Lifelong Machine Learning with Deep Streaming Linear Discriminant Analysis"
(arXiv:1909.01520).  Few images say little of a covariance: it is shrunk towards a multiple of the identity (Ledoit
and Wolf 2004, JMVA 88), and leaving out one image at a time, in closed form, says how far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.plugin import (
    DEFAULT_SCALE,
    Algorithm,
    Bid,
    Context,
    HeadAlgorithm,
    State,
    Task,
    class_means,
    held_out_losses,
    hookimpl,
    principal,
    seconds_for,
)

SLDA_SHRINKAGES = (0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0)
SLDA_SCALES = torch.logspace(-3, 0.5, 29, dtype=torch.float64)


@dataclass(frozen=True)
class SldaSolution:
    """The discriminant at several shrinkages at once.

    weights: (L, D, K) and bias: (L, K), for features as they are.  held_out: (L, N, K), what each image would have
    been given, up to a number of its own, had it not been among those fitted (freedom and the target of the
    shrinkage left as they are); of the only image of a class it means nothing.
    """

    weights: Tensor
    bias: Tensor
    held_out: Tensor


def solve(x: Tensor, labels: Tensor, ways: int, shrinkages: Tensor) -> SldaSolution:
    """Scores -(x - m_k)' C^-1 (x - m_k) / 2 with C = (1 - s) S + s tr(S)/D I, for each shrinkage s of (L,) in (0, 1].

    x: float64 (N, D); labels: int64 (N,).  S is the covariance within classes; where no class has two images, or
    they are equal, that of the class means stands in for its trace and nothing for S.
    """
    centre = x.mean(0)
    basis, _ = principal(x - centre)  # (D, R): what is outside of it is the same to every class
    within = (x - class_means(x, labels, ways)[labels]) @ basis  # (N, R)
    freedom = max(len(x) - ways, 1)
    power, axes = torch.linalg.eigh(within.T @ within / freedom)  # (R,), (R, R)
    power = power.clamp_min(0)
    basis = basis @ axes
    p, r = (x - centre) @ basis, within @ axes  # (N, R)
    m = class_means(p, labels, ways)  # (K, R)
    trace = float(power.sum()) or float(m.square().sum(1).mean()) or 1.0
    inverse = 1 / ((1 - shrinkages)[:, None] * power + shrinkages[:, None] * trace / x.shape[1])  # (L, R)
    weights = basis @ (inverse[:, :, None] * m.T)  # (L, D, K)
    inner = -(inverse @ m.square().T) / 2  # (L, K)
    scores = (p * inverse[:, None]) @ m.T + inner[:, None] - (inverse @ p.square().T)[:, :, None] / 2  # (L, N, K)
    # Without an image the mean of its class moves, and C loses c r r'; its inverse gains by Sherman and Morrison.
    count = torch.bincount(labels, minlength=ways)[labels].clamp_min(2).to(x.dtype)  # (N,)
    kept = count / (count - 1)
    lost = (1 - shrinkages)[:, None] * kept / freedom  # (L, N)
    length = inverse @ r.square().T  # (L, N)
    gain = lost / (1 - lost * length)
    along = (inverse @ (p * r).T)[:, :, None] - (r * inverse[:, None]) @ m.T  # (L, N, K)
    others = scores - gain[:, :, None] * along.square() / 2
    own = -kept.square() * (length + gain * length.square()) / 2  # (L, N)
    held_out = torch.where(F.one_hot(labels, ways).bool(), own[:, :, None], others)
    return SldaSolution(weights, inner - centre @ weights, held_out)


@dataclass(frozen=True)
class SLDA(HeadAlgorithm):
    """A linear classifier from class means and a shared covariance.

    shrinkage: of the covariance towards the identity, in (0, 1]; null: chosen by leave-one-out.
    normalise: scale every feature vector to length one first.
    """

    name: ClassVar[str] = "slda"
    summary: ClassVar[str] = "shrunk linear discriminant on frozen features"
    paper: ClassVar[str] = "Hayes and Kanan 2020, arXiv:1909.01520"

    shrinkage: float | None = None
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 < self.shrinkage <= 1:
            raise ValueError("shrinkage must lie above 0, and be at most 1")

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row slda.
        shots = task.images / task.ways
        score = 0.5 if shots < 2 else 0.65 if shots < 10 else 0.75
        small = min(task.images, task.features)
        macs = 2 * task.images * task.features * small + 40 * small**3 + 40 * task.images * small * task.ways
        reason = f"class means, distinguished where images of a class vary least, of {shots:.1f} a class"
        return Bid(score, reason, 8e-3 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        x = self._embed(features).double()  # (N, D)
        many = torch.bincount(labels, minlength=ways)[labels] > 1  # (N,)
        measurable = bool(many.any())
        grid = (self.shrinkage,) if self.shrinkage else SLDA_SHRINKAGES if measurable else (1.0,)
        solution = solve(x, labels, ways, torch.tensor(grid, dtype=x.dtype, device=x.device))
        if measurable:
            scales = SLDA_SCALES.to(x.device)
            losses = torch.stack([held_out_losses(s[many], labels[many], scales) for s in solution.held_out])
            best, which = divmod(int(losses.argmin()), len(scales))  # losses: (L, S)
            scale = float(scales[which])
        else:
            spread = (x @ solution.weights[0] + solution.bias[0]).std(1).mean().clamp_min(1e-6)
            best, scale = 0, DEFAULT_SCALE / float(spread)
        return {"weights": (solution.weights[best] * scale).float(), "bias": (solution.bias[best] * scale).float()}

    def score(self, state: State, features: Tensor) -> Tensor:
        return self._embed(features) @ state["weights"] + state["bias"]  # (N, K)

    def _embed(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1) if self.normalise else features


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [SLDA]
