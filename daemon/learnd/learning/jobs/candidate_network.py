"""A candidate network: the shared one, trained a little further on what is remembered of all tasks.

A network without adapters is trained as a whole, by the episodes of Prototypical Networks (Snell et al. 2017).  One
with adapters keeps its trunk to the bit: of its adapters those are trained further that tasks use, so what the trunk
alone serves cannot be harmed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learnd.errors import TaskError
from learnd.learning.contract.meta_learner import MetaLearner, for_backbone
from learnd.learning.metatraining import episodes
from learnd.learning.metatraining.adapter_training import Adapting, domain_of, finished, plan_of, trainee
from learnd.learning.metatraining.corpus import ImageClasses, ImageDomain
from learnd.learning.metatraining.objective import meta_train
from learnd.learning.metatraining.outer_loop import Run, train
from learnd.learning.methods.heads import LOG_SCALE
from learnd.learning.networks.adapters import IDENTITY, LUMA, Adapter
from learnd.learning.networks.backbone import Backbone, trained, with_adapters
from learnd.settings.meta_training_recipe import Recipe

LEARNER = "protonet"
LEARNING_RATE = 3e-4  # small steps: the network is good already
WAYS, QUERIES = 20, 3
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Lesson:
    """What is remembered of a task: images uint8 (N, C, S, S), labels int64 (N,), and the adapter that it uses."""

    id: str
    adapter: str
    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Candidate:
    """backbone: without what was meta-learnt for the old one.  learners: ids of the tasks that it was trained on.

    changed: the adapters that are no longer what they were; with the IDENTITY among them, everything is.
    """

    backbone: Backbone
    learners: tuple[str, ...]
    changed: frozenset[str]


def train_candidate(
    backbone: Backbone, learner: MetaLearner | None, lessons: Sequence[Lesson], steps: int, seed: int, run: Run
) -> Candidate:
    """Train for so many steps; the same lessons, steps and seed give the same candidate.

    learner: protonet as it is loaded.  Raises TaskError if there is too little to train on.
    """
    if backbone.adapters:
        return _with_trained_adapters(backbone, lessons, steps, seed, run)
    if learner is None:
        remedy = f"set plugins.{LEARNER}.enabled: true in config.yaml"
        raise TaskError(f"a network is trained by {LEARNER}, which is not loaded", remedy=remedy)
    classes = _classes(lessons).to(backbone.device)
    domain = ImageDomain("remembered", classes, "glyphs" if backbone.preprocess.channels == 1 else "photographs")
    result = meta_train(learner, backbone, [domain], [], _recipe(classes, steps, seed), run)
    module = copy.deepcopy(backbone.module)
    values = {**module.state_dict(), **for_backbone(result.weights.params), **result.weights.buffers}
    module.load_state_dict(values)
    new = replace(trained(backbone, module), meta={})
    return Candidate(new, tuple(sorted(lesson.id for lesson in lessons)), frozenset({IDENTITY}))


def changed_by(backbone: Backbone, adapters: Iterable[str]) -> frozenset[str]:
    """What a candidate changes that is trained on tasks with these adapters, as in Candidate.changed."""
    return frozenset(adapters) - {IDENTITY} if backbone.adapters else frozenset({IDENTITY})


def _classes(lessons: Sequence[Lesson]) -> ImageClasses:
    """The classes of all lessons; a lesson is a group."""
    rows, groups, names, first = [], [], [], 0
    for number, lesson in enumerate(lessons):
        for label in range(int(lesson.labels.max()) + 1):
            rows.append((lesson.labels == label).nonzero()[:, 0] + first)
            groups.append(number)
            names.append(f"{lesson.id}/{label}")
        first += len(lesson.labels)
    return ImageClasses(
        torch.cat([lesson.images for lesson in lessons]), tuple(rows), torch.tensor(groups), tuple(names)
    )


def _recipe(classes: ImageClasses, steps: int, seed: int) -> Recipe:
    """One shot and up to QUERIES queries, of which half of the classes have enough images."""
    usual = int(classes.sizes.median())
    queries = max(1, min(QUERIES, usual - 1))
    recipe = Recipe(
        steps=steps, ways=(WAYS,), shots=(1,), queries=queries, rate=LEARNING_RATE, hard_groups=1, seed=seed
    )
    if int((classes.sizes > queries).sum()) < 2:
        what = "there are not two classes of which two images may be learnt from"
        raise TaskError(what, remedy="raise knowledge.exemplars_per_class, and learn more")
    return recipe


# --- adapters ---------------------------------------------------------------------------------------------------------


def _with_trained_adapters(backbone: Backbone, lessons: Sequence[Lesson], steps: int, seed: int, run: Run) -> Candidate:
    users: dict[str, list[Lesson]] = {}
    for lesson in lessons:
        if lesson.adapter != IDENTITY:
            users.setdefault(lesson.adapter, []).append(lesson)
    if not users:
        what = f"no task uses an adapter of {backbone.name}, and its trunk stays as it is"
        raise TaskError(what, remedy="nothing is to be done: the tasks are served by the trunk")
    old = {name: variant.adapter for name, variant in backbone.adapters.items() if variant.adapter is not None}
    new = {name: _tuned(old[name], backbone, some, steps, seed, run) for name, some in sorted(users.items())}
    learners = sorted(lesson.id for some in users.values() for lesson in some)
    return Candidate(with_adapters(backbone, [new.get(n, a) for n, a in old.items()]), tuple(learners), frozenset(new))


@dataclass(frozen=True)
class Tuning(Adapting):
    """The training of an adapter, from where it is."""

    adapter: Adapter

    def start(self) -> dict[str, Tensor]:
        device = self.backbone.device
        own = {name: value.float().to(device) for name, value in _parameters(self.adapter).items()}
        return {**own, LOG_SCALE: torch.tensor(self.plan.scale, device=device).log()}


def _parameters(adapter: Adapter) -> dict[str, Tensor]:
    return {name: value for name, value in adapter.tensors.items() if not name.endswith(STATISTICS)}


def _tuned(adapter: Adapter, backbone: Backbone, lessons: Sequence[Lesson], steps: int, seed: int, run: Run) -> Adapter:
    plan = plan_of(adapter)
    classes = _classes([replace(one, images=_grey(one.images)) for one in lessons] if plan.grey else lessons)
    recipe = _recipe(classes, steps, seed)
    domain = domain_of(adapter.name, classes.to(backbone.device), plan)
    network = trainee(backbone, plan)
    statistics = {name: value.float() for name, value in adapter.tensors.items() if name.endswith(STATISTICS)}
    network.module.load_state_dict({**network.module.state_dict(), **statistics})
    episodes.check([domain], episodes.of_training(recipe))
    result = train(Tuning(network, [domain], (), recipe, plan, adapter), recipe, run)
    return finished(adapter.name, plan, result, adapter.regions)  # its domains are what they were


def _grey(images: Tensor) -> Tensor:
    """uint8 (N, 3, S, S) -> uint8 (N, 1, S, S)."""
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True).round().clamp(0, 255).to(torch.uint8)
