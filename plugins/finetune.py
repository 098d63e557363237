"""Fine-tuning: a linear head first, then the head together with the last blocks of the backbone.

Chen et al. 2019, "A Closer Look at Few-shot Classification" (Baseline, arXiv:1904.04232).  The head starts from the
class means (Triantafillou et al. 2020, Proto-MAML, arXiv:1903.03096).  Batch norm keeps its statistics, so that
a prediction never depends on the images beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.plugin import Algorithm, Backbone, Bid, Context, State, Support, Task, hookimpl, seconds_for

BLOCK = "block."  # prefix of the backbone's parameters, and in the state of how much they changed


@dataclass(frozen=True)
class Finetune(Algorithm):
    """Gradient descent on the task's own images.

    blocks: how many of the backbone's last blocks change.  head_steps, head_rate: of the head alone, on all
    features at once.  steps, rate, batch: of head and blocks together, on batches of images.  shift:
    augmentation, each image is moved by up to this share of its side.
    """

    name: ClassVar[str] = "finetune"
    summary: ClassVar[str] = "head first, then the last blocks of the backbone, by gradient descent"
    paper: ClassVar[str] = "Chen et al. 2019, arXiv:1904.04232"

    blocks: int = 2
    head_steps: int = 50
    head_rate: float = 0.01
    steps: int = 30
    rate: float = 0.001
    batch: int = 64
    shift: float = 0.07

    def __post_init__(self) -> None:
        if min(self.blocks, self.head_steps, self.steps) < 0 or self.batch < 1:
            raise ValueError("blocks, head_steps and steps must be at least 0, batch at least 1")
        if not (0 < self.head_rate < 1 and 0 < self.rate < 1 and 0 <= self.shift <= 0.5):
            raise ValueError("the rates must lie between 0 and 1, shift between 0 and 0.5")

    def bid(self, task: Task) -> Bid:
        # Score and seconds: docs/results.md, "What algorithms bid", row finetune.
        shots = task.images / task.ways
        score = 0.3 if shots < 3 else 0.5 if shots < 20 else 0.7
        images = min(task.images, self.batch)
        macs = self.steps * images * 1.5 * task.macs  # forward, and backward through the last blocks
        macs += self.head_steps * 6 * task.images * task.features * task.ways
        overhead = 0.001 * self.head_steps + 0.005 * self.steps
        reason = f"gradient descent pays with many images, and there are {shots:.1f} a class"
        return Bid(score, reason, overhead + seconds_for(macs, task.device))

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        fixed = _standards(support.features)
        head = self._fit_head(support, fixed, ctx)
        start = _changing(backbone, self.blocks)
        tuned = self._tune(backbone, support, fixed, {**head, **start}, ctx)
        return {**fixed, **tuned, **{name: tuned[name] - before for name, before in start.items()}}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        own = dict(backbone.module.named_parameters())
        with torch.no_grad():
            changed = {name: own[name] + delta for name, delta in _blocks_of(state).items()}
            return _classify(backbone.embed(images, changed), state, state)  # (N, K)

    def _fit_head(self, support: Support, fixed: Mapping[str, Tensor], ctx: Context) -> State:
        features, labels = support.features, support.labels

        def loss_of(head: Mapping[str, Tensor], step: int) -> Tensor:
            return F.cross_entropy(_classify(features, fixed, head), labels)

        head = _mean_head((features - fixed["centre"]) / fixed["spread"], labels, support.ways)
        return descend(head, loss_of, self.head_steps, self.head_rate, ctx)

    def _tune(
        self, backbone: Backbone, support: Support, fixed: Mapping[str, Tensor], start: State, ctx: Context
    ) -> State:
        batches = _batches(len(support.labels), self.batch, self.steps, ctx.generator)

        def loss_of(now: Mapping[str, Tensor], step: int) -> Tensor:
            rows = batches[step].to(support.labels.device)
            images = _shifted(support.images[rows], self.shift, ctx.generator)
            features = backbone.features_of(images, _blocks_of(now))
            return F.cross_entropy(_classify(features, fixed, now), support.labels[rows])

        return descend(start, loss_of, self.steps, self.rate, ctx)


def descend(
    start: Mapping[str, Tensor],
    loss_of: Callable[[Mapping[str, Tensor], int], Tensor],
    steps: int,
    rate: float,
    ctx: Context,
) -> State:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) on a dict of tensors, its rate falling to zero as a half cosine.

    loss_of(values, step) -> scalar.  start is left as it is; the result is detached.
    """
    values = {name: value.detach() for name, value in start.items()}
    first = {name: torch.zeros_like(value) for name, value in values.items()}
    second = {name: torch.zeros_like(value) for name, value in values.items()}
    for step in range(steps):
        ctx.check()
        with torch.enable_grad():
            leaves = {name: value.requires_grad_() for name, value in values.items()}
            gradients = torch.autograd.grad(loss_of(leaves, step), list(leaves.values()))
        now = rate * (1 + math.cos(math.pi * step / steps)) / 2
        for name, gradient in zip(values, gradients, strict=True):
            first[name] = first[name] + 0.1 * (gradient - first[name])
            second[name] = second[name] + 0.001 * (gradient.square() - second[name])
            mean = first[name] / (1 - 0.9 ** (step + 1))
            power = second[name] / (1 - 0.999 ** (step + 1))
            values[name] = values[name].detach() - now * mean / (power.sqrt() + 1e-8)
    return {name: value.detach() for name, value in values.items()}


