"""Prototypical Networks: an image belongs to the class whose mean is nearest.

Snell et al. 2017, "Prototypical Networks for Few-shot Learning" (arXiv:1703.05175); on a network that was trained
otherwise it is the nearest class mean classifier of Mensink et al. 2013, "Distance-Based Image Classification:
Generalizing to New Classes at Near-Zero Cost" (TPAMI 35).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.domain import Task
from learnd.learning.algorithm import Algorithm, Bid, Context, State, seconds_for
from learnd.learning.calibrate import best_scale
from learnd.learning.headlearner import HeadLearner
from learnd.learning.heads import class_means, linear, prototype_head
from learnd.learning.hooks import hookimpl
from learnd.learning.inner import Tensors

SCALES = torch.logspace(-2, 2, 33)  # of the scores, in units of their own spread
UNMEASURED = 5.0  # the scale where every class has one image
LOG_SCALE = "log_scale"
COSINE_START = 10.0  # where meta-training starts the scale of a cosine


@dataclass(frozen=True)
class ProtoNet(HeadLearner):
    """Nearest class mean, and the outer loop that trains a network for it.

    metric: "cosine" (angle; the length of a feature does not matter) or "euclidean" (squared distance: the paper's).
    """

    name: ClassVar[str] = "protonet"
    summary: ClassVar[str] = "nearest class mean on features that may be meta-trained for it"
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
        prototypes = class_means(x, labels, ways)  # (K, D)
        count = torch.bincount(labels, minlength=ways)  # (K,)
        scores = self._compare(x, prototypes)  # (N, K)
        spread = scores.std(1).mean().clamp_min(1e-6)
        many = count[labels] > 1  # (N,)
        scale = torch.tensor(UNMEASURED, device=x.device)
        if bool(many.any()):
            kept, own = x[many], labels[many]
            left = count[own][:, None] - 1
            without = prototypes[own] + (prototypes[own] - kept) / left  # (M, D): means without the image
            held_out = scores[many].scatter(1, own[:, None], self._compare_rows(kept, without)[:, None])
            scale = best_scale(held_out / spread, own, SCALES.to(x.device))
        elif LOG_SCALE in ctx.meta:
            return {"prototypes": prototypes, "scale": self._scale(x.shape[1], ctx.meta)}
        return {"prototypes": prototypes, "scale": scale / spread}

    def score(self, state: State, features: Tensor) -> Tensor:
        return self._compare(self._embed(features), state["prototypes"]) * state["scale"]  # (N, K)

    def head_parameters(self, width: int) -> dict[str, Tensor]:
        return {LOG_SCALE: torch.tensor(1.0 if self.metric == "euclidean" else COSINE_START).log()}

    def episode_logits(self, support: Tensor, labels: Tensor, query: Tensor, ways: int, meta: Tensors) -> Tensor:
        if self.metric == "euclidean":
            return linear(query, prototype_head(support, labels, ways, meta[LOG_SCALE].exp()))  # (M, K)
        prototypes = class_means(self._embed(support), labels, ways)  # (K, D)
        return self._compare(self._embed(query), prototypes) * self._scale(query.shape[1], meta)  # (M, K)

    def _scale(self, width: int, meta: Tensors) -> Tensor:
        """The meta-learnt scale: of a squared distance it counts for the mean over the dimensions."""
        return meta[LOG_SCALE].exp() / (width if self.metric == "euclidean" else 1)

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
    return [ProtoNet]
