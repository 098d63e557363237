"""The inner loop: a task's own few gradient steps, as one pure function that an outer loop can differentiate.

Finn et al. 2017, "Model-Agnostic Meta-Learning" (MAML, arXiv:1703.03400).  What is adapted is a dict of tensors; how
a step is made is a rule.  MAML, FOMAML, ANIL, Reptile and Meta-SGD are settings of it, the LSTM meta-learner is
another rule.  Nothing is patched and nothing is kept between calls, so `torch.func.vmap` maps it over tasks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from learnd.learning.networks.named_tensors import Tensors

SupportGradients = Callable[
    [Tensors], tuple[Tensors, Tensor]
]  # what a task's images say of parameters: gradients and loss

RATE_PREFIX = "rate."  # prefix of those meta-parameters that are a parameter's own rate


class Rule(ABC):
    """How one step is made.  It may carry tensors of its own from step to step."""

    def begin(self, params: Tensors, meta: Tensors) -> Tensors:
        """What the rule carries into the first step."""
        return {}

    @abstractmethod
    def update(
        self, params: Tensors, gradients: Tensors, loss: Tensor, meta: Tensors, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        """The parameters after this step, under the same names, and what is carried into the next."""


@dataclass(frozen=True)
class Descent(Rule):
    """Gradient descent.

    rate: of every parameter that has none of its own; a meta-parameter ``rate.<name>``, which is broadcast
    over the parameter, is its own rate (Meta-SGD: Li et al. 2017, arXiv:1707.09835).
    """

    rate: float

    def update(
        self, params: Tensors, gradients: Tensors, loss: Tensor, meta: Tensors, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        rates = {name: meta.get(RATE_PREFIX + name) for name in params}
        return {name: self._down(value, gradients[name], rates[name]) for name, value in params.items()}, carried

    def _down(self, value: Tensor, gradient: Tensor, rate: Tensor | None) -> Tensor:
        if rate is None:
            return value.add(gradient, alpha=-self.rate)  # one pass over the numbers, and one back
        return value - rate * gradient


def inner_steps(params: Tensors, meta: Tensors, support: SupportGradients, steps: int, rule: Rule) -> Iterator[Tensors]:
    """The parameters after each of `steps` steps, the first of them after one; differentiable in params and meta."""
    carried = rule.begin(params, meta)
    for step in range(steps):
        gradients, loss = support(params)
        params, carried = rule.update(params, gradients, loss, meta, carried, step)
        yield params


def inner_loop(params: Tensors, meta: Tensors, support: SupportGradients, steps: int, rule: Rule) -> Tensors:
    """The parameters after all steps; those given where steps is 0."""
    last = params
    for stepped in inner_steps(params, meta, support, steps, rule):
        last = stepped
    return last
