"""What conv4 does for speed alone changes nothing of what it says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from learnd.learning.networks.conv4 import Conv4, Convolution


def twice(result: Tensor, *of: Tensor) -> list[Tensor]:
    """The gradients of a gradient's length."""
    first = torch.autograd.grad(result.square().sum(), of, create_graph=True)
    return list(torch.autograd.grad(sum(slope.square().sum() for slope in first), of))


PRODUCT, FEW_MAPS, FEW_KERNELS = [(1, 4, 3, 8), (3, 4, 3, 8)], (16, 32, 2, 3), (8, 8, 6, 7)


@pytest.mark.parametrize(("inputs", "outputs", "count", "side"), [*PRODUCT, FEW_MAPS, FEW_KERNELS])
def test_a_scaled_convolution_is_the_plain_one_and_so_are_its_second_derivatives(
    inputs: int, outputs: int, count: int, side: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(count, inputs, side, side, generator=generator).requires_grad_()
    scale = torch.randn(outputs, generator=generator).requires_grad_()
    layer = Convolution(inputs, outputs, 3, padding=1, bias=False)
    found = layer(maps, scale)
    expected = F.conv2d(maps, layer.weight, padding=1) * scale[:, None, None]
    torch.testing.assert_close(found, expected)
    of = (maps, scale, layer.weight)
    torch.testing.assert_close(twice(found, *of), twice(expected, *of), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
def test_an_image_has_the_same_features_whether_gradients_are_wanted_or_not(channels: int, side: int) -> None:
    torch.manual_seed(0)
    network = Conv4(channels, side).eval()
    images = torch.randn(4, channels, side, side)
    with torch.no_grad():
        features = network(images)
    torch.testing.assert_close(network(images).detach(), features)


def test_it_can_be_mapped_over_networks() -> None:
    torch.manual_seed(0)
    network = Conv4(1, 28).eval()
    images = torch.randn(2, 3, 1, 28, 28)
    weights = {name: torch.stack([value, 1.1 * value]).detach() for name, value in network.named_parameters()}

    def of(own: dict[str, Tensor], some: Tensor) -> Tensor:
        features: Tensor = torch.func.functional_call(network, own, (some,))
        return features

    together = torch.func.vmap(of)(weights, images)
    for task in range(2):
        alone = of({name: value[task] for name, value in weights.items()}, images[task])
        torch.testing.assert_close(together[task], alone, rtol=1e-4, atol=1e-5)
