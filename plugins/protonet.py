"""Prototypical Networks: an image belongs to the class whose mean is nearest, by squared Euclidean distance.

Snell et al. 2017, "Prototypical Networks for Few-shot Learning" (arXiv:1703.05175).  It shines on a network that was
meta-trained for it; on another, `cosine` is the nearest class mean to try.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learnd.plugin import (
    LOG_SCALE,
    Algorithm,
    Bid,
    Context,
    HeadLearner,
    State,
    Task,
    Tensors,
    class_means,
    hookimpl,
    linear,
    prototype_head,
    scale_without_each,
    seconds_for,
)


@dataclass(frozen=True)
class ProtoNet(HeadLearner):
    """Nearest class mean, and the outer loop that trains a network for it."""

    name: ClassVar[str] = "protonet"
    summary: ClassVar[str] = "nearest class mean on features that may be meta-trained for it"
    paper: ClassVar[str] = "Snell et al. 2017, arXiv:1703.05175"

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row protonet.
        shots = task.images / task.ways
        score = (0.85 if shots < 5 else 0.8) if self.name in task.meta_learnt else 0.65
        reason = f"class means need few images, and there are {shots:.1f} a class"
        macs = 4 * task.images * task.features * task.ways
        return Bid(score, reason, 1e-3 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        prototypes = class_means(features, labels, ways)  # (K, D)
        scores = _nearness(features, prototypes)  # (N, K)
        count = torch.bincount(labels, minlength=ways)[labels]  # (N,)
        if LOG_SCALE in ctx.meta and int(count.max()) == 1:
            return {"prototypes": prototypes, "scale": ctx.meta[LOG_SCALE].exp() / features.shape[1]}
        # Without an image, the mean of its class is farther from it by n / (n - 1).
        own = scores.gather(1, labels[:, None])[:, 0] * (count / (count - 1).clamp_min(1)).square()
        return {"prototypes": prototypes, "scale": scale_without_each(scores, own, labels)}

    def score(self, state: State, features: Tensor) -> Tensor:
        return _nearness(features, state["prototypes"]) * state["scale"]  # (N, K)

    def head_parameters(self, width: int) -> dict[str, Tensor]:
        return {LOG_SCALE: torch.tensor(0.0)}

    def episode_logits(self, support: Tensor, labels: Tensor, query: Tensor, ways: int, meta: Tensors) -> Tensor:
        return linear(query, prototype_head(support, labels, ways, meta[LOG_SCALE].exp()))  # (M, K)


def _nearness(x: Tensor, prototypes: Tensor) -> Tensor:
    """Minus the squared distances: (N, D), (K, D) -> (N, K)."""
    return -(x.square().sum(1)[:, None] - 2 * x @ prototypes.T + prototypes.square().sum(1))


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [ProtoNet]
