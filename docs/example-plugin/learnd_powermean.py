"""Nearest class mean of features whose distribution was evened out by a power.

Hu, Gripon and Pateux 2021, "Leveraging the Feature Distribution in Transfer-based Few-Shot Learning" (PT,
arXiv:2006.03806), without its transductive part.  After a ReLU a few features are large and most are near 0; a square
root brings them closer to a Gaussian, for which the mean says most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.plugin import Algorithm, Bid, Context, HeadAlgorithm, State, Task, hookimpl

__learnd_contract__ = 1


@dataclass(frozen=True)
class PowerMean(HeadAlgorithm):
    """power: of the size of each feature, in (0, 1]; 1 leaves them as they are.  sharpness: of the softmax."""

    name: ClassVar[str] = "powermean"
    summary: ClassVar[str] = "nearest class mean by angle, of features to the power 0.5"
    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2006.03806"

    power: float = 0.5
    sharpness: float = 20.0

    def bid(self, task: Task) -> Bid:
        return Bid(0.6, f"{task.ways} means of {task.images} images", seconds=0.001)

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        x = self._even(features)  # (N, D)
        means = torch.stack([x[labels == k].mean(0) for k in range(ways)])  # (K, D)
        return {"means": F.normalize(means, dim=1)}

    def score(self, state: State, features: Tensor) -> Tensor:
        return self.sharpness * self._even(features) @ state["means"].T  # (N, K)

    def _even(self, features: Tensor) -> Tensor:
        """Features (N, D) to the power, each with its sign, and of length one."""
        size = F.normalize(features, dim=1).abs().clamp_min(1e-12)  # of 0 the power has no slope
        return F.normalize(features.sign() * size**self.power, dim=1)


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [PowerMean]
