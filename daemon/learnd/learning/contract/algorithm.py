"""The plugin contract: what an algorithm is given, what it must return, and how its options are read.

An algorithm is a frozen dataclass; its fields are its options in config.yaml under ``plugins.<name>``, so
every field has a default.  It adapts the shared backbone to one task and returns tensors, nothing else,
from which any other process with the same backbone can predict next month.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from learnd.errors import LearndError, PluginError
from learnd.messages.task import Task

if TYPE_CHECKING:
    from learnd.learning.networks.backbone import Backbone

State = dict[str, Tensor]  # what an algorithm has learnt about one task: stored as safetensors

# Multiply-adds a second, rough and fixed: routing must choose the same on a loaded machine.  One core was measured
# at 15e9 on conv4 and 6e9 on lite0, whose depthwise convolutions wait for memory.
MACS_A_SECOND = {"cpu": 10e9, "cuda": 2e12, "mps": 3e11}


class Overdue(LearndError):
    """An algorithm was still at work when its time was up."""


@dataclass(frozen=True)
class Bid:
    """What an algorithm expects of itself on a task.

    score: in [0, 1], how likely it is to be the best choice; 0 means "not for me".  reason: a sentence for a
    person.  seconds: the expected cost of one ``adapt``, reckoned from the task's numbers and never measured.
    """

    score: float
    reason: str
    seconds: float


@dataclass(frozen=True)
class Support:
    """The labelled images to learn from, on the backbone's device; every class has at least one.

    images: uint8 (N, C, S, S).  features: float32 (N, D), of the frozen backbone.
    labels: int64 (N,), each in [0, ways).
    """

    images: Tensor
    features: Tensor
    labels: Tensor
    ways: int

    def take(self, rows: Tensor) -> Support:
        """Only the given rows, int64 (M,); the classes keep their numbers."""
        return Support(self.images[rows], self.features[rows], self.labels[rows], self.ways)


@dataclass(frozen=True)
class Context:
    """What an algorithm may use besides its arguments.

    generator: the only source of randomness (a CPU generator).  deadline: of time.monotonic(), in seconds.
    log: takes one line for the job's log.
    meta: what was meta-learnt for a HeadAlgorithm on this backbone; empty if nothing was.
    """

    generator: torch.Generator
    deadline: float = float("inf")
    log: Callable[[str], None] = lambda line: None
    meta: Mapping[str, Tensor] = field(default_factory=dict)

    def on(self, backbone: Backbone, algorithm: str) -> Context:
        """The same with what the backbone carries for an algorithm."""
        return dataclasses.replace(self, meta=backbone.meta.get(algorithm, {}))

    def check(self) -> None:
        """Call this often in long work.  Raises Overdue when the time is up."""
        if time.monotonic() > self.deadline:
            raise Overdue("ran out of time", remedy="raise routing.budget_seconds or worker.job_seconds")

    def child(self, *names: str | int) -> Context:
        """A context with its own random numbers, fixed by this one's seed and the names alone."""
        text = "/".join(str(part) for part in (self.generator.initial_seed(), *names))
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        return dataclasses.replace(self, generator=torch.Generator().manual_seed(seed))


class Algorithm(ABC):
    """One way to learn a task.  Subclasses are frozen dataclasses whose fields are options with defaults."""

    name: ClassVar[str]  # a Python identifier in lower case; the key in config.yaml and in task.yaml
    summary: ClassVar[str]  # one line
    paper: ClassVar[str] = ""
    transductive: ClassVar[bool] = False  # does a prediction depend on the other queries?

    @abstractmethod
    def bid(self, task: Task) -> Bid:
        """What to expect on this task; pure, milliseconds, no pixels."""

    @abstractmethod
    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        """Learn the task.  backbone is a private copy; the tensors returned are finite, on any device."""

    @abstractmethod
    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        """images uint8 (N, C, S, S) -> logits float32 (N, K), from what ``adapt`` returned alone."""


class HeadAlgorithm(Algorithm):
    """A classifier on the frozen backbone's features: the host cross-validates it without a pixel."""

    @abstractmethod
    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        """features float32 (N, D), labels int64 (N,) in [0, ways), each class at least once."""

    @abstractmethod
    def score(self, state: State, features: Tensor) -> Tensor:
        """features float32 (N, D) -> logits float32 (N, K)."""

    def reads_features(self, backbone: Backbone) -> bool:
        """Are the frozen features all that it reads of an image?  Then the host embeds once, and asks fit and score."""
        kind = type(self)
        return kind.adapt is HeadAlgorithm.adapt and kind.predict is HeadAlgorithm.predict

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        return self.fit(support.features, support.labels, support.ways, ctx.on(backbone, self.name))

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        return self.score(state, backbone.embed(images))


def seconds_for(macs: float, device: str) -> float:
    """Seconds that so many multiply-adds should take on a device ("cpu", "cuda:0"); a fixed estimate."""
    return macs / MACS_A_SECOND.get(device.partition(":")[0], MACS_A_SECOND["cpu"])


def check_state(state: Any, where: str) -> State:
    """The state as returned, if it is named, finite tensors.  Raises PluginError."""
    remedy = "return dict[str, Tensor] of finite values"
    if not isinstance(state, dict):
        raise PluginError(f"adapt returned {type(state).__name__}", where=where, remedy=remedy)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise PluginError(f"state[{key!r}] is {type(value).__name__}", where=where, remedy=remedy)
        if not bool(value.isfinite().all()):
            raise PluginError(f"state[{key!r}] is not finite", where=where, remedy=remedy)
    return state


def check_logits(logits: Any, images: int, ways: int, where: str) -> Tensor:
    """The logits as returned, if they are finite numbers of shape (images, ways).  Raises PluginError."""
    remedy = f"return finite logits ({images}, {ways})"
    if not isinstance(logits, Tensor):
        raise PluginError(f"predict returned {type(logits).__name__}", where=where, remedy=remedy)
    if tuple(logits.shape) != (images, ways) or not logits.is_floating_point():
        shape = f"{tuple(logits.shape)} of {logits.dtype}"
        raise PluginError(f"predict returned {shape}", where=where, remedy=remedy)
    if not bool(logits.isfinite().all()):
        raise PluginError("predict returned logits that are not finite", where=where, remedy=remedy)
    return logits.detach()
