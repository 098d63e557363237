"""How tasks relate: does the distance of two tasks predict which algorithm wins, and how much one helps the other?

Tasks of four kinds in the features of lite0-meta: 20 alphabets, and slices of CIFAR-FS test, EuroSAT and Chula RBC.
Each is learnt from SHOTS images per class; the rest mark it, DRAWS times with other images.  The distance is that of
`learnd show`.  Intervals are 95 % bootstraps over tasks; p-values are those of Mantel's test (1967), which permutes
tasks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.datasets import read_archives
from benchmarks.figures import Figure
from learnd.learning.contract.algorithm import Algorithm, Context, HeadAlgorithm, Support
from learnd.learning.knowledge.class_statistics import Statistics, statistics, unit
from learnd.learning.knowledge.grouped_classifier import grouped_head
from learnd.learning.knowledge.similarity import TaskRelations, draw_map
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec, Member

ALGORITHMS = ("protonet", "cosine", "matching", "ridge", "slda", "gaussian", "linear_probe")
KEPT, SHOTS, DRAWS = 20, 5, 8  # images of a class, those that it is learnt from, and how often
HALF = 8  # images of each of two halves of a class
SHRINKAGE = 0.5  # of a covariance that another task lends
PERMUTATIONS = 2000


@dataclass(frozen=True)
class RelationSource:
    """Where tasks of a kind are from.  depth: folders that name a class; adapter: the one that such tasks use."""

    kind: str
    archive: str
    depth: int
    ways: int
    adapter: str = IDENTITY


RELATION_SOURCES = (
    RelationSource("glyphs", "omniglot/images_evaluation.zip", 2, 10, "glyphs"),
    RelationSource("photographs", "cifar-fs/test.zip", 1, 5),
    RelationSource("land", "eurosat/images.zip", 1, 5),
    RelationSource("cells", "chula-rbc/images.zip", 1, 6),
)


@dataclass(frozen=True)
class Known:
    """A task of K classes.  features: by adapter, float32 (K, KEPT, D).  uses: the adapter it is learnt with."""

    name: str
    kind: str
    features: dict[str, Tensor]
    uses: str

    def learnt(self, rows: slice, classes: slice = slice(None), name: str = "") -> tuple[Member, Statistics]:
        """What is remembered of these images of these classes."""
        names = [str(k) for k in range(len(self.features[IDENTITY]))][classes]

        def reduced(adapter: str) -> Statistics:
            own = self.features[adapter][classes, rows]  # (k, n, D)
            labels = torch.arange(len(own)).repeat_interleave(own.shape[1])
            return replace(statistics(own.flatten(0, 1), labels, names), adapter=adapter)

        name, adapted = name or self.name, None if self.uses == IDENTITY else reduced(self.uses)
        return Member(name, name, 1, "", "", ""), replace(reduced(IDENTITY), adapted=adapted)


def figures() -> list[Figure]:
    backbone = load_backbone(BackboneSpec("lite0-meta"))
    tasks = [task for source in RELATION_SOURCES for task in read_tasks(backbone, source)]
    drawn = draw_map(grouped_head([task.learnt(slice(SHOTS)) for task in tasks]).plain)
    place = {name: k for k, name in enumerate(drawn.tasks)}
    order = torch.tensor([place[task.name] for task in tasks])
    distance = torch.stack([drawn.distances(task.name)[order] for task in tasks])  # (T, T)
    return [
        Figure(f"{len(tasks)} tasks: the nearest is of the same kind", _share(_same_kind(tasks, distance))),
        *_twins(tasks),
        *_winners(tasks, distance, backbone),
        *_transfer(tasks, distance),
    ]


def read_tasks(backbone: Backbone, source: RelationSource) -> list[Known]:
    """All tasks of a source, embedded; of an alphabet the first `ways` characters, of the others slices of classes."""
    found = read_archives([source.archive], backbone.preprocess, source.depth)
    groups: dict[str, list[int]] = {}
    for number, name in enumerate(found.names):
        group = name.split("/")[0] if source.depth == 2 else f"{source.kind} {number // source.ways}"
        if len(groups.setdefault(group, [])) < source.ways:
            groups[group].append(number)
    tasks = []
    for group, numbers in groups.items():
        rows = torch.cat([found.rows[k][torch.linspace(0, len(found.rows[k]) - 1, KEPT).long()] for k in numbers])
        images = found.images[rows].to(backbone.device)
        seen = {name: backbone.adapted(name).embed(images).cpu() for name in {IDENTITY, source.adapter}}
        shaped = {name: value.unflatten(0, (len(numbers), KEPT)) for name, value in seen.items()}
        tasks.append(Known(group, source.kind, shaped, source.adapter))
    return tasks


def _same_kind(tasks: Sequence[Known], distance: Tensor) -> list[float]:
    nearest = distance.clone().fill_diagonal_(torch.inf).argmin(1).tolist()
    return [float(tasks[k].kind == task.kind) for task, k in zip(tasks, nearest, strict=True)]


# --- classes that are one and the same ------------------------------------------------------------------------------


def _twins(tasks: Sequence[Known]) -> list[Figure]:
    """Of every second task half of the classes are learnt once more, from other images, as a task of their own."""
    known, planted = [task.learnt(slice(HALF)) for task in tasks], 0
    for task in tasks[::2]:
        half = len(task.features[IDENTITY]) // 2
        known.append(task.learnt(slice(HALF, 2 * HALF), slice(half), f"{task.name} again"))
        planted += half
    relations = TaskRelations(grouped_head(known))
    pairs = {
        frozenset([(member.name, twin.class_name), (twin.task, twin.other)])
        for member, _ in known
        for twin in relations.twins(member.name)
    }
    true = sum(len({(name.removesuffix(" again"), k) for name, k in pair}) == 1 for pair in pairs)
    return [
        Figure(f"of {planted} classes learnt twice, joins suggested", f"{true / planted:.3f}"),
        Figure("of suggested joins, right", f"{true / max(1, len(pairs)):.3f} of {len(pairs)}"),
    ]


# --- which algorithm wins -------------------------------------------------------------------------------------------


def _winners(tasks: Sequence[Known], distance: Tensor, backbone: Backbone) -> list[Figure]:
    catalogue = load_catalogue(None, {})
    scores = torch.stack([_scores(task, catalogue.algorithms, backbone) for task in tasks])  # (T, A)
    best = scores.amax(1)
    nearest = distance.clone().fill_diagonal_(torch.inf).argmin(1)
    others = (scores.sum(0) - scores) / (len(tasks) - 1)  # (T, A): the mean over all other tasks
    picks = {
        "nearest task": scores[nearest].argmax(1),
        "all other tasks": others.argmax(1),
        "any, by chance": None,
    }
    lines = [
        Figure("best algorithm, mean accuracy", f"{float(best.mean()):.4f}"),
        *(Figure(f"  {name}", f"{float(scores[:, a].mean()):.4f}") for a, name in enumerate(ALGORITHMS)),
    ]
    for name, pick in picks.items():
        got = scores.mean(1) if pick is None else scores.gather(1, pick[:, None])[:, 0]
        lines.append(Figure(f"lost where the algorithm is that of: {name}", _share((best - got).tolist())))
    profile = scores - scores.mean(1, keepdim=True)
    unlike = torch.cdist(profile, profile)
    kinds = [task.kind for task in tasks]
    for part, kept in (("all tasks", range(len(tasks))), ("glyphs", _places(kinds, "glyphs"))):
        rho, p = mantel(distance, unlike, list(kept))
        lines.append(Figure(f"distance and unlikeness of the scores, {part}: Spearman", f"{rho:+.2f} (p {p:.3f})"))
    return lines


def _scores(task: Known, algorithms: dict[str, Algorithm], backbone: Backbone) -> Tensor:
    """The mean accuracy of each algorithm over the draws: (A,)."""
    features = task.features[task.uses]
    ways, generator = len(features), torch.Generator().manual_seed(1)
    hits = torch.zeros(len(ALGORITHMS), dtype=torch.float64)
    for draw in range(DRAWS):
        order = torch.stack([torch.randperm(KEPT, generator=generator) for _ in range(ways)])  # (K, KEPT)
        drawn = features.gather(1, order[..., None].expand_as(features))  # (K, KEPT, D)
        labels = torch.arange(ways)
        given = Support(
            torch.zeros(ways * SHOTS, 1, 1, 1, dtype=torch.uint8),  # none of these algorithms looks at images
            drawn[:, :SHOTS].flatten(0, 1),
            labels.repeat_interleave(SHOTS),
            ways,
        )
        asked, right = drawn[:, SHOTS:].flatten(0, 1), labels.repeat_interleave(KEPT - SHOTS)
        for place, name in enumerate(ALGORITHMS):
            algorithm = algorithms[name]
            assert isinstance(algorithm, HeadAlgorithm)
            state = algorithm.adapt(backbone, given, Context(torch.Generator().manual_seed(draw)))
            hits[place] += (algorithm.score(state, asked).argmax(1) == right).double().mean()
    return hits / DRAWS


# --- how much one helps another -------------------------------------------------------------------------------------


def _transfer(tasks: Sequence[Known], distance: Tensor) -> list[Figure]:
    """What the covariance that one task lends is worth to another, whose classes it tells by the nearest mean."""
    gain = torch.stack([_gains(tasks, target) for target in tasks], 1)  # (source, target)
    own = gain.diagonal()
    far = distance.clone().fill_diagonal_(torch.inf)
    kinds = [task.kind for task in tasks]
    mean = (gain.sum(0) - own) / (len(tasks) - 1)
    lines = [
        Figure("accuracy gained with the covariance of: the task itself", _share(own.tolist())),
        Figure("  the nearest task", _share(gain.gather(0, far.argmin(1)[None])[0].tolist())),
        Figure("  any other task", _share(mean.tolist())),
        Figure("  the farthest task", _share(gain.gather(0, distance.argmax(1)[None])[0].tolist())),
    ]
    for part, kept in (("all tasks", range(len(tasks))), ("glyphs", _places(kinds, "glyphs"))):
        rho, p = mantel(distance, (gain + gain.T) / 2, list(kept))
        lines.append(Figure(f"distance and gain, {part}: Spearman", f"{rho:+.2f} (p {p:.3f})"))
    return lines


def _gains(tasks: Sequence[Known], target: Known) -> Tensor:
    """What the covariance of each task adds to the accuracy of the nearest mean on the target: (T,)."""
    features = unit(target.features[IDENTITY].flatten(0, 1)).unflatten(0, (-1, KEPT))  # (K, KEPT, D)
    means, asked = features[:, :SHOTS].mean(1), features[:, SHOTS:].flatten(0, 1)
    right = torch.arange(len(means)).repeat_interleave(KEPT - SHOTS)

    def accuracy(x: Tensor, y: Tensor) -> float:
        return float((torch.cdist(x, y).argmin(1) == right).double().mean())

    plain = accuracy(asked, means)
    return torch.tensor([accuracy(_whitened(asked, own), _whitened(means, own)) - plain for own in map(_spread, tasks)])


def _spread(task: Known) -> tuple[Tensor, Tensor]:
    """The principal axes within the classes of a task, from what it learns, and the variance along each."""
    x = unit(task.features[IDENTITY].flatten(0, 1)).unflatten(0, (-1, KEPT))[:, :SHOTS]
    residuals = (x - x.mean(1, keepdim=True)).flatten(0, 1)  # (K * SHOTS, D)
    _, values, axes = torch.linalg.svd(residuals, full_matrices=False)
    return axes.T, values.square() / (len(residuals) - len(x))


def _whitened(x: Tensor, spread: tuple[Tensor, Tensor]) -> Tensor:
    """x (N, D) in coordinates in which the shrunk covariance is a multiple of the identity."""
    axes, variance = spread
    level = SHRINKAGE * float(variance.sum()) / x.shape[1]
    along = x @ axes  # (N, R)
    scale = (level / ((1 - SHRINKAGE) * variance + level)).sqrt()
    return x + (along * (scale - 1)) @ axes.T


# --- what is certain ------------------------------------------------------------------------------------------------


def _places(kinds: Sequence[str], kind: str) -> list[int]:
    return [place for place, one in enumerate(kinds) if one == kind]


def _share(values: Sequence[float]) -> str:
    """Their mean, and its 95 % interval by bootstrap."""
    draw = random.Random(1)
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(2000))
    return f"{sum(values) / len(values):.4f} [{means[50]:.4f}, {means[1949]:.4f}]"


def mantel(left: Tensor, right: Tensor, kept: Sequence[int]) -> tuple[float, float]:
    """Spearman's correlation of two symmetric matrices over pairs of these tasks, and the p-value of Mantel's test."""
    a, b = (matrix[kept][:, kept] for matrix in (left, right))
    upper = torch.triu_indices(len(kept), len(kept), 1)
    rank = _ranks(a[upper[0], upper[1]])

    def correlation(order: Tensor) -> float:
        shuffled = b[order][:, order]
        return float(torch.corrcoef(torch.stack([rank, _ranks(shuffled[upper[0], upper[1]])]))[0, 1])

    generator = torch.Generator().manual_seed(1)
    found = correlation(torch.arange(len(kept)))
    chance = [correlation(torch.randperm(len(kept), generator=generator)) for _ in range(PERMUTATIONS)]
    extreme = sum(abs(value) >= abs(found) for value in chance)
    return found, (extreme + 1) / (PERMUTATIONS + 1)


def _ranks(values: Tensor) -> Tensor:
    return values.argsort().argsort().double()
