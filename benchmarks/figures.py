"""A figure with its bar: what was measured, what it must be, and whether it holds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of a benchmark.  bar is in words ("< 0.5 s"); held is None if there is no bar."""

    name: str
    value: str
    bar: str = ""
    held: bool | None = None

    def __str__(self) -> str:
        verdict = {None: "", True: "holds", False: "FALLS SHORT"}[self.held]
        return f"{self.name:<58} {self.value:>24}  {self.bar:<12} {verdict}"


def at_most(name: str, value: float, limit: float, unit: str, digits: int = 3) -> Figure:
    return Figure(name, f"{value:.{digits}f} {unit}", f"< {limit:g} {unit}", value < limit)


def at_least(name: str, value: float, limit: float, note: str = "") -> Figure:
    return Figure(name, f"{value:.4f}{note}", f">= {limit:g}", value >= limit)


def exactly(name: str, value: int, wanted: int) -> Figure:
    return Figure(name, str(value), f"= {wanted}", value == wanted)


def spread(values: Sequence[float]) -> str:
    """Median and range of repeated runs, in seconds."""
    return f"{statistics.median(values):.3f} ({min(values):.3f}..{max(values):.3f})"


def wilson(hits: int, count: int) -> str:
    """A proportion's 95 % Wilson interval, as text."""
    z, share = 1.96, hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return f" [{centre - half:.3f}, {centre + half:.3f}]"


def conclude(figures: Sequence[Figure]) -> int:
    """Print them all; the exit code is 1 where one falls short."""
    for figure in figures:
        print(figure)
    return int(any(figure.held is False for figure in figures))
