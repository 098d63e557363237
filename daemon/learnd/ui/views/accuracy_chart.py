"""The line chart of the HTML report: the mean accuracy of all tasks at every version.

accuracy_chart.svg, a template, draws it in the colours of the page around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from learnd.metrics import Matrix, accuracy

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 220, 44, 12, 10, 30  # pixels; the last four are margins


@dataclass(frozen=True)
class GridLine:
    """A horizontal line at an accuracy in [0, 1]; y: pixels from the top."""

    y: float
    accuracy: float


@dataclass(frozen=True)
class Curve:
    """points: (x, y), pixels from the top left.  colour and dashes are values of SVG attributes."""

    name: str
    colour: str
    dashes: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AccuracyChart:
    """left, right: where the grid begins and ends, pixels."""

    first_version: int
    last_version: int
    curves: tuple[Curve, ...]
    grid: tuple[GridLine, ...] = tuple(
        GridLine(round(TOP + (1 - value) * (HEIGHT - TOP - BOTTOM), 1), value) for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


def accuracy_chart(unified: Matrix, scoped: Matrix) -> AccuracyChart | None:
    """unified: every task among all classes (solid); scoped: each within its own (dashed).  None: nothing measured."""
    means = [list(_means(matrix)) for matrix in (unified, scoped)]
    if not any(means):
        return None
    first, last = unified.versions[0], unified.versions[-1]

    def at(version: int, value: float) -> tuple[float, float]:
        x = LEFT + (version - first) / max(1, last - first) * (WIDTH - LEFT - RIGHT)
        return round(x, 1), round(TOP + (1 - value) * (HEIGHT - TOP - BOTTOM), 1)

    points = [tuple(at(version, value) for version, value in values) for values in means]
    solid = Curve("among everything", "var(--blue)", "none", points[0])
    dashed = Curve("each task by itself", "var(--good)", "6 4", points[1])
    return AccuracyChart(first, last, (solid, dashed))


def _means(matrix: Matrix) -> Iterator[tuple[int, float]]:
    for version, row in zip(matrix.versions, matrix.values, strict=True):
        mean = accuracy(Matrix((version,), matrix.tasks, (row,)))
        if mean is not None:
            yield version, mean
