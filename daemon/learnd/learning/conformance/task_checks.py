"""What is promised of a task: any number of classes and images is learnt, and predictions are sound."""

from __future__ import annotations

import torch

from learnd.errors import LearndError
from learnd.learning.conformance.check import Broken, Spared, alike, gap, learn
from learnd.learning.conformance.drawn_inputs import context, gratings, support_of, task_of
from learnd.learning.conformance.global_state import World
from learnd.learning.contract.algorithm import Algorithm, Support
from learnd.learning.jobs.adapt import adapt, classify
from learnd.learning.networks.backbone import Backbone
from learnd.learning.plugin_faults import accuse

REQUIRED_ACCURACY = 0.6  # share of right answers on gratings that any method tells apart; by chance it is a third


def _sized(algorithm: Algorithm, backbone: Backbone, support: Support) -> None:
    """Learn a task, and ask about one image and about seven."""
    state = learn(algorithm, backbone, support)
    for count in (1, 7):
        images = gratings(support.ways, 7, seed=5)[0][:count]
        classify(algorithm, backbone, state, images, support.ways)  # raises PluginError if they are no (N, K)


def logits(algorithm: Algorithm, backbone: Backbone) -> None:
    """The state is named, finite tensors; logits are finite floats (N, K), of one image as of seven."""
    _sized(algorithm, backbone, support_of(backbone))


def one_shot(algorithm: Algorithm, backbone: Backbone) -> None:
    """One image of each class is enough."""
    _sized(algorithm, backbone, support_of(backbone, ways=5, shots=1))


def unbalanced_shots(algorithm: Algorithm, backbone: Backbone) -> None:
    """Classes may have as many images as they like: 1, 3 and 12 here."""
    _sized(algorithm, backbone, _unbalanced(backbone))


def many_ways(algorithm: Algorithm, backbone: Backbone) -> None:
    """Fifty classes are learnt as two are."""
    _sized(algorithm, backbone, support_of(backbone, ways=2))
    _sized(algorithm, backbone, support_of(backbone, ways=50, shots=2))


def learns(algorithm: Algorithm, backbone: Backbone) -> None:
    """An easy task is learnt: new images of three classes are distinguished far better than by chance."""
    state = learn(algorithm, backbone, support_of(backbone, shots=10, noise=20))
    images, labels = gratings(3, 10, seed=4, noise=20)
    right = float((classify(algorithm, backbone, state, images, 3).argmax(1) == labels).float().mean())
    if right < REQUIRED_ACCURACY:
        seen = f"{right:.0%} of 30 new images right; chance is 33 %"
        raise Broken(seen, remedy="column k of the logits must speak for label k; the higher, the likelier")


def refusal(algorithm: Algorithm, backbone: Backbone) -> None:
    """Where its bid is 0 and a task.yaml asks for it all the same, it copes, or says clearly why it cannot."""
    sizes = [support_of(backbone, 2, 5), support_of(backbone, 5, 1), support_of(backbone, 50, 2), _unbalanced(backbone)]
    refused = [support for support in sizes if algorithm.bid(task_of(support, algorithm.name)).score == 0]
    if not refused:
        raise Spared("it bids on everything")
    for support in refused:
        try:
            adapt(algorithm, backbone, support, context())
        except LearndError as error:
            if not error.remedy:
                raise Broken(f"{error.what!r} has no remedy", remedy="PluginError(what, remedy=...)") from error
        except BaseException as error:
            accuse(error)
            seen = f"{type(error).__name__}: {error}, on {support.ways} classes and {len(support.labels)} images"
            raise Broken(seen, remedy="raise PluginError(what, remedy=...) before it goes wrong") from error


def same_seed(algorithm: Algorithm, backbone: Backbone) -> None:
    """The same seed gives the same state, bit for bit, whatever else draws random numbers in the process."""
    states = []
    for draw in (1, 2):
        World.seed(draw)
        states.append(learn(algorithm, backbone, support_of(backbone), seed=7))
    first, second = states
    other = sorted(key for key in first.keys() | second.keys() if not _same(first.get(key), second.get(key)))
    if other:
        seen = f"two calls with the same seed gave different {', '.join(map(repr, other))}"
        raise Broken(seen, remedy="take every random number from ctx.generator, and keep nothing between calls")


def inductive(algorithm: Algorithm, backbone: Backbone) -> None:
    """What is said of an image depends neither on the images beside it nor on their order."""
    state = learn(algorithm, backbone, support_of(backbone))
    images = gratings(3, 6, seed=2)[0]
    private = backbone.private()
    together = algorithm.predict(private, state, images)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    mixed = algorithm.predict(private, state, images[order])
    if not alike(together[order], mixed):
        raise Broken(f"in another order, {gap(together[order], mixed)}", remedy="let row n speak for image n alone")
    if algorithm.transductive:
        return
    alone = torch.cat([algorithm.predict(private, state, image[None]) for image in images])
    if not alike(together, alone):
        remedy = "use no statistics of the queries (batch norm in eval mode), or declare transductive = True"
        raise Broken(f"one by one, {gap(together, alone)}", remedy=remedy)


def _unbalanced(backbone: Backbone) -> Support:
    return support_of(backbone, 3, 12).take(torch.tensor([0, *range(12, 15), *range(24, 36)]))


def _same(first: torch.Tensor | None, second: torch.Tensor | None) -> bool:
    return first is not None and second is not None and torch.equal(first, second)


TASK_TRIALS = (logits, one_shot, unbalanced_shots, many_ways, learns, refusal, same_seed, inductive)
