"""The network of one task in an inner loop: features of its images, and their gradient for the adapted parameters.

Both are differentiable, as an outer loop needs.  torch's graph does it for any network; conv4 on a CPU has its passes
written out, which are faster (see written_passes/README.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from learnd.learning.contract.meta_learner import for_backbone
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.written_passes.network import written_network

WithGradient = tuple[Tensor, Callable[[Tensor], Tensors]]  # features (n, D); their gradient -> the parameters'


class InputView(Protocol):
    """Images, as the network of a task takes them."""

    def features(self, params: Tensors) -> Tensor:
        """Return features float32 (n, D), with `params` in place of the adapted parameters."""
        ...

    def with_gradient(self, params: Tensors) -> WithGradient:
        """Return the features and a vector-Jacobian product, which may be called once."""
        ...


class TaskNetwork(Protocol):
    """The network of a task, with adapted parameters of its own."""

    def start(self, params: Tensors, images: Tensor) -> Tensors:
        """Return the adapted parameters of the task with these images, laid out as the passes want them."""
        ...

    def view(self, images: Tensor) -> InputView:
        """Return a view of images, uint8 (n, C, S, S)."""
        ...


def task_network(backbone: Backbone, adapted: Tensors, fixed: Tensors) -> TaskNetwork:
    """Return the network of a task, the written one if there is one and an outer loop differentiates it.

    adapted: the adapted parameters, by their names as meta-parameters.  fixed: what replaces the network's own
    parameters of that name, and no step changes.
    """
    written = written_network(backbone, adapted) if torch.is_grad_enabled() else None
    return written or _GraphedNetwork(backbone, fixed)


def tasks_per_pass(backbone: Backbone, adapted: Tensors, images: int) -> int | None:
    """Return the fastest number of tasks per pass, given the images per task; None if it is not known."""
    written = written_network(backbone, adapted)
    return None if written is None else written.tasks_per_pass(images)


@dataclass(frozen=True)
class _GraphedNetwork:
    """Any network, differentiated by torch's graph."""

    backbone: Backbone
    fixed: Tensors

    def start(self, params: Tensors, images: Tensor) -> Tensors:
        return params

    def view(self, images: Tensor) -> _GraphedView:
        return _GraphedView(self.backbone, self.fixed, images)


@dataclass(frozen=True)
class _GraphedView:
    backbone: Backbone
    fixed: Tensors
    images: Tensor

    def features(self, params: Tensors) -> Tensor:
        return self.backbone.features_of(self.images, {**self.fixed, **for_backbone(params)})

    def with_gradient(self, params: Tensors) -> WithGradient:
        if not params:
            return self.features(params), lambda gradient: {}
        passed = torch.func.vjp(self.features, dict(params))
        return passed[0], lambda gradient: passed[1](gradient)[0]
