"""Tasks to train on, drawn at random from many classes; every number comes from one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.errors import LearndError
from learnd.learning.contract.meta_learner import Episodes
from learnd.learning.metatraining.corpus import ImageClasses, ImageDomain
from learnd.learning.networks.augmentation import augment
from learnd.settings.meta_training_recipe import Recipe


@dataclass(frozen=True)
class Sampling:
    """What tasks are like.  ways, shots: one of them is drawn for each batch, whose tasks are all of one size.

    hard: the share of tasks whose classes come from hard_groups groups (or as many as give enough classes), so that
    they are hard to distinguish.
    """

    tasks: int
    ways: tuple[int, ...]
    shots: tuple[int, ...]
    queries: int
    hard: float = 0.0
    hard_groups: int = 1

    @property
    def most(self) -> int:
        """Images that a class must have at least."""
        return max(self.shots) + self.queries


def of_training(recipe: Recipe) -> Sampling:
    return Sampling(recipe.meta_batch, recipe.ways, recipe.shots, recipe.queries, recipe.hard, recipe.hard_groups)


def of_validation(recipe: Recipe, domains: Sequence[ImageDomain]) -> Sampling:
    """One task at a time; as many queries of a class as there are images for, up to those of the training."""
    spare = [int(domain.classes.sizes.max()) - recipe.validation_shots for domain in domains]
    queries = max(1, min([recipe.queries, *spare]))
    return Sampling(1, (recipe.validation_ways,), (recipe.validation_shots,), queries, recipe.hard)


def check(domains: Sequence[ImageDomain], sampling: Sampling) -> None:
    """Raises LearndError if there is no domain, or one has not two classes that are large enough for a task."""
    if not domains:
        raise LearndError("there is no class to train on", where="data", remedy="look at --data and --classes")
    for domain in domains:
        enough = int((domain.classes.sizes >= sampling.most).sum())
        if enough < 2:
            largest = int(domain.classes.sizes.max()) if len(domain.classes) else 0
            what = (
                f"{enough} of {len(domain.classes)} classes have the {sampling.most} images of a task "
                f"({max(sampling.shots)} shots and {sampling.queries} queries); the largest has {largest}"
            )
            raise LearndError(what, where=f"data {domain.name}", remedy="lower --shots or --queries")


def sample(
    domains: Sequence[ImageDomain], sampling: Sampling, generator: torch.Generator, progress: float = 0.0
) -> Episodes:
    """A batch of tasks of one domain.  Classes with too few images for it take no part (see check)."""
    domain = domains[_below(len(domains), generator)]
    ways, shots = _one_of(sampling.ways, generator), _one_of(sampling.shots, generator)
    classes, each = domain.classes, shots + sampling.queries
    candidates = Candidates.of(classes, each)
    chosen = [candidates.draw(sampling, ways, generator) for _ in range(sampling.tasks)]
    ways = min(len(some) for some in chosen)
    rows = torch.stack([_rows(classes, some[:ways], each, generator) for some in chosen])  # (B, W, S + Q)
    drawn = classes.images[rows.flatten().to(classes.images.device, non_blocking=True)]
    images = augment(domain.augment, drawn, generator).unflatten(0, tuple(rows.shape))  # (B, W, S + Q, C, H, H)
    labels = torch.arange(ways, device=images.device)

    def of_class(count: int) -> Tensor:
        return labels.repeat_interleave(count).expand(len(rows), -1)  # (B, W * count)

    support, query = images[:, :, :shots].flatten(1, 2), images[:, :, shots:].flatten(1, 2)
    return Episodes(support, of_class(shots), query, of_class(sampling.queries), ways, progress)


@dataclass(frozen=True)
class Candidates:
    """The classes with images enough for a task.

    classes: their numbers, int64 (K,).  group: int64 (K,), of each its group's place among those that take part.
    sizes: int64 (G,), classes of each such group.
    """

    classes: Tensor
    group: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, classes: ImageClasses, images: int) -> Candidates:
        """images: that a class must have at least."""
        enough = (classes.sizes >= images).nonzero()[:, 0]
        _, group, sizes = classes.groups[enough].unique(return_inverse=True, return_counts=True)
        return cls(enough, group, sizes)

    def draw(self, sampling: Sampling, ways: int, generator: torch.Generator) -> Tensor:
        """The numbers of at most `ways` different classes, int64 (W,)."""
        some = self.classes
        if float(torch.rand((), generator=generator)) < sampling.hard:
            some = self._of_few_groups(sampling.hard_groups, ways, generator)
        return some[torch.randperm(len(some), generator=generator)[:ways]]

    def _of_few_groups(self, few: int, ways: int, generator: torch.Generator) -> Tensor:
        order = torch.randperm(len(self.sizes), generator=generator)
        counts = self.sizes[order].cumsum(0)  # classes in the first 1, 2, ... groups
        enough = int((counts < min(ways, len(self.classes))).sum()) + 1
        taken = torch.zeros(len(self.sizes), dtype=torch.bool)
        taken[order[: max(few, enough)]] = True
        return self.classes[taken[self.group]]


def _rows(classes: ImageClasses, chosen: Tensor, each: int, generator: torch.Generator) -> Tensor:
    """Row numbers (W, each): different images of every class."""
    rows = [classes.rows[int(k)] for k in chosen]
    return torch.stack([row[torch.randperm(len(row), generator=generator)[:each]] for row in rows])


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def _one_of(values: tuple[int, ...], generator: torch.Generator) -> int:
    return values[_below(len(values), generator)]
