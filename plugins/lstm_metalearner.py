"""The LSTM meta-learner: how a step is made is learnt too.

Ravi and Larochelle 2017, "Optimization as a Model for Few-Shot Learning" (openreview rJY0-Kcll).  The cell of an
LSTM holds the parameters; its forget gate says how much of each stays, its input gate how far it goes down its
gradient.  All coordinates share the LSTM and each has a state of its own.  As in the paper, gradients and losses
count as constants in the outer loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from learnd.plugin import Algorithm, Backbone, GradientLearner, Rule, Tensors, hookimpl

WEIGHT_RANGE = 0.01  # the weights start within -WEIGHT_RANGE..WEIGHT_RANGE, as in the paper's own code


@dataclass(frozen=True)
class LstmRule(Rule):
    """theta' = f * theta - i * gradient, coordinate by coordinate.

    Two layers, of P coordinates each: an LSTM of H units sees gradient and loss; the gates f and i see its output,
    theta and what they were before.  Meta-parameters: lstm.input (4, 4H), lstm.hidden (H, 4H), lstm.bias (4H,), and for
    each gate gate.<f | i>.weight (H + 2,) and gate.<f | i>.bias ().
    """

    def begin(self, params: Tensors, meta: Tensors) -> Tensors:
        flat = _flat(params)  # (P,)
        nothing = flat.new_zeros(len(flat), len(meta["lstm.hidden"]))  # (P, H)
        return {"hidden": nothing, "cell": nothing, "f": torch.zeros_like(flat), "i": torch.zeros_like(flat)}

    def update(
        self, params: Tensors, gradients: Tensors, loss: Tensor, meta: Tensors, carried: Tensors, step: int
    ) -> tuple[Tensors, Tensors]:
        theta, slope = _flat(params), _flat({name: gradients[name] for name in params})  # (P,)
        seen = torch.cat([preprocess(slope), preprocess(loss.expand_as(slope))], 1)  # (P, 4)
        gates = seen @ meta["lstm.input"] + carried["hidden"] @ meta["lstm.hidden"] + meta["lstm.bias"]  # (P, 4H)
        enter, keep, show, new = gates.chunk(4, 1)  # (P, H)
        cell = keep.sigmoid() * carried["cell"] + enter.sigmoid() * new.tanh()
        hidden = show.sigmoid() * cell.tanh()
        after = {}
        for gate in ("f", "i"):
            inputs = torch.cat([hidden, theta[:, None], carried[gate][:, None]], 1)  # (P, H + 2)
            after[gate] = (inputs @ meta[f"gate.{gate}.weight"] + meta[f"gate.{gate}.bias"]).sigmoid()  # (P,)
        changed = after["f"] * theta - after["i"] * slope
        parts = changed.split([value.numel() for value in params.values()])
        shaped = {name: part.view(value.shape) for (name, value), part in zip(params.items(), parts, strict=True)}
        return shaped, {"hidden": hidden, "cell": cell, **after}


def preprocess(x: Tensor, p: float = 10.0) -> Tensor:
    """(P,) -> (P, 2): size and sign of numbers of any magnitude (Ravi and Larochelle, section 3.2)."""
    large = x.abs() >= math.exp(-p)
    size = torch.where(large, x.abs().clamp_min(math.exp(-p)).log() / p, -1.0)
    return torch.stack([size, torch.where(large, x.sign(), math.exp(p) * x)], 1)


def _flat(values: Tensors) -> Tensor:
    return torch.cat([value.flatten() for value in values.values()])


@dataclass(frozen=True)
class LstmMetalearner(GradientLearner):
    """Five steps on the head and the last block.  The options: `learnd.learning.methods.gradient_learner`.

    rate: where the input gate starts, below 1; keep: where the forget gate does.  Together that is gradient descent
    with a little decay.  hidden: units of the LSTM.  blocks: a coordinate costs some 300 numbers a step in training, so
    that all 0.4 M of conv4 would cost gigabytes a task, and the last block of lite0 as many.
    """

    name: ClassVar[str] = "lstm_metalearner"
    summary: ClassVar[str] = "steps made by an LSTM that has learnt how, on head and last block"
    paper: ClassVar[str] = "Ravi and Larochelle 2017, openreview rJY0-Kcll"

    first_order: bool = True
    blocks: int | None = 1
    keep: float = 0.9975
    hidden: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.rate < 1 and 0 < self.keep < 1 and self.hidden > 0):
            raise ValueError("rate and keep must lie between 0 and 1, hidden must be at least 1")

    def rule(self) -> Rule:
        return LstmRule()

    def meta_parameters(self, backbone: Backbone) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(0)

        def small(*shape: int) -> Tensor:
            return ((torch.rand(shape, generator=draw) * 2 - 1) * WEIGHT_RANGE).to(backbone.device)

        units = self.hidden
        gates = {"f": self.keep, "i": self.rate}
        return {
            **{name: value.detach().clone() for name, value in self.adapted(backbone, {}).items()},
            **self.scale(backbone),
            "lstm.input": small(4, 4 * units),
            "lstm.hidden": small(units, 4 * units),
            "lstm.bias": small(4 * units),
            **{f"gate.{gate}.weight": small(units + 2) for gate in gates},
            **{
                f"gate.{gate}.bias": torch.logit(torch.tensor(at, device=backbone.device)) for gate, at in gates.items()
            },
        }


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [LstmMetalearner]
