"""What is promised to the host: readable options, honest bids, an end when time is up, and nothing touched."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from learnd.learning.conformance.check import Broken, learn
from learnd.learning.conformance.drawn_inputs import context, gratings, photographs, support_of, task_of
from learnd.learning.conformance.global_state import World
from learnd.learning.contract.algorithm import Algorithm, Bid, Overdue, Support
from learnd.learning.contract.checks import check_class
from learnd.learning.contract.meta_learner import MetaLearner
from learnd.learning.contract.options import build, options_of
from learnd.learning.networks.backbone import Backbone
from learnd.messages.task import Task

QUICK = 0.1  # seconds that a bid may take at most, the quickest of a few: no more than a few milliseconds are meant
LONG = 5.0  # expected seconds on 100 photographs from which an algorithm must be ready to be stopped
GRACE_SECONDS = 2.0  # seconds that an algorithm may go on, on a tiny task, after its time is up


def options(algorithm: Algorithm, backbone: Backbone) -> None:
    """Its options have defaults and survive config.yaml: read back, they make the same algorithm."""
    check_class(type(algorithm))
    written = json.loads(json.dumps(options_of(algorithm)))
    if build(type(algorithm), written) != algorithm:
        raise Broken(f"{written} makes another one", remedy="let options be plain fields of the frozen dataclass")


def bid(algorithm: Algorithm, backbone: Backbone) -> None:
    """A bid is a score in [0, 1], positive seconds and a reason; it is pure, and takes milliseconds."""
    learnt = (algorithm.name,)
    small = task_of(support_of(backbone), meta_learnt=learnt)
    for task in (small, photographs(2, 1), photographs(5, 20), photographs(1000, 100)):
        before, took, bids = World.now(), [], []
        for _ in range(3):
            begun = time.process_time()  # a busy machine is no fault of the plugin's
            bids.append(algorithm.bid(task))
            took.append(time.process_time() - begun)
        _check_bid(bids[0], task)
        if any(other != bids[0] for other in bids) or before.changed_to(World.now()):
            remedy = "reckon from the task and the options alone"
            raise Broken(f"bids on one task differed, or touched the world: {bids}", remedy=remedy)
        if min(took) > QUICK:
            remedy = "reckon from the task's numbers: no pixels, no clock, no network"
            raise Broken(f"a bid on {task.images} images took {min(took):.2f} s", remedy=remedy)


def _check_bid(bid: object, task: Task) -> None:
    where = f"on {task.ways} classes and {task.images} images"
    if not isinstance(bid, Bid):
        raise Broken(f"{where}, bid returned {type(bid).__name__}", remedy="return Bid(score, reason, seconds)")
    numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in (bid.score, bid.seconds))
    if not numbers or not 0 <= bid.score <= 1:
        raise Broken(f"{where}, the score is {bid.score!r}", remedy="let the score lie in [0, 1]; 0 means: not for me")
    if bid.seconds <= 0:
        raise Broken(
            f"{where}, the seconds are {bid.seconds!r}", remedy="use learnd.learning.contract.algorithm.seconds_for"
        )
    if not isinstance(bid.reason, str) or not bid.reason.strip():
        raise Broken(f"{where}, there is no reason", remedy="say in a sentence why; it stands in the task's report")


def deadline(algorithm: Algorithm, backbone: Backbone) -> None:
    """When time is up, long work stops: adapt lets Overdue through.  Short work may just end."""
    support = support_of(backbone)
    over = replace(context(), deadline=0.0)
    begun = time.process_time()
    try:
        algorithm.adapt(backbone.private(), support, over)
    except Overdue:
        return
    took = time.process_time() - begun
    expected = algorithm.bid(photographs(5, 20)).seconds
    remedy = "call ctx.check() in every round of a long loop, and let what it raises through"
    if took > GRACE_SECONDS:
        seen = f"though time was up, adapt went on for {took:.1f} s on {len(support.labels)} small images"
        raise Broken(seen, remedy=remedy)
    if expected > LONG:
        seen = f"it expects {expected:.0f} s for 100 photographs, and did not ask whether time is up"
        raise Broken(seen, remedy=remedy)


def world(algorithm: Algorithm, backbone: Backbone) -> None:
    """Random numbers, gradient mode, dtype and threads of the process are left as they were."""
    images = gratings(3, 3, seed=2)[0]
    support, before = support_of(backbone), World.now()
    state = algorithm.adapt(backbone, support, context())
    adapted = World.now()
    algorithm.predict(backbone, state, images)
    for part, changed in (("adapt", before.changed_to(adapted)), ("predict", adapted.changed_to(World.now()))):
        if changed:
            remedy = "take random numbers from ctx.generator, set modes in a `with` alone, leave threads alone"
            raise Broken(f"{part} changed {', '.join(changed)}", remedy=remedy)


def inputs(algorithm: Algorithm, backbone: Backbone) -> None:
    """The backbone, what was meta-learnt for it, the support and the state are left as they were."""
    learnt = algorithm.meta_parameters(backbone) if isinstance(algorithm, MetaLearner) else {}
    given = replace(backbone, meta={algorithm.name: learnt, "another": {"scale": torch.ones(2)}})
    support, images = support_of(given), gratings(3, 3, seed=2)[0]
    before = _copy(_tensors(given, support))
    state = algorithm.adapt(given, support, context())
    _compare(before, _tensors(given, support), "adapt")
    before = _copy(_tensors(given, support, state))
    algorithm.predict(given, state, images)
    _compare(before, _tensors(given, support, state), "predict")
    if given.module.training:
        remedy = "leave the network in eval mode: predictions must not depend on each other"
        raise Broken("the network was left in train mode", remedy=remedy)


def _tensors(backbone: Backbone, support: Support, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Everything that a plugin is given, by a name for people."""
    own = {f"the backbone's {name}": value for name, value in backbone.module.state_dict().items()}
    meta = {f"backbone.meta[{a!r}][{n!r}]": value for a, part in backbone.meta.items() for n, value in part.items()}
    given = {"images": support.images, "features": support.features, "labels": support.labels}
    learnt = {f"state[{key!r}]": value for key, value in (state or {}).items()}
    return {**own, **meta, **learnt, **{f"support.{name}": value for name, value in given.items()}}


def _copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def _compare(before: dict[str, Tensor], after: dict[str, Tensor], part: str) -> None:
    touched = [name for name in before | after if not _untouched(before.get(name), after.get(name))]
    if touched:
        remedy = "write to copies: x = x + y, not x += y; replace parameters through features_of(images, parameters)"
        raise Broken(f"{part} changed {', '.join(touched[:3])}", remedy=remedy)


def _untouched(before: Tensor | None, after: Tensor | None) -> bool:
    return before is not None and after is not None and torch.equal(before, after)


def repeated(algorithm: Algorithm, backbone: Backbone) -> None:
    """Nothing is kept between calls: a second task, learnt in between, does not change the first."""
    support, images = support_of(backbone), gratings(3, 3, seed=2)[0]
    private = backbone.private()
    state = learn(algorithm, backbone, support)
    before = algorithm.predict(private, state, images)
    learn(algorithm, backbone, support_of(backbone, ways=2, shots=3, seed=9))
    if not torch.equal(before, algorithm.predict(private, state, images)):
        raise Broken("it predicts otherwise once it has learnt another task", remedy="keep everything in the state")


HOST_TRIALS = (options, bid, deadline, world, inputs, repeated)
