"""Every image is varied its own way, not far, and the same for the same generator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from learnd.learning.networks.augmentation import augment
from tests.tiny import striped


def images(channels: int = 3) -> Tensor:
    grey, _ = striped(1, 1, noise=10)
    return grey.repeat(16, channels, 1, 1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("kind", ["glyphs", "photographs"])
def test_every_image_is_varied_its_own_way_and_not_far(kind: str) -> None:
    pixels = images()
    varied = augment(kind, pixels, generator())
    assert varied.shape == pixels.shape
    assert varied.dtype == torch.float32
    assert float(varied.min()) >= 0
    assert float(varied.max()) <= 255
    assert len({float(image.sum()) for image in varied}) == 16
    assert (varied.mean((1, 2, 3)) - pixels[0].float().mean()).abs().max() < 60
    assert torch.equal(varied, augment(kind, pixels, generator()))


def test_a_photograph_is_mirrored_half_of_the_time_and_a_glyph_never() -> None:
    slope = torch.linspace(0, 255, 12).expand(200, 3, 12, 12).to(torch.uint8)  # darker on the left

    def mirrored(kind: str) -> float:
        varied = augment(kind, slope, generator())
        return float((varied[..., :6].mean((1, 2, 3)) > varied[..., 6:].mean((1, 2, 3))).float().mean())

    assert mirrored("glyphs") == 0
    assert 0.35 < mirrored("photographs") < 0.65


def test_no_augmentation_hands_back_the_bytes() -> None:
    pixels = images(1)
    assert augment("none", pixels, generator()) is pixels
