"""Cross-validation of one algorithm on the support of a task."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from learnd.learning.contract.algorithm import Algorithm, Context, HeadAlgorithm, Support, check_logits, check_state
from learnd.learning.jobs.classification_errors import Marks, gathered, mark
from learnd.learning.networks.backbone import Backbone

LEAVE_ONE_OUT = 64  # support images up to which few shots are held out one at a time


@dataclass(frozen=True)
class Measurement:
    """marks: of the images that were held out; seconds of the clock it took."""

    marks: Marks
    seconds: float

    @property
    def hits(self) -> int:
        return self.marks.hits

    @property
    def tries(self) -> int:
        return self.marks.tries

    @property
    def accuracy(self) -> float:
        return self.hits / self.tries


@dataclass(frozen=True)
class Folds:
    """Which images are held out together.

    numbers: int64 (N,), on the CPU: the fold of each image; -1 for the images of a class that has but one (copies
    count once): they are never held out.  count: how many folds there are; 0 where no class has two images.
    """

    numbers: Tensor
    count: int


def make_folds(support: Support, folds: int, ctx: Context) -> Folds:
    """Stratified folds: each class is spread evenly and keeps an image to learn from.

    Copies of an image within a class go into one fold: else it would be classified by its duplicate, and
    memorising would look like generalising.  If a class has fewer images than folds, and there are at most
    LEAVE_ONE_OUT images, every image is a separate fold.  The folds depend on the images, their
    labels and the seed of ctx alone.
    """
    firsts, copies = _without_copies(support)  # (M,), (N,)
    labels = support.labels.cpu()[firsts]  # (M,)
    shots = torch.bincount(labels)
    many = shots[labels] > 1  # (M,)
    numbers = torch.full_like(labels, -1)
    if not bool(many.any()):
        return Folds(numbers[copies], 0)
    if int(shots[shots > 1].min()) < folds and len(labels) <= LEAVE_ONE_OUT:
        numbers[many] = torch.arange(int(many.sum()))
    else:
        order = torch.randperm(len(labels), generator=ctx.child("folds").generator)
        order = order[labels[order].argsort(stable=True)]  # class by class, shuffled within each
        order = order[many[order]]
        numbers[order] = torch.arange(len(order)) % folds  # consecutive: no class has two more in one fold
    return Folds(numbers[copies], int(numbers.max()) + 1)


def _without_copies(support: Support) -> tuple[Tensor, Tensor]:
    """Of the M different images of all classes the first row (M,), and of each of N images its place there (N,).

    Same means the same pixels as the backbone sees them, whatever the files are called or how they are packed.
    """
    places: dict[tuple[int, bytes], int] = {}
    firsts: list[int] = []
    copies: list[int] = []
    for row, (image, label) in enumerate(zip(support.images.cpu(), support.labels.tolist(), strict=True)):
        pixels = hashlib.sha256(image.contiguous().numpy().tobytes()).digest()
        place = places.setdefault((label, pixels), len(firsts))
        if place == len(firsts):
            firsts.append(row)
        copies.append(place)
    return torch.tensor(firsts, dtype=torch.int64), torch.tensor(copies, dtype=torch.int64)


def cross_validate(
    name: str, algorithm: Algorithm, backbone: Backbone, support: Support, folds: Folds, ctx: Context
) -> Measurement:
    """Adapt to all folds but one and predict that one, for each.  folds.count is at least 1.

    Raises PluginError if states or logits break the contract, Overdue, and whatever the plugin raises.
    """
    started = time.monotonic()
    marked: list[Marks] = []
    for fold in range(folds.count):
        ctx.check()
        train = (folds.numbers != fold).nonzero()[:, 0].to(support.labels.device)  # (N - M,)
        held = (folds.numbers == fold).nonzero()[:, 0].to(support.labels.device)  # (M,)
        logits = _predict_held_out(name, algorithm, backbone, support, (train, held), ctx.child(name, fold))
        checked = check_logits(logits, len(held), support.ways, name)  # (M, K)
        marked.append(mark(held, support.labels[held], checked))
    return Measurement(gathered(marked), time.monotonic() - started)


def _predict_held_out(
    name: str,
    algorithm: Algorithm,
    backbone: Backbone,
    support: Support,
    split: tuple[Tensor, Tensor],
    ctx: Context,
) -> Tensor:
    train, held = split
    if isinstance(algorithm, HeadAlgorithm) and algorithm.reads_features(backbone):
        known = support.features[train], support.labels[train]
        state = check_state(algorithm.fit(*known, support.ways, ctx.on(backbone, algorithm.name)), name)
        return algorithm.score(state, support.features[held])
    adapted = algorithm.adapt(backbone.private(), support.take(train), ctx)
    return algorithm.predict(backbone.private(), check_state(adapted, name), support.images[held])
