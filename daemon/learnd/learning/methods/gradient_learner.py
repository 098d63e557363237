"""The gradient methods have all of this in common; each of them is a few settings of it, in a plugin of its own.

The network normalises with the statistics of its training, which no step changes: what is said of an image never
depends on the images beside it.  A task is learnt from the meta-learnt start of the network, with a head that
starts from the class means (or from zero), so any number of ways can be learnt from one checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Bid, Context, State, Support, seconds_for
from learnd.learning.contract.meta_learner import (
    BACKBONE,
    Episodes,
    MetaLearner,
    backbone_parameters,
    for_backbone,
    over_tasks,
)
from learnd.learning.methods.heads import HEAD_PREFIX, LOG_SCALE, angle_head, linear, prototype_head, zero_head
from learnd.learning.methods.inner_loop import Descent, Rule, inner_loop, inner_steps
from learnd.learning.methods.task_network import InputView, TaskNetwork, WithGradient, task_network, tasks_per_pass
from learnd.learning.networks.backbone import IMAGES_PER_PASS, Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.messages.task import Task

SHARP = 10.0  # the scale of angles, if nothing was meta-learnt
MAX_ADAPTED_PARAMETERS = 1_000_000  # parameters: what is adapted of a network where no number of blocks is given


class LabelledImages(NamedTuple):
    """The images of a task, (N, C, S, S), their labels int64 (N,), and the number of its classes."""

    images: Tensor
    labels: Tensor
    ways: int


@dataclass(frozen=True)
class Fitting:
    """A task at the start of its inner loop.

    start: the parameters that are adapted, of network and head.  network: the network they are of.  parts: images and
    labels, so many at a time as fit a graph.  kept: what the start says of the parts, where it is worth keeping.
    first_order: the gradients count as constants (FOMAML), so that no second derivative is needed.  check: is called
    before each part.
    """

    start: Tensors
    network: TaskNetwork
    parts: tuple[tuple[InputView, Tensor], ...]
    kept: tuple[WithGradient, ...]
    first_order: bool
    check: Callable[[], None]

    def ask(self, params: Tensors) -> tuple[Tensors, Tensor]:
        """The gradients of the mean loss of all images, and that loss; differentiable unless first_order."""
        if not self.first_order:
            return self._ask(params)
        with torch.no_grad():  # of the outer loop: the inner one differentiates all the same
            return self._ask(params)

    def logits(self, params: Tensors, view: InputView) -> Tensor:
        """Of N images -> (N, K)."""
        return linear(view.features(network_part(params)), params)

    def _ask(self, params: Tensors) -> tuple[Tensors, Tensor]:
        inner, head = network_part(params), head_part(params)
        count = sum(len(labels) for _, labels in self.parts)
        kept = self.kept if params is self.start or not inner else ()
        total: dict[str, Tensor] = {}
        losses = []
        for number, (view, labels) in enumerate(self.parts):
            self.check()
            features, pull_back = kept[number] if kept else view.with_gradient(inner)

            def loss_of(features: Tensor, head: Tensors, labels: Tensor = labels) -> Tensor:
                return F.cross_entropy(linear(features, head), labels, reduction="sum") / count

            (of_features, of_head), loss = torch.func.grad_and_value(loss_of, argnums=(0, 1))(features, head)
            gradients = {**pull_back(of_features), **of_head}
            total = {name: total[name] + value if total else value for name, value in gradients.items()}
            losses.append(loss)
        return total, torch.stack(losses).sum()


def network_part(params: Tensors) -> dict[str, Tensor]:
    """Of the parameters, those of the network, under their names as meta-parameters."""
    return {name: value for name, value in params.items() if name.startswith(BACKBONE)}


def head_part(params: Tensors) -> dict[str, Tensor]:
    """Of the parameters, those of the head."""
    return {name: value for name, value in params.items() if name.startswith(HEAD_PREFIX)}


@dataclass(frozen=True)
class GradientLearner(MetaLearner):
    """Gradient steps on the task's own images, from a start that was meta-learnt for it.

    steps, rate: of the inner loop.  head: what the linear head starts from: "prototype", the class means; "angle", the
    same of features that are seen from their mean and have one length; "zero".  blocks: how many of the backbone's last
    blocks are adapted with it; null: as many as have a million parameters together, and at least one (all of
    conv4; of lite0 the last).  first_order: without second derivatives.  anneal: share of the
    meta-training that is first-order before the second order begins; multi_step: every inner step's loss counts,
    not the last one's alone (both: Antoniou et al. 2019, "How to train your MAML", arXiv:1810.09502).

    The state of a task holds, beside its head, how each parameter differs from the shared network's own; those that
    the outer loop alone has changed too, so that a later meta-training leaves what was learnt as it was.
    """

    steps: int = 5
    rate: float = 0.01
    head: Literal["prototype", "angle", "zero"] = "prototype"
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
        # Score and seconds: docs/results.md, "What algorithms bid", the row of each gradient method.
        learnt = self.name in task.meta_learnt
        shots = task.images / task.ways
        score = (0.7 if shots < 10 else 0.55) if learnt else 0.2
        start = "from a start meta-learnt for it" if learnt else "though nothing was meta-learnt for this backbone"
        depth = 1.0 if self.blocks == 0 else 1.0 + 3.0 * self.steps
        macs = task.images * (depth * task.macs + self.steps * 6 * task.features * task.ways)
        return Bid(score, f"{self.steps} gradient steps, {start}", 0.005 * self.steps + seconds_for(macs, task.device))

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        meta = {name: value.detach() for name, value in self.meta_of(backbone).items()}
        with torch.no_grad():
            images = LabelledImages(support.images, support.labels, support.ways)
            task = self.fitting(backbone, meta, images, True, ctx, part=IMAGES_PER_PASS)
            params = inner_loop(task.start, meta, task.ask, self.steps, self.rule())
        own = {BACKBONE + name: value for name, value in backbone.module.named_parameters()}
        final = {**{name: value for name, value in meta.items() if name in own}, **params}
        changes = {name: value - own[name] if name in own else value for name, value in final.items()}
        return {name: value.detach() for name, value in changes.items() if name not in own or bool(value.any())}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        own = dict(backbone.module.named_parameters())
        with torch.no_grad():
            changed = {name: own[name] + change for name, change in for_backbone(state).items()}
            return linear(backbone.embed(images, changed), state)  # (N, K)

    # --- the outer loop -------------------------------------------------------------------------------------------

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        return {**backbone_parameters(backbone), **self.scale(backbone)}

    def scale(self, backbone: Backbone) -> dict[str, Tensor]:
        """Where the scale of the head's distances starts, as a meta-parameter; nothing if it has none."""
        if self.head == "zero":
            return {}
        return {LOG_SCALE: _sharp(backbone) if self.head == "angle" else known_scale(backbone)}

    def phase(self, progress: float) -> Hashable | None:
        return self.first_order or progress < self.anneal

    def at_once(self, backbone: Backbone, episodes: Episodes) -> int | None:
        return tasks_per_pass(backbone, self.adapted(backbone, {}), episodes.support.shape[1])

    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        first_order = self.first_order or episodes.progress < self.anneal

        def task_loss(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
            images = LabelledImages(support, labels, episodes.ways)
            task = self.fitting(backbone, meta, images, first_order, ctx)
            path = [task.start, *inner_steps(task.start, meta, task.ask, self.steps, self.rule())]
            counted = path[1:] if self.multi_step and self.steps else path[-1:]
            asked = task.network.view(query)
            losses = [F.cross_entropy(task.logits(params, asked), query_labels) for params in counted]
            return torch.stack(losses).mean()

        return over_tasks(task_loss, episodes)

    def fitting(
        self,
        backbone: Backbone,
        meta: Tensors,
        support: LabelledImages,
        first_order: bool,
        ctx: Context,
        part: int | None = None,
    ) -> Fitting:
        """Return a task at the start of its inner loop.  part: images per forward pass (default: all)."""
        adapted = self.adapted(backbone, meta)
        network = task_network(backbone, adapted, for_backbone(meta))
        images, labels, ways = support
        inner = network.start(adapted, images)
        size = part or len(labels)
        views = [network.view(some) for some in images.split(size)]
        parts = tuple(zip(views, labels.split(size), strict=True))
        seen: list[WithGradient] = []
        features: list[Tensor] = []
        for view, _ in parts:
            ctx.check()
            now = view.with_gradient(inner)
            features.append(now[0])
            if not inner or len(parts) == 1:  # else the graphs of all parts would lie in memory at once
                seen.append(now)
        head = self._head(torch.cat(features), labels, ways, {**self.scale(backbone), **meta})
        return Fitting({**inner, **head}, network, parts, tuple(seen), first_order, ctx.check)

    def adapted(self, backbone: Backbone, meta: Tensors) -> Tensors:
        """The network's parameters that the inner loop adapts, where they start."""
        blocks = _last(backbone, MAX_ADAPTED_PARAMETERS) if self.blocks is None else self.blocks
        prefixes = tuple(prefix for block in backbone.blocks[:blocks] for prefix in block)
        return {
            BACKBONE + name: meta.get(BACKBONE + name, value)
            for name, value in backbone.module.named_parameters()
            if name.startswith(prefixes)
        }

    def _head(self, features: Tensor, labels: Tensor, ways: int, meta: Tensors) -> dict[str, Tensor]:
        if self.head == "zero":
            return zero_head(features, ways)
        start = angle_head if self.head == "angle" else prototype_head
        return start(features, labels, ways, meta[LOG_SCALE].exp())


def known_scale(backbone: Backbone) -> Tensor:
    """The log_scale of the prototype head, a scalar: protonet's, where that has been meta-trained for this backbone.

    It is the same classifier, and a scalar of its own would need thousands of outer steps to get there.
    """
    known = backbone.meta.get("protonet", {}).get(LOG_SCALE)
    return torch.zeros((), device=backbone.device) if known is None else known.detach().clone()


def _sharp(backbone: Backbone) -> Tensor:
    return torch.full((), SHARP, device=backbone.device).log()  # no copy from the host: a graph can hold it


def _last(backbone: Backbone, limit: int) -> int:
    """How many of the last blocks have at most so many parameters together; at least one."""
    sizes = {name: value.numel() for name, value in backbone.module.named_parameters()}
    total = 0
    for number, prefixes in enumerate(backbone.blocks):
        total += sum(size for name, size in sizes.items() if name.startswith(prefixes))
        if total > limit:
            return max(1, number)
    return len(backbone.blocks)
