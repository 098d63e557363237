"""The gradient methods have all of this in common; each of them is a few settings of it, in a plugin of its own.

The network normalises with the statistics of its training, which no step changes: what is said of an image never
depends on the images beside it.  A task is learnt from the meta-learnt start of the network, with a head that
starts from the class means (or from zero), so any number of ways can be learnt from one checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.domain import Task
from learnd.learning.algorithm import Bid, Context, State, Support, seconds_for
from learnd.learning.backbones import CHUNK, Backbone
from learnd.learning.heads import linear, prototype_head, zero_head
from learnd.learning.inner import Descent, Rule, Tensors, inner_loop, inner_steps, slope
from learnd.learning.metalearner import (
    BACKBONE,
    Episodes,
    MetaLearner,
    backbone_parameters,
    for_backbone,
    over_tasks,
)

SCALE = "log_scale"


@dataclass(frozen=True)
class _Start:
    """Where a task's inner loop starts: what it adapts, and what those parameters say of images."""

    params: Tensors
    logits: Callable[[Tensors, Tensor], Tensor]  # params, images (N, C, H, H) -> (N, K)
    on_support: Callable[[Tensors], Tensor]  # params -> (N, K), for the support


@dataclass(frozen=True)
class GradientLearner(MetaLearner):
    """Gradient steps on the task's own images, from a start that was meta-learnt for it.

    steps, rate: of the inner loop.  head: what the linear head starts from.  blocks: how many of the backbone's last
    blocks are adapted with it; null: all.  first_order: without second derivatives.  anneal: share of the
    meta-training that is first-order before the second order begins; multi_step: every inner step's loss counts,
    not the last one's alone (both: Antoniou et al. 2019, "How to train your MAML", arXiv:1810.09502).
    """

    steps: int = 5
    rate: float = 0.01
    head: Literal["prototype", "zero"] = "prototype"
    blocks: int | None = None
    first_order: bool = False
    anneal: float = 0.0
    multi_step: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0 or (self.blocks is not None and self.blocks < 0):
            raise ValueError("steps and blocks must be at least 0")
        if not 0 < self.rate < 100 or not 0 <= self.anneal <= 1:
            raise ValueError("rate must lie between 0 and 100, anneal between 0 and 1")

    def rule(self) -> Rule:
        """How an inner step is made."""
        return Descent(self.rate)

    # --- a task ---------------------------------------------------------------------------------------------------

    def bid(self, task: Task) -> Bid:
        learnt = self.name in task.meta_learnt
        shots = task.images / task.ways
        score = (0.7 if shots < 10 else 0.55) if learnt else 0.2
        start = "from a start meta-learnt for it" if learnt else "though nothing was meta-learnt for this backbone"
        depth = 1.0 if self.blocks == 0 else 3.0 * self.steps
        macs = task.images * (depth * task.macs + self.steps * 6 * task.features * task.ways)
        return Bid(score, f"{self.steps} gradient steps, {start}", 0.005 * self.steps + seconds_for(macs, task.device))

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        meta = {name: value.detach() for name, value in self.meta_of(backbone).items()}
        with torch.no_grad():
            start = self._start(backbone, meta, support.images, support.labels, support.ways)
            seen = self._in_chunks(backbone, meta, support, ctx)
            params = inner_loop(start.params, meta, seen, self.steps, self.rule())
        own = {BACKBONE + name: value for name, value in backbone.module.named_parameters()}
        final = {**{name: value for name, value in meta.items() if name in own}, **params}
        changes = {name: value - own[name] if name in own else value for name, value in final.items()}
        return {name: value.detach() for name, value in changes.items() if name not in own or bool(value.any())}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        own = dict(backbone.module.named_parameters())
        with torch.no_grad():
            changed = {name: own[name] + change for name, change in for_backbone(state).items()}
            return linear(backbone.embed(images, changed), state)  # (N, K)

    def _in_chunks(
        self, backbone: Backbone, meta: Tensors, support: Support, ctx: Context
    ) -> Callable[[Tensors], tuple[Tensors, Tensor]]:
        """What all of the support says, CHUNK images at a time: a task may have more than fit a graph."""
        count = len(support.labels)
        body = for_backbone(meta)

        def ask(params: Tensors) -> tuple[Tensors, Tensor]:
            total: dict[str, Tensor] = {}
            loss = torch.zeros((), device=support.labels.device)
            for rows in torch.arange(count).split(CHUNK):
                ctx.check()
                images, labels = support.images[rows], support.labels[rows]

                def loss_of(params: Tensors, images: Tensor = images, labels: Tensor = labels) -> Tensor:
                    features = backbone.features_of(images, {**body, **for_backbone(params)})
                    return F.cross_entropy(linear(features, params), labels, reduction="sum") / count

                gradients, part = slope(loss_of, first_order=True)(params)
                loss = loss + part
                total = {name: total[name] + value if total else value for name, value in gradients.items()}
            return total, loss

        return ask

    # --- the outer loop -------------------------------------------------------------------------------------------

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        return {**backbone_parameters(backbone), SCALE: torch.zeros((), device=backbone.device)}

    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        first_order = self.first_order or episodes.progress < self.anneal

        def task_loss(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
            start = self._start(backbone, meta, support, labels, episodes.ways)

            def loss_of(params: Tensors) -> Tensor:
                return F.cross_entropy(start.on_support(params), labels)

            path = list(inner_steps(start.params, meta, slope(loss_of, first_order), self.steps, self.rule()))
            counted = path if self.multi_step and path else (path or [start.params])[-1:]
            losses = [F.cross_entropy(start.logits(params, query), query_labels) for params in counted]
            return torch.stack(losses).mean()

        return over_tasks(task_loss, episodes)

    def _start(self, backbone: Backbone, meta: Tensors, images: Tensor, labels: Tensor, ways: int) -> _Start:
        body = for_backbone(meta)
        features = backbone.features_of(images, body)  # (N, D)
        head = (
            prototype_head(features, labels, ways, meta[SCALE].exp())
            if self.head == "prototype"
            else zero_head(features, ways)
        )
        inner = self._inner(backbone, meta)

        def logits(params: Tensors, images: Tensor) -> Tensor:
            return linear(backbone.features_of(images, {**body, **for_backbone(params)}), params)

        def on_support(params: Tensors) -> Tensor:
            return logits(params, images) if inner else linear(features, params)

        return _Start({**inner, **head}, logits, on_support)

    def _inner(self, backbone: Backbone, meta: Tensors) -> dict[str, Tensor]:
        """The network's parameters that the inner loop adapts."""
        blocks = backbone.blocks if self.blocks is None else backbone.blocks[: self.blocks]
        prefixes = tuple(prefix for block in blocks for prefix in block)
        return {
            BACKBONE + name: meta.get(BACKBONE + name, value)
            for name, value in backbone.module.named_parameters()
            if name.startswith(prefixes)
        }

