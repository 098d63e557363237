"""Nearest class mean on the frozen features.

Snell et al. 2017, "Prototypical Networks for Few-shot Learning" (arXiv:1703.05175); Mensink et al. 2013,
"Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost" (TPAMI 35).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.domain import Task
from learnd.learning.algorithm import Algorithm, Bid, Context, HeadAlgorithm, State, seconds_for
from learnd.learning.calibrate import best_scale
from learnd.learning.hooks import hookimpl

SCALES = torch.logspace(-2, 2, 33)  # of the scores, in units of their own spread
UNMEASURED = 5.0  # the scale where every class has one image


@dataclass(frozen=True)
class Prototypes(HeadAlgorithm):
    """An image belongs to the class whose mean is nearest.

    metric: "cosine" (angle; the length of a feature does not matter) or "euclidean" (squared distance).
    """

    name: ClassVar[str] = "prototypes"
    summary: ClassVar[str] = "nearest class mean on frozen features"
    paper: ClassVar[str] = "Snell et al. 2017, arXiv:1703.05175"

    metric: Literal["cosine", "euclidean"] = "cosine"

    def bid(self, task: Task) -> Bid:
        shots = task.images / task.ways
        score = 0.75 if shots < 5 else 0.6
        reason = f"class means need few images, and there are {shots:.1f} a class"
        macs = 4 * task.images * task.features * task.ways
        return Bid(score, reason, 2e-4 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        x = self._embed(features)  # (N, D)
        member = F.one_hot(labels, ways).to(x.dtype)  # (N, K)
        count = member.sum(0)  # (K,)
        total = member.T @ x  # (K, D)
        prototypes = total / count[:, None]  # (K, D)
        scores = self._compare(x, prototypes)  # (N, K)
        spread = scores.std(1).mean().clamp_min(1e-6)
        many = count[labels] > 1  # (N,)
        scale = torch.tensor(UNMEASURED, device=x.device)
        if bool(many.any()):
            kept, own = x[many], labels[many]
            without = (total[own] - kept) / (count[own] - 1)[:, None]  # (M, D): means without the image
            held_out = scores[many].scatter(1, own[:, None], self._compare_rows(kept, without)[:, None])
            scale = best_scale(held_out / spread, own, SCALES.to(x.device))
        return {"prototypes": prototypes, "scale": scale / spread}

    def score(self, state: State, features: Tensor) -> Tensor:
        return self._compare(self._embed(features), state["prototypes"]) * state["scale"]  # (N, K)

    def _embed(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1) if self.metric == "cosine" else features

    def _compare(self, x: Tensor, prototypes: Tensor) -> Tensor:
        """(N, D), (K, D) -> (N, K), the higher the nearer."""
        if self.metric == "cosine":
            return x @ F.normalize(prototypes, dim=1).T
        return -(x.square().sum(1)[:, None] - 2 * x @ prototypes.T + prototypes.square().sum(1))

    def _compare_rows(self, x: Tensor, prototypes: Tensor) -> Tensor:
        """(N, D), (N, D) -> (N,): each image with a prototype of its own."""
        if self.metric == "cosine":
            return (x * F.normalize(prototypes, dim=1)).sum(1)
        return -(x - prototypes).square().sum(1)


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Prototypes]
