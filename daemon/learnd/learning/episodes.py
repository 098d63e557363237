"""Tasks to train on, drawn at random from many classes; every number comes from one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.errors import LearndError
from learnd.learning.augment import augment
from learnd.learning.corpus import Classes, Domain
from learnd.learning.metalearner import Episodes
from learnd.recipe import Recipe


@dataclass(frozen=True)
class Sampling:
    """What tasks are like.  ways, shots: one of them is drawn for each batch, whose tasks are all of one size.

    hard: the share of tasks whose classes come from hard_groups groups (or as many as give enough classes), so that
    they are hard to tell apart.
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


def of_validation(recipe: Recipe, domains: Sequence[Domain]) -> Sampling:
    """One task at a time; as many queries of a class as there are images for, up to those of the training."""
    spare = [int(domain.classes.sizes.max()) - recipe.validation_shots for domain in domains]
    queries = max(1, min([recipe.queries, *spare]))
    return Sampling(1, (recipe.validation_ways,), (recipe.validation_shots,), queries, recipe.hard)


def check(domains: Sequence[Domain], sampling: Sampling) -> None:
    """Raises LearndError where there is no domain, or one has not two classes that are large enough for a task."""
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
    domains: Sequence[Domain], sampling: Sampling, generator: torch.Generator, progress: float = 0.0
) -> Episodes:
    """A batch of tasks of one domain.  Classes with too few images for it take no part (see check)."""
    domain = domains[_below(len(domains), generator)]
    ways, shots = _one_of(sampling.ways, generator), _one_of(sampling.shots, generator)
    classes, each = domain.classes, shots + sampling.queries
    chosen = [sample_classes(classes, sampling, ways, each, generator) for _ in range(sampling.tasks)]
    ways = min(len(some) for some in chosen)
    rows = torch.stack([_rows(classes, some[:ways], each, generator) for some in chosen])  # (B, W, S + Q)
    drawn = classes.images[rows.flatten().to(classes.images.device)]
    images = augment(domain.augment, drawn, generator).unflatten(0, tuple(rows.shape))  # (B, W, S + Q, C, H, H)
    labels = torch.arange(ways, device=images.device)

    def of_class(count: int) -> Tensor:
        return labels.repeat_interleave(count).expand(len(rows), -1)  # (B, W * count)

    support, query = images[:, :, :shots].flatten(1, 2), images[:, :, shots:].flatten(1, 2)
    return Episodes(support, of_class(shots), query, of_class(sampling.queries), ways, progress)


def sample_classes(classes: Classes, sampling: Sampling, ways: int, images: int, generator: torch.Generator) -> Tensor:
    """The numbers of at most `ways` different classes, int64 (W,), each with at least so many images."""
    candidates = (classes.sizes >= images).nonzero()[:, 0]
    if float(torch.rand((), generator=generator)) < sampling.hard:
        candidates = _of_few_groups(classes, candidates, sampling.hard_groups, ways, generator)
    return candidates[torch.randperm(len(candidates), generator=generator)[:ways]]


def _of_few_groups(
    classes: Classes, candidates: Tensor, few: int, ways: int, generator: torch.Generator
) -> Tensor:
    groups = classes.groups[candidates]
    names = groups.unique()
    order = names[torch.randperm(len(names), generator=generator)]
    counts = torch.stack([(groups == name).sum() for name in order]).cumsum(0)  # classes in the first 1, 2, ... groups
    enough = int((counts < min(ways, len(candidates))).sum()) + 1
    return candidates[torch.isin(groups, order[: max(few, enough)])]


def _rows(classes: Classes, chosen: Tensor, each: int, generator: torch.Generator) -> Tensor:
    """Row numbers (W, each): different images of every class."""
    rows = [classes.rows[int(k)] for k in chosen]
    return torch.stack([row[torch.randperm(len(row), generator=generator)[:each]] for row in rows])


def _below(limit: int, generator: torch.Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def _one_of(values: tuple[int, ...], generator: torch.Generator) -> int:
    return values[_below(len(values), generator)]
