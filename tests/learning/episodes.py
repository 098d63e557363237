"""Episodes of the tiny gratings, and a tiny network in float64: what the tests of meta-learners need."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from learnd.learning.contract.meta_learner import Episodes, MetaLearner
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.named_tensors import Tensors
from tests.tiny import context, striped, tiny_backbone


def episodes(tasks: int = 3, ways: int = 3, shots: int = 2, queries: int = 2, progress: float = 0.0) -> Episodes:
    """So many tasks, of which no two have the same images."""
    support = [striped(ways, shots, seed=10 + task) for task in range(tasks)]
    query = [striped(ways, queries, seed=50 + task) for task in range(tasks)]
    images_labels = [torch.stack(column) for part in (support, query) for column in zip(*part, strict=True)]
    return Episodes(*images_labels, ways, progress)


def leaves(learner: MetaLearner, backbone: Backbone) -> dict[str, Tensor]:
    """The learner's meta-parameters, ready to be differentiated."""
    return {name: value.requires_grad_() for name, value in learner.meta_parameters(backbone).items()}


def meta_gradient(learner: MetaLearner, backbone: Backbone, batch: Episodes, meta: Tensors | None = None) -> Tensors:
    """The gradient of the meta-loss with respect to each meta-parameter."""
    values = {name: value.detach().requires_grad_() for name, value in (meta or leaves(learner, backbone)).items()}
    loss = learner.meta_loss(backbone, values, batch, context())
    return dict(zip(values, torch.autograd.grad(loss, list(values.values())), strict=True))


class InDouble(nn.Module):
    """A network that computes in float64."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(images.double())
        return features


def double_backbone() -> Backbone:
    """The tiny backbone in float64, for finite differences.  Its activations are smooth, so that these exist."""
    tiny = tiny_backbone()
    layers = [nn.Softplus() if isinstance(layer, nn.ReLU) else layer for layer in tiny.module.children()]
    blocks = tuple(tuple(f"network.{prefix}" for prefix in block) for block in tiny.blocks)
    return replace(tiny, module=InDouble(nn.Sequential(*layers)), blocks=blocks)
