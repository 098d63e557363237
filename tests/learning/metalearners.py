"""Two small algorithms with an outer loop, as a plugin file of a user's: one of each kind that the engine knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Algorithm, Bid, Context, State, Support
from learnd.learning.contract.hooks import hookimpl
from learnd.learning.contract.meta_learner import Episodes, MetaLearner, backbone_parameters, for_backbone, over_tasks
from learnd.learning.methods.gradient_learner import GradientLearner
from learnd.learning.methods.heads import class_means
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.messages.task import Task


@dataclass(frozen=True)
class OneStep(GradientLearner):
    """A gradient method: it leaves the network as it is."""

    name: ClassVar[str] = "onestep"
    summary: ClassVar[str] = "one gradient step"
    steps: int = 1


@dataclass(frozen=True)
class Nearest(MetaLearner):
    """A metric method: nearest class mean, with a network trained for it and a learned scale."""

    name: ClassVar[str] = "nearest"
    summary: ClassVar[str] = "nearest class mean"
    batch_statistics: ClassVar[bool] = True
    start: float = 0.0

    def bid(self, task: Task) -> Bid:
        return Bid(0.5, "always", 0.001)

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        scale = self.meta_of(backbone)["log_scale"].exp()
        return {"means": class_means(support.features, support.labels, support.ways), "scale": scale}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        return _logits(backbone.embed(images), state["means"], state["scale"])

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        scale = torch.tensor(self.start, device=backbone.device)
        return {**backbone_parameters(backbone), "log_scale": scale}

    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        def task_loss(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
            features = backbone.features_of(torch.cat([support, query]), for_backbone(meta)).float()
            means = class_means(features[: len(support)], labels, episodes.ways)
            return F.cross_entropy(_logits(features[len(support) :], means, meta["log_scale"].exp()), query_labels)

        return over_tasks(task_loss, episodes)


def _logits(features: Tensor, means: Tensor, scale: Tensor) -> Tensor:
    squares = (features[:, None] - means[None]).square().sum(2)  # (N, K)
    return -scale * squares / features.shape[1]


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [OneStep, Nearest]
