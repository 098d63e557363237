"""A tiny backbone and a tiny task: what the learning tests need where real images would add nothing but time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnd.domain import Task, TaskOptions
from learnd.learning.algorithm import Context, Support
from learnd.learning.backbones import Backbone
from learnd.learning.images import Preprocess
from learnd.wire import RoutingSpec

SIZE, FEATURES = 12, 8


def tiny_backbone() -> Backbone:
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
    return Backbone("tiny", module, preprocess, FEATURES, "0" * 64, 12_000, torch.device("cpu"), blocks)


def striped(ways: int, shots: int, seed: int = 0, noise: float = 40.0) -> tuple[Tensor, Tensor]:
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


def tiny_support(backbone: Backbone, ways: int = 3, shots: int = 5, seed: int = 0, noise: float = 40.0) -> Support:
    images, labels = striped(ways, shots, seed, noise)
    return Support(images, backbone.embed(images), labels, ways)


def tiny_task(support: Support, algorithm: str | None = None) -> Task:
    shots = tuple(torch.bincount(support.labels, minlength=support.ways).tolist())
    names = tuple(f"class{k}" for k in range(support.ways))
    options = TaskOptions(algorithm=algorithm)
    return Task("t", "t", 1, names, shots, 0, options, "tiny", FEATURES, 12_000, "cpu")


def context(seed: int = 0) -> Context:
    return Context(torch.Generator().manual_seed(seed))


def routing(budget_seconds: float = 20.0, folds: int = 5, shortlist: int = 4, good_enough: float = 0.95) -> RoutingSpec:
    return RoutingSpec(budget_seconds, folds, shortlist, good_enough)
