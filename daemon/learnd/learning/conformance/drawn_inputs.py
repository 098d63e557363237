"""What plugins are tried on: a small real network with fixed weights, and tasks of gratings, drawn here.

Everything follows from its arguments alone: any process makes the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnd.learning.contract.algorithm import Context, Support
from learnd.learning.contract.meta_learner import Episodes
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.images import Preprocess
from learnd.messages.task import Task, TaskOptions

SIZE, FEATURES, MACS = 12, 8, 12_000


def small_backbone() -> Backbone:
    """Three convolutions with fixed random weights: grey 12x12 -> 8 features."""
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, FEATURES, 3),
        nn.Flatten(),
    )
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    module.eval().requires_grad_(False)
    preprocess = Preprocess(SIZE, 1, (0.5,), (0.5,))
    blocks = (("5.",), ("2.", "3."), ("0.",))
    return Backbone("small", module, preprocess, FEATURES, "0" * 64, MACS, torch.device("cpu"), blocks)


def gratings(ways: int, shots: int, seed: int = 0, noise: float = 40.0) -> tuple[Tensor, Tensor]:
    """Images uint8 (ways * shots, 1, 12, 12) and labels: each class is a grating of its own direction."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.arange(SIZE).float()
    pictures = []
    for k in range(ways):
        angle = torch.tensor(torch.pi * k / ways)
        wave = torch.sin(1.3 * (axis[:, None] * angle.cos() + axis[None, :] * angle.sin()))
        grain = torch.randn(shots, SIZE, SIZE, generator=generator) * noise
        pictures.append((wave * 90 + 128 + grain).clamp(0, 255))
    images = torch.cat(pictures)[:, None].to(torch.uint8)
    return images, torch.arange(ways).repeat_interleave(shots)


def support_of(backbone: Backbone, ways: int = 3, shots: int = 5, seed: int = 0, noise: float = 40.0) -> Support:
    """A task of gratings to learn from."""
    images, labels = gratings(ways, shots, seed, noise)
    return Support(images, backbone.embed(images), labels, ways)


def task_of(support: Support, algorithm: str | None = None, meta_learnt: tuple[str, ...] = ()) -> Task:
    """The same task as a bid sees it; algorithm: the one that its task.yaml asks for."""
    shots = tuple(torch.bincount(support.labels, minlength=support.ways).tolist())
    names = tuple(f"class{k}" for k in range(support.ways))
    options = TaskOptions(algorithm=algorithm)
    return Task("t", "t", 1, names, shots, 0, options, "small", FEATURES, MACS, "cpu", meta_learnt)


def photographs(ways: int, shots: int) -> Task:
    """A task on the default backbone, lite0, by its numbers alone: 1,280 features, 385 million multiply-adds."""
    names = tuple(f"class{k}" for k in range(ways))
    return Task("p", "p", 1, names, (shots,) * ways, 0, TaskOptions(), "lite0", 1280, 385_000_000, "cpu")


def context(seed: int = 0) -> Context:
    """A context with all the time in the world."""
    return Context(torch.Generator().manual_seed(seed))


def episodes_of(count: int, ways: int = 3, shots: int = 2, queries: int = 2) -> Episodes:
    """So many tasks of gratings for an outer loop; uint8, no two alike."""
    support = [gratings(ways, shots, seed=2 * task) for task in range(count)]
    query = [gratings(ways, queries, seed=2 * task + 1) for task in range(count)]
    images, labels = (torch.stack(parts) for parts in zip(*support, strict=True))
    asked, answers = (torch.stack(parts) for parts in zip(*query, strict=True))
    return Episodes(images, labels, asked, answers, ways)
