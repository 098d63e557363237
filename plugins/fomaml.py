"""First-order MAML: as MAML, but a step's gradient counts as a constant, so that no second derivative is taken.

Finn et al. 2017, section 5.2 (arXiv:1703.03400); Nichol et al. 2018, "On First-Order Meta-Learning Algorithms"
(arXiv:1803.02999).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from learnd.plugin import Algorithm, GradientLearner, hookimpl


@dataclass(frozen=True)
class Fomaml(GradientLearner):
    """Five steps of 0.01 on network and head, first order.  The options: `learnd.learning.methods.gradient_learner`."""

    name: ClassVar[str] = "fomaml"
    summary: ClassVar[str] = "MAML without second derivatives"
    paper: ClassVar[str] = "Finn et al. 2017, arXiv:1703.03400; Nichol et al. 2018, arXiv:1803.02999"

    first_order: bool = True


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Fomaml]
