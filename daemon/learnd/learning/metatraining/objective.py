"""Meta-training: any algorithm with an outer loop, over tasks drawn from many classes.

What is validated is what a task will see later: adapt and predict, in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from learnd.learning.contract.algorithm import Context, Support
from learnd.learning.contract.meta_learner import BACKBONE, MetaLearner
from learnd.learning.metatraining import episodes
from learnd.learning.metatraining.corpus import ImageDomain
from learnd.learning.metatraining.loop import Objective, Run, Trained, train
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd.learning.metatraining.snapshots import ValidationScore
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.settings.recipe import Recipe


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
    Raises LearndError where the classes are too small for the tasks, the loss is not finite, or the recipe's batching
    is not for this algorithm.
    """
    episodes.check(training, episodes.of_training(recipe))
    if validation:
        episodes.check(validation, episodes.of_validation(recipe, validation))
    return train(Episodic(learner, backbone.private(), training, validation, recipe), recipe, run)


@dataclass(frozen=True)
class Episodic(Objective):
    """The mean of meta_loss over a batch of tasks.  backbone: a private copy."""

    learner: MetaLearner
    backbone: Backbone
    training: Sequence[ImageDomain]
    validation: Sequence[ImageDomain]
    recipe: Recipe

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

    def validate(self, params: Tensors, step: int) -> ValidationScore | None:
        if not self.validation:
            return None
        learnt = {
            name: value.detach()
            for name, value in params.items()
            if not (self.learner.batch_statistics and name.startswith(BACKBONE))  # those are in the network already
        }
        backbone = replace(self.backbone, meta={**self.backbone.meta, self.learner.name: learnt})
        backbone.module.eval()

        def predict(support: Support, query: Tensor, ctx: Context) -> Tensor:
            private = backbone.private()
            state = self.learner.adapt(private, support, ctx)
            return self.learner.predict(private, state, query)

        return score_episodes(backbone, self.validation, self.recipe, step, predict)


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
    predict: Callable[[Support, Tensor, Context], Tensor],
) -> ValidationScore:
    """The accuracy on the tasks of a recipe's validation, the same tasks each time.

    predict: from a support and query images uint8 (N, C, S, S) to logits (N, K).
    """
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
