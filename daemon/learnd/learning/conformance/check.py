"""A check: one promise that every plugin keeps, put to the test on one algorithm."""

from __future__ import annotations

import inspect
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learnd.errors import LearndError, PluginError
from learnd.learning.conformance.drawn_inputs import context, small_backbone, task_of
from learnd.learning.conformance.global_state import World
from learnd.learning.contract.algorithm import Algorithm, State, Support
from learnd.learning.jobs.adapt import adapt
from learnd.learning.networks.backbone import Backbone
from learnd.learning.plugin_faults import accuse
from learnd.messages.plugins import CheckOutcome, CheckResult

Trial = Callable[[Algorithm, Backbone], None]  # its name is the check's, its docstring the promise


class Broken(PluginError):
    """A promise that was not kept: what was seen, and how to mend it."""


class Spared(Exception):
    """The promise does not concern this algorithm, and why."""


@dataclass(frozen=True)
class Check:
    """One promise, and the algorithm that makes it.  Call it in a test; ask for its verdict elsewhere."""

    algorithm: Algorithm
    trial: Trial

    @property
    def name(self) -> str:
        return self.trial.__name__.replace("_", "-")

    @property
    def promise(self) -> str:
        return " ".join((self.trial.__doc__ or "").split())

    def __str__(self) -> str:
        return f"{self.algorithm.name}-{self.name}"

    def __call__(self) -> None:
        """Raises PluginError, with what was seen and how to mend it, where the promise is broken."""
        verdict = self.verdict()
        if verdict.outcome is CheckOutcome.FAILED:
            raise Broken(f"{verdict.promise}  Seen: {verdict.seen}", where=str(self), remedy=verdict.remedy)

    def verdict(self) -> CheckResult:
        """How it went; whatever the plugin raises is its own failure."""
        begun, before = time.monotonic(), World.now()
        result = CheckResult(self.algorithm.name, self.name, self.promise, CheckOutcome.PASSED)
        try:
            self.trial(self.algorithm, small_backbone())
        except Spared as why:
            result = replace(result, outcome=CheckOutcome.SPARED, seen=str(why))
        except LearndError as error:
            result = replace(
                result, outcome=CheckOutcome.FAILED, seen=error.what, remedy=error.remedy or "mend what it says"
            )
        except BaseException as error:
            accuse(error)
            result = replace(
                result, outcome=CheckOutcome.FAILED, seen=_raised(error, self.algorithm), remedy="mend the error there"
            )
        finally:
            before.restore()  # whatever it did, the next check begins as this one did
        return replace(result, seconds=round(time.monotonic() - begun, 3))


def learn(algorithm: Algorithm, backbone: Backbone, support: Support, seed: int = 0) -> State:
    """What it learns about a task, as the host stores it.  Raises Spared if it bids 0: the task is not for it."""
    bid = algorithm.bid(task_of(support))
    if bid.score == 0:
        raise Spared(f"its bid on {support.ways} classes and {len(support.labels)} images is 0: {bid.reason}")
    return adapt(algorithm, backbone, support, context(seed))


def alike(first: Tensor, second: Tensor) -> bool:
    """Equal but for rounding: within 1e-4 of the largest value."""
    return bool(torch.allclose(first, second, rtol=1e-4, atol=1e-4 * max(1.0, float(first.abs().max()))))


def gap(first: Tensor, second: Tensor) -> str:
    """How far apart two tensors of one shape are, for a person."""
    apart, largest = float((first - second).abs().max()), float(first.abs().max())
    return f"they differ by up to {apart:.3g}, of values up to {largest:.3g}"


def _raised(error: BaseException, algorithm: Algorithm) -> str:
    """The error, and where in the plugin it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = inspect.getfile(type(algorithm))
    frame = next((frame for frame in reversed(frames) if frame.filename == own), frames[-1])
    return f"{type(error).__name__}: {error} (line {frame.lineno} of {frame.filename}, in {frame.name})"
