"""May a candidate network take the place of the one that all knowledge stands on?  Decided from numbers alone.

Pure: what was measured, and the limits, give the verdict; the same ones give the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from learnd.messages.outcomes import Consolidation, Paired

RESAMPLES = 1000
SURENESS = 0.95  # one-sided
SEED = 1
VIEWS = ("scoped", "unified")


@dataclass(frozen=True)
class Limits:
    """epsilon: how far a task may fall, in accuracy.  flips: the share of judged images that may turn wrong.

    size, latency: how many times as large as before the files, and the multiply-adds of an image, may be.
    """

    epsilon: float
    flips: float
    size: float
    latency: float


@dataclass(frozen=True)
class TaskChange:
    """A task in one view ("scoped" | "unified"): accuracies, and the lower bound of what it gained (below 0: lost)."""

    task: str
    view: str
    images: int
    before: float
    after: float
    bound: float


@dataclass(frozen=True)
class ConsolidationVerdict:
    """accepted, or every reason why not.  before, after: the mean over tasks and both views.

    flips: the larger negative flip rate of both views (Yan et al. 2021, arXiv:2011.09161): right before and wrong now,
    as a share of all judged images.  size, latency: as ratios, after / before.
    """

    accepted: bool
    reasons: tuple[str, ...]
    before: float
    after: float
    flips: float
    size: float
    latency: float
    worst: str | None
    changes: tuple[TaskChange, ...]


def decide(made: Consolidation, limits: Limits) -> ConsolidationVerdict:
    """The verdict on a candidate.  If nothing could be judged it is refused: no change without a proof."""
    changes = [_change(one, view) for one in made.judged for view in VIEWS if _pair(one, view)[0]]
    before, after = _mean([c.before for c in changes]), _mean([c.after for c in changes])
    flips = max(_flips(made.judged, view) for view in VIEWS)
    size, latency = made.bytes_after / max(1, made.bytes_before), made.macs_after / max(1, made.macs_before)
    reasons = [] if changes else ["no image is kept that a candidate could be judged on"]
    if changes and not after > before:
        reasons.append(f"the mean does not rise: {before:.4f} before, {after:.4f} after")
    reasons += [
        f"{c.task} may fall by more than {limits.epsilon:g} ({c.view}): {c.before:.3f} before, {c.after:.3f} after on "
        f"{c.images} images, lower bound {c.bound:+.3f}"
        for c in changes
        if c.bound < -limits.epsilon
    ]
    for what, value, limit in (
        ("negative flip rate", flips, limits.flips),
        ("size", size, limits.size),
        ("latency", latency, limits.latency),
    ):
        if value > limit:
            reasons.append(f"the {what} is {value:.4f}, over its limit of {limit:g}")
    worst = min(changes, key=lambda c: (c.after - c.before, c.bound, c.task), default=None)
    name = worst.task if worst is not None and worst.after < worst.before else None
    return ConsolidationVerdict(not reasons, tuple(reasons), before, after, flips, size, latency, name, tuple(changes))


def _pair(one: Paired, view: str) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    if view == "scoped":
        return one.scoped_before, one.scoped_after
    return one.unified_before, one.unified_after


def _change(one: Paired, view: str) -> TaskChange:
    before, after = _pair(one, view)
    gains = [int(now) - int(then) for then, now in zip(before, after, strict=True)]
    return TaskChange(one.task, view, len(before), _mean(before), _mean(after), lower_bound(gains))


def lower_bound(gains: Sequence[int]) -> float:
    """What a task surely gained at least: the mean of paired differences, by percentile bootstrap (Efron 1979)."""
    if not any(gains):
        return 0.0
    draw = random.Random(SEED)
    means = sorted(sum(draw.choices(gains, k=len(gains))) / len(gains) for _ in range(RESAMPLES))
    return means[int((1 - SURENESS) * RESAMPLES)]


def _flips(judged: Sequence[Paired], view: str) -> float:
    pairs = [pair for one in judged for pair in zip(*_pair(one, view), strict=True)]
    return sum(then and not now for then, now in pairs) / max(1, len(pairs))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
