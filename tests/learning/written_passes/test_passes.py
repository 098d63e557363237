"""conv4's written passes say what torch's graph says: features, gradients, and how both change along a direction."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from learnd.learning.networks.conv4 import Conv4
from learnd.learning.written_passes.conv4_layers import layers_of
from learnd.learning.written_passes.passes import Back, Forward, Layer, LayerWeights, TangentPass

TASKS, COUNT = 2, 9
NETWORKS = [(1, 28, (8, 8, 16, 16)), (3, 32, (8, 8, 16, 16)), (1, 20, (8, 8, 12)), (2, 13, (8, 6, 8, 4))]


def network(channels: int, side: int, widths: tuple[int, ...]) -> Conv4:
    """With weights and statistics that are nowhere one or zero, some scales negative."""
    torch.manual_seed(0)
    made = Conv4(channels, side, widths).eval()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return made


def threes(values: dict[str, Tensor], layers: Sequence[Layer]) -> list[LayerWeights]:
    return [layer.folded(LayerWeights(*(values[name] for name in layer.names))) for layer in layers]


def passed(
    layers: Sequence[Layer],
    at: list[Forward],
    weights: list[LayerWeights],
    gradient: Tensor,
    tangents: list[TangentPass] | None,
) -> tuple[dict[str, Tensor], list[Back]]:
    """The backward pass: what it is for each parameter, and what it leaves for a tangent."""
    left: list[Back] = []
    for number in reversed(range(len(layers))):
        tangent = tangents[number] if tangents else None
        left.insert(0, layers[number].passes.back(at[number], weights[number], gradient, tangent))
        gradient = left[0].gx if left[0].gx is not None else gradient
    of = zip(layers, left, strict=True)
    return {n: v for layer, one in of for n, v in zip(layer.names, layer.unfolded(one.weights), strict=True)}, left


@pytest.mark.parametrize(("channels", "side", "widths"), NETWORKS)
def test_all_four_passes_say_what_torchs_graph_says(channels: int, side: int, widths: tuple[int, ...]) -> None:
    own = network(channels, side, widths)
    images = torch.randn(COUNT, channels, side, side)
    x, layers = layers_of(own, images)
    params = {name: value.detach() for name, value in own.named_parameters()}
    assert {name for layer in layers for name in layer.names} == set(params)
    values = {name: torch.stack([value, value + 0.1 * torch.randn_like(value)]) for name, value in params.items()}
    along = {name: 0.1 * torch.randn_like(value) for name, value in values.items()}
    first, second = torch.randn(2, TASKS, COUNT, widths[-1])

    weights, directions = threes(values, layers), threes(along, layers)
    at: list[Forward] = []
    for layer, weight in zip(layers, weights, strict=True):
        at.append(layer.passes.forward(at[-1].out if at else x.expand(TASKS, *x.shape), weight))
    gradients, left = passed(layers, at, weights, first, None)
    tangents: list[TangentPass] = []
    for number, layer in enumerate(layers):
        dx = tangents[-1].change.dout if tangents else None
        change = layer.passes.along(at[number], weights[number], directions[number], dx)
        tangents.append(TangentPass(directions[number], change, left[number]))
    changed, _ = passed(layers, at, weights, second, tangents)

    own.double()
    for task in range(TASKS):
        mine = {name: value[task].double().requires_grad_() for name, value in values.items()}
        way = {name: value[task].double() for name, value in along.items()}
        expected = by_graph(own, images.double(), mine, way, first[task].double(), second[task].double())
        close(at[-1].out[task], expected[0])
        close(tangents[-1].change.dout[task], expected[1])
        for number, name in enumerate(mine):
            close(gradients[name][task], expected[2][number])
            close(changed[name][task], expected[3][number])


def by_graph(
    own: Conv4, images: Tensor, params: dict[str, Tensor], along: dict[str, Tensor], first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor, Sequence[Tensor], Sequence[Tensor]]:
    """Features and their change; the gradients of `first`; their change, with the gradients of `second`."""
    of = list(params.values())
    features = functional_call(own, params, (images,))
    gradient = first.clone().requires_grad_()
    gradients = torch.autograd.grad(features, of, gradient, create_graph=True)
    length = torch.stack([(gradient * d).sum() for gradient, d in zip(gradients, along.values(), strict=True)]).sum()
    (change,) = torch.autograd.grad(length, gradient, retain_graph=True)  # as the gradients are linear in the gradient
    changed = torch.autograd.grad(length + (features * second).sum(), of)
    return features.detach(), change, gradients, changed


def close(found: Tensor, expected: Tensor) -> None:
    away = (found.double() - expected.detach()).norm() / expected.detach().norm()
    assert float(away) < 2e-5
