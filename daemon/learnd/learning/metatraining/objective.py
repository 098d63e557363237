"""Meta-training: any algorithm with an outer loop, over tasks drawn from many classes.

What is validated is what a task will see later: adapt and predict, in eval mode.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Context, Support
from learnd.learning.contract.meta_learner import BACKBONE, MetaLearner
from learnd.learning.metatraining import episodes
from learnd.learning.metatraining.corpus import ImageDomain
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd.learning.metatraining.outer_loop import Objective, Run, Trained, train
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.methods.heads import class_means
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.settings.meta_training_recipe import Recipe


def meta_train(
    learner: MetaLearner,
    backbone: Backbone,
    training: Sequence[ImageDomain],
    validation: Sequence[ImageDomain],
    recipe: Recipe,
    run: Run,
) -> Trained:
    """Run an algorithm's outer loop from this backbone, which is left as it is.

    training, validation: domains on the backbone's device; without the second nothing is validated.
    Raises LearndError if the classes are too small for the tasks, the loss is not finite, or the recipe's batching
    is not for this algorithm.
    """
    episodes.check(training, episodes.of_training(recipe))
    if validation:
        episodes.check(validation, episodes.of_validation(recipe, validation))
    return train(Episodic(backbone.private(), training, validation, recipe, learner), recipe, run)


Predict = Callable[[Support, Tensor, Context], Tensor]  # a support, query images uint8 (N, C, S, S) -> logits (N, K)


@dataclass(frozen=True)
class FewShotObjective(Objective):
    """An objective that is validated on few-shot tasks of other classes.  backbone: a private copy."""

    backbone: Backbone
    training: Sequence[ImageDomain]
    validation: Sequence[ImageDomain]
    recipe: Recipe

    @abstractmethod
    def predictor(self, params: Tensors) -> tuple[Backbone, Predict]:
        """Return the network with these parameters, in eval mode, and how it answers a task."""

    def validate(self, params: Tensors, step: int) -> ValidationScore | None:
        if not self.validation:
            return None
        self.backbone.module.eval()
        backbone, predict = self.predictor(params)
        return score_episodes(backbone, self.validation, self.recipe, step, predict)


def nearest_mean(support: Tensor, labels: Tensor, ways: int, query: Tensor) -> Tensor:
    """Return the cosine of each query (N, D) with each class mean of the support (M, D), labels int64 (M,): (N, K)."""
    means = class_means(F.normalize(support, dim=1), labels, ways)  # (K, D)
    return F.normalize(query, dim=1) @ F.normalize(means, dim=1).T


@dataclass(frozen=True)
class Episodic(FewShotObjective):
    """The mean of meta_loss over a batch of tasks."""

    learner: MetaLearner

    @cached_property
    def metagradient(self) -> MetaGradient:
        return MetaGradient(self.learner, self.backbone, self.recipe.batching, self.recipe.amp)

    @property
    def trains_network(self) -> bool:
        return self.learner.batch_statistics

    def start(self) -> dict[str, Tensor]:
        return self.learner.meta_of(self.backbone)

    def gradients(
        self, params: Tensors, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        batch = episodes.sample(self.training, episodes.of_training(self.recipe), generator, progress)
        self.backbone.module.train(self.learner.batch_statistics)
        with own_randomness(generator) as ctx:
            return self.metagradient.of(params, batch, ctx)

    def predictor(self, params: Tensors) -> tuple[Backbone, Predict]:
        learnt = {
            name: value.detach()
            for name, value in params.items()
            if not (self.learner.batch_statistics and name.startswith(BACKBONE))  # those are in the network already
        }
        backbone = replace(self.backbone, meta={**self.backbone.meta, self.learner.name: learnt})

        def predict(support: Support, query: Tensor, ctx: Context) -> Tensor:
            private = backbone.private()
            state = self.learner.adapt(private, support, ctx)
            return self.learner.predict(private, state, query)

        return backbone, predict


@contextmanager
def own_randomness(generator: torch.Generator) -> Iterator[Context]:
    """Within, whatever is random depends on the generator alone; torch's own numbers are left as they were.

    Gives a Context with a generator of its own, another one each time.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # networks with dropout, and vmap, draw from there
        yield Context(torch.Generator().manual_seed(seed))


def score_episodes(
    backbone: Backbone,
    domains: Sequence[ImageDomain],
    recipe: Recipe,
    step: int,
    predict: Predict,
) -> ValidationScore:
    """Return the accuracy on the tasks of a recipe's validation, the same tasks each time."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    sampling = episodes.of_validation(recipe, domains)
    accuracies = []
    for _ in range(recipe.validation_episodes):
        task = episodes.sample(domains, sampling, generator)
        images, labels, query, query_labels = (tensor[0] for tensor in task.tensors)
        support = Support(images, backbone.embed(images), labels, task.ways)
        with own_randomness(generator) as ctx:
            logits = predict(support, query, ctx)
        accuracies.append((logits.argmax(1) == query_labels).float().mean().cpu())
    values = torch.stack(accuracies)
    spread = float(values.std(correction=1)) if len(values) > 1 else 0.0
    return ValidationScore(step, float(values.mean()), 1.96 * spread / len(values) ** 0.5, len(values))
