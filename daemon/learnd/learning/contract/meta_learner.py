"""Algorithms with an outer loop: what they learn over many tasks, and from what.

What an outer loop has learnt belongs to the shared CNN for which it was learnt: a backbone carries it, under the
algorithm's name (`Backbone.meta`), and `adapt` finds it there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from learnd.learning.contract.algorithm import Algorithm, Context
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.plugin_faults import accuse

BACKBONE = "backbone."  # prefix of those meta-parameters that stand in for the network's own


@dataclass(frozen=True)
class Episodes:
    """B tasks of one size: W classes, S support and Q query images of each.

    support: (B, W * S, C, H, H), query: (B, W * Q, C, H, H); uint8, or float32 in [0, 255] where augmented.
    support_labels: int64 (B, W * S), query_labels: int64 (B, W * Q), in [0, ways).
    progress: how far the training is, in [0, 1).
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    ways: int
    progress: float = 0.0

    def __len__(self) -> int:
        return len(self.support)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.support, self.support_labels, self.query, self.query_labels

    def to(self, device: torch.device) -> Episodes:
        support, support_labels, query, query_labels = (tensor.to(device) for tensor in self.tensors)
        return Episodes(support, support_labels, query, query_labels, self.ways, self.progress)

    def split(self, size: int) -> list[Episodes]:
        """The same tasks, at most size at a time."""
        parts = zip(*(tensor.split(size) for tensor in self.tensors), strict=True)
        return [Episodes(a, b, c, d, self.ways, self.progress) for a, b, c, d in parts]


class MetaLearner(Algorithm):
    """An algorithm with an outer loop, which minimises `meta_loss` over the meta-parameters."""

    batch_statistics: ClassVar[bool] = False  # does the outer loop train batch norm's statistics too?

    @abstractmethod
    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        """Where the outer loop starts: named float32 tensors, on the backbone's device.

        A name "backbone.<name>" stands in for the network's own parameter of that name.
        """

    @abstractmethod
    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        """The mean loss of the episodes' queries, a scalar that is differentiable in meta."""

    def phase(self, progress: float) -> Hashable | None:
        """Tasks with equal values: meta_loss does the same to tasks of one size.

        Then a GPU may play again what it recorded, and the cores of a CPU may take tasks side by side.  So they may
        not if meta_loss draws random numbers on the CPU; then, as here, say None.  Work that reads a value from the
        device cannot be recorded, which is found out.  progress: how far the training is, in [0, 1).
        """
        return None

    def at_once(self, backbone: Backbone, episodes: Episodes) -> int | None:
        """So many tasks of this size are soonest done together by a core of a CPU; None: as torch's graph does best."""
        return None

    def meta_of(self, backbone: Backbone) -> dict[str, Tensor]:
        """What was meta-learnt for this backbone; where nothing was, where the outer loop would start."""
        return {**self.meta_parameters(backbone), **backbone.meta.get(self.name, {})}


def with_fitting_meta(backbone: Backbone, algorithms: Mapping[str, Algorithm], log: Callable[[str], None]) -> Backbone:
    """The backbone without what was meta-learnt by algorithms of other options: its shapes would not fit theirs."""
    kept = dict(backbone.meta)
    for name, tensors in backbone.meta.items():
        learner = algorithms.get(name)
        if not isinstance(learner, MetaLearner):
            continue
        try:
            wanted = learner.meta_parameters(backbone)
        except BaseException as error:  # a plugin may raise anything, and no worker ends by that
            accuse(error)
            log(f"what was meta-learnt for {name} is left out: its meta_parameters raised {error!r}")
            del kept[name]
            continue
        wrong = [key for key, value in tensors.items() if key in wanted and wanted[key].shape != value.shape]
        if wrong:
            log(f"what was meta-learnt for {name} is left out: with its options, {wrong[0]} is of another shape")
            del kept[name]
    return replace(backbone, meta=kept)


def over_tasks(task_loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], episodes: Episodes) -> Tensor:
    """The mean of task_loss(support, support_labels, query, query_labels) over the tasks: all at once, by vmap."""
    if len(episodes) == 1:
        return task_loss(*(tensor[0] for tensor in episodes.tensors))
    losses: Tensor = torch.func.vmap(task_loss, randomness="different")(*episodes.tensors)  # (B,)
    return losses.mean()


def backbone_parameters(backbone: Backbone) -> dict[str, Tensor]:
    """A copy of the network's own parameters, as meta-parameters."""
    return {BACKBONE + name: value.detach().clone() for name, value in backbone.module.named_parameters()}


def for_backbone(values: Tensors) -> dict[str, Tensor]:
    """Those values that stand in for the network's own, under their names in the network."""
    return {name.removeprefix(BACKBONE): value for name, value in values.items() if name.startswith(BACKBONE)}
