"""MAML: a start from which a few gradient steps learn a task, found by differentiating through those steps.

Finn et al. 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks" (arXiv:1703.03400).  The options
`anneal` and `multi_step` are those of Antoniou et al. 2019, "How to train your MAML" (arXiv:1810.09502).  The head
starts from the class means (Proto-MAML: Triantafillou et al. 2020, arXiv:1903.03096), or from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from learnd.plugin import Algorithm, GradientLearner, hookimpl


@dataclass(frozen=True)
class Maml(GradientLearner):
    """Five steps of 0.01 on network and head, second order.  The options: see `GradientLearner`."""

    name: ClassVar[str] = "maml"
    summary: ClassVar[str] = "gradient steps from a start meta-learnt through them, second order"
    paper: ClassVar[str] = "Finn et al. 2017, arXiv:1703.03400"


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Maml]
