"""Nearest class mean by angle, seen from the centre of the support.

Wang et al. 2019, "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning" (CL2N,
arXiv:1911.04623).  Features of a network that was not meta-trained lie in a narrow cone: from its origin all angles
are small.  The paper takes the centre of the training classes; a task folder has its support.
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
    class_means,
    hookimpl,
    scale_without_each,
    seconds_for,
)


@dataclass(frozen=True)
class Cosine(HeadAlgorithm):
    """An image belongs to the class whose mean lies in the most similar direction.

    centre: directions start from the centre of the support, not from the origin of the features.
    """

    name: ClassVar[str] = "cosine"
    summary: ClassVar[str] = "nearest class mean by angle on frozen features"
    paper: ClassVar[str] = "Wang et al. 2019, arXiv:1911.04623"

    centre: bool = True

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row cosine.
        shots = task.images / task.ways
        score = 0.75 if shots < 5 else 0.7
        reason = f"directions of class means need few images, and there are {shots:.1f} a class"
        macs = 4 * task.images * task.features * task.ways
        return Bid(score, reason, 1e-3 + seconds_for(macs, task.device))

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        unit = F.normalize(features, dim=1)
        centre = class_means(unit, labels, ways).mean(0) * self.centre  # (D,)
        x = F.normalize(unit - centre, dim=1)  # (N, D)
        means = class_means(x, labels, ways)  # (K, D)
        prototypes = F.normalize(means, dim=1)
        rest = torch.bincount(labels, minlength=ways)[labels] - 1  # (N,)
        without = means[labels] + (means[labels] - x) / rest.clamp_min(1)[:, None]  # (N, D): means without the image
        alone = (x * F.normalize(without, dim=1)).sum(1)
        scale = scale_without_each(x @ prototypes.T, alone, labels)
        return {"centre": centre, "prototypes": prototypes, "scale": scale}

    def score(self, state: State, features: Tensor) -> Tensor:
        x = F.normalize(F.normalize(features, dim=1) - state["centre"], dim=1)
        return x @ state["prototypes"].T * state["scale"]  # (N, K)


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Cosine]
