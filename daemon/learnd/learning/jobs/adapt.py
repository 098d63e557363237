"""The chosen algorithm adapts to the task, and is marked by the host on images that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.learning.contract.algorithm import (
    Algorithm,
    Context,
    HeadAlgorithm,
    State,
    Support,
    check_logits,
    check_state,
)
from learnd.learning.jobs.algorithm_choice import Route, fall_back
from learnd.learning.jobs.classification_errors import Marks, mark
from learnd.learning.jobs.read_task import Part
from learnd.learning.jobs.worker_context import Stopwatch, WorkerContext
from learnd.learning.networks.backbone import IMAGES_PER_PASS, Backbone
from learnd.learning.plugin_faults import accuse, explain, outcome_of

PROBE = 2  # support images that a new state must be able to predict if there is no query


@dataclass(frozen=True)
class Adapted:
    """The chosen algorithm, what it learnt (on the CPU), and how it classified the query images (None: no query)."""

    chosen: Route
    algorithm: Algorithm
    state: State
    marks: Marks | None


@dataclass(frozen=True)
class Query:
    """The held-out images of a task, and their features (M, D)."""

    part: Part
    features: Tensor


def adapt_best(
    chosen: Route, worker: WorkerContext, support: Support, query: Query, ctx: Context, watch: Stopwatch
) -> Adapted:
    """Adapt the chosen algorithm; if it fails, the next best.  Raises as route does when none is left."""
    while True:
        algorithm = worker.catalogue.algorithms[chosen.algorithm]
        watch.progress(f"adapt {algorithm.name}", 0, 1, algorithm.name)
        try:
            with watch.stage("adapt"):
                state = adapt(algorithm, worker.backbone, support, ctx.child("adapt", algorithm.name))
            with watch.stage("evaluate"):
                marks = _mark(algorithm, worker.backbone, state, support, query)
            return Adapted(chosen, algorithm, state, marks)
        except BaseException as error:  # a plugin may raise anything, and is to blame alone
            accuse(error)
            chosen = fall_back(chosen, explain(algorithm.name, error, ctx.log), outcome_of(error))


def adapt(algorithm: Algorithm, backbone: Backbone, support: Support, ctx: Context) -> State:
    """What an algorithm learns about a task, checked and ready to be stored: on the CPU.  Raises PluginError."""
    state = check_state(algorithm.adapt(backbone.private(), support, ctx), algorithm.name)
    # Stored tensors must not share memory, with each other or with a plugin.
    return {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}


def _mark(algorithm: Algorithm, backbone: Backbone, state: State, support: Support, query: Query) -> Marks | None:
    """Classify the query images.  Without a query: check that the state can predict, and return None."""
    labels = query.part.labels
    if not len(labels):
        few = support.features[:PROBE]
        classify(algorithm, backbone, state, support.images[:PROBE], support.ways, few)
        return None
    logits = classify(algorithm, backbone, state, query.part.images, support.ways, query.features)  # (M, K)
    return mark(torch.arange(len(labels)), labels, logits)


def classify(
    algorithm: Algorithm,
    backbone: Backbone,
    state: Mapping[str, Tensor],
    images: Tensor,
    ways: int,
    features: Tensor | None = None,
) -> Tensor:
    """Finite logits float32 (N, K) on the CPU for images uint8 (N, C, S, S).

    IMAGES_PER_PASS at a time, unless the algorithm is transductive: that one is shown them all.  features (N, D), where
    they are known, save a head on them the embedding.  Raises PluginError.
    """
    here = {key: value.to(backbone.device) for key, value in state.items()}
    if features is not None and isinstance(algorithm, HeadAlgorithm) and algorithm.reads_features(backbone):
        logits = algorithm.score(here, features)
        return check_logits(logits, len(images), ways, algorithm.name).float().cpu()  # (N, K)
    private = backbone.private()
    parts: list[Tensor] = []
    for chunk in [images] if algorithm.transductive else images.split(IMAGES_PER_PASS):
        logits = algorithm.predict(private, here, chunk.to(backbone.device))
        parts.append(check_logits(logits, len(chunk), ways, algorithm.name))
    return torch.cat(parts).float().cpu()  # (N, K)
