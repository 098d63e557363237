"""Supervised pre-training: one cosine classifier over all training classes, of which the network is kept.

Gidaris & Komodakis 2018, "Dynamic Few-Shot Visual Learning without Forgetting" (arXiv:1804.09458), whose cosine head
makes features that cluster, and Chen et al. 2019, "A Closer Look at Few-shot Classification" (Baseline++,
arXiv:1904.04232).  It runs in the same loop as meta-training, with batches of labelled images in place of tasks, and
is validated by what it is for: few-shot tasks of other classes, by the nearest class mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.errors import LearndError, SettingsError
from learnd.learning.contract.algorithm import Context, Support
from learnd.learning.contract.meta_learner import backbone_parameters, for_backbone
from learnd.learning.metatraining import episodes
from learnd.learning.metatraining.batching import gradient_of, precision
from learnd.learning.metatraining.corpus import ImageDomain
from learnd.learning.metatraining.objective import FewShotObjective, Predict, nearest_mean, own_randomness
from learnd.learning.metatraining.outer_loop import Run, Trained, train
from learnd.learning.networks.augmentation import augment
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from learnd.settings.meta_training_recipe import Recipe
from learnd.suggest import did_you_mean

NAME = "pretrain"
HEAD, HEAD_SCALE = "head.weight", "head.log_scale"


@dataclass(frozen=True)
class Pretraining:
    """images: of a batch.  smoothing: of the labels, in [0, 1).  scale: of the cosines to start from; it is learnt."""

    images: int = 128
    smoothing: float = 0.0
    scale: float = 10.0

    def __post_init__(self) -> None:
        if self.images < 2 or not 0 <= self.smoothing < 1 or not self.scale > 0:
            remedy = "images >= 2, 0 <= smoothing < 1, scale > 0"
            raise SettingsError("an option is out of range", where="--algorithm pretrain", remedy=remedy)


def pretraining(options: dict[str, Any]) -> Pretraining:
    """Raises SettingsError."""
    kinds: dict[str, type] = {"images": int, "smoothing": float, "scale": float}
    for name, value in options.items():
        if name not in kinds:
            remedy = did_you_mean(name, list(kinds))
            raise SettingsError(f"has no option {name!r}", where=f"--algorithm {NAME}", remedy=remedy)
        if isinstance(value, bool) or not isinstance(value, int | kinds[name]):
            raise SettingsError(f"{name} must be a number, not {value!r}", where=f"--algorithm {NAME}")
    return Pretraining(**options)


def pretrain(
    options: Pretraining,
    backbone: Backbone,
    training: Sequence[ImageDomain],
    validation: Sequence[ImageDomain],
    recipe: Recipe,
    run: Run,
) -> Trained:
    """Train the network of a copy of this backbone to tell all training classes apart.

    Raises LearndError if there are not two classes, or the loss is not finite.
    """
    if sum(len(domain.classes) for domain in training) < 2:
        raise LearndError("there are not two classes to distinguish", where="data", remedy="add data")
    if validation:
        episodes.check(validation, episodes.of_validation(recipe, validation))
    return train(Supervised(backbone.private(), training, validation, recipe, options), recipe, run)


@dataclass(frozen=True)
class Supervised(FewShotObjective):
    """Cross-entropy of labelled images, an equal share of a batch from every domain."""

    options: Pretraining

    @property
    def trains_network(self) -> bool:
        return True

    def start(self) -> dict[str, Tensor]:
        classes = sum(len(domain.classes) for domain in self.training)
        generator = torch.Generator().manual_seed(self.recipe.seed)
        weight = torch.randn(classes, self.backbone.features, generator=generator) / self.backbone.features**0.5
        scale = torch.tensor(self.options.scale).log()
        device = self.backbone.device
        return {**backbone_parameters(self.backbone), HEAD: weight.to(device), HEAD_SCALE: scale.to(device)}

    def gradients(
        self, params: Tensors, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        images, labels = self.batch(generator)
        self.backbone.module.train()
        with own_randomness(generator), precision(self.recipe.amp, True, self.backbone.device):
            features = self.backbone.features_of(images, for_backbone(params))  # (N, D)
            cosines = F.linear(F.normalize(features, dim=1), F.normalize(params[HEAD], dim=1))  # (N, K)
            logits = (params[HEAD_SCALE].exp() * cosines).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self.options.smoothing)
        return loss.detach(), gradient_of(loss, params)

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images, augmented, (N, C, S, S) and the numbers of their classes over all domains, int64 (N,)."""
        share, first = max(1, self.options.images // len(self.training)), 0
        images, labels = [], []
        for domain in self.training:
            classes = domain.classes
            rows, numbers = torch.cat(classes.rows), torch.arange(len(classes)).repeat_interleave(classes.sizes)
            drawn = torch.randint(len(rows), (share,), generator=generator)
            pixels = classes.images[rows[drawn].to(classes.images.device)]
            images.append(augment(domain.augment, pixels, generator).float())
            labels.append(numbers[drawn] + first)
            first += len(classes)
        return torch.cat(images), torch.cat(labels).to(self.backbone.device)

    def predictor(self, params: Tensors) -> tuple[Backbone, Predict]:
        def predict(support: Support, query: Tensor, ctx: Context) -> Tensor:
            return nearest_mean(support.features, support.labels, support.ways, self.backbone.embed(query))

        return self.backbone, predict
