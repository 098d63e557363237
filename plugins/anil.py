"""ANIL, "almost no inner loop": the network is meta-learnt as in MAML, and a task adapts its head alone.

Raghu et al. 2020, "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML"
(arXiv:1909.09157).  The features are computed once, so many steps cost little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from learnd.plugin import Algorithm, GradientLearner, hookimpl


@dataclass(frozen=True)
class Anil(GradientLearner):
    """Ten steps of 0.1 on the head, second order.  The options: `learnd.learning.methods.gradient_learner`."""

    name: ClassVar[str] = "anil"
    summary: ClassVar[str] = "gradient steps on the head alone, on features meta-learnt for them"
    paper: ClassVar[str] = "Raghu et al. 2020, arXiv:1909.09157"

    steps: int = 10
    rate: float = 0.1
    blocks: int | None = 0


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Anil]
