"""Meta-SGD: the start is meta-learnt, and with it the rate of every single parameter, its sign included.

Li et al. 2017, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning" (arXiv:1707.09835).  The head has a rate a
feature, the same for every class, so that one checkpoint serves any number of ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learnd.plugin import BIAS, RATE_PREFIX, WEIGHT, Algorithm, Backbone, GradientLearner, hookimpl


@dataclass(frozen=True)
class MetaSgd(GradientLearner):
    """One step on network and head, second order.  The options: `learnd.learning.methods.gradient_learner`.

    rate: where the rates start.
    """

    name: ClassVar[str] = "metasgd"
    summary: ClassVar[str] = "one gradient step from a meta-learnt start, at a meta-learnt rate for each parameter"
    paper: ClassVar[str] = "Li et al. 2017, arXiv:1707.09835"

    steps: int = 1

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        shapes = {name: value.shape for name, value in self.adapted(backbone, {}).items()}
        shapes |= {WEIGHT: torch.Size([backbone.features, 1]), BIAS: torch.Size([1])}
        rates = {
            RATE_PREFIX + name: torch.full(shape, self.rate, device=backbone.device) for name, shape in shapes.items()
        }
        return {**super().meta_parameters(backbone), **rates}


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [MetaSgd]
