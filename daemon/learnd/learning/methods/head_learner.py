"""Metric and closed-form methods with an outer loop: the network is trained so that a head without training fits.

An episode's support and query go through the network together, as in the papers; the head then is one differentiable
expression of the support's features.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Context, HeadAlgorithm, State, Support
from learnd.learning.contract.meta_learner import (
    BACKBONE,
    Episodes,
    MetaLearner,
    backbone_parameters,
    for_backbone,
    over_tasks,
)
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors


class HeadLearner(MetaLearner, HeadAlgorithm):
    """A head on features whose outer loop trains the network, and a few parameters of the head's own.

    `fit` finds what was meta-learnt in ctx.meta.  If that holds weights of the network, the state keeps how far
    they are from the backbone's, so that it predicts by itself.
    """

    batch_statistics: ClassVar[bool] = True

    @abstractmethod
    def head_parameters(self, width: int) -> dict[str, Tensor]:
        """Where the outer loop starts, besides the network; width: of the features.  float32, on the CPU."""

    @abstractmethod
    def episode_logits(self, support: Tensor, labels: Tensor, query: Tensor, ways: int, meta: Tensors) -> Tensor:
        """support (N, D), labels int64 (N,), query (M, D), float32 -> logits (M, K), differentiable and vmappable."""

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        own = {name: value.to(backbone.device) for name, value in self.head_parameters(backbone.features).items()}
        return {**backbone_parameters(backbone), **own}

    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        count = episodes.support_labels.shape[1]
        images = torch.cat([episodes.support, episodes.query], 1)  # (B, N + M, C, H, H)
        # One pass for all tasks: batch norm may move its statistics, which it cannot under vmap.
        features = backbone.features_of(images.flatten(0, 1), for_backbone(meta)).float()
        support, query = features.unflatten(0, images.shape[:2]).split([count, images.shape[1] - count], 1)
        embedded = Episodes(support, episodes.support_labels, query, episodes.query_labels, episodes.ways)

        def task_loss(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
            return F.cross_entropy(self.episode_logits(support, labels, query, episodes.ways, meta), query_labels)

        with torch.autocast(features.device.type, enabled=False):  # distances and solvers need float32
            return over_tasks(task_loss, embedded)

    def phase(self, progress: float) -> Hashable | None:
        return True

    def reads_features(self, backbone: Backbone) -> bool:
        kind = type(self)
        usual = kind.adapt is HeadLearner.adapt and kind.predict is HeadLearner.predict
        return usual and not for_backbone(backbone.meta.get(self.name, {}))

    @torch.no_grad()
    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        body = for_backbone(backbone.meta.get(self.name, {}))
        features = backbone.embed(support.images, body) if body else support.features  # (N, D)
        own = backbone.module.state_dict()
        changes = {BACKBONE + name: value.detach() - own[name] for name, value in body.items()}
        return {**self.fit(features, support.labels, support.ways, ctx.on(backbone, self.name)), **changes}

    @torch.no_grad()
    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        own = backbone.module.state_dict()
        body = {name: own[name] + change for name, change in for_backbone(state).items()}
        return self.score(state, backbone.embed(images, body or None))
