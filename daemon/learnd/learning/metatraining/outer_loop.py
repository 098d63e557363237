"""The outer loop: steps, validates, keeps the best, and can be stopped at any step and go on as if it had not been.

What is trained is an Objective; the loop knows neither tasks nor algorithms.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from learnd.errors import LearndError
from learnd.learning.contract.meta_learner import for_backbone
from learnd.learning.metatraining.snapshots import Snapshot, TrainedWeights, ValidationScore, read_snapshot
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.settings.meta_training_recipe import Recipe

REPORT_SECONDS = 1.0
SNAPSHOT_SECONDS = 300.0


class Objective(ABC):
    """What is minimised, over parameters of any name; "backbone.<name>" stands in for the network's own.

    backbone: a private copy.
    """

    backbone: Backbone

    @property
    @abstractmethod
    def trains_network(self) -> bool:
        """Are the network's own parameters and batch-norm statistics what is trained?"""

    @abstractmethod
    def start(self) -> dict[str, Tensor]:
        """The parameters to start from."""

    @abstractmethod
    def gradients(
        self, params: Tensors, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the next batch, a scalar, and its gradient for every parameter.  progress: in [0, 1)."""

    @abstractmethod
    def validate(self, params: Tensors, step: int) -> ValidationScore | None:
        """The accuracy on tasks of classes that are not trained on, always the same; None if there are none."""


@dataclass(frozen=True)
class Figures:
    """How the training goes.  loss: the mean since the last figures.  seconds: in all, also before a resume."""

    step: int
    steps: int
    loss: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class Run:
    """Where a training runs; nothing of it changes what comes out.

    snapshot: the file to go on from and to write to.  identity: of this training, a JSON object; a snapshot of
    another one is refused.  watch: receives figures about once a second, and every validation.  stop: asked before
    each step.  seconds: after which it stops by itself.
    """

    snapshot: Path | None = None
    identity: str = "{}"
    watch: Callable[[Figures | ValidationScore], None] = lambda event: None
    stop: Callable[[], bool] = lambda: False
    seconds: float = math.inf


@dataclass(frozen=True)
class Trained:
    """What came out: the weights of the best validation (where there was none, the last ones).

    step: how far it came; finished: all steps are done; stopped: because it was asked to.
    """

    weights: TrainedWeights
    step: int
    finished: bool
    stopped: bool
    seconds: float
    curve: tuple[ValidationScore, ...]

    @property
    def best(self) -> ValidationScore | None:
        return best_of(self.curve)


def train(objective: Objective, recipe: Recipe, run: Run) -> Trained:
    """Run the loop to its end, or until it is stopped.

    Raises LearndError if the loss is not finite, or the snapshot belongs to another training.
    """
    loop = _Loop(objective, recipe, run)
    stopped = overdue = False
    while loop.step < recipe.steps and not (stopped := run.stop()) and not (overdue := loop.seconds >= run.seconds):
        loop.advance()
    loop.report()
    if overdue:
        loop.validate()
    loop.save()
    return Trained(loop.best or loop.weights(), loop.step, loop.step == recipe.steps, stopped, loop.seconds, loop.curve)


def rate_at(step: int, recipe: Recipe) -> float:
    """The learning rate of a step, counted from 0: a linear rise, then a cosine that ends at zero."""
    rise = recipe.warmup * recipe.steps
    if step < rise:
        return recipe.rate * (step + 1) / (rise + 1)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, recipe.steps - rise)))


def best_of(curve: tuple[ValidationScore, ...]) -> ValidationScore | None:
    """The best validation, of equal ones the first."""
    return max(curve, key=lambda score: score.accuracy, default=None)


class _Loop:
    """The loop between two steps."""

    def __init__(self, objective: Objective, recipe: Recipe, run: Run) -> None:
        self.objective, self.recipe, self.run = objective, recipe, run
        self.params = {name: value.detach().clone().requires_grad_() for name, value in objective.start().items()}
        self.optimiser = _optimiser(recipe, list(self.params.values()))
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step = 0
        self.best: TrainedWeights | None = None
        self.curve: tuple[ValidationScore, ...] = ()
        self._spent = 0.0
        self._losses: list[Tensor] = []
        if run.snapshot is not None and run.snapshot.exists():
            self._restore(read_snapshot(run.snapshot, run.identity))
        self._started = self._reported = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._spent + time.monotonic() - self._started

    def advance(self) -> None:
        """One step, and what is due after it."""
        self._put_into_network()
        loss, gradients = self.objective.gradients(self.params, self.step / self.recipe.steps, self.generator)
        for name, parameter in self.params.items():
            parameter.grad = gradients[name]
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.params.values(), self.recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, self.recipe)
        self.optimiser.step()
        self.step += 1
        self._losses.append(loss.detach())
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self.report()
        if self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps:
            self.validate()
            self.save()
        elif now - self._saved >= SNAPSHOT_SECONDS:
            self.save()

    def report(self) -> None:
        """Tell the figures since the last time.  Raises LearndError if they are not finite."""
        if not self._losses:
            return
        loss = float(torch.stack(self._losses).mean())
        if not math.isfinite(loss):
            remedy = "lower --rate; the last snapshot is still good"
            raise LearndError(f"the loss is {loss} by step {self.step}", where="meta-train", remedy=remedy)
        rate = rate_at(self.step - 1, self.recipe)
        self.run.watch(Figures(self.step, self.recipe.steps, loss, rate, self.seconds))
        self._losses, self._reported = [], time.monotonic()

    def validate(self) -> None:
        self.report()
        if self.curve and self.curve[-1].step == self.step:
            return
        self._put_into_network()
        score = self.objective.validate(self.params, self.step)
        if score is None:
            return
        self.run.watch(score)
        self.curve = (*self.curve, score)
        if best_of(self.curve) == score:
            self.best = self.weights()

    def save(self) -> None:
        if self.run.snapshot is None:
            return
        self.report()
        names = list(self.params)
        kept = self.optimiser.state_dict()["state"]  # number of the parameter -> name -> moment
        moments = {
            names[at]: {key: value for key, value in state.items() if isinstance(value, Tensor)}
            for at, state in kept.items()
        }
        Snapshot(
            self.run.identity,
            self.step,
            self.seconds,
            self.weights(),
            {name: values for name, values in moments.items() if values},
            self.generator.get_state(),
            self.best,
            self.curve,
        ).write(self.run.snapshot)
        self._saved = time.monotonic()

    def weights(self) -> TrainedWeights:
        """A copy of what is trained, as it is now."""
        buffers = self.objective.backbone.module.named_buffers() if self.objective.trains_network else ()
        return TrainedWeights(
            {name: value.detach().clone() for name, value in self.params.items()},
            {name: value.detach().clone() for name, value in buffers},
        )

    def _restore(self, snapshot: Snapshot) -> None:
        with torch.no_grad():
            for name, value in snapshot.weights.params.items():
                self.params[name].copy_(value)
            for name, buffer in self.objective.backbone.module.named_buffers():
                if name in snapshot.weights.buffers:
                    buffer.copy_(snapshot.weights.buffers[name])
        for name, moments in snapshot.optimiser.items():
            parameter = self.params[name]
            self.optimiser.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
            }
        self.generator.set_state(snapshot.generator)
        self.step, self._spent = snapshot.step, snapshot.seconds
        self.best, self.curve = snapshot.best, snapshot.curve

    def _put_into_network(self) -> None:
        """The network is what the parameters say: whoever uses it without them must not see older ones."""
        if not self.objective.trains_network:
            return
        own = dict(self.objective.backbone.module.named_parameters())
        with torch.no_grad():
            for name, value in for_backbone(self.params).items():
                own[name].copy_(value)


def _optimiser(recipe: Recipe, params: list[Tensor]) -> torch.optim.Optimizer:
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(params, lr=recipe.rate)
    return torch.optim.AdamW(params, lr=recipe.rate, weight_decay=recipe.weight_decay)