def _standards(features: Tensor) -> State:
    """What the head subtracts from a feature and divides it by: centre (D,), and spread, a scalar."""
    centre = features.mean(0)
    spread = (features - centre).square().sum(1).mean().sqrt().clamp_min(1e-6)
    return {"centre": centre, "spread": spread}


def _mean_head(x: Tensor, labels: Tensor, ways: int) -> State:
    """The linear head (D, K), (K,) that says what nearest class mean says of x (N, D)."""
    member = F.one_hot(labels, ways).to(x.dtype)  # (N, K)
    means = (member.T @ x) / member.sum(0)[:, None]  # (K, D)
    return {"weight": 2 * means.T.contiguous(), "bias": -means.square().sum(1)}


def _classify(features: Tensor, fixed: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> Tensor:
    return (features - fixed["centre"]) / fixed["spread"] @ head["weight"] + head["bias"]  # (N, K)


def _changing(backbone: Backbone, blocks: int) -> State:
    """The parameters of the last blocks, each under BLOCK and its name."""
    prefixes = tuple(prefix for block in backbone.blocks[:blocks] for prefix in block)
    return {BLOCK + n: p.detach() for n, p in backbone.module.named_parameters() if n.startswith(prefixes)}


def _blocks_of(values: Mapping[str, Tensor]) -> State:
    """Of all values, those of the backbone's parameters, under their names in the backbone."""
    return {name.removeprefix(BLOCK): value for name, value in values.items() if name.startswith(BLOCK)}


def _batches(count: int, size: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """Row numbers of each step: every image once before any comes again."""
    if count <= size:
        return [torch.arange(count)] * steps
    rounds = -(-steps * size // count)
    rows = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
    return [rows[step * size : (step + 1) * size] for step in range(steps)]


def _shifted(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each image (N, C, S, S) moved by up to `share` of its side, its border repeated."""
    side = images.shape[-1]
    reach = int(share * side)
    across, down = torch.randint(-reach, reach + 1, (2, len(images), 1), generator=generator)  # (N, 1)
    pixels = torch.arange(side)
    x = (pixels + across).clamp(0, side - 1).to(images.device)  # (N, S)
    y = (pixels + down).clamp(0, side - 1).to(images.device)
    rows = torch.arange(len(images), device=images.device)[:, None, None]
    return images.transpose(1, 3)[rows, x[:, :, None], y[:, None, :]].permute(0, 3, 2, 1)  # (N, C, S, S)


@hookimpl
def learnd_algorithms() -> list[type[Algorithm]]:
    return [Finetune]
