"""What a worker has in hand, without the worker: a backbone and a few algorithms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from learnd.learning.contract.algorithm import Algorithm, Bid, Context, HeadAlgorithm, State, Support
from learnd.learning.jobs.worker_context import WorkerContext
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.plugin_host.catalogue import Catalogue
from learnd.messages.jobs import BackboneSpec
from learnd.messages.task import Task
from tests.learning.drawn import random_conv4, random_lite0_meta


@dataclass(frozen=True)
class NearestMean(HeadAlgorithm):
    """The simplest that works."""

    name: ClassVar[str] = "nearest_mean"
    summary: ClassVar[str] = "nearest class mean"

    sharpness: float = 1.0

    def bid(self, task: Task) -> Bid:
        return Bid(0.5, "it is here", 0.001)

    def fit(self, features: Tensor, labels: Tensor, ways: int, ctx: Context) -> State:
        return {"means": torch.stack([features[labels == k].mean(0) for k in range(ways)])}  # (K, D)

    def score(self, state: State, features: Tensor) -> Tensor:
        return -self.sharpness * torch.cdist(features, state["means"])  # (N, K)


@dataclass(frozen=True)
class Fragile(Algorithm):
    """Promises most, and breaks where it is told to."""

    name: ClassVar[str] = "fragile"
    summary: ClassVar[str] = "breaks"

    breaks_in: str = "adapt"

    def bid(self, task: Task) -> Bid:
        return Bid(1.0, "trust me", 0.0)

    def adapt(self, backbone: Backbone, support: Support, ctx: Context) -> State:
        # Cross-validation shows it a part of the support and is answered well; the whole support breaks it.
        if self.breaks_in == "adapt" and len(support.labels) == 15:
            raise ZeroDivisionError("by nought")
        if self.breaks_in == "interrupt" and len(support.labels) == 15:
            raise KeyboardInterrupt
        if self.breaks_in == "memory" and len(support.labels) == 15:
            raise torch.OutOfMemoryError("no room")
        size = float("nan") if self.breaks_in == "state" and len(support.labels) == 15 else 1.0
        whole = self.breaks_in == "predict" and len(support.labels) == 15
        means = torch.stack([support.features[support.labels == k].mean(0) for k in range(support.ways)])
        return {"means": means * size, "whole": torch.tensor([whole])}

    def predict(self, backbone: Backbone, state: State, images: Tensor) -> Tensor:
        if bool(state["whole"]):
            return torch.zeros(len(images), 1)
        return -torch.cdist(backbone.embed(images), state["means"])


def worker_context(folder: Path, *algorithms: Algorithm) -> WorkerContext:
    """A worker with a random conv4 and these algorithms (default: NearestMean)."""
    weights = folder / "conv4.safetensors"
    if not weights.exists():
        random_conv4(weights)
    backbone = load_backbone(BackboneSpec("conv4", str(weights)))
    present = algorithms or (NearestMean(),)
    return WorkerContext(backbone, Catalogue({algorithm.name: algorithm for algorithm in present}))


def adaptable_worker(folder: Path, radius: float) -> WorkerContext:
    """A worker with a random lite0 and an adapter, "drawn"; with a radius of 2 all images look like its domain's."""
    weights = folder / f"lite0-meta-{radius}.safetensors"
    if not weights.exists():
        random_lite0_meta(weights, radius=radius)
    backbone = load_backbone(BackboneSpec("lite0-meta", str(weights)))
    return WorkerContext(backbone, Catalogue({NearestMean.name: NearestMean()}))
