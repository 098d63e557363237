"""What the matrix R says of a continual learner.  No torch: plain numbers, each with its formula and where it is from.

R[i, j] is the accuracy on task j when everything up to row i was known, in [0, 1]; None if it was not measured, as a
task is not before it is learnt.  T is the last row, l(j) the first row in which task j was measured.  A mean is over
the tasks whose terms were measured, and None if there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MatrixRow = tuple[float | None, ...]


@dataclass(frozen=True)
class Matrix:
    """R.  versions: of its rows, ascending; tasks: of its columns; values: one row a version, one value a task."""

    versions: tuple[int, ...]
    tasks: tuple[str, ...]
    values: tuple[MatrixRow, ...]

    def column(self, j: int) -> MatrixRow:
        return tuple(row[j] for row in self.values)

    def learnt(self, j: int) -> int | None:
        """l(j)."""
        return next((i for i, value in enumerate(self.column(j)) if value is not None), None)


@dataclass(frozen=True)
class Metrics:
    """What a matrix comes to.  See the function of each name."""

    accuracy: float | None
    backward_transfer: float | None
    forgetting: float | None
    forward_transfer: float | None
    learning_accuracy: float | None


def metrics(matrix: Matrix, chance: Sequence[float] | None = None) -> Metrics:
    """All of them.  chance: what each task gets before anything is learnt; without it there is no forward transfer."""
    return Metrics(
        accuracy(matrix),
        backward_transfer(matrix),
        forgetting(matrix),
        None if chance is None else forward_transfer(matrix, chance),
        learning_accuracy(matrix),
    )


def accuracy(matrix: Matrix) -> float | None:
    """ACC = mean_j R[T, j]  (Lopez-Paz & Ranzato 2017, arXiv:1706.08840)."""
    return _mean(value for value in matrix.values[-1] if value is not None) if matrix.values else None


def backward_transfer(matrix: Matrix) -> float | None:
    """BWT = mean_j R[T, j] - R[l(j), j], over l(j) < T  (Lopez-Paz & Ranzato 2017, arXiv:1706.08840).

    Below 0: what came later cost the earlier tasks so much; above 0: it helped them.
    """
    return _mean(values[-1] - values[0] for values in _earlier(matrix))


def forgetting(matrix: Matrix) -> float | None:
    """F = mean_j max_{l(j) <= i < T} R[i, j] - R[T, j], over l(j) < T  (Chaudhry et al. 2018, arXiv:1801.10112).

    In [-1, 1]; how far each task is below the best that it ever was.
    """
    return _mean(max(values[:-1]) - values[-1] for values in _earlier(matrix))


def forward_transfer(matrix: Matrix, chance: Sequence[float]) -> float | None:
    """FWT = mean_j R[j - 1, j] - b_j, over the tasks measured before they are learnt (Lopez-Paz & Ranzato 2017).

    chance: b_j, the accuracy of a network of random weights.  Here the row before that of column j + 1 in order of
    learning stands for R[j - 1, j], as there: task j is learnt in row j.  It takes classes that are known beforehand.
    """
    terms = [(matrix.values[j - 1][j], chance[j]) for j in range(1, min(len(matrix.tasks), len(matrix.values)))]
    return _mean(value - base for value, base in terms if value is not None)


def learning_accuracy(matrix: Matrix) -> float | None:
    """LA = mean_j R[l(j), j]  (Riemer et al. 2019, arXiv:1810.11910): accuracy of each task when new."""
    found = [(matrix.column(j), matrix.learnt(j)) for j in range(len(matrix.tasks))]
    return _mean(value for column, first in found if first is not None and (value := column[first]) is not None)


def negative_flips(before: str, after: str) -> int:
    """The images classified correctly before and wrong after: "1" and "0" of the same images in the same order.

    Divided by their number it is the negative flip rate (Yan et al. 2021, arXiv:2011.09161).  Raises ValueError where
    they are not as many.
    """
    return sum(old == "1" and new == "0" for old, new in zip(before, after, strict=True))


def _earlier(matrix: Matrix) -> list[list[float]]:
    """What was measured of each task that is measured in the last row and was before, from l(j) to T."""
    columns = [matrix.column(j) for j in range(len(matrix.tasks)) if matrix.values and matrix.values[-1][j] is not None]
    measured = [[value for value in column if value is not None] for column in columns]
    return [values for values in measured if len(values) > 1]


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return sum(listed) / len(listed) if listed else None
