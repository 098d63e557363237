"""Which of its adapters the backbone uses for a task: measured on the task's own support, before the routing.

Each adapter embeds a sample of the support, and the nearest class mean of the others classifies each image.  An
adapter whose domain the images look like has the benefit of the doubt, else the identity has it: who has it loses
it only to one that is surely better (a sign test on the images that only one of the two classifies correctly).  So a
task with one image per class, if nothing can be left out, is decided by how near its images lie to each domain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.contract.algorithm import Context
from learnd.learning.networks.adapters import IDENTITY
from learnd.learning.networks.backbone import Backbone
from learnd.messages.report import AdapterScore

SAMPLE = 100  # images that are embedded under every adapter, at most
NEAR_SHARE = 0.75  # share of a task's images that lie where a domain's do; of the domain's own it is 0.95
SURE = 0.002  # one-sided level of the sign test: 9 images to none.  At 0.05 one photograph task in 40 was misled


@dataclass(frozen=True)
class Choice:
    """The adapter for a task, by name, and how each of them did, the identity first."""

    adapter: str
    scores: tuple[AdapterScore, ...]


def choose_adapter(backbone: Backbone, images: Tensor, features: Tensor, labels: Tensor, ctx: Context) -> Choice:
    """The adapter for a support: images uint8 (N, C, S, S), features (N, D) of the identity, labels int64 (N,).

    A backbone without adapters is the identity, and nothing is measured.  Depends on the seed of ctx alone.
    """
    if not backbone.adapters:
        return Choice(IDENTITY, ())
    rows = sample(labels, ctx.child("adapters").generator).to(images.device)  # (M,)
    seen = {name: variant.embed(images[rows]) for name, variant in backbone.adapters.items()}
    return compare(backbone, {IDENTITY: features[rows], **seen}, labels[rows])


def compare(backbone: Backbone, features: Mapping[str, Tensor], labels: Tensor) -> Choice:
    """The adapter for images with labels int64 (N,), from their features (N, D) under every adapter of the backbone."""
    right = {name: left_out(values, labels) for name, values in features.items()}
    near = {
        name: float(variant.adapter.near(features[IDENTITY]).float().mean())
        for name, variant in backbone.adapters.items()
        if variant.adapter is not None
    }
    scores = [AdapterScore(name, int(hits.sum()), len(hits), near.get(name, 0.0)) for name, hits in right.items()]
    return Choice(decide(right, near), tuple(scores))


def sample(labels: Tensor, generator: torch.Generator) -> Tensor:
    """At most SAMPLE row numbers, int64 on the CPU: as many of each class, two at least where it has them.

    Of more than SAMPLE / 2 classes some are left out altogether.
    """
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels.cpu()[order].argsort(stable=True)]  # class by class, shuffled within each
    shots = torch.bincount(labels.cpu())
    each = max(2, SAMPLE // len(shots))
    kept = torch.randperm(len(shots), generator=generator)[: SAMPLE // each].sort().values
    starts = shots.cumsum(0) - shots
    return torch.cat([order[int(starts[k]) : int(starts[k]) + min(each, int(shots[k]))] for k in kept])


def left_out(features: Tensor, labels: Tensor) -> Tensor:
    """Which images the nearest class mean (by angle) of the others classifies correctly: bool (M,), on the CPU.

    features: (N, D); labels: int64 (N,).  The M images are those whose class has another one, in their order.
    """
    x = F.normalize(features.double().cpu(), dim=1)  # (N, D)
    _, y, count = labels.cpu().unique(return_inverse=True, return_counts=True)
    total = F.one_hot(y, len(count)).double().T @ x  # (K, D)
    scores = x @ F.normalize(total, dim=1).T  # (N, K)
    own = (x * F.normalize(total[y] - x, dim=1)).sum(1)  # (N,) to the mean of the others
    many = count[y] > 1  # (N,)
    correct: Tensor = scores.scatter(1, y[:, None], own[:, None]).argmax(1) == y
    return correct[many]


def decide(right: Mapping[str, Tensor], near: Mapping[str, float]) -> str:
    """The name of the adapter to use.  right: bool (M,) of each, the same images; near: as in AdapterScore."""
    nearest = max(near, key=lambda name: near[name])
    holder = nearest if near[nearest] >= NEAR_SHARE else IDENTITY
    for challenger in sorted(right, key=lambda name: -int(right[name].sum())):
        if surely_better(right[challenger], right[holder]):
            return challenger
    return holder


def surely_better(left: Tensor, right: Tensor) -> bool:
    """Whether left tells surely more images right than right does: the sign test, bool (M,) both."""
    won, lost = int((left & ~right).sum()), int((right & ~left).sum())
    tail = sum(math.comb(won + lost, k) for k in range(won, won + lost + 1))  # of 2 ** (won + lost) outcomes
    sure: bool = tail <= SURE * 2 ** (won + lost)
    return sure
