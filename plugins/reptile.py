"""Reptile: the start moves towards where a few gradient steps on a task end.

Nichol et al. 2018, "On First-Order Meta-Learning Algorithms" (arXiv:1803.02999).  A task's images all count alike:
there is no support and no query in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learnd.plugin import (
    Algorithm,
    Backbone,
    Context,
    Episodes,
    GradientLearner,
    LabelledImages,
    Tensors,
    hookimpl,
    inner_loop,
    over_tasks,
)


@dataclass(frozen=True)
class Reptile(GradientLearner):
    """Five steps of 0.01 on network and head.  The options: `learnd.learning.methods.gradient_learner`.

    The orders of MAML (first_order, anneal, multi_step) mean nothing here, and must stay as they are.
    """

    name: ClassVar[str] = "reptile"
    summary: ClassVar[str] = "gradient steps from a start that moved towards where such steps end"
    paper: ClassVar[str] = "Nichol et al. 2018, arXiv:1803.02999"

    first_order: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.blocks == 0:
            raise ValueError("steps and blocks must be at least 1: what is not adapted is not learnt")
        if not self.first_order or self.anneal or self.multi_step:
            raise ValueError("first_order must stay true, anneal 0 and multi_step false: Reptile has one order")

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.adapted(backbone, {}).items()}

    def meta_loss(self, backbone: Backbone, meta: Tensors, episodes: Episodes, ctx: Context) -> Tensor:
        """1/2 |start - end|^2 with the end held fixed, whose gradient start - end is Reptile's update."""

        def distance(support: Tensor, labels: Tensor, query: Tensor, query_labels: Tensor) -> Tensor:
            images = LabelledImages(torch.cat([support, query]), torch.cat([labels, query_labels]), episodes.ways)
            with torch.no_grad():
                task = self.fitting(backbone, meta, images, True, ctx)
                end = inner_loop(task.start, meta, task.ask, self.steps, self.rule())
            start = self.adapted(backbone, meta)
            return torch.stack([(value - end[name]).square().sum() for name, value in start.items()]).sum() / 2

        return over_tasks(distance, episodes)


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Reptile]
