"""How tasks relate: which lie near to one another, and which of their classes seem to be one and the same.

Read off the head's class means alone.  They lie in its whitened space, where every class is a Gaussian of one
covariance, so the Bhattacharyya distance of two classes (Bhattacharyya 1943) is an eighth of the squared distance of
their means; and as each is an average of few images, it is known how far chance alone would set them apart (`noise`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.learning.knowledge.classifier import UnifiedHead
from learnd.learning.knowledge.grouped_classifier import GroupedHead
from learnd.messages.outcomes import Near, Twin

NEAREST = 3  # tasks that are named
LIKE = 1.5  # times what chance makes between two halves of one class; docs/results.md tells how it was chosen
MIN_IMAGES = 5  # images of a class: with fewer, chance makes more than what tells classes apart


@dataclass(frozen=True)
class Map:
    """The classes of a unified head and whose they are.  tasks: T names; owners: int64 (K,), the task of each class."""

    head: UnifiedHead
    tasks: tuple[str, ...]
    owners: Tensor

    def of(self, task: str) -> Tensor:
        """The places of a task's classes, int64 (k,); none where it is not on the map."""
        number = self.tasks.index(task) if task in self.tasks else -1
        return (self.owners == number).nonzero()[:, 0]

    def distances(self, task: str) -> Tensor:
        """How far every task is from this one, float64 (T,): Bhattacharyya distances of classes.

        Of each class of either task the distance to the nearest of the other's counts, in the mean: a modified
        Hausdorff distance (Dubuisson & Jain 1994).  What chance makes is taken off, and below 0 there is none.
        """
        own, noise = self.of(task), self.head.noise
        between = (self._squared(own) - noise[own, None] - noise).clamp_min(0) / 8  # (k, K)
        there = between.new_full((len(own), len(self.tasks)), torch.inf)
        there = there.scatter_reduce(1, self.owners.expand(len(own), -1), between, "amin").mean(0)  # (T,)
        back = between.new_zeros(len(self.tasks)).index_add(0, self.owners, between.amin(0))  # (T,)
        return (there + back / self.owners.bincount()) / 2

    def twins(self, task: str) -> Iterator[tuple[int, int, float]]:
        """Two places each of which is the other's nearest among all tasks but its own, and how alike they are.

        That is their squared distance by what is expected of two halves of one class: about 1, and at most LIKE.
        """
        own, noise = self.of(task), self.head.noise
        if not len(own) or not bool((noise > 0).all()):  # nothing is known of the spread within classes
            return
        least, others = self._strange(own).min(1)  # (k,), (k,)
        for place, other, squared in zip(own.tolist(), others.tolist(), least.tolist(), strict=True):
            ratio = squared / float(noise[place] + noise[other])
            if ratio > LIKE or float(self.head.count[[place, other]].min()) < MIN_IMAGES:
                continue
            if int(self._strange(torch.tensor([other])).argmin()) == place:
                yield place, other, ratio

    def _squared(self, rows: Tensor) -> Tensor:
        """Squared distances of these classes to all: (k,) -> (k, K)."""
        return torch.cdist(self.head.means[rows], self.head.means).square()

    def _strange(self, rows: Tensor) -> Tensor:
        """The same, infinite to those of their own task."""
        return self._squared(rows).masked_fill(self.owners == self.owners[rows, None], torch.inf)


class TaskRelations:
    """Of one head."""

    def __init__(self, head: GroupedHead) -> None:
        self._head = head
        self._plain = draw_map(head.plain)
        self._groups = [(draw_map(group.head), group.columns) for _, group in sorted(head.groups.items())]

    def nearest(self, task: str) -> tuple[Near, ...]:
        """The tasks nearest to one in the plain features, the nearest first; NEAREST at most."""
        distances = self._plain.distances(task).tolist()
        found = [Near(name, round(far, 3)) for name, far in zip(self._plain.tasks, distances, strict=True)]
        return tuple(sorted((n for n in found if n.task != task), key=lambda n: (n.distance, n.task))[:NEAREST])

    def twins(self, task: str) -> tuple[Twin, ...]:
        """The classes of a task that nearly coincide with one of another task, and are not joined to it.

        Tasks of one adapter are compared in its features, which distinguish them better, and all others in the plain
        ones.
        """
        found: dict[int, tuple[int, float]] = {}
        ours: Tensor | None = None
        for drawn, columns in self._groups:
            if len(drawn.of(task)):
                ours = columns
                for place, other, ratio in drawn.twins(task):
                    found[int(columns[place])] = int(columns[other]), ratio
        for place, other, ratio in self._plain.twins(task):
            if ours is None or not bool((ours == other).any()):
                found.setdefault(place, (other, ratio))
        return tuple(self._twin(place, *found[place]) for place in sorted(found) if self._apart(place, found[place][0]))

    def _twin(self, place: int, other: int, ratio: float) -> Twin:
        classes = self._head.plain.classes
        return Twin(classes[place][1], *classes[other], round(ratio, 3))

    def _apart(self, place: int, other: int) -> bool:
        return int(self._head.places[place]) != int(self._head.places[other])


def draw_map(head: UnifiedHead) -> Map:
    """The map of a head; tasks in the order of their classes."""
    tasks = tuple(dict.fromkeys(name for name, _ in head.classes))
    number = {name: place for place, name in enumerate(tasks)}
    return Map(head, tasks, torch.tensor([number[name] for name, _ in head.classes]))
